"""The page of an explanation: whole, offline, safe from names, and without anything beside the screen of a phone."""

import re
from dataclasses import replace

import pytest
from PIL import Image

from fscl.errors import OutputError
from fscl.records import (
    CurvePoint,
    Embedding,
    ExplainedPhoto,
    Explanation,
    Failed,
    LabelToCheck,
    LayerMatrices,
    LayerMeasures,
    Near,
    Tightness,
    read_explanation,
    write_record,
)
from fscl.report.explanation import write_explanation

EVIL = "<script>alert('x')</script>\x1b[2J"
LONG = "a_very_long_name_of_a_species_without_any_space_in_it_at_all_" * 2


def explanation(**changed):
    classes = ["fox", EVIL, LONG]
    tightness = Tightness(0.9, -0.1, None)
    measures = LayerMeasures(
        by_class=dict.fromkeys(classes, tightness), common=tightness, rare=tightness, mean_cosine=0.2, mean_cosines=[]
    )
    photo = {
        "answer": "fox",
        "probability": 0.8,
        "runner_up": EVIL,
        "runner_up_probability": 0.1,
        "picture": "photo-001.jpg",
    }
    near = [Near("a.jpg", "a.jpg#0", name, 0.9, "near-00001.jpg") for name in classes]
    points = [CurvePoint(e, e, {"layer4": {"common_within_cosine": 0.1, "rare_within_cosine": None}}) for e in (0, 1)]
    given = {
        "version": 1,
        "run": f"runs/{EVIL}",
        "backbone": "resnet18",
        "classes": classes,
        "minority": [EVIL],
        "train_counts": dict.fromkeys(classes, 9),
        "chosen": "the photos that were given",
        "photos": [
            ExplainedPhoto(
                path=f"/p/{LONG}.jpg", region=f"{EVIL}#1", label=EVIL, nearest=near, heat_map="heat-001.jpg", **photo
            ),
            ExplainedPhoto(path="/p/b.jpg", nearest=[Near("gone.jpg", "gone.jpg#0", "fox", 0.5)], **photo),
        ],
        "failed": [Failed(EVIL, "truncated file")],
        "matrices": LayerMatrices(["a", "b", "c"], classes, {"layer4": [0.1, -0.2, 0.3]}),
        "embedding": Embedding(["a", "b"], ["fox", EVIL], ["fox", "fox"], {"layer4": [(0.1, 0.2), (0.3, 0.4)]}),
        "measures": {"layer4": measures},
        "measured_on": 3,
        "curve": points,
        "labels_to_check": [
            LabelToCheck(
                path=EVIL,
                region=EVIL,
                split="train",
                label=LONG,
                suggested=EVIL,
                score=0.9,
                agree=1,
                neighbours=10,
                picture="check-001.jpg",
            )
        ],
        "labels_checked": 30,
        "notes": [EVIL],
    }
    return Explanation(**(given | changed))


@pytest.fixture
def folder(tmp_path):
    for name in ("photo-001", "heat-001", "near-00001", "check-001"):
        Image.new("RGB", (60, 60), (90, 120, 60)).save(tmp_path / f"{name}.jpg")
    write_record(tmp_path / "explain.json", explanation())
    return tmp_path


def test_what_is_written_is_read(folder):
    assert read_explanation(folder / "explain.json") == explanation()


def test_the_page_stands_alone_and_names_are_only_names(folder):
    page = write_explanation(folder).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "\x1b" not in page
    assert not re.search(r'(src|href)="(?!data:image/|#)', page)
    assert "url(http" not in page
    assert page.count("data:image/jpeg;base64,") == 2 + 1 + 3 + 1
    for said in (
        "2 photos: the photos that were given; 1 could not be explained.",
        "wrong: labelled",
        "no heat map",
        "can no longer be read",
        "truncated file",
        "1 of the 10 most similar photos agree",
    ):
        assert said in page
    assert len(re.findall(r"<figure", page)) == 3
    again = write_explanation(folder).read_text(encoding="utf-8")
    assert again == page


def test_a_picture_elsewhere_on_the_disk_is_never_in_the_page(folder):
    outside = folder.parent / "secret.jpg"
    Image.new("RGB", (8, 8)).save(outside)
    photo = explanation().photos[1]
    write_record(folder / "explain.json", explanation(photos=[replace(photo, picture="../secret.jpg")]))
    assert "data:image" not in write_explanation(folder).read_text(encoding="utf-8").partition('id="labels"')[0]


def test_with_little_to_say_the_page_says_that(folder):
    bare = explanation(
        photos=[], failed=[], matrices=None, embedding=None, measures={}, curve=[], labels_to_check=None, minority=[]
    )
    write_record(folder / "explain.json", bare)
    page = write_explanation(folder).read_text(encoding="utf-8")
    assert 'id="layers"' not in page
    assert 'id="labels"' not in page
    write_record(folder / "explain.json", explanation(labels_to_check=[]))
    assert "None: every label" in write_explanation(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"version": 2}', b"\xff"])
def test_a_damaged_explanation_is_an_error_of_ours(tmp_path, content):
    (tmp_path / "explain.json").write_bytes(content)
    with pytest.raises(OutputError, match=r"explain\.json"):
        write_explanation(tmp_path)
    (tmp_path / "explain.json").unlink()
    with pytest.raises(OutputError, match="fscl explain writes"):
        write_explanation(tmp_path)


@pytest.mark.parametrize("width", [1200, 390])
def test_in_a_browser_nothing_is_asked_of_the_network_and_nothing_lies_beside_the_screen(folder, opened, width):
    page = opened(write_explanation(folder), viewport={"width": width, "height": 900})
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths[0] <= widths[1]
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#photos"

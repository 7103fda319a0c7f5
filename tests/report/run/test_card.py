"""The model card: facts of the run, and the limits that follow from them."""

import pandas as pd
import pytest

from fscl.manifest.table import Manifest
from fscl.report import write_report


def photos(root, *rows):
    table = pd.DataFrame(rows, columns=["label", "site", "split"])
    table["path"] = [f"{place}.jpg" for place in range(len(table))]
    return Manifest.build(table, root)


def card(run):
    write_report(run)
    return (run / "model_card.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(write_run):
    return write_run()


def test_the_front_matter_is_that_of_hugging_face(run):
    text = card(run)
    _, front, body = text.split("---\n", 2)
    lines = front.splitlines()
    for line in ("license: other", "library_name: fscl", "pipeline_tag: image-classification", "- recall"):
        assert line in lines, line
    assert body.strip().startswith("# ")


def test_limits_follow_from_the_photos(run, tmp_path):
    text = card(run)
    assert "Sites are not known: how it does at a place that it was not trained at has not been measured." in text
    assert "Trained on fewer than 20 photos: 고라니 (7)." in text
    assert "Tested on fewer than 10 photos, which says little: 고라니 (8)." in text
    assert "It was evaluated on no photos but those of its own source." in text
    both = [("boar", "north", "train"), ("boar", "south", "train")]
    cases = {
        "All training photos with a known site are from one site": [("boar", "north", "train")],
        "From a single site each, which may have been learnt in place of the animal: deer.": [
            *both,
            ("deer", "north", "train"),
        ],
        "1 of 2 test sites are training sites, too": [*both, ("boar", "north", "test"), ("boar", "west", "test")],
        "No test site is a training site: the figures are for new sites.": [*both, ("boar", "west", "test")],
    }
    for limit, rows in cases.items():
        photos(tmp_path, *rows).write(run / "photos.parquet")
        assert limit in card(run), limit


def test_photos_and_sites_are_counted_class_by_class(run, tmp_path):
    rows = [("boar", "a", "train"), ("boar", "b", "train"), ("boar", "b", "train"), ("deer", None, "train")]
    photos(tmp_path, *rows, ("boar", "c", "test")).write(run / "photos.parquet")
    lines = card(run).splitlines()
    assert "| boar | 3 | 2 | 40 |" in lines
    assert "| deer | 1 | – | 24 |" in lines
    assert f"fscl predict {run} PHOTOS --out predictions.json" in lines


def test_names_are_no_mark_up(write_run):
    text = card(write_run(classes=("a|b", "<img src=x>", "[x](y)")))
    assert r"\<img src=x\>" in text
    assert "<img" not in text.replace(r"\<img", "")
    assert r"| a\|b" in text
    assert r"\[x\](y)" in text

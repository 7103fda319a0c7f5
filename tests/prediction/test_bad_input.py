"""Whatever photos and files about them are like, each photo is in the result of scan and predict; the run goes on."""

import csv
import json
import os
import shutil
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pandas as pd
import pytest
from PIL import Image, ImageFile

from tests.test_images import png_header

BOX = [0.25, 0.25, 0.5, 0.5]
OTHER = [0.1, 0.1, 0.3, 0.3]


@pytest.fixture
def both(fscl, model):
    """Return a function that scans and predicts a source: of each exit code and path → reason, and what is said."""

    def run(source, *words):
        said = ""
        for name in ("x.parquet", "x.csv", "x.csv.settings.json"):
            Path(name).unlink(missing_ok=True)
        scanned, out, err = fscl("scan", source, "--out", "x.parquet", *words)
        said += out + err
        predicted, out, err = fscl("predict", model, source, "--out", "x.csv", *words)
        said += out + err
        assert "Traceback" not in said
        rows = (
            pd.read_parquet("x.parquet") if Path("x.parquet").exists() else pd.DataFrame(columns=["path", "problem"])
        )
        answers = {}
        if Path("x.csv").exists():
            with Path("x.csv").open(encoding="utf-8", newline="") as file:
                answers = {row["filepath"]: row["problem"] or None for row in csv.DictReader(file)}
        reasons = rows["problem"].astype(object).where(rows["problem"].notna(), None)
        return scanned, dict(zip(rows["path"], reasons, strict=True)), predicted, answers, said

    return run


FATES = {
    "african_elephants_truncated_file.jpg": "truncated file",
    "broken.png": "not an image",
    "broken_data_stream.png": "damaged file (unrecognized data stream contents when reading image file)",
    "decompression_bomb.gif": "more than 178 megapixels (decompression bomb?)",
    "error_img.JPG": "empty file",
    "hopper.heif": "HEIC is not supported, convert it to JPEG",
    "truncated_end_chunk.png": "truncated file",
    "truncated_jpeg.jpg": "truncated file",
}


def awkward(shared_data):
    return sorted(path for path in (shared_data / "awkward").iterdir() if path.suffix != ".md")


@pytest.mark.slow
def test_each_awkward_photo_alone_is_answered_or_says_why(both, fscl, model, shared_data, tmp_path):
    for sample in awkward(shared_data):
        (tmp_path / "one/fox").mkdir(parents=True)
        shutil.copy(sample, tmp_path / "one/fox")
        scanned, rows, predicted, answers, said = both(tmp_path / "one")
        name, fate = f"fox/{sample.name}", FATES.get(sample.name)
        assert rows == {name: fate and f"unreadable: {fate}"}, said
        assert answers == {name: fate}
        assert scanned == predicted == (0 if fate is None else 2)
        code, _, err = fscl("predict", model, sample, "--out", "single.csv", "--overwrite")
        assert code == predicted, err
        assert sample.name in Path("single.csv").read_text()
        shutil.rmtree(tmp_path / "one")


@pytest.mark.parametrize("packed", [False, True])
def test_awkward_photos_among_good_ones_stop_nothing(both, shared_data, class_folders, tmp_path, pack, packed):
    for name in ("boar", "deer"):
        shutil.copytree(class_folders / name, tmp_path / "photos" / name)
    for sample in awkward(shared_data):
        shutil.copy(sample, tmp_path / "photos/boar")
    source = pack(tmp_path / "photos") if packed else tmp_path / "photos"
    good = {f"{name}/{path.name}" for name in ("boar", "deer") for path in (class_folders / name).iterdir()}
    scanned, rows, predicted, answers, said = both(source)
    assert (scanned, predicted) == (0, 0), said
    fates = {f"boar/{sample.name}": FATES.get(sample.name) for sample in awkward(shared_data)}
    assert answers == dict.fromkeys(good) | fates
    # Of a zip the end of a file is not looked at, which would unpack it: --verify decode finds half a photo there.
    cut = {name for name, fate in fates.items() if fate is not None and fate.startswith(("truncated", "damaged"))}
    for name in rows.keys() - (cut if packed else set()):
        assert rows[name] == (answers[name] and f"unreadable: {answers[name]}")
    assert rows.keys() == answers.keys()


def test_all_photos_of_the_real_formats_are_answered(fscl, model, shared_data):
    folder = shared_data / "formats"
    assert fscl("predict", model, folder, "--out", "x.csv")[0] == 0
    rows = pd.read_csv("x.csv")
    assert set(rows["filepath"]) == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix.lower() == ".jpg"
    }
    assert rows["problem"].isna().all()


@pytest.mark.slow
def test_every_real_file_of_a_program_is_answered_or_one_clear_error(both, shared_data):
    folder = shared_data / "formats"
    for source in sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".csv", ".xml")):
        scanned, _, predicted, answers, said = both(source)
        assert scanned in (0, 2), said
        assert predicted in (0, 2), said
        if predicted == 0:
            assert not all(answers.values()), source


def test_a_table_without_labels_is_predicted_and_labels_are_no_matter(both, shots):
    table = shots / "t.csv"
    table.write_text("filepath\nboar/000.jpg\ndeer/001.jpg\ngone.jpg\n")
    scanned, _, predicted, answers, said = both(table)
    assert (scanned, predicted) == (2, 0), said
    assert "expected a column for label" in said
    assert answers == {"boar/000.jpg": None, "deer/001.jpg": None, "gone.jpg": "missing file"}
    table.write_text("filepath,label\nboar/000.jpg,\ndeer/001.jpg,a\ndeer/001.jpg,b\ndeer/002.jpg,c\n")
    _, rows, _, answers, _ = both(table)
    assert rows == {"boar/000.jpg": "no label", "deer/001.jpg": "several labels for one photo", "deer/002.jpg": None}
    assert answers == dict.fromkeys(rows)


def test_names_of_any_kind(both, shots):
    names = [
        "고라니 사진 1.jpg",
        " lead.jpg",
        "a\nb.jpg",
        '"q".jpg',
        "a,b.jpg",
        "\x1b[31m.jpg",
        "back\\slash.jpg",
        "%41.jpg",
    ]
    names += ["노" * 83 + ".jpg", "a..jpg", "#.jpg", "산양 (2)/a b.jpg"]
    shutil.rmtree(shots)
    for name in names:
        (shots / "fox" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40)).save(shots / "fox" / name)
    Path(os.fsdecode(os.fsencode(shots / "fox") + b"/\xff.jpg")).write_bytes((shots / "fox/#.jpg").read_bytes())
    scanned, rows, predicted, answers, said = both(shots)
    assert (scanned, predicted) == (0, 0), said
    expected = {f"fox/{name}": None for name in names} | {"fox/\\xff.jpg": "file name is not UTF-8, rename it"}
    assert rows == answers == expected


@pytest.mark.parametrize("way", ["copy", "link"])
def test_photos_of_any_name_are_sorted(fscl, model, shots, way):
    shutil.rmtree(shots)
    names = ["노" * 83 + ".jpg", "a\nb.jpg", "back\\slash.jpg", " x.jpg"]
    (shots / "fox").mkdir(parents=True)
    for name in names:
        Image.new("RGB", (40, 40)).save(shots / "fox" / name)
    code, _, err = fscl("predict", model, shots, "--out", "x.csv", f"--{way}-to", "sorted", "--unsure-below", "0")
    assert code == 0, err
    assert sorted(path.name for path in Path("sorted").rglob("*.jpg")) == sorted(names)
    assert not list(Path("sorted").glob(".*"))


def test_links_that_lead_nowhere_or_round_in_circles(both, shots):
    (shots / "boar/up").symlink_to(shots, target_is_directory=True)
    (shots / "boar/self").symlink_to(shots / "boar/self")
    (shots / "boar/self.jpg").symlink_to(shots / "boar/self.jpg")
    (shots / "boar/gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(shots / "boar/pipe.jpg")
    (shots / "boar/folder.jpg").mkdir()
    scanned, rows, predicted, answers, said = both(shots)
    assert (scanned, predicted) == (0, 0), said
    assert (
        set(rows)
        == set(answers)
        == {path.relative_to(shots).as_posix() for path in shots.rglob("*.jpg") if path.name != "folder.jpg"}
    )
    fates = {
        "gone": "missing file",
        "self": "too many levels of symbolic links",
        "pipe": "a pipe or device, not a file",
    }
    assert {name: answers[f"boar/{name}.jpg"] for name in fates} == fates
    assert rows["boar/self.jpg"] == f"unreadable: {fates['self']}"
    (shots.parent / "circle").symlink_to(shots.parent / "circle")
    scanned, _, predicted, _, said = both(shots.parent / "circle")
    assert (scanned, predicted, said.count("circle does not exist")) == (2, 2, 2)


def test_bombs_are_refused_by_their_pixels_before_they_are_decoded(both, tmp_path, monkeypatch):
    """Also where another library has changed what Pillow refuses in the whole process: many pixels, half a photo."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    folder = tmp_path / "photos/fox"
    folder.mkdir(parents=True)
    Image.effect_noise((400, 300), 50).save(folder / "good.jpg")
    (folder / "half.jpg").write_bytes((folder / "good.jpg").read_bytes()[:9000])
    (folder / "bomb.png").write_bytes(png_header(30_000, 30_000) + bytes(100))
    with ZipFile(tmp_path / "z.zip", "w", ZIP_DEFLATED) as packed:
        for path in folder.iterdir():
            packed.write(path, f"fox/{path.name}")
        packed.writestr("fox/zeros.bmp", bytes(70 * 2**20))
    bomb = "more than 178 megapixels (decompression bomb?)"
    scanned, rows, predicted, answers, said = both(tmp_path / "photos")
    assert (scanned, predicted) == (0, 0), said
    assert answers == {"fox/good.jpg": None, "fox/half.jpg": "truncated file", "fox/bomb.png": bomb}
    assert rows == {name: why and f"unreadable: {why}" for name, why in answers.items()}
    scanned, rows, predicted, answers, said = both(tmp_path / "z.zip")
    assert (scanned, predicted) == (0, 0), said
    assert answers["fox/bomb.png"] == bomb
    assert answers["fox/half.jpg"] == "truncated file"
    assert answers["fox/zeros.bmp"] == "packed more than 200:1 in its zip (zip bomb?)"
    assert rows["fox/zeros.bmp"] == f"unreadable: {answers['fox/zeros.bmp']}"
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == (None, True), "the others' settings stay"


@pytest.mark.slow
def test_ten_thousand_photos_in_one_folder(both, tmp_path, fscl, model):
    folder = tmp_path / "photos/fox"
    folder.mkdir(parents=True)
    for number in range(10):
        Image.new("RGB", (32, 32), (number * 20, 90, 60)).save(folder / f"{number:05}.jpg")
    for number in range(10, 10_000):
        os.link(folder / f"{number % 10:05}.jpg", folder / f"{number:05}.jpg")
    scanned, rows, predicted, answers, said = both(tmp_path / "photos")
    assert (scanned, predicted, len(rows), len(answers)) == (0, 0, 10_000, 10_000), said[-500:]
    assert not any(answers.values())
    assert fscl("predict", model, "photos", "--out", "x.json", "--link-to", "sorted")[0] == 0
    assert len(list(Path("sorted").rglob("*.jpg"))) == 10_000


def detections(*boxes, file="boar/000.jpg", **more):
    found = [{"category": "1", "conf": 0.9, "bbox": box} for box in boxes]
    return {"detection_categories": {"1": "animal"}, "images": [{"file": file, "detections": found}], **more}


def coco(*boxes, file="boar/000.jpg", **more):
    photo = {"id": 1, "file_name": file, "width": 48, "height": 40}
    drawn = [{"id": n, "image_id": 1, "category_id": 1, "bbox": box} for n, box in enumerate(boxes)]
    return {"images": [photo], "annotations": drawn, "categories": [{"id": 1, "name": "boar"}], **more}


ONE_OF_TWO = detections([0.5, 0.5, -0.2, -0.2], BOX)
FOUR = "box needs four numbers: x, y, w, h"
OF_MEGADETECTOR = {
    "cut short": (json.dumps(detections(BOX))[:70], "which ends at line 1"),
    "images no list": (detections(images={"a": 1}), "images: expected a list"),
    "box of a text": (detections("a"), {"boar/000.jpg": "detections.0.bbox"}),
    "box of three": (detections([0.1] * 3), {"boar/000.jpg": FOUR}),
    "box of nan": (detections([float("nan")] * 4), {"boar/000.jpg": FOUR}),
    "inverted": (detections([0.5, 0.5, -0.2, -0.2]), {"boar/000.jpg": "box without area"}),
    "one of two inverted": (ONE_OF_TWO, {"boar/000.jpg": "box without area"}),
    "in pixels": (detections([10, 10, 20, 20]), {"boar/000.jpg": "box in pixels"}),
    "outside": (detections([-0.5, -0.5, 0.2, 0.2]), {"boar/000.jpg": "box outside the photo"}),
    "partly outside": (detections([0.9, 0.9, 0.5, 0.5]), {"boar/000.jpg": None}),
    "twice the same": ({**detections(BOX), "images": detections(BOX)["images"] * 2}, {"boar/000.jpg": None}),
    "twice, and different": (
        {**detections(BOX), "images": detections(BOX)["images"] + detections(OTHER)["images"]},
        {"boar/000.jpg": "several records of one photo that differ"},
    ),
    "up and down again": (detections(BOX, file="../shots/boar/000.jpg"), {"../shots/boar/000.jpg": None}),
    "out of the folder": (detections(BOX, file="../../secret.jpg"), {"../../secret.jpg": "missing file"}),
    "from the root": (detections(BOX, file="/nowhere/boar/000.jpg"), {"/nowhere/boar/000.jpg": "missing file"}),
    "Windows": (detections(BOX, file="boar\\000.jpg"), {"boar\\000.jpg": None}),
    "a drive": (detections(BOX, file="C:\\boar\\000.jpg"), {"C:\\boar\\000.jpg": "missing file"}),
    "Korean": (detections(BOX, file="고라니 1.jpg"), {"고라니 1.jpg": "missing file"}),
    "a null character": (detections(BOX, file="a\0b.jpg"), {"a\0b.jpg": "missing file"}),
}
OF_COCO = {
    "cut short": (json.dumps(coco([3, 2, 6, 4]))[:70], "which ends at line 1"),
    "images no list": (coco(images=5), "images: expected a list"),
    "inverted": (coco([30, 20, -6, -4]), {"boar/000.jpg": "box without area"}),
    "outside": (coco([300, 2, 6, 4]), {"boar/000.jpg": "box outside the photo"}),
    "one id twice": (
        coco([3, 2, 6, 4], images=[{"id": 1, "file_name": f"boar/00{n}.jpg"} for n in range(2)]),
        {"boar/000.jpg": "2 images have its id", "boar/001.jpg": "2 images have its id"},
    ),
    "Windows": (coco([3, 2, 6, 4], file="boar\\000.jpg"), {"boar/000.jpg": None}),
    "up and down again": (coco([3, 2, 6, 4], file="../shots/boar/000.jpg"), {"boar/000.jpg": None}),
}


@pytest.mark.parametrize(
    ("document", "expected"),
    [*OF_MEGADETECTOR.values(), *OF_COCO.values()],
    ids=[*(f"MegaDetector, {name}" for name in OF_MEGADETECTOR), *(f"COCO, {name}" for name in OF_COCO)],
)
def test_bad_records_are_rows_with_reasons_or_one_clear_error(both, shots, document, expected):
    source = shots / "a.json"
    source.write_text(document if isinstance(document, str) else json.dumps(document))
    scanned, rows, predicted, answers, said = both(source)
    if isinstance(expected, str):
        assert (scanned, predicted, said.count(expected)) == (2, 2, 2), said
        return
    assert answers.keys() == expected.keys()
    for name, why in expected.items():
        assert (answers[name] is None) == (why is None), answers
        assert (why or "") in (answers[name] or "")
    assert predicted == (0 if None in expected.values() or document is ONE_OF_TWO else 2)
    assert scanned in (0, 2)
    assert len(rows) in (0, *range(len(expected), 3))


def test_a_photo_whose_animal_has_no_proper_box_is_not_blank(fscl, model, shots):
    """A detector found an animal there: neither file says that there is none."""
    (shots / "md.json").write_text(json.dumps(detections([0.5, 0.5, -0.2, -0.2])))
    given = ("predict", model, shots, "--detections", shots / "md.json", "--out")
    assert fscl(*given, "x.csv")[0] == 2
    row = pd.read_csv("x.csv").set_index("filepath").loc["boar/000.jpg"]
    assert pd.isna(row["prediction"])
    assert row["problem"] == "detections: box without area"
    assert fscl(*given, "x.json")[0] == 2
    images = {image["file"]: image for image in json.loads(Path("x.json").read_text())["images"]}
    assert images["boar/000.jpg"]["detections"] is None
    assert images["boar/000.jpg"]["failure"] == "none of its detections can be read"
    (shots / "md.json").write_text(json.dumps(detections([0.5, 0.5, -0.2, -0.2], BOX)))
    assert fscl(*given, "y.csv")[0] == 0, "the other animal has an answer"
    row = pd.read_csv("y.csv").set_index("filepath").loc["boar/000.jpg"]
    assert (row["problem"], row["x"]) == ("detections: box without area", 0.25)
    assert isinstance(row["prediction"], str)


def test_training_comparing_and_evaluating_take_detections_as_scan_does(fscl, shots):
    """Without a scan before: each animal box is cropped and takes the label of its photo."""
    found = [{"category": "1", "conf": 0.9, "bbox": BOX}]
    images = [
        {"file": path.relative_to(shots).as_posix(), "detections": found}
        for path in sorted(shots.rglob("*.jpg"))
        if path.name != "001.jpg"
    ]
    Path("md.json").write_text(json.dumps({"detection_categories": {"1": "animal"}, "images": images}))
    given = ["--detections", "md.json"]
    small = [
        "--backbone",
        "test_resnet",
        "--image-size",
        "32",
        "--steps",
        "2",
        "--batch-size",
        "16",
        "--workers",
        "0",
    ]
    code, _, err = fscl("train", shots, *given, "--method", "oversampling", "--out", "run", *small)
    assert code == 0, err
    rows = pd.read_parquet("run/photos.parquet")
    assert rows.loc[rows["path"] == "boar/002.jpg", [*"xywh"]].to_numpy().tolist() == [[12, 10, 24, 20]]
    assert "1 row" in err or "not name this photo" in err
    code, _, err = fscl("evaluate", "run", shots, *given, "--out", "evaluated", "--workers", "0")
    assert code in (0, 2), err  # all of them are of the run
    study = ["--methods", "oversampling", "--ratios", "0.5", "--fine", "boar:deer", "--jobs", "1"]
    code, _, err = fscl("compare", shots, *given, *study, "--out", "study", *small)
    assert code == 0, err
    assert pd.read_parquet("study/photos.parquet")["w"].dropna().eq(24).all()
    for words in (["evaluate", "run"], ["train", "--resume", "run"]):
        code, _, err = fscl(*words, *given)
        assert (code, "--detections says how photos are read, and run knows its own" in err) == (2, True)

"""`fscl predict`: every photo is in the result, a killed call is gone on with, boxes and bursts."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import fscl as package
from fscl.bundle import Bundle
from fscl.images import read_size
from fscl.prediction import parts as parts_module


def in_csv(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_photo_is_in_the_result_and_the_model_knows_them(fscl, model, shots):
    code, out, err = fscl("predict", model, shots, "--out", "answers.csv")
    assert code == 0, err
    rows = in_csv("answers.csv")
    files = sorted(path.relative_to(shots).as_posix() for path in shots.rglob("*.jpg"))
    assert [row["filepath"] for row in rows] == files
    failed = {row["filepath"]: row["problem"] for row in rows if row["problem"]}
    assert failed == {"boar/empty.jpg": "empty file", "deer/half.jpg": failed["deer/half.jpg"]}
    right = [row["filepath"].split("/")[0] == row["prediction"] for row in rows if not row["problem"]]
    assert np.mean(right) > 0.95
    for row in rows:
        if not row["problem"]:
            assert float(row[row["prediction"]]) == float(row["probability"])
            assert sum(float(row[name]) for name in ("boar", "deer", "hare")) == pytest.approx(1, abs=2e-4)
    assert "2 without an answer" in out
    assert "boar/empty.jpg: empty file" in out
    assert not Path("answers.csv.parts").exists()


def test_the_probabilities_are_those_of_python(fscl, model, shots):
    assert fscl("predict", model, shots, "--out", "answers.parquet", "--decision", "argmax")[0] == 0
    table = pd.read_parquet("answers.parquet")
    expected = package.load(model).predict(shots)
    for name in ("boar", "deer", "hare"):
        assert table[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=6e-5, nan_ok=True)
    assert table["prediction"].dropna().tolist() == expected["prediction"].dropna().tolist()


def test_files_that_are_passed_over_are_said(fscl, model, shots):
    for name in ("deer/night.wmv", "deer/day.wmv", "deer/raw.cr2", "notes.txt"):
        (shots / name).write_bytes(b"1")
    code, _, err = fscl("predict", model, shots, "--out", "answers.csv")
    assert code == 0, err
    assert "passed over: 2 .wmv, 1 .cr2; camera raw is not read, convert it to JPEG; of videos .mp4" in err


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_the_file_has_the_same_bytes(fscl, model, shots, monkeypatch, tmp_path):
    monkeypatch.setattr(parts_module, "PART_REGIONS", 64)
    assert fscl("predict", model, shots, "--out", "whole.json")[0] == 0
    code = (
        "import sys; from fscl.prediction import parts, run; parts.PART_REGIONS = run.PART_REGIONS = 64\n"
        "from fscl.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "predict", str(model), str(shots), "--out", str(tmp_path / "killed.json")]
    first = subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.PIPE)
    folder = tmp_path / "killed.json.parts"
    while not (folder / "part-000000.npz").exists():
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    kept = (folder / "part-000000.npz").stat().st_mtime_ns
    assert not (tmp_path / "killed.json").exists()
    assert (folder / "part-000000.npz").stat().st_mtime_ns == kept
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "killed.json").read_bytes() == Path("whole.json").read_bytes()
    assert not folder.exists()


def test_only_missing_parts_are_computed_and_damaged_ones_again(fscl, model, shots, monkeypatch, decoded):
    monkeypatch.setattr(parts_module, "PART_REGIONS", 64)
    write = parts_module.Parts.write

    def stops(self, number, part):
        write(self, number, part)
        raise KeyboardInterrupt

    for name, damage in (("kept.csv", False), ("damaged.csv", True)):
        decoded.clear()
        with monkeypatch.context() as patch:
            patch.setattr(parts_module.Parts, "write", stops)
            code, _, err = fscl("predict", model, shots, "--out", name)
        assert (code, len(decoded)) == (130, 64)
        assert "what is predicted so far is kept: the same command does the rest" in err
        assert not Path(name).exists()
        if damage:
            Path(f"{name}.parts/part-000000.npz").write_bytes(b"PK")
        decoded.clear()
        assert fscl("predict", model, shots, "--out", name)[0] == 0
        assert len(decoded) == len(in_csv(name)) - (0 if damage else 64)
    assert Path("kept.csv").read_bytes() == Path("damaged.csv").read_bytes()


def test_a_finished_prediction_is_not_made_again_and_no_other_file_is_lost(fscl, model, shots, decoded):
    assert fscl("predict", model, shots, "--out", "answers.json")[0] == 0
    decoded.clear()
    code, out, _ = fscl("predict", model, shots, "--out", "answers.json")
    assert (code, decoded) == (0, [])
    assert "2 without an answer" in out
    code, _, err = fscl("predict", model, shots, "--out", "answers.json", "--unsure-below", "0.9")
    assert (code, decoded) == (2, [])
    assert "answers.json: exists; replace it with --overwrite" in err
    assert fscl("predict", model, shots, "--out", "answers.json", "--unsure-below", "0.9", "--overwrite")[0] == 0
    assert json.loads(Path("answers.json").read_text())["info"]["classifier_metadata"] == {
        "typical_classification_threshold": 0.9
    }


def test_photos_that_were_added_since_are_another_prediction(fscl, model, shots, monkeypatch):
    def stops(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fscl.prediction.run.answers", stops)
        assert fscl("predict", model, shots, "--out", "answers.csv")[0] == 130
    Image.new("RGB", (40, 40)).save(shots / "boar/new.jpg")
    code, _, err = fscl("predict", model, shots, "--out", "answers.csv")
    assert code == 2
    assert "answers.csv.parts: is of an interrupted prediction with other photos" in err
    assert fscl("predict", model, shots, "--out", "answers.csv", "--overwrite")[0] == 0
    assert "boar/new.jpg" in [row["filepath"] for row in in_csv("answers.csv")]


def test_other_photos_of_the_same_names_are_another_prediction(fscl, model, shots):
    """A card that is read into the same folder again has the names of the last one."""
    assert fscl("predict", model, shots, "--out", "answers.csv")[0] == 0
    (shots / "boar/000.jpg").write_bytes((shots / "deer/001.jpg").read_bytes())
    code, _, err = fscl("predict", model, shots, "--out", "answers.csv")
    assert (code, "answers.csv: exists" in err) == (2, True)
    assert fscl("predict", model, shots, "--out", "answers.csv", "--overwrite")[0] == 0
    answers = {row["filepath"]: row["prediction"] for row in in_csv("answers.csv")}
    assert answers["boar/000.jpg"] == answers["deer/001.jpg"]


def detections(folder):
    """Return results of a detector that names photos from above their folder."""
    box = [0.25, 0.25, 0.5, 0.5]
    images = [
        {
            "file": f"{folder.name}/boar/000.jpg",
            "detections": [{"category": "1", "conf": 0.9, "bbox": box}],
            "mine": 1,
        },
        {
            "file": f"{folder.name}/deer/000.jpg",
            "detections": [
                {"category": "2", "conf": 0.5, "bbox": box},
                {"category": "1", "conf": 0.8, "bbox": box, "classifications": [["7", 0.7]]},
                {"category": 1, "conf": 0.1, "bbox": box},
            ],
        },
        {"file": f"{folder.name}/hare/000.jpg", "detections": [{"category": "2", "conf": 0.9, "bbox": box}]},
        {"file": f"{folder.name}/hare/001.jpg", "detections": []},
        {"file": f"{folder.name}/hare/002.jpg", "detections": None, "failure": "out of memory"},
        {"file": f"{folder.name}/boar/empty.jpg", "detections": [{"category": "1", "conf": 0.9, "bbox": box}]},
        {"file": "elsewhere/1.jpg", "detections": [{"category": "1", "conf": 0.9, "bbox": box}]},
    ]
    categories = {"1": "animal", "2": "person", "3": "vehicle"}
    return {
        "info": {"detector": "md_v5a", "note": "ours"},
        "detection_categories": categories,
        "classification_categories": {"7": "boar"},
        "images": images,
        "own": [1],
    }


def test_detections_are_kept_and_each_animal_is_classified(fscl, model, shots):
    Path("md.json").write_text(json.dumps(detections(shots)))
    code, out, err = fscl("predict", model, shots, "--detections", "md.json", "--out", "answers.json")
    assert code == 0, err
    assert "the detections name 1 more photo, which are not among these" in err
    written = json.loads(Path("answers.json").read_text())
    assert written["own"] == [1]
    assert written["info"]["note"] == "ours"
    assert written["info"]["format_version"] == "1.6"
    names = written["classification_categories"]
    assert names == {"7": "boar", "8": "boar (class)", "9": "deer", "10": "hare"}
    images = {image["file"]: image for image in written["images"]}
    assert set(images) >= {image["file"] for image in detections(shots)["images"]}
    boar = images[f"{shots.name}/boar/000.jpg"]
    assert boar["mine"] == 1
    assert names[boar["detections"][0]["classifications"][0][0]] == "boar (class)"
    animal, person, unsure = images[f"{shots.name}/deer/000.jpg"]["detections"]
    assert [animal["conf"], person["conf"], unsure["conf"]] == [0.8, 0.5, 0.1]
    assert "classifications" not in person
    assert "classifications" not in unsure
    assert ["7", 0.7] in animal["classifications"]
    scores = [score for _, score in animal["classifications"]]
    assert (len(scores), scores) == (4, sorted(scores, reverse=True))
    assert images[f"{shots.name}/hare/002.jpg"]["failure"] == "out of memory"
    assert images[f"{shots.name}/boar/empty.jpg"]["classification_failure"] == "empty file"
    assert images["boar/001.jpg"] == {
        "file": "boar/001.jpg",
        "detections": None,
        "failure": "the detections do not name this photo",
    }
    assert images["elsewhere/1.jpg"] == detections(shots)["images"][-1]
    assert "no animal: blank" in out
    assert "no animal: person" in out


def test_the_crop_of_a_box_is_that_of_training(fscl, model, shots):
    """A box in the file of detections gives the scores of the same box in a table."""
    Path("md.json").write_text(json.dumps(detections(shots)))
    assert fscl("predict", model, shots, "--detections", "md.json", "--out", "boxes.csv")[0] == 0
    width, height = read_size(shots / "boar/000.jpg")
    sides = [width / 4, height / 4, width / 2, height / 2]
    table = pd.DataFrame([["boar/000.jpg", "boar", *sides]], columns=["filepath", "label", *"xywh"])
    table.to_csv(shots / "boxes.csv", index=False)
    assert fscl("predict", model, shots / "boxes.csv", "--out", "table.csv")[0] == 0
    boxed = next(row for row in in_csv("boxes.csv") if row["filepath"] == "boar/000.jpg")
    (of_table,) = in_csv("table.csv")
    assert {name: of_table[name] for name in "xywh"} == {"x": "0.25", "y": "0.25", "w": "0.5", "h": "0.5"}
    same = ("x", "y", "w", "h", "prediction", "probability", "boar", "deer", "hare")
    assert {name: boxed[name] for name in same} == {name: of_table[name] for name in same}
    assert boxed["detection_conf"] == "0.9"


def test_photos_come_in_zips_lists_tables_and_detections(fscl, model, shots):
    with ZipFile("shots.zip", "w") as packed:
        for path in sorted(shots.rglob("*.jpg")):
            packed.write(path, path.relative_to(shots).as_posix())
    Path("list.txt").write_text(
        "\ufeffshots/boar/000.jpg\n\nshots\\deer\\001.jpg\nshots/gone.jpg\n", encoding="utf-8"
    )
    Path("md.json").write_text(json.dumps(detections(shots)))
    assert fscl("predict", model, "shots.zip", "--out", "zip.csv")[0] == 0
    assert fscl("predict", model, shots, "--out", "folder.csv")[0] == 0
    assert in_csv("zip.csv") == in_csv("folder.csv")
    assert fscl("predict", model, "list.txt", "--out", "list.csv")[0] == 0
    rows = in_csv("list.csv")
    assert [row["filepath"] for row in rows] == ["shots/boar/000.jpg", "shots/deer/001.jpg", "shots/gone.jpg"]
    assert [row["problem"] for row in rows] == ["", "", "missing file"]
    assert fscl("scan", shots, "--out", "photos.parquet")[0] == 0
    assert fscl("predict", model, "photos.parquet", "--out", "manifest.csv")[0] == 0
    assert [row["probability"] for row in in_csv("manifest.csv")] == [
        row["probability"] for row in in_csv("folder.csv")
    ]
    code, _, err = fscl("predict", model, "md.json", "--out", "md.csv")
    assert code == 0, err
    assert len(in_csv("md.csv")) == 7


def test_a_burst_has_one_answer_by_the_mean_of_its_scores(fscl, model, shots):
    table = pd.DataFrame({"filepath": [f"boar/{n:03}.jpg" for n in range(4)], "sequence": ["a", "a", "b", None]})
    table.assign(label="boar").to_csv(shots / "bursts.csv", index=False)
    source = shots / "bursts.csv"
    given = [*("predict", model, source), "--decision", "argmax", "--out"]
    assert fscl(*given, "single.csv")[0] == 0
    assert fscl(*given, "bursts.csv", "--by", "sequence")[0] == 0
    names = ("boar", "deer", "hare")
    single, burst = (
        [[float(row[name]) for name in names] for row in in_csv(f)] for f in ("single.csv", "bursts.csv")
    )
    bundle = Bundle.open(model)
    from fscl.inference import scores
    from fscl.loading.regions import Regions

    regions = Regions([shots / f"boar/{n:03}.jpg" for n in range(2)], np.full((2, 4), np.nan), np.zeros(2, np.int64))
    mean = scores(bundle.classifier, regions, bundle.preprocessing).logits.astype(np.float64).mean(axis=0)
    expected = np.exp(mean) / np.exp(mean).sum()
    assert burst[0] == burst[1] == pytest.approx(expected, abs=1e-4)
    assert burst[2:] == single[2:]


def test_species_that_cannot_be_there_are_ruled_out(fscl, model, shots):
    Path("region.txt").write_text("deer\nHARE\nwolf\n")
    assert fscl("predict", model, shots, "--species-list", "region.txt", "--out", "answers.csv")[0] == 0
    rows = [row for row in in_csv("answers.csv") if not row["problem"]]
    assert {row["prediction"] for row in rows} <= {"deer", "hare"}
    assert {row["boar"] for row in rows} == {"0.0"}
    code, _, err = fscl("predict", model, shots, "--species", "wolf", "--out", "x.csv")
    assert code == 2
    assert "the species list has none of the model's classes, boar, deer, hare" in err


@pytest.mark.parametrize("way", ["copy", "link"])
def test_photos_are_sorted_into_folders_and_stay_as_they_are(fscl, model, shots, way):
    before = {path: path.read_bytes() for path in shots.rglob("*.*")}
    given = ["predict", model, shots, f"--{way}-to", "sorted"]
    assert fscl(*given, "--out", "a.csv")[0] == 0
    assert {path: path.read_bytes() for path in shots.rglob("*.*")} == before
    for row in in_csv("a.csv"):
        unsure = row["abstained"] == "True"
        name = "_without_answer" if row["problem"] else "_unsure" if unsure else row["prediction"]
        target = Path("sorted", name, row["filepath"])
        assert target.is_symlink() == (way == "link")
        assert target.read_bytes() == (shots / row["filepath"]).read_bytes()
    assert fscl(*given, "--out", "b.csv")[0] == 0, "sorted already"
    if way == "copy":
        next(Path("sorted").rglob("boar/000.jpg")).write_bytes(b"another")
        code, _, err = fscl(*given, "--out", "c.csv")
        assert (code, "another file is there" in err) == (2, True)


def test_features_are_a_row_per_photo_that_could_be_read(fscl, model, shots):
    assert fscl("predict", model, shots, "--features", "f.parquet", "--out", "a.csv")[0] == 0
    features = pd.read_parquet("f.parquet")
    assert features["filepath"].tolist() == [row["filepath"] for row in in_csv("a.csv") if not row["problem"]]
    assert len(features["features"][0]) == Bundle.open(model).classifier.dims[-1]
    Path("mine.parquet").write_bytes(b"mine")
    code, _, err = fscl("predict", model, shots, "--features", "mine.parquet", "--out", "b.csv")
    assert (code, "mine.parquet: exists" in err) == (2, True)
    assert Path("mine.parquet").read_bytes() == b"mine"


def test_the_time_is_in_the_file_only_when_asked_for(fscl, model, shots):
    assert fscl("predict", model, shots, "--out", "a.json")[0] == 0
    assert fscl("predict", model, shots, "--out", "b.json", "--stamp")[0] == 0
    a, b = (json.loads(Path(name).read_text())["info"] for name in ("a.json", "b.json"))
    assert b.pop("classification_completion_time").startswith("20")
    assert a == b


def test_without_a_photo_that_can_be_read_the_file_says_why_and_the_code_is_2(fscl, model, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/1.jpg").touch()
    code, _, err = fscl("predict", model, "broken", "--out", "a.csv")
    assert code == 2
    assert "every photo is without an answer, such as 1.jpg: empty file" in err
    assert in_csv("a.csv")[0]["problem"] == "empty file"


WRONG = {
    "no photos": (["{model}", "none", "--out", "a.csv"], "none does not exist"),
    "no model": (["shots", "shots", "--out", "a.csv"], "no bundle.json there"),
    "format": (["{model}", "shots", "--out", "a.csv", "--format", "megadetecter"], "did you mean 'megadetector'"),
    "timezone": (["{model}", "shots", "--out", "a.csv", "--timezone", "Z"], "--timezone is for --format camtrap-dp"),
    "names": (["{model}", "shots", "--out", "a.csv", "--scientific-names", "x.csv"], "--scientific-names is for"),
    "suffix": (["{model}", "shots", "--out", "a.txt"], "MegaDetector's format is a .json file"),
    "confidence alone": (
        ["{model}", "shots", "--out", "a.csv", "--detection-confidence", ".3"],
        "--detection-confidence is of the boxes",
    ),
    "other detections": (
        ["{model}", "shots", "--detections", "other.json", "--out", "a.csv"],
        "expected detections of these photos, such as boar/000.jpg, got none of them",
    ),
    "both": (["{model}", "shots", "--out", "a.csv", "--copy-to", "x", "--link-to", "y"], "give one of them"),
    "a file to sort into": (["{model}", "shots", "--out", "a.csv", "--copy-to", "other.json"], "found a file"),
    "features": (["{model}", "shots", "--out", "a.csv", "--features", "f.csv"], "features are a .parquet file"),
    "no list": (
        ["{model}", "shots", "--out", "a.csv", "--species-list", "none.txt"],
        "none.txt: expected a text file",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_user_can_cause_is_a_clear_error(fscl, model, shots, name):
    Path("other.json").write_text('{"images": [{"file": "z/9.jpg", "detections": []}], "detection_categories": {}}')
    words, message = WRONG[name]
    code, out, err = fscl("predict", *(word.format(model=model) for word in words))
    assert code == 2
    assert message in err
    assert "Traceback" not in out + err
    assert not Path("a.csv").exists()
    assert not Path("a.csv.parts").exists()


def test_a_camtrap_dp_package_is_one_command_and_replaces_no_other_folder(fscl, model, shots, tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2021:05:31 08:25:38"
    for folder in ("boar", "deer", "hare"):
        for number in range(4):
            with Image.open(shots / f"{folder}/{number:03}.jpg") as photo:
                photo.save(tmp_path / "one.jpg", exif=exif)
            (tmp_path / "one.jpg").replace(shots / f"{folder}/{number:03}.jpg")
        for path in shots.glob(f"{folder}/*.jpg"):
            if path.stem.isdigit() and int(path.stem) > 3:
                path.unlink()
    given = ["predict", model, shots, "--format", "camtrap-dp"]
    code, _, err = fscl(*given, "--out", "package")
    assert (code, "give --deployments" in err) == (2, True)
    rows = [[name, 37.5, 127, "2021-05-01T00:00:00", "2021-07-01T00:00:00"] for name in ("boar", "deer", "hare")]
    with Path("deployments.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["deploymentID", "latitude", "longitude", "deploymentStart", "deploymentEnd"], *rows]
        )
    given += ["--deployments", "deployments.csv"]
    code, _, err = fscl(*given, "--out", "package")
    assert (code, "say it with --timezone" in err) == (2, True)
    given += ["--timezone", "+09:00"]
    Image.new("RGB", (40, 40)).save(shots / "deer/timeless.jpg")
    code, _, err = fscl(*given, "--out", "package")
    assert code == 2
    assert "1 photo without a time in EXIF, name or table" in err
    (shots / "deer/timeless.jpg").unlink()
    code, _, err = fscl(*given, "--out", "package/")
    assert code == 0, err
    media = in_csv("package/media.csv")
    assert [row["filePath"] for row in media] == [
        f"{f}/{n:03}.jpg" for f in ("boar", "deer", "hare") for n in range(4)
    ]
    assert {row["timestamp"] for row in media} == {"2021-05-31T08:25:38+09:00"}
    assert len(in_csv("package/observations.csv")) == 12
    assert [row["filePath"] for row in in_csv("package/left_out.csv")] == ["boar/empty.jpg", "deer/half.jpg"]
    assert in_csv("package/left_out.csv")[0]["problem"] == "empty file"
    assert {row["scientificName"] for row in in_csv("package/observations.csv")} == {""}
    assert "datapackage.json says no contributors, project, created" in err
    assert "no scientific name is known of boar, deer, hare" in err
    Path("names.csv").write_text("class,scientificName\nBoar,Sus scrofa\nhare,Lepus europaeus\ndeer,Cervus elaphus\n")
    assert fscl(*given, "--out", "package", "--overwrite", "--scientific-names", "names.csv")[0] == 0
    named = {row["scientificName"] for row in in_csv("package/observations.csv")}
    assert named <= {"Sus scrofa", "Lepus europaeus", "Cervus elaphus"}
    assert named
    Path("package/mine.txt").touch()
    code, _, err = fscl(*given, "--out", "package", "--overwrite", "--unsure-below", "0.7")
    assert (code, "holds other files" in err) == (2, True)
    assert not list(Path().glob(".package*"))


def test_times_of_photos_are_read_where_a_format_has_them(fscl, model, shots):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2021:05:31 08:25:38"
    Image.new("RGB", (40, 40)).save(shots / "boar/timed.jpg", exif=exif)
    assert fscl("predict", model, shots, "--format", "timelapse", "--out", "t.csv")[0] == 0
    times = {f"{row['RelativePath']}/{row['File']}": row["DateTime"] for row in in_csv("t.csv")}
    assert times["boar/timed.jpg"] == "2021-05-31 08:25:38"
    assert times["boar/000.jpg"] == ""
    assert fscl("predict", model, shots, "--format", "speciesnet", "--out", "s.json")[0] == 0
    assert len(json.loads(Path("s.json").read_text())["predictions"]) == len(times)

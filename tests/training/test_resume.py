"""A run that is killed and resumed ends with the weights of one that was not."""

import os
import signal
import subprocess
import sys
from shutil import copytree

import pytest

from fscl.errors import BundleError, OutputError
from fscl.evaluation import evaluate_run
from fscl.manifest.table import Manifest
from fscl.progress import Silent
from fscl.records.log_lines import read_metrics
from fscl.training.loop import fit

pytestmark = pytest.mark.slow

KILLED = """
import os, signal, sys
from pathlib import Path
from fscl.config import resolve
from fscl.manifest.table import Manifest
from fscl.methods import read_toml
from fscl.records.log_lines import read_metrics
from fscl.training.loop import fit
from fscl.progress import Silent

photos, settings, out, at = sys.argv[1:]

class Killer(Silent):
    def advance(self, step, steps, photos_per_second, terms):
        if step == int(at):
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    import torch
    torch.set_num_threads(1)
    fit(resolve([("toml", read_toml(Path(settings)))]), Manifest.read(Path(photos)), Path(out), listener=Killer())
"""


def killed_run(tmp_path, photos, config, out, at):
    photos.write(tmp_path / "photos.parquet")
    (tmp_path / "run.toml").write_text(config.toml())
    (tmp_path / "run.py").write_text(KILLED)
    command = [sys.executable, "run.py", "photos.parquet", "run.toml", str(out), str(at)]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("at", "workers"), [(1, 0), (4, 2)], ids=["first-step", "later-with-other-workers"])
def test_killed_and_resumed_gives_the_same_bits(tmp_path, photos, quick, at, workers):
    config = quick(ratio=0.5, minority=("deer",), checkpoint_seconds=0.0)
    whole = fit(config, photos, tmp_path / "whole")
    broken = tmp_path / "broken"
    killed = killed_run(tmp_path, photos, config, broken, at)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (broken / "bundle.json").exists()
    # checkpoints are written after a step is announced: killed at step 1, there is none yet
    assert (broken / "checkpoint.pt").exists() == (at > 1)

    fit(quick(ratio=0.5, minority=("deer",), workers=workers), photos, broken, resume=True)
    assert (broken / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    logs = [read_metrics(run / "metrics.jsonl") for run in (whole, broken)]
    for line in (line for log in logs for line in log):
        line.pop("photos_per_second", None)
    assert logs[0] == logs[1]
    assert not (broken / "checkpoint.pt").exists()


def test_ctrl_c_ends_between_steps_with_a_checkpoint(tmp_path, photos, quick):
    class Presser(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            if step == 3:
                os.kill(os.getpid(), signal.SIGINT)

    config = quick(checkpoint_seconds=1000.0)
    with pytest.raises(KeyboardInterrupt, match="stopped after step 3 of 6"):
        fit(config, photos, tmp_path / "run", listener=Presser())
    fit(config, photos, tmp_path / "run", resume=True)
    whole = fit(config, photos, tmp_path / "whole")
    assert (tmp_path / "run/weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


@pytest.fixture
def unfinished(tmp_path, photos, quick):
    """Return the folder of a run that was interrupted after a checkpoint, and its configuration."""
    config = quick(classes=("boar", "deer"))

    class Presser(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(config, photos, tmp_path / "run", listener=Presser())
    return tmp_path / "run", config


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"x": 4.0, "y": 4.0, "w": 9.0, "h": 9.0}, r"boxes of \d+ regions \(boar/000.jpg#0\)"),
        ({"width": 47}, r"\d+ photos were replaced: other width or height"),
    ],
)
def test_other_photos_are_not_trained_on_by_resuming(unfinished, photos, columns, said):
    out, config = unfinished
    before, other = contents(out), Manifest(photos.rows.assign(**columns), photos.root)
    with pytest.raises(OutputError, match=f"holds a run on other photos: {said}"):
        fit(config, other, out, resume=True)
    assert contents(out) == before


def test_photos_may_move_while_a_run_is_unfinished(unfinished, photos, class_folders, tmp_path):
    out, config = unfinished
    moved = Manifest(photos.rows, copytree(class_folders, tmp_path / "copy"))
    unknown = Manifest(moved.rows.assign(bytes=None), moved.root)
    with pytest.raises(OutputError, match=f"the root was {photos.root}, is {moved.root}, and the sizes of"):
        fit(config, unknown, out, resume=True)
    fit(config, moved, out, resume=True)
    assert Manifest.read(out / "photos.parquet").root == moved.root
    assert not (out / "checkpoint.pt").exists()


def test_a_run_whose_photos_are_not_known_is_not_resumed(unfinished, photos):
    out, config = unfinished
    (out / "photos.parquet").unlink()
    with pytest.raises(OutputError, match=r"photos.parquet: is gone, .* put it back, or start again"):
        fit(config, photos, out, resume=True)


@pytest.mark.parametrize("options", [{"resume": True}, {"overwrite": True}], ids=["resume", "overwrite"])
def test_a_run_at_work_is_left_alone(tmp_path, photos, quick, options):
    out, other = tmp_path / "run", quick(seed=0 if "resume" in options else 1)

    class Second(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            before = contents(out)
            with pytest.raises(OutputError, match="another run is at work in this folder; wait for it, or choose"):
                fit(other, photos, out, **options)
            with pytest.raises(OutputError, match="a training, or another evaluation, is at work in this folder"):
                evaluate_run(out)
            assert contents(out) == before

    fit(quick(), photos, out, listener=Second())
    whole = fit(quick(), photos, tmp_path / "whole")
    assert (out / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    evaluate_run(out)


def test_a_killed_run_leaves_no_lock_though_its_readers_live_on(tmp_path, photos, quick):
    config, out = quick(workers=2, checkpoint_seconds=0.0, store=False), tmp_path / "run"
    assert killed_run(tmp_path, photos, config, out, at=3).returncode == -signal.SIGKILL
    fit(config, photos, out, resume=True)
    assert (out / "bundle.json").exists()


def test_a_finished_run_is_not_trained_again(tmp_path, photos, quick):
    out = fit(quick(), photos, tmp_path / "run")
    before = (out / "weights.safetensors").stat().st_mtime_ns
    fit(quick(), photos, out, resume=True)
    assert (out / "weights.safetensors").stat().st_mtime_ns == before


def test_a_checkpoint_cut_short_is_named(tmp_path, photos, quick):
    class Presser(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(quick(), photos, out, listener=Presser())
    checkpoint = out / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(BundleError, match=r"checkpoint.pt: the checkpoint cannot be used, cut short.*--overwrite"):
        fit(quick(), photos, out, resume=True)


def test_another_run_is_neither_resumed_nor_overwritten(tmp_path, photos, quick):
    out = fit(quick(steps=2), photos, tmp_path / "run")
    weights = (out / "weights.safetensors").read_bytes()
    with pytest.raises(OutputError, match="the folder is not empty; go on with it by --resume"):
        fit(quick(steps=2), photos, out)
    with pytest.raises(OutputError, match="holds a run of other settings"):
        fit(quick(steps=3), photos, out, resume=True)
    fewer = Manifest(photos.rows.drop(index=0), photos.root)
    with pytest.raises(OutputError, match="holds a run on other photos"):
        fit(quick(steps=2), fewer, out, resume=True)
    assert (out / "weights.safetensors").read_bytes() == weights
    fit(quick(steps=3), photos, out, overwrite=True)
    assert (out / "weights.safetensors").read_bytes() != weights


def test_a_folder_of_someone_elses_files_is_left_alone(tmp_path, photos, quick):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="the folder is not empty"):
        fit(quick(), photos, tmp_path)
    with pytest.raises(OutputError, match="expected a folder"):
        fit(quick(), photos, tmp_path / "thesis.txt")
    assert contents(tmp_path) == {tmp_path / "thesis.txt": b"mine"}

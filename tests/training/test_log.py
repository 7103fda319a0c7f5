import json

import pytest
import torch

from fscl.losses.objective import LossValue
from fscl.progress import Silent
from fscl.records import Curve
from fscl.records.log_lines import read_metrics
from fscl.scoring.curves import curve, validation_curve
from fscl.training.log import MetricsLog
from fscl.training.loop import fit
from fscl.training.run_summary import run_summary

VALIDATION = {
    **dict.fromkeys(("minority_recall", "majority_recall", "balanced_accuracy", "balanced_log_loss"), 0.5),
    "recall_by_class": {"deer": 0.5, "boar": None},
}
LINES = [
    {"kind": "step", "step": 1, "epoch": 0, "learning_rate": 0.1, "loss": 0.7, "terms": {"cross_entropy": 0.7}},
    {"kind": "problem", "step": 1, "path": "/photos/a\u2028b\x85c.jpg", "reason": "truncated file"},
    {"kind": "epoch", "epoch": 0, "step": 1, "photos_per_second": 118.0, "validation": VALIDATION},
    {"kind": "step", "step": 2, "epoch": 1, "learning_rate": 0.1, "loss": 0.6, "terms": {"cross_entropy": 0.6}},
    {"kind": "epoch", "epoch": 1, "step": 2, "photos_per_second": 118.0, "validation": None},
    {"kind": "later", "step": 2, "what": "a kind of line that is not known yet"},
]
GARBAGE = [
    b"",
    b"\xff\xfe",
    b"{",
    b"[]",
    b"5",
    b"null",
    b"{}",
    b'{"kind": "step"}',
    b'{"kind": "step", "step": 2}',
    b'{"kind": "step", "step": "2", "loss": 0.6, "terms": {}}',
    b'{"kind": "step", "step": 2, "loss": NaN, "terms": {}}',
    b'{"kind": "step", "step": 2, "loss": 1e308, "terms": {}}',
    b'{"kind": "step", "step": 2, "loss": 0.6, "terms": [0.6]}',
    b'{"kind": "step", "step": 2, "loss": 0.6, "terms": {"cross_entropy": "0.6"}}',
    b'{"kind": "epoch", "step": 2, "epoch": 1, "photos_per_second": 1.0, "validation": {}}',
    b'{"kind": "epoch", "step": 2, "epoch": 1, "photos_per_second": null, "validation": null}',
    b'{"kind": "problem", "step": 2, "path": 5, "reason": "x"}',
    b'{"kind": 5, "step": 2}',
    b'{"kind": "step", "step": -1, "loss": 0.6, "terms": {}}',
    b"[" * 5000,
    b"1" * 5000,
]


def written(path, *extra):
    lines = [json.dumps(line, ensure_ascii=False).encode() for line in LINES]
    path.write_bytes(b"\n".join([*lines[:3], *extra, *lines[3:]]) + b"\n")
    return path


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_damaged_line_is_dropped_and_counted(tmp_path, garbage):
    path = written(tmp_path / "metrics.jsonl", garbage, garbage)
    assert read_metrics(path) == LINES
    log = MetricsLog(path, flush_every=1, after=2)
    assert log.dropped == (2 if garbage else 0)
    assert read_metrics(path) == LINES


def test_lines_after_the_checkpoint_go(tmp_path):
    path = written(tmp_path / "metrics.jsonl")
    assert MetricsLog(path, flush_every=1, after=1).dropped == 0
    assert read_metrics(path) == LINES[:3]
    assert MetricsLog(path, flush_every=1, after=0).dropped == 0
    assert read_metrics(path) == []


def test_a_line_that_a_kill_cut_is_no_damage(tmp_path):
    path = written(tmp_path / "metrics.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    assert MetricsLog(path, flush_every=1, after=2).dropped == 0
    assert path.read_bytes() == whole
    path.write_bytes(whole.rstrip(b"\n"))  # an editor may take the last one
    MetricsLog(path, flush_every=1, after=2)
    assert path.read_bytes() == whole


def test_without_lines_the_curves_are_empty():
    assert curve([]) == Curve(step=[], loss=[], terms={})
    assert validation_curve([]).epoch == []


class Stopper(Silent):
    """Interrupts the run at its third step, and keeps what it is told."""

    def __init__(self, at=3):
        self.at, self.notes = at, []

    def advance(self, step, *_):
        if step == self.at:
            raise KeyboardInterrupt

    def note(self, text):
        self.notes.append(text)


def test_a_run_goes_on_over_a_damaged_log(tmp_path, photos, quick):
    out = tmp_path / "run"
    config = quick(checkpoint_seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        fit(config, photos, out, listener=Stopper())
    lines = (out / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (out / "metrics.jsonl").write_bytes(lines[0] + b"\xff\xfe\n" + b'{"kind": "step"}\n' + b"".join(lines[1:]))
    listener = Stopper(at=None)
    fit(config, photos, out, resume=True, listener=listener)
    assert f"2 damaged lines of {out / 'metrics.jsonl'} were dropped" in listener.notes
    whole = fit(config, photos, tmp_path / "whole")
    logs = [[line for line in read_metrics(run / "metrics.jsonl") if line["kind"] == "step"] for run in (out, whole)]
    assert logs[0] == logs[1]
    assert (out / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"{}\n[]\n"])
def test_a_finished_run_sums_up_without_its_log(tmp_path, photos, quick, content):
    out = fit(quick(steps=1), photos, tmp_path / "run")
    (out / "metrics.jsonl").unlink()
    if content is not None:
        (out / "metrics.jsonl").write_bytes(content)
    said = run_summary(out)
    assert "its epochs are not known; kept epoch 1" in said
    assert "next: fscl evaluate" in said


def test_a_photo_that_cannot_be_read_is_noted_once_in_each_split(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl", flush_every=1)
    for split in ("train", "val", "train"):
        log.problem(1, split, "boar/001.jpg", "empty file")
    assert [line["split"] for line in read_metrics(tmp_path / "metrics.jsonl")] == ["train", "val"]


def test_steps_of_two_stages_may_wait_together(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl", flush_every=3)
    one, other = torch.tensor(0.25), torch.tensor(0.5)
    log.step(1, 0, 0.1, LossValue(one + other, {"cross_entropy": one, "feature_similarity": other}))
    log.step(2, 0, 0.1, LossValue(one, {"cross_entropy": one}))
    log.step(3, 0, 0.1, LossValue(other, {"cross_entropy": other}))
    assert [line["terms"] for line in read_metrics(log.path)] == [
        {"cross_entropy": 0.25, "feature_similarity": 0.5},
        {"cross_entropy": 0.25},
        {"cross_entropy": 0.5},
    ]
    assert [line["loss"] for line in read_metrics(log.path)] == [0.75, 0.25, 0.5]

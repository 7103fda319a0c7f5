"""The disk that a comparison takes, said beforehand, and weights that are not kept."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from fscl import methods
from fscl.errors import BundleError
from fscl.evaluation import evaluate_run
from fscl.experiments import disk
from fscl.experiments.cell import Task
from fscl.experiments.disk import disk_note
from fscl.experiments.grid import ClassSet
from fscl.experiments.run import compare
from fscl.report import write_report

PAIR = ClassSet("fine", ("boar", "deer"), ("deer",), base=30)


def tasks(quick, count, **options):
    return [Task(PAIR.cell("fscl", 1.0, seed), quick(backbone="resnet18"), **options) for seed in range(count)]


def test_what_cells_take_is_twice_their_weights(quick, tmp_path):
    """ResNet-18 with two classes: 11.2 million weights and statistics, 45 MB, of the last epoch and of the best."""
    note = disk_note(tasks(quick, 20), tmp_path / "study" / "later")
    assert note is not None
    assert note.startswith("weights of 20 cells: up to 1.8 GB in ")
    assert "only" not in note


@pytest.mark.parametrize("method", methods.names())
def test_no_method_stands_in_its_way(method, quick, tmp_path):
    assert disk_note([Task(PAIR.cell(method, 1.0, 0), quick(method))], tmp_path) is None


def test_too_little_room_is_said(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda place: SimpleNamespace(free=1.23e9))
    assert "; only 1.2 GB are free there" in str(disk_note(tasks(quick, 20), tmp_path))
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda place: SimpleNamespace(free=0.03e9))
    assert "; only 0.0 GB are free there" in str(disk_note(tasks(quick, 1), tmp_path))


def test_little_is_not_worth_a_word(quick, tmp_path):
    assert disk_note(tasks(quick, 1), tmp_path) is None
    assert disk_note(tasks(quick, 20, keep_weights=False), tmp_path) is None
    assert disk_note([], tmp_path) is None


@pytest.mark.slow
def test_without_weights_figures_and_report_are_the_same(quick, photos, tmp_path):
    axes = {"pairs": [ClassSet("fine", ("boar", "deer"), ("deer",))], "ratios": [1.0], "seeds": [0], "jobs": 1}
    configs = {"baseline": quick("baseline", steps=3)}
    folders = [
        compare(photos, configs, tmp_path / name, **axes, keep_weights=keep, quiet=True)
        for name, keep in (("with", True), ("without", False))
    ]
    runs = [next((folder / "runs").iterdir()) for folder in folders]
    assert [(run / "weights.safetensors").exists() for run in runs] == [True, False]
    assert not list(Path(folders[1]).rglob("*.safetensors"))
    with pytest.raises(BundleError):
        evaluate_run(runs[1])
    cells = [next((folder / "cells").glob("*.json")) for folder in folders]
    texts = [cell.read_text().split('"provenance"')[0] for cell in cells]
    assert texts[0] == texts[1]
    assert write_report(folders[1]).exists()
    before = cells[1].stat().st_mtime_ns
    compare(photos, configs, folders[1], **axes, keep_weights=False, quiet=True)
    assert cells[1].stat().st_mtime_ns == before, "a finished cell is not run again for its weights"

"""Cells on workers that do not see the study folder: locks, what is sent home, and what is run again."""

from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest

from fscl.dask_worker import Origin
from fscl.experiments import on_dask, pool
from fscl.experiments.cell import BUSY, DONE, Task
from fscl.experiments.grid import ClassSet
from fscl.experiments.ledger import Ledger
from fscl.experiments.on_dask import STOPPED, DaskWorkers, Sent
from fscl.lock import is_taken
from tests.experiments.records import done

CELL = ClassSet.parse("fine", "boar:deer").cell("fscl", 1.0, 0)


@pytest.fixture
def crew(tmp_path, photos):
    """Return workers that do not see the study folder, and take tasks that never end."""
    cluster = SimpleNamespace(
        at_once=64,
        origin=Origin("here", Path.cwd(), (), "topic"),
        ask=lambda *_: [False],
        kept=lambda value: value,
        executor=SimpleNamespace(submit=lambda *_: Future()),
        result=lambda future: future.result(timeout=0),
        wait_until_idle=lambda: None,
    )
    return DaskWorkers(cluster, photos, Ledger(tmp_path), tmp_path / "own.lock")


def test_a_cell_that_another_comparison_has_finished_is_not_run(tmp_path, quick, crew):
    task = Task(CELL, quick())
    Ledger(tmp_path).write(done(CELL, task.config))
    assert crew.outcome(task, crew.submit(task)) == DONE
    assert not is_taken(Ledger(tmp_path).lock(CELL))


def test_locks_end_when_all_is_over(tmp_path, quick, crew):
    lock = Ledger(tmp_path).lock(CELL)
    crew.submit(Task(CELL, quick()))
    assert is_taken(lock)
    crew.stop()
    assert not is_taken(lock)


def test_the_folder_of_another_process_is_left_alone(tmp_path, photos, quick, monkeypatch):
    monkeypatch.setattr(on_dask, "run_cell", lambda *_: BUSY)
    checkpoint = tmp_path / "cell/runs/x/checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    assert on_dask._run_away(Task(CELL, quick()), photos, tmp_path / "cell", None) == Sent(BUSY, {})
    assert checkpoint.exists()


def test_what_belongs_to_the_worker_is_not_sent_home(tmp_path, photos, quick, monkeypatch):
    """Of its locks that of the cell would replace the one that the program holds."""
    names = ["cells/x.json", "runs/x/log.jsonl", "scores/x.parquet"]

    def ran(task, manifest, folder, reporter):
        for name in (*names, ".locks/x.lock", ".locks/deep/file", "runs/x/.lock", "runs/x/store/photos.npy"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        return DONE

    monkeypatch.setattr(on_dask, "run_cell", ran)
    sent = on_dask._run_away(Task(CELL, quick()), photos, tmp_path / "cell", None)
    assert sorted(sent.files) == names
    assert list(sent.files)[-1] == "cells/x.json", "a cell that has a record is finished"
    assert not (tmp_path / "cell").exists()


def test_a_stopped_cell_is_run_again(quick, monkeypatch):
    """A worker may be told to end while a cell runs."""
    monkeypatch.setattr(pool, "REPORT_SECONDS", 0.01)
    ends = [STOPPED, BUSY, DONE]

    class Worker:
        at_once = 1
        submitted = 0

        def submit(self, task):
            self.submitted += 1
            ended = Future()
            ended.set_result(None)
            return ended

        def outcome(self, task, future):
            return ends.pop(0)

        def heard(self):
            return iter(())

    worker = Worker()
    pool.run_cells([Task(CELL, quick())], worker, title="cells", quiet=True)
    assert worker.submitted == 3


def test_a_cell_asks_for_its_own_photos_alone(photos, quick, crew):
    config = quick(classes=["boar", "deer"])
    sizes = on_dask._sizes_of_cell(Task(CELL, config), crew._study)
    assert {photo.parent.name for photo in sizes} == {"boar", "deer"}
    assert set(sizes) < set(crew._study.sizes)
    cannot_run = quick(classes=["boar", "wolf"])
    assert on_dask._sizes_of_cell(Task(CELL, cannot_run), crew._study) == {}, "that becomes a row"

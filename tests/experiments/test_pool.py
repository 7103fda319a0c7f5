"""Processes of a comparison: none outlives it, none begins what is no longer wanted."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch

from fscl import runtime
from fscl.errors import OutputError
from fscl.experiments import pool
from fscl.experiments.cell import Task
from fscl.experiments.grid import ClassSet
from fscl.experiments.ledger import Ledger
from tests.experiments.records import done

CELL = ClassSet.parse("fine", "boar:deer").cell("fscl", 1.0, 0)

IDLE = """
import multiprocessing, sys, time
from fscl.experiments import pool

if __name__ == "__main__":
    pool.ORPHAN_SECONDS = 0.1
    context = multiprocessing.get_context("fork")
    places = context.SimpleQueue()
    places.put(0)

    def idle():
        pool._start(1, places, context.SimpleQueue(), context.Event())
        print(multiprocessing.current_process().pid, flush=True)
        time.sleep(60)

    context.Process(target=idle).start()
    time.sleep(60)
"""


@pytest.fixture
def worker(monkeypatch):
    """Make this process one of the pool; return what asks it to stop."""
    stop = threading.Event()
    monkeypatch.setattr(pool, "_stop", stop, raising=False)
    monkeypatch.setattr(pool, "_parent", os.getppid(), raising=False)
    return stop


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the process in /proc")
def test_an_idle_process_ends_when_its_parent_is_killed():
    with subprocess.Popen([sys.executable, "-c", IDLE], stdout=subprocess.PIPE, text=True) as parent:
        idle = int(parent.stdout.readline())
        assert alive(idle)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        deadline = time.monotonic() + 10
        while alive(idle) and time.monotonic() < deadline:
            time.sleep(0.05)
        ended = not alive(idle)
        if not ended:
            os.kill(idle, signal.SIGKILL)
    assert ended


def alive(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("gone", ["stop", "parent"])
def test_a_queued_cell_does_not_begin_when_all_is_over(tmp_path, photos, quick, worker, monkeypatch, gone):
    monkeypatch.setattr(pool, "run_cell", lambda *_: pytest.fail("it began"))
    if gone == "stop":
        worker.set()
    else:
        monkeypatch.setattr(pool, "_parent", -1)
    with pytest.raises(KeyboardInterrupt):
        pool._run(Task(CELL, quick()), photos, tmp_path)


def test_decoding_ends_when_all_is_over(worker):
    reporter = pool.Reporter(CELL, lambda _: None, pool._is_over)
    reporter.prepare(1, 2)
    worker.set()
    with pytest.raises(KeyboardInterrupt):
        reporter.prepare(2, 2)


def test_a_process_killed_after_the_last_cell_loses_nothing(tmp_path, photos, quick, monkeypatch):
    config = quick()

    def write_and_die(*_, **__):
        Ledger(tmp_path).write(done(CELL, config))
        raise BrokenProcessPool

    monkeypatch.setattr(pool, "_run_pool", write_and_die)
    pool.run_at_once([Task(CELL, config)], photos, tmp_path, jobs=1, quiet=True)


def test_a_process_killed_alone_before_it_is_an_error(tmp_path, photos, quick, monkeypatch):
    def die(*_, **__):
        raise BrokenProcessPool

    monkeypatch.setattr(pool, "_run_pool", die)
    with pytest.raises(OutputError, match="a process was killed though it ran alone"):
        pool.run_at_once([Task(CELL, quick())], photos, tmp_path, jobs=2, quiet=True)


@pytest.mark.parametrize(
    ("accelerators", "jobs", "threads"), [(0, 1, 4), (0, 4, 4), (2, 2, 8), (1, 14, 1), (1, 1, 16), (32, 32, 1)]
)
def test_cells_share_the_cores(monkeypatch, accelerators, jobs, threads):
    monkeypatch.setattr(runtime, "cores", lambda: 16)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: accelerators)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: accelerators > 0)
    assert runtime.threads_per_cell(jobs) == threads

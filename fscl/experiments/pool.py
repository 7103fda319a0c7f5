"""Cells run at once in local processes, which tell how far they are."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import torch

from fscl.errors import OutputError
from fscl.experiments.cell import Task, run_cell
from fscl.experiments.ledger import Ledger
from fscl.manifest.table import Manifest
from fscl.progress import DECODED, NotesOnce, Silent, TerminalProgress
from fscl.records import CellKey
from fscl.runtime import commit, cores

MAX_JOBS = 4  # a run takes about a gigabyte of memory
REPORT_SECONDS = 0.5  # between two words of a process about its progress
ORPHAN_SECONDS = 3.0  # between two looks of a process whether its parent is there


class Heard(NamedTuple):
    """How far a cell is."""

    cell: str
    step: int
    steps: int
    photos_per_second: float


def default_jobs() -> int:
    """Return how many cells run at once: one per accelerator, or one per core of a CPU, at most `MAX_JOBS`."""
    return torch.cuda.device_count() or min(cores(), MAX_JOBS)


def threads_per_cell(jobs: int) -> int:
    """Return the threads that a cell of `jobs` at once has: on a CPU the same for any number, for the same bits."""
    return max(1, cores() // (jobs if torch.cuda.is_available() else default_jobs()))


def run_at_once(work: Sequence[Task], manifest: Manifest, out: Path, *, jobs: int, quiet: bool) -> None:
    """Run cells in `jobs` processes, each with its share of the cores or an accelerator of its own.

    A process that is killed, for its memory perhaps, takes the others with it: they are started again, one
    fewer at once, and their cells go on from their checkpoints.

    Raises:
        KeyboardInterrupt: after every process has written its checkpoint.
        OutputError: a process was killed though it ran alone; finished cells are kept.
    """
    ledger = Ledger(out)
    for at_once in range(jobs, 0, -1):
        try:
            _run_pool(work, manifest, out, jobs=at_once, quiet=quiet)
        except BrokenProcessPool:
            work = [task for task in work if not ledger.finished(task.cell, task.config)]
            if not work:
                return
        else:
            return
    raise OutputError(
        "a process was killed though it ran alone, for lack of memory? finished cells are kept, and the same "
        "command goes on: try a smaller --batch-size in another --out, or a machine with more memory"
    )


def _run_pool(work: Sequence[Task], manifest: Manifest, out: Path, *, jobs: int, quiet: bool) -> None:
    context = multiprocessing.get_context("spawn")
    reports: SimpleQueue[Heard | str] = context.SimpleQueue()
    stop = context.Event()
    places: SimpleQueue[int] = context.SimpleQueue()
    for place in range(jobs):
        places.put(place)
    title = f"{len(work)} cells, {jobs} at once"
    start = (threads_per_cell(jobs), places, reports, stop)
    with (
        nullcontext(None) if quiet else TerminalProgress(title) as progress,
        ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=start) as pool,
    ):
        running = {pool.submit(_run, task, manifest, out) for task in work}
        heard: dict[str, Heard] = {}
        noted: set[str] = set()
        try:
            while running:
                finished, running = wait(running, timeout=REPORT_SECONDS)
                for future in finished:
                    future.result()
                while not reports.empty():
                    report = reports.get()
                    if isinstance(report, Heard):
                        heard[report.cell] = report
                    elif progress is not None:
                        NotesOnce(progress, noted).note(report)
                if progress is not None and heard:
                    _show(progress, heard, len(work), len(work) - len(running))
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _show(progress: TerminalProgress, heard: Mapping[str, Heard], cells: int, finished: int) -> None:
    active = [report for report in heard.values() if report.step < report.steps]
    together = sum(report.photos_per_second for report in active)
    total = cells * max(report.steps for report in heard.values())
    done = sum(report.step for report in heard.values())
    progress.show(done, total, f"{finished} of {cells} cells finished", f"{together:.0f} photos/s together")


class _Reporter(Silent):
    """Tells the parent process how far a cell is, and interrupts it when the parent wants so or is gone."""

    def __init__(self, cell: CellKey) -> None:
        self.cell = cell
        self._last = 0.0

    def advance(self, step: int, steps: int, photos_per_second: float, terms: Mapping[str, float]) -> None:
        if _is_over():
            signal.raise_signal(signal.SIGTERM)  # the run writes its checkpoint and ends
        if step == steps or time.monotonic() - self._last > REPORT_SECONDS:
            self._last = time.monotonic()
            _reports.put(Heard(self.cell.name, step, steps, photos_per_second))

    def note(self, text: str) -> None:
        _reports.put(text)

    def prepare(self, done: int, photos: int, what: str = DECODED) -> None:
        if _is_over():
            raise KeyboardInterrupt  # the store keeps what is decoded


# of a worker process, set when it starts
_reports: "SimpleQueue[Heard | str]"
_stop: Event
_parent: int
_busy = threading.Event()


def _start(threads: int, places: "SimpleQueue[int]", reports: "SimpleQueue[Heard | str]", stop: Event) -> None:
    global _reports, _stop, _parent
    _reports, _stop, _parent = reports, stop, os.getppid()
    place = places.get()
    if torch.cuda.is_available():
        torch.cuda.set_device(place % torch.cuda.device_count())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an idle process is ended by its parent; training minds Ctrl-C
    torch.set_num_threads(threads)
    commit()  # of the code that is loaded now, not of the checkout when a cell is finished
    threading.Thread(target=_end_when_orphaned, daemon=True).start()


def _end_when_orphaned() -> None:
    """End this process between two cells once its parent is gone: no other would tell it that there are no more."""
    while _busy.is_set() or os.getppid() == _parent:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)


def _is_over() -> bool:
    """Whether the parent wants no more of this process, or is gone."""
    return _stop.is_set() or os.getppid() != _parent


def _run(task: Task, manifest: Manifest, out: Path) -> str:
    if _is_over():
        raise KeyboardInterrupt  # it was queued before the parent could take it back
    _busy.set()
    try:
        return run_cell(task, manifest, out, _Reporter(task.cell))
    finally:
        _busy.clear()

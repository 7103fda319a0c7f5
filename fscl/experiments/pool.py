"""Cells run at once, by local processes or others, which tell how far they are."""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from fscl.errors import OutputError
from fscl.experiments.cell import DONE, FAILED, Task, run_cell
from fscl.experiments.ledger import Ledger
from fscl.futures import completed
from fscl.lock import is_taken
from fscl.manifest.table import Manifest
from fscl.progress import DECODED, NotesOnce, Silent, TerminalProgress
from fscl.records import CellKey
from fscl.runtime import commit, threads_per_cell
from fscl.training.interrupt import interrupt_run

REPORT_SECONDS = 0.5  # between two words of a process about its progress
ORPHAN_SECONDS = 3.0  # between two looks of a process whether its parent is there


class Heard(NamedTuple):
    """How far a cell is."""

    cell: str
    step: int
    steps: int
    photos_per_second: float


class Crew(Protocol):
    """Processes that run cells, here or on other machines."""

    at_once: int
    """Cells that are submitted and not finished, at most."""

    def submit(self, task: Task) -> "Future[Any] | None":
        """Let one of them run a cell; None where another comparison is at work on it."""

    def outcome(self, task: Task, future: "Future[Any]") -> str:
        """Return how a cell ended: `DONE`, `FAILED`, or other words where it is to be run again."""

    def heard(self) -> "Iterator[Heard | str]":
        """Yield what they have told since the last call."""

    def stop(self) -> None:
        """Let the cells that run write their checkpoints, and wait for that."""


def run_cells(work: Sequence[Task], crew: Crew, *, title: str, quiet: bool) -> None:
    """Run cells; those of another comparison at work in the study are waited for, and run where that has died.

    Raises:
        KeyboardInterrupt: after every running cell has written its checkpoint.
    """
    waiting, ended = deque(work), 0
    last: dict[str, Heard] = {}
    noted: set[str] = set()
    with nullcontext(None) if quiet else TerminalProgress(title) as progress:
        try:
            tasks = completed(crew.submit, waiting, at_once=crew.at_once, tick_seconds=REPORT_SECONDS)
            for finished in tasks:
                if finished is not None:
                    if crew.outcome(*finished) in (DONE, FAILED):
                        ended += 1
                    else:
                        waiting.append(finished[0])
                        time.sleep(REPORT_SECONDS)  # who is at work on it needs more than a moment
                for report in crew.heard():
                    if isinstance(report, Heard):
                        last[report.cell] = report
                    elif progress is not None:
                        NotesOnce(progress, noted).note(report)
                if progress is not None:
                    _show(progress, last, len(work), ended)
        except BaseException:
            tasks.close()
            crew.stop()
            raise


def _show(progress: TerminalProgress, heard: Mapping[str, Heard], cells: int, finished: int) -> None:
    if not heard:
        progress.show(finished, cells, unit="cell")
        return
    active = [report for report in heard.values() if report.step < report.steps]
    together = sum(report.photos_per_second for report in active)
    total = cells * max(report.steps for report in heard.values())
    done = sum(report.step for report in heard.values())
    progress.show(done, total, f"{finished} of {cells} cells finished", f"{together:.0f} photos/s together")


class Reporter(Silent):
    """Tells how far a cell is, and ends its run where it is wanted no more.

    Args:
        cell: that runs.
        tell: takes the words.
        is_over: whether the cell is wanted no more.
    """

    def __init__(self, cell: CellKey, tell: "Callable[[Heard | str], None]", is_over: Callable[[], bool]) -> None:
        self.cell, self._tell, self._is_over = cell, tell, is_over
        self._last = 0.0

    def advance(self, step: int, steps: int, photos_per_second: float, terms: Mapping[str, float]) -> None:
        """Tell it, now and then."""
        if self._is_over():
            interrupt_run()
        if step == steps or time.monotonic() - self._last > REPORT_SECONDS:
            self._last = time.monotonic()
            self._tell(Heard(self.cell.name, step, steps, photos_per_second))

    def note(self, text: str) -> None:
        """Pass it on."""
        self._tell(text)

    def prepare(self, done: int, photos: int, what: str = DECODED) -> None:
        """End what reads photos: the store keeps what is decoded."""
        if self._is_over():
            raise KeyboardInterrupt


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
    with LocalProcesses(jobs, manifest, out) as crew:
        run_cells(work, crew, title=f"{len(work)} cells, {jobs} at once", quiet=quiet)


class LocalProcesses:
    """Processes of this machine that run cells.

    Args:
        jobs: how many.
        manifest: the photos of the study.
        out: the study folder.
    """

    def __init__(self, jobs: int, manifest: Manifest, out: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.at_once = 2 * jobs  # so that each finds its next cell
        self._manifest, self._out, self._ledger = manifest, out, Ledger(out)
        self._reports: SimpleQueue[Heard | str] = context.SimpleQueue()
        self._stop = context.Event()
        places: SimpleQueue[int] = context.SimpleQueue()
        for place in range(jobs):
            places.put(place)
        start = (threads_per_cell(jobs), places, self._reports, self._stop)
        self._pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=start)

    def __enter__(self) -> "LocalProcesses":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, task: Task) -> "Future[str] | None":
        """Let one of them run a cell; None where another comparison is at work on it."""
        if is_taken(self._ledger.lock(task.cell)):
            return None
        return self._pool.submit(_run, task, self._manifest, self._out)

    def outcome(self, task: Task, future: "Future[str]") -> str:
        """Return how a cell ended."""
        return future.result()

    def heard(self) -> "Iterator[Heard | str]":
        """Yield what they have told since the last call."""
        while not self._reports.empty():
            yield self._reports.get()

    def stop(self) -> None:
        """Let the cells that run write their checkpoints, and wait for that."""
        self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)


# of a local process, set when it starts
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
        return run_cell(task, manifest, out, Reporter(task.cell, _reports.put, _is_over))
    finally:
        _busy.clear()

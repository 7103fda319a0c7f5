"""Ctrl-C ends a run between two steps, so that what it saves is whole."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_of_thread = threading.local()  # `interrupt`: of the run of each thread


def interrupt_run() -> None:
    """Ask the run of this thread to write its checkpoint and end after this step, as Ctrl-C does."""
    _of_thread.interrupt.requested = True


class Interrupt:
    """A context in which SIGINT and SIGTERM set `requested`; the second of a kind acts as it did before.

    A signal gives back its own handler alone: a process whose Ctrl-C is followed by its parent's SIGTERM
    still ends between two steps.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        _of_thread.interrupt = self
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._request) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del _of_thread.interrupt
        for number in list(self._previous):
            self._restore(number)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore(number)

    def _restore(self, number: int) -> None:
        signal.signal(number, self._previous.pop(number))

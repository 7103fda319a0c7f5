"""What a person sees while a run trains: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fscl.printable import PlainConsole, printable

LINE_SECONDS = 30.0  # between lines where there is no terminal


class Listener(Protocol):
    """Whoever wants to know how far a run is."""

    def advance(self, step: int, steps: int, photos_per_second: float, terms: Mapping[str, float]) -> None:
        """Hear of a finished step."""

    def prepare(self, done: int, photos: int) -> None:
        """Hear how many photos are in the store by now, before the first step."""

    def note(self, text: str) -> None:
        """Hear what the user should know, and need not act upon."""


class Silent:
    """A listener that keeps quiet."""

    def advance(self, step: int, steps: int, photos_per_second: float, terms: Mapping[str, float]) -> None:
        """Say nothing."""

    def prepare(self, done: int, photos: int) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


class NotesOnce:
    """Passes on to a listener, the notes only that are not among those of earlier runs.

    Args:
        listener: of this run.
        noted: notes of the runs before; those of this one are added.
    """

    def __init__(self, listener: Listener, noted: set[str]) -> None:
        self.advance = listener.advance
        self.prepare = listener.prepare
        self._note = listener.note
        self._noted = noted

    def note(self, text: str) -> None:
        """Pass it on, once."""
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)


class TerminalProgress:
    """A progress bar with photos/s, loss terms and time left, on stderr.

    Args:
        title: what is trained.
    """

    def __init__(self, title: str) -> None:
        self.title = printable(title)
        self.console = PlainConsole(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
        )
        self._task = self._bar.add_task(self.title, total=None, figures="")
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._bar.stop()

    def advance(self, step: int, steps: int, photos_per_second: float, terms: Mapping[str, float]) -> None:
        """Move the bar, or print a line every half minute."""
        shown = "  ".join(f"{name} {value:.3f}" for name, value in terms.items())
        self.show(step, steps, f"{photos_per_second:.0f} photos/s  {shown}")

    def prepare(self, done: int, photos: int) -> None:
        """Move the bar, or print a line every half minute."""
        self.show(done, photos, "photos decoded into the store", unit="photo")

    def note(self, text: str) -> None:
        """Print it."""
        self.console.print(text, soft_wrap=True)

    def show(self, done: int, total: int, figures: str, *, unit: str = "step") -> None:
        """Say that `done` of `total` steps are done, with `figures` beside the bar."""
        self._bar.update(self._task, completed=done, total=total, figures=figures)
        if not self.console.is_terminal and time.monotonic() - self._last_line > LINE_SECONDS:
            self._last_line = time.monotonic()
            self.note(f"{self.title}: {unit} {done} of {total}  {figures}")

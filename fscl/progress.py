"""What a person sees while a run trains: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fscl.printable import PlainConsole, printable

LINE_SECONDS = 30.0  # between lines where there is no terminal
WORTH_TELLING_SECONDS = 10.0  # of reading photos
LONG_SECONDS = 3600.0
ESTIMATE_STEPS = 20  # after which the length of a run is told
WIDE_COLUMNS = 100  # of a terminal where a long bar leaves room
DECODED = "photos decoded into the store"
BAR_COLUMNS, LEAST_BAR = 24, 8  # of the bar on a wide and on a narrow terminal
TIME_COLUMNS = 8  # of the time left


class Listener(Protocol):
    """Whoever wants to know how far a run is."""

    def advance(self, step: int, steps: int, photos_per_second: float, terms: Mapping[str, float]) -> None:
        """Hear of a finished step."""

    def prepare(self, done: int, photos: int, what: str = DECODED) -> None:
        """Hear how many photos are read by now, before the first step, and what is kept of them."""

    def note(self, text: str) -> None:
        """Hear what the user should know, and need not act upon."""

    def ahead(self, measure: Callable[[], str | None]) -> None:
        """Hear, before the first step, how long it will all take, if `measure` is called; it takes a moment."""


class Silent:
    """A listener that keeps quiet."""

    def advance(self, step: int, steps: int, photos_per_second: float, terms: Mapping[str, float]) -> None:
        """Say nothing."""

    def prepare(self, done: int, photos: int, what: str = DECODED) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def ahead(self, measure: Callable[[], str | None]) -> None:
        """Ask nothing."""


class NotesOnce:
    """Passes on to a listener, the notes only that are not among those of earlier runs.

    Args:
        listener: of this run.
        noted: notes of the runs before; those of this one are added.
    """

    def __init__(self, listener: Listener, noted: set[str]) -> None:
        self.advance = listener.advance
        self.prepare = listener.prepare
        self.ahead = Silent().ahead
        self._note = listener.note
        self._noted = noted

    def note(self, text: str) -> None:
        """Pass it on, once."""
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)


class TerminalProgress:
    """A progress bar with step, time left, photos/s and as many loss terms as there is room for, on stderr.

    Args:
        title: what is trained.
        if_long: what would be shorter, said where reading the photos takes more than an hour.
    """

    def __init__(self, title: str, *, if_long: str = "") -> None:
        self.title = printable(title)
        self._if_long = if_long
        self.console = PlainConsole(stderr=True)
        self._wide = self.console.width >= WIDE_COLUMNS
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=BAR_COLUMNS if self._wide else LEAST_BAR),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[figures]}", markup=False),
            console=self.console,
            transient=True,
        )
        self._task = self._bar.add_task(self._short_title(), total=None, figures="")
        self._start = self._last_line = time.monotonic()
        self._first_step: int | None = None  # that was heard of, and when
        self._first_time = self._photos_time = self._start
        self._first_photos: int | None = None
        self._told = False  # how long reading the photos takes

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
        """Move the bar, or print a line every half minute; after some steps say how long the run will take."""
        if self._first_step is None:
            self._first_step, self._first_time = step, time.monotonic()
        elif step == self._first_step + ESTIMATE_STEPS:
            left = (time.monotonic() - self._first_time) / ESTIMATE_STEPS * (steps - step)
            if left > LINE_SECONDS:
                self.note(f"{self.title}: about {duration(left)} left, at {photos_per_second:.0f} photos/s")
        figures = [f"{photos_per_second:.0f} photos/s", *(f"{name} {value:.3f}" for name, value in terms.items())]
        self.show(step, steps, *figures)

    def prepare(self, done: int, photos: int, what: str = DECODED) -> None:
        """Move the bar, or print a line every half minute; at the first photos say how long it will take."""
        if self._first_photos is None:
            self._first_photos, self._photos_time = done, time.monotonic()
        elif not self._told and done > self._first_photos:
            self._told = True
            rate = (done - self._first_photos) / max(time.monotonic() - self._photos_time, 1e-9)
            if (left := (photos - done) / rate) > WORTH_TELLING_SECONDS:
                long = self._if_long if left > LONG_SECONDS else ""
                told = f"about {duration(left)} to read {photos - done:,} photos, at {rate:.0f} photos/s{long}"
                self.note(f"{self.title}: {told}")
        self.show(done, photos, what, unit="photo")

    def ahead(self, measure: Callable[[], str | None]) -> None:
        """Measure it, and print what there is to say."""
        if (told := measure()) is not None:
            self.note(f"{self.title}: {told}")

    def note(self, text: str) -> None:
        """Print it."""
        self.console.print(text, soft_wrap=True)

    def show(self, done: int, total: int, *figures: str, unit: str = "step") -> None:
        """Say that `done` of `total` steps are done, with as many figures as there is room for."""
        shown = self._that_fit(figures, total) if self.console.is_terminal else "  ".join(figures)
        self._bar.update(self._task, completed=done, total=total, figures=shown)
        if not self.console.is_terminal and time.monotonic() - self._last_line > LINE_SECONDS:
            self._last_line = time.monotonic()
            self.note(f"{self.title}: {unit} {done:,} of {total:,}  {shown}")

    def _short_title(self) -> str:
        """Return as much of the title as leaves room for the rest."""
        most = self.console.width // 3
        return self.title if len(self.title) <= most else f"{self.title[: most - 1]}…"

    def _that_fit(self, figures: Sequence[str], total: int) -> str:
        bar = BAR_COLUMNS if self._wide else LEAST_BAR
        taken = len(self._short_title()) + bar + 2 * len(str(total)) + 1 + TIME_COLUMNS + 4  # and a space after each
        shown = ""
        for figure in figures:
            longer = f"{shown}  {figure}".strip()
            if taken + len(longer) > self.console.width:
                break
            shown = longer
        return shown


def duration(seconds: float) -> str:
    """Return a length of time as a person says it.

    >>> [duration(s) for s in (40, 200, 7300, 200_000)]
    ['40 s', '3 min', '2 h 2 min', '2 days 7 h']
    """
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} days {hours % 24} h"

"""Text that a terminal and a page can show: names from elsewhere may hold characters that steer them."""

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"  # ESC, carriage return …; not newline and tab, which our messages have
DIRECTIONS = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # text turned around, lines ended
NO_CHARACTERS = "\ud800-\udfff\ufffe\uffff"  # of XML 1.0
STEERING = re.compile(f"[{CONTROLS}{DIRECTIONS}{NO_CHARACTERS}]")


def printable(text: str) -> str:
    r"""Return text with its control characters written out.

    >>> printable("fox\x1b[2J"), printable("two\nlines, caf\u00e9")
    ('fox\\x1b[2J', 'two\nlines, café')
    """
    return STEERING.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def number_of(count: int, one: str, many: str | None = None) -> str:
    """Return how many there are, in words.

    >>> number_of(1, "photo"), number_of(1200, "photo"), number_of(2, "byte copy", "byte copies")
    ('1 photo', '1,200 photos', '2 byte copies')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


class PlainConsole(Console):
    """A terminal that is steered by us alone: whatever is printed, its text is `printable`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts, tables and groups of them."""
        super().print(*map(_plain, objects), **options)  # before rich measures how wide they are

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the parts that a renderable is made of."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


def show(shown: RenderableType) -> None:
    """Print text or a table; lines of text are as long as they are."""
    PlainConsole(soft_wrap=isinstance(shown, str)).print(shown)


def _plain(shown: Any) -> Any:
    if isinstance(shown, str):
        return printable(shown)
    if isinstance(shown, Text) and STEERING.search(shown.plain):
        return Text(printable(shown.plain), style=shown.style)
    if isinstance(shown, Group):
        return Group(*map(_plain, shown.renderables))
    if isinstance(shown, Table):
        shown.title, shown.caption = _plain(shown.title), _plain(shown.caption)
        for column in shown.columns:
            column.header, column._cells = _plain(column.header), [_plain(cell) for cell in column.cells]
    if hasattr(shown, "renderable"):  # Padding and its like
        shown.renderable = _plain(shown.renderable)
    return shown

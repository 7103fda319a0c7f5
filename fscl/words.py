"""The words that the program uses, explained: one list, for the terminal, the report and the docs."""

import re
from importlib import resources

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

ENTRY = re.compile(r"- \*\*(.+?)\*\*: (.+)")


def sections() -> dict[str, dict[str, str]]:
    """Return the meaning of every word of `words.md`, by section.

    >>> sections()["Training"]["epoch"]
    'One pass over the training photos.'
    """
    words: dict[str, dict[str, str]] = {}
    for line in (resources.files(__package__) / "words.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            words[line.removeprefix("## ")] = {}
        elif entry := ENTRY.fullmatch(line):
            words[list(words)[-1]][entry[1]] = entry[2].replace("`", "")
    return words


def meanings() -> dict[str, str]:
    """Return the meaning of every word, in the order of `words.md`."""
    return {word: meaning for section in sections().values() for word, meaning in section.items()}


def table() -> Table:
    """Return all words as a table for the terminal."""
    lines = Table(box=None, pad_edge=False, show_header=False)
    lines.add_column(max_width=20)
    lines.add_column()
    for title, words in sections().items():
        lines.add_row(Padding(Text(title, style="bold"), (1, 0, 0, 0)))
        for word, meaning in words.items():
            lines.add_row(word, meaning)
    return lines

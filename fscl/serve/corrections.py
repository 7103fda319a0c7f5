"""The table of corrected labels: a row per photo is added or changed, all else in it stays as it is."""

import csv
import io
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from fscl.atomic import write_text
from fscl.errors import ConfigurationError, OutputError, PhotosError, first_line
from fscl.formats.tables.cells import MISSING
from fscl.formats.tables.paths import of_address
from fscl.manifest.names import tidy
from fscl.printable import STEERING

COLUMNS = ("filepath", "label")
LONGEST = 200  # characters of a label
FORMULA = re.compile(r"(?:^|;)[\s\"]*[=+\-@＝＋－＠]")  # Excel runs it; in some countries its cells end at semicolons
MARK = "\ufeff"  # with which Excel begins a CSV in UTF-8


class ChangedError(PhotosError):
    """The photo has another label by now than the one that is to be replaced.

    Attributes:
        label: the one it has; None where it has none.
    """

    def __init__(self, label: str | None) -> None:
        super().__init__(f"somebody has labelled this photo as {label}" if label else "its label was taken back")
        self.label = label


class _Table(NamedTuple):
    """A CSV: its rows, the heading first; how its lines end, and whether it begins with `MARK`."""

    rows: list[list[str]]
    line_end: str
    marked: bool

    def place(self, column: str) -> int:
        return self.rows[0].index(column)


class Corrections:
    """A CSV with `filepath`, `label` and any other columns; one that is there is kept and continued.

    Args:
        file: the table.

    Raises:
        OutputError: it is there and is no such table.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        if file.suffix.lower() != ".csv":
            raise OutputError(f"--corrections {file}: expected the name of a .csv; choose such a name")
        self._writing = threading.Lock()  # the lock of the file counts for all threads of this server together
        self._lock = FileLock(file.with_name(f".{file.name}.lock"), thread_local=False)
        self._read()

    def filepath(self, photo: Path) -> str:
        """Return how the table calls a file: from the table's folder on if it is below that.

        Else, and where Excel would take that for a formula, by its whole path; by its address `file:///…`, in which
        other signs are written as numbers, where Excel would take that for one, too.
        """
        folder = self.file.parent.resolve()
        below = photo.relative_to(folder).as_posix() if photo.is_relative_to(folder) else ""
        if below and not FORMULA.search(below):
            return below
        return photo.as_uri() if FORMULA.search(photo.as_posix()) else photo.as_posix()

    def labels(self) -> dict[str, str]:
        """Return `filepath` → label of all rows that have one."""
        table = self._read()
        path, label = table.place("filepath"), table.place("label")
        return {row[path]: row[label] for row in table.rows[1:] if max(path, label) < len(row) and row[label]}

    def below(self, folder: Path) -> dict[str, str]:
        """Return the labels of photos of a folder, by their names relative to it."""
        own = self.file.parent.resolve()
        placed = {os.path.normpath(own / of_address(filepath)): label for filepath, label in self.labels().items()}
        inside = {Path(path): label for path, label in placed.items() if Path(path).is_relative_to(folder)}
        return {path.relative_to(folder).as_posix(): label for path, label in inside.items()}

    def correct(self, filepath: str, label: str | None, was: str | None) -> None:
        """Give a photo a label, or take it back.

        Args:
            filepath: of the photo, as the table calls it.
            label: as `checked_label` gives it; None leaves the photo without one.
            was: the label that is replaced; None: it has none yet.

        Raises:
            ChangedError: it has another one by now, which is kept.
            OSError: the table cannot be written.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self._writing, self._lock:
            table = self._read()
            path, place = table.place("filepath"), table.place("label")
            own = [row for row in table.rows[1:] if path < len(row) and row[path] == filepath]
            now = next((row[place] for row in own if place < len(row) and row[place]), None)
            if now == label:
                return
            if now != was:
                raise ChangedError(now)
            if not own:
                own = [[""] * len(table.rows[0])]
                own[0][path] = filepath
                table.rows.extend(own)
            for row in own:
                row += [""] * (place + 1 - len(row))
                row[place] = label or ""
            write_text(self.file, _written(table))

    def _read(self) -> _Table:
        try:
            text = self.file.read_bytes().decode("utf-8")
            rows = list(csv.reader(io.StringIO(text.removeprefix(MARK), newline=""), strict=True))
        except FileNotFoundError:
            return _Table([list(COLUMNS)], "\n", marked=False)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise OutputError(f"{self.file}: expected a CSV in UTF-8 with commas: {first_line(error)}") from None
        if not rows or set(COLUMNS) - set(rows[0]):
            got = ", ".join(rows[0]) if rows else "nothing"
            raise OutputError(
                f"{self.file}: expected a table with the columns filepath and label, got {got}; choose another file"
            )
        return _Table(rows, "\r\n" if "\r\n" in text else "\n", text.startswith(MARK))


def checked_label(label: str, classes: Sequence[str]) -> str:
    """Return a label in the one form that tables have.

    Raises:
        ConfigurationError: it is no class, and is empty, too long, a word that tables read as nothing, or what Excel
            would run.

    >>> checked_label("  red  fox ", ["fox"])
    'red fox'
    """
    tidied = tidy(label)
    if tidied in classes:
        return tidied
    if not tidied or len(tidied) > LONGEST or tidied.lower() in MISSING:
        raise ConfigurationError(
            f"expected a label of 1 to {LONGEST} characters that is no word for nothing, such as NA; choose another"
        )
    if FORMULA.search(tidied) or STEERING.search(tidied):
        raise ConfigurationError(
            "expected a label that begins with a letter or a digit: Excel would run what begins with = + - or @"
        )
    return tidied


def _written(table: _Table) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator=table.line_end).writerows(table.rows)
    return (MARK if table.marked else "") + written.getvalue()

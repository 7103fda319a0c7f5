"""The table of corrected labels: a row per photo is added or changed, all else in it stays as it is."""

import csv
import io
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from fscl.atomic import write_text
from fscl.errors import ConfigurationError, OutputError, PhotosError, first_line
from fscl.formats.tables.cells import MISSING
from fscl.formats.tables.paths import of_address
from fscl.formats.walk import not_utf8
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

    def named(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each row that names a photo, and the name."""
        path = self.place("filepath")
        return ((row[path], row) for row in self.rows[1:] if path < len(row) and row[path])

    def label(self, row: list[str]) -> str | None:
        place = self.place("label")
        return (tidy(row[place]) or None) if place < len(row) else None


class Corrections:
    """A CSV with `filepath`, `label` and any other columns; one that is there is kept and continued.

    Args:
        file: the table.

    Raises:
        OutputError: it is there and is no such table.
        PhotosError: it gives a photo several labels.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        if file.suffix.lower() != ".csv":
            raise OutputError(f"--corrections {file}: expected the name of a .csv; choose such a name")
        self._folder = file.parent.resolve()
        self._labels(self._read())

    def filepath(self, photo: Path) -> str:
        """Return how the table calls a file: from the table's folder on if it is below that.

        Else, and where Excel would take that for a formula, by its whole path; by its address `file:///…`, in which
        other signs are written as numbers, where Excel would take that for one, too.

        Raises:
            PhotosError: that is no text.
        """
        below = photo.relative_to(self._folder).as_posix() if photo.is_relative_to(self._folder) else ""
        name = below if below and not FORMULA.search(below) else photo.as_posix()
        if (why := not_utf8(name)) is not None:
            raise PhotosError(why)
        return photo.as_uri() if FORMULA.search(name) else name

    def labels(self) -> dict[str, str]:
        """Return the labels of photos below the folder of the table, as `below`: how a browser calls them.

        Raises:
            PhotosError: the table gives a photo several labels.
        """
        return self.below(self._folder)

    def below(self, folder: Path) -> dict[str, str]:
        """Return the labels of photos of a folder, by their names relative to it, in the one form that names have.

        That is with forward slashes, without `.` and `..`, and with letters composed (NFC).

        Raises:
            PhotosError: the table gives a photo several labels.
        """
        above = Path(unicodedata.normalize("NFC", str(folder)))
        placed = {Path(place): label for place, label in self._labels(self._read()).items()}
        inside = {place: label for place, label in placed.items() if place.is_relative_to(above)}
        return {place.relative_to(above).as_posix(): label for place, label in inside.items()}

    def correct(self, filepath: str, label: str | None, was: str | None) -> None:
        """Give a photo a label, or take it back.

        Args:
            filepath: of the photo, as the table calls it.
            label: as `checked_label` gives it; None leaves the photo without one.
            was: the label that is replaced; None: it has none yet.

        Raises:
            ChangedError: it has another one by now, which is kept.
            PhotosError: the table gives a photo several labels.
            OSError: the table cannot be written.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.file.with_name(f".{self.file.name}.lock")):
            table = self._read()
            photo = self._place(filepath)
            now = self._labels(table).get(photo)
            if now == label:
                return
            if now != was:
                raise ChangedError(now)
            own = [row for name, row in table.named() if self._place(name) == photo]
            if not own:
                own = [[""] * len(table.rows[0])]
                own[0][table.place("filepath")] = filepath
                table.rows.extend(own)
            place = table.place("label")
            for row in own:
                row += [""] * (place + 1 - len(row))
                row[place] = label or ""
            write_text(self.file, _written(table))

    def _place(self, filepath: str) -> str:
        """Where a photo is: the same for all names of it."""
        return unicodedata.normalize("NFC", os.path.normpath(self._folder / of_address(filepath).replace("\\", "/")))

    def _labels(self, table: _Table) -> dict[str, str]:
        """The labels of photos, by where these are."""
        labels: dict[str, str] = {}
        for name, row in table.named():
            label = table.label(row)
            if label is None:
                continue
            other = labels.setdefault(self._place(name), label)
            if other != label:
                raise PhotosError(
                    f"{self.file}: expected one label for each photo, got {other} and {label} for {name}; "
                    "keep one of them"
                )
        return labels

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

"""Paths of photos as tables write them become relative to one root: the folder of the table, or what they share."""

import os
import re
import unicodedata
from pathlib import Path, PureWindowsPath
from typing import NamedTuple
from urllib.parse import unquote

import pandas as pd

from fscl import archives
from fscl.errors import PhotosError

URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
FILE_URL = re.compile(r"file:(?://(?:localhost)?)?(?=/)(?:/(?=[a-z]:))?", re.IGNORECASE)
FIXES = {
    "a web address, not a file": "download the photos, and give the paths of the files",
    "a path of Windows": "make the paths relative to the folder of the table, and put it beside the photos",
    "a zero byte in its name": "mend the paths",
}
"""Why a path leads to no file of this machine → what helps."""


class Placed(NamedTuple):
    """Paths relative to a root, with forward slashes, and why some of them lead to no file here."""

    paths: pd.Series
    root: Path
    problems: pd.Series


def of_address(path: str) -> str:
    """Return the path that an address `file:///…` is of; any other text stays as it is.

    >>> of_address("file:///photos/a%3B%3D1.jpg"), of_address("photos/a%20b.jpg")
    ('/photos/a;=1.jpg', 'photos/a%20b.jpg')
    """
    match = FILE_URL.match(path)
    return path if match is None else unquote(path[match.end() :])


def place_paths(paths: pd.Series, table: Path, start: Path, *, needs_files: bool = True) -> Placed:
    """Find out where the photos of a table are.

    Args:
        paths: as the table writes them; an address `file:///…` is the path in it.
        table: for messages.
        start: the folder that relative paths start at.
        needs_files: refuse a table of which no path is of this machine.

    Raises:
        PhotosError: none of the paths is of this machine, where one is needed; photos on several drives.
    """
    folder = start.resolve()
    paths = paths.map(of_address)
    foreign = {path: why for path in paths.unique() if (why := _foreign(path)) is not None}
    files = {
        path: _as_it_lies(os.path.normpath(folder / path.replace("\\", "/")))
        for path in paths.unique()
        if path not in foreign
    }
    if not files and needs_files:
        path, why = next(iter(foreign.items()))
        raise PhotosError(f"{table}: expected files of this machine, got {path}: {why}; {FIXES[why]}")
    try:
        holding = os.path.commonpath({os.path.dirname(file) for file in files.values()} or {str(folder)})  # noqa: PTH120 - of each
        root = str(folder) if Path(holding).is_relative_to(folder) else holding
    except ValueError:
        raise PhotosError(f"{table}: expected photos on one drive, got several; make a table for each") from None
    placed = {path: os.path.relpath(file, root).replace(os.sep, "/") for path, file in files.items()}
    placed |= {path: path.replace("\\", "/").replace("\0", "\\0") for path in foreign}
    problems = {path: f"unreadable: {why}" for path, why in foreign.items()}
    return Placed(paths.map(placed), Path(root), paths.map(problems).astype("str"))


def _as_it_lies(file: str) -> str:
    """The name of a file with its letters composed or decomposed as on the disk, whichever way the table has them."""
    if file.isascii():
        return file
    forms = [file, *(unicodedata.normalize(form, file) for form in ("NFC", "NFD"))]
    return next((form for form in forms if _is_there(form)), file)


def _is_there(file: str) -> bool:
    try:
        archives.size(Path(file))
    except (OSError, archives.ArchiveError, ValueError):
        return False
    return True


def _foreign(path: str) -> str | None:
    """Say why a path leads to no file of this machine, None where it may."""
    if URL.match(path):
        return "a web address, not a file"
    if "\0" in path:
        return "a zero byte in its name"
    of_windows = PureWindowsPath(path).is_absolute() and not path.startswith("/")
    return "a path of Windows" if of_windows and os.name != "nt" else None

"""Class folders: root/CLASS/…/photo.jpg, or root/{train,val,test}/CLASS/…/photo.jpg; the root may be a zip."""

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from fscl import archives
from fscl.errors import PhotosError
from fscl.manifest.table import Manifest

PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".heic", ".heif"),
    *(".tif", ".tiff", ".bmp", ".gif"),
)
NOT_UTF8 = "file name is not UTF-8, rename it"
UNREADABLE_FOLDER = "unreadable folder"
ZIP_IN_ZIP = "unreadable: a zip in a zip is not opened"
# Folders that cameras, archives and systems leave behind; they hold thumbnails and forks, no photos.
PASSED_OVER = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information")

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""How sources call a split → how we do. Compared in lower case."""


class Found(NamedTuple):
    """What there is below a folder or in an archive. Paths are relative to it, with forward slashes."""

    files: list[str]
    """Those of the kinds looked for, sorted. Where a name is not UTF-8, `escaped` makes it text."""
    unreadable: dict[str, str]
    """Further ones, in archives, that cannot be read, with the reason."""
    closed: dict[str, str]
    """Folders and archives that cannot be opened, with the reason."""
    others: Counter[str]
    """How many other files there are of each suffix."""


def read(root: Path, *, code_page: str | None = None) -> Manifest:
    """Read a folder of class folders, or a zip archive of them, in sorted path order. Labels are the folder names.

    A folder that holds all others of an archive is passed over. A photo beside the class folders, one that its
    archive does not yield, a folder that may not be opened and a name that is not UTF-8 become rows with a
    `problem`.

    Args:
        root: the folder or zip.
        code_page: of names in a zip, see `fscl.archives.members`.

    Raises:
        PhotosError: no photos, no class folders, or class folders beside split folders; a damaged archive.
    """
    root = root.resolve()
    found = walk(root, code_page=code_page)
    if not (found.files or found.unreadable or found.closed):
        others = ", ".join(f"{count} {suffix}" for suffix, count in found.others.most_common(5))
        fix = "; give one zip at a time, or unpack them" if found.others[".zip"] else ""
        raise PhotosError(
            f"{root}: expected photos in {root.name}/CLASS/photo.jpg, got none ({others or 'it is empty'}){fix}"
        )
    problems = dict.fromkeys(found.files) | found.unreadable | found.closed
    folders = {path: _folders(path, why) for path, why in problems.items()}
    levels = int(root.is_file() and _has_one_top(folders.values()))
    by_split = _is_by_split(root, {inner[levels] for inner in folders.values() if len(inner) > levels})
    rows = [
        (escaped(path), *_label_and_split(folders[path][levels:], by_split), why or not_utf8(path))
        for path, why in problems.items()
    ]
    columns = pd.DataFrame(rows, columns=["path", "label", "split", "problem"]).sort_values("path")
    if columns["label"].isna().all():
        example = f"{root.name}/train/CLASS/photo.jpg" if by_split else f"{root.name}/CLASS/photo.jpg"
        path, problem = columns[["path", "problem"]].iloc[0]
        raise PhotosError(
            f"{root}: expected {example}, got {len(columns)} photos without a class folder, such as "
            f"{path if pd.isna(problem) else f'{path} ({problem})'}; make a folder for each class, or give a table "
            "(CSV) with the columns filepath,label"
        )
    columns.loc[columns["label"].isna() & columns["problem"].isna(), "problem"] = "no label"
    return Manifest.build(columns, root)


def walk(
    root: Path,
    suffixes: tuple[str, ...] = PHOTO_SUFFIXES,
    *,
    into_zips: bool = False,
    code_page: str | None = None,
) -> Found:
    """Find all files of some kinds below a folder, linked folders included, or in a zip archive.

    Args:
        root: the folder or archive.
        suffixes: of the files to find, in lower case.
        into_zips: also look into the archives below a folder.
        code_page: of names in zips, see `fscl.archives.members`.

    Raises:
        ArchiveError: the root is a damaged archive.
    """
    found = Found([], {}, {}, Counter())
    packed = archives.is_archive(root)
    listed = _in_archive(root, code_page) if packed else _in_folder(root, found.closed, into_zips, code_page)
    for path, problem in listed:
        name = path.rsplit("/", 1)[-1]
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - of each file; a Path takes ten times as long
        wanted = suffix in suffixes and not name.startswith(".")
        if problem == ZIP_IN_ZIP:
            found.closed[escaped(path)] = problem
        elif problem and wanted:
            found.unreadable[path] = problem
        elif wanted:
            found.files.append(path)
        else:
            found.others[suffix or name] += 1
    found.files.sort()
    return found


def escaped(path: str) -> str:
    """Return a path as text that a table can hold: bytes that are no UTF-8 are written out."""
    return os.fsencode(path).decode(errors="backslashreplace")


def not_utf8(path: str) -> str | None:
    """Return the problem of a path that no table can hold, such as one unpacked from an archive in EUC-KR."""
    return None if escaped(path) == path else NOT_UTF8


def _in_folder(
    root: Path, closed: dict[str, str], into_zips: bool, code_page: str | None
) -> Iterator[tuple[str, str | None]]:
    """The files below a folder, and why they cannot be read; notes in `closed` what cannot be opened."""
    entered: set[str] = set()

    def note(error: OSError) -> None:
        folder = escaped(Path(error.filename).relative_to(root).as_posix())
        closed[folder] = f"{UNREADABLE_FOLDER}: {(error.strerror or 'unknown').lower()}"

    for folder, subfolders, files in os.walk(root, onerror=note, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:  # a link in a circle, or to photos that are read already
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(name for name in subfolders if not _is_passed_over(name))
        place = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for name in files:
            path = str(place / name)
            if into_zips and not name.startswith(".") and archives.is_archive(Path(folder, name)):
                try:
                    yield from (
                        (f"{path}/{member}", why) for member, why in _in_archive(Path(folder, name), code_page)
                    )
                except archives.ArchiveError as error:
                    closed[escaped(path)] = f"unreadable archive: {error}"
                except OSError as error:
                    closed[escaped(path)] = f"unreadable archive: {(error.strerror or 'unknown').lower()}"
            else:
                yield path, None


def _in_archive(archive: Path, code_page: str | None) -> Iterator[tuple[str, str | None]]:
    """The files in an archive, and why they cannot be read."""
    for name, why in archives.members(archive, code_page):
        if any(map(_is_passed_over, name.split("/")[:-1])):
            continue
        if name.lower().endswith(".zip"):
            yield name, ZIP_IN_ZIP
        else:
            yield name, None if why is None else f"unreadable: {why}"


def _folders(path: str, problem: str | None) -> tuple[str, ...]:
    parts = path.split("/")
    is_folder = problem is not None and problem.startswith(UNREADABLE_FOLDER)
    return tuple(parts if is_folder else parts[:-1])


def _is_passed_over(folder: str) -> bool:
    return folder.startswith(".") or folder in PASSED_OVER


def _has_one_top(folders: Collection[tuple[str, ...]]) -> bool:
    """Tell whether one folder holds all others: the classes, or the splits, and not just what is in one class."""
    tops = {inner[0].lower() for inner in folders if inner}
    seconds = {inner[1].lower() for inner in folders if len(inner) > 1}
    return (
        all(folders)
        and len(tops) == 1
        and not tops & SPLIT_NAMES.keys()
        and (len(seconds) > 1 or bool(seconds & SPLIT_NAMES.keys()))
    )


def _is_by_split(root: Path, tops: set[str]) -> bool:
    splits = sorted(top for top in tops if top.lower() in SPLIT_NAMES)
    classes = sorted(top for top in tops if top.lower() not in SPLIT_NAMES)
    if splits and classes:
        raise PhotosError(
            f"{root}: expected class folders, or split folders that hold class folders, got both: "
            f"{', '.join(splits)} beside {', '.join(classes[:3])}; move one kind elsewhere"
        )
    return bool(splits)


def _label_and_split(folders: tuple[str, ...], by_split: bool) -> tuple[str | None, str | None]:
    split = SPLIT_NAMES[folders[0].lower()] if by_split and folders else None
    classes = folders[1:] if by_split else folders
    # macOS stores names decomposed: the same label must be the same text everywhere.
    return (unicodedata.normalize("NFC", escaped(classes[0])) if classes else None), split

"""What files lie below a folder, linked folders and zips included, or in a zip."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fscl import archives
from fscl.frames import VIDEO_SUFFIXES

PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".heic", ".heif"),
    *(".tif", ".tiff", ".bmp", ".gif"),
)
MEDIA_SUFFIXES = (*PHOTO_SUFFIXES, *VIDEO_SUFFIXES)
NOT_UTF8 = "file name is not UTF-8, rename it"
UNREADABLE_FOLDER = "unreadable folder"
ZIP_IN_ZIP = "unreadable: a zip in a zip is not opened"
# Folders that cameras, archives, systems and programs leave behind; they hold thumbnails, forks and copies.
JUNK_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__pycache__")
HIDDEN, FORK = "hidden", "._"  # files whose names begin with a point: photos, and all others


class Contents(NamedTuple):
    """What there is below a folder or in an archive. Paths are relative to it, with forward slashes."""

    files: list[str]
    """Those of the kinds looked for, sorted. Where a name is not UTF-8, `escaped` makes it text."""
    unreadable: dict[str, str]
    """Further ones, in archives, that cannot be read, with the reason."""
    closed: dict[str, str]
    """Folders and archives that cannot be opened, with the reason."""
    passed_over: Counter[tuple[str, str]]
    """How many other files there are in each folder of each suffix, or, without one, of each name; or hidden."""
    empty: list[str]
    """Folders without any file or folder."""
    hidden: list[str]
    """Folders whose names begin with a point, which are not entered."""
    links: dict[str, str]
    """Linked folders that are not entered, as what they lead to is read elsewhere → where that is."""

    @property
    def others(self) -> Counter[str]:
        """How many other files there are of each suffix."""
        counts: Counter[str] = Counter()
        for (_, suffix), count in self.passed_over.items():
            counts[suffix] += count
        return counts


def walk(
    root: Path,
    suffixes: tuple[str, ...] = MEDIA_SUFFIXES,
    *,
    into_zips: bool = False,
    code_page: str | None = None,
) -> Contents:
    """Find all files of some kinds below a folder, linked folders included, or in a zip archive.

    Args:
        root: the folder or archive.
        suffixes: of the files to find, in lower case.
        into_zips: also look into the archives below a folder.
        code_page: of names in zips, see `fscl.archives.members`.

    Raises:
        ArchiveError: the root is a damaged archive.
    """
    contents = Contents([], {}, {}, Counter(), [], [], {})
    packed = archives.is_archive(root)
    listed = _in_archive(root, code_page) if packed else _in_folder(root, contents, into_zips, code_page)
    for path, problem in listed:
        folder, _, name = path.rpartition("/")
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - of each file; a Path takes ten times as long
        wanted = suffix in suffixes and not name.startswith(".")
        if problem == ZIP_IN_ZIP:
            contents.closed[escaped(path)] = problem
        elif problem and wanted:
            contents.unreadable[path] = problem
        elif wanted:
            contents.files.append(path)
        else:
            contents.passed_over[escaped(folder), _kind(name, hides=suffix in suffixes)] += 1
    contents.files.sort()
    return contents


def escaped(path: str) -> str:
    """Return a path as text that a table can hold: bytes that are no UTF-8 are written out."""
    return os.fsencode(path).decode(errors="backslashreplace")


def not_utf8(path: str) -> str | None:
    """Return the problem of a path that no table can hold, such as one unpacked from an archive in EUC-KR."""
    return None if escaped(path) == path else NOT_UTF8


def _in_folder(
    root: Path, contents: Contents, into_zips: bool, code_page: str | None
) -> Iterator[tuple[str, str | None]]:
    """The files below a folder, and why they cannot be read; notes what is not entered.

    What is linked comes last, so that photos keep the names of the folders that they really lie in.
    """
    entered: dict[str, str] = {}  # real path → path below the root
    waiting = [root]
    while waiting:
        start = waiting.pop(0)
        place = _below(root, start)
        if start != root and (real := os.path.realpath(start)) in entered:
            contents.links[place] = entered[real]
            continue
        for folder, subfolders, files in os.walk(start, onerror=lambda error: _note_closed(error, root, contents)):
            real, place = os.path.realpath(folder), _below(root, Path(folder))
            if real in entered:  # a link leads to a folder that holds the root
                subfolders.clear()
                continue
            entered[real] = place
            if not (subfolders or files):
                contents.empty.append(place)
            contents.hidden.extend(str(PurePosixPath(place) / name) for name in subfolders if name.startswith("."))
            subfolders[:] = sorted(name for name in subfolders if not _is_passed_over(name))
            waiting += [Path(folder, name) for name in subfolders if Path(folder, name).is_symlink()]
            if into_zips:
                yield from _in_files(Path(folder), place, files, contents.closed, code_page)
            else:
                yield from ((str(PurePosixPath(place) / name), None) for name in files)


def _in_files(
    folder: Path, place: str, files: list[str], closed: dict[str, str], code_page: str | None
) -> Iterator[tuple[str, str | None]]:
    """The files of one folder and those in its archives."""
    for name in files:
        path = str(PurePosixPath(place) / name)
        if name.startswith(".") or not archives.is_archive(folder / name):
            yield path, None
            continue
        try:
            yield from ((f"{path}/{member}", why) for member, why in _in_archive(folder / name, code_page))
        except archives.ArchiveError as error:
            closed[escaped(path)] = f"unreadable archive: {error}"
        except OSError as error:
            closed[escaped(path)] = f"unreadable archive: {(error.strerror or 'unknown').lower()}"


def _below(root: Path, folder: Path) -> str:
    return folder.relative_to(root).as_posix()


def _note_closed(error: OSError, root: Path, contents: Contents) -> None:
    folder = escaped(_below(root, Path(error.filename)))
    contents.closed[folder] = f"{UNREADABLE_FOLDER}: {(error.strerror or 'unknown').lower()}"


def _in_archive(archive: Path, code_page: str | None) -> Iterator[tuple[str, str | None]]:
    """The files in an archive, and why they cannot be read."""
    for name, why in archives.members(archive, code_page):
        if any(map(_is_passed_over, name.split("/")[:-1])):
            continue
        if name.lower().endswith(".zip"):
            yield name, ZIP_IN_ZIP
        else:
            yield name, None if why is None else f"unreadable: {why}"


def _is_passed_over(folder: str) -> bool:
    return folder.startswith(".") or folder in JUNK_FOLDERS


def _kind(name: str, *, hides: bool) -> str:
    """What a file that is passed over counts as: its suffix, else its name; or a photo that is hidden, or a fork."""
    if name.startswith("."):
        return HIDDEN if hides and not name.startswith("._") else FORK
    return escaped(PurePosixPath(name).suffix.lower() or name)

"""Files inside zip archives, under ordinary paths that go through the archive: photos.zip/fox/0001.jpg.

Nothing is unpacked to disk. An archive is listed once per process (a forked one inherits the list) and is never
kept open: each reader of a member has a file handle of its own, so threads and processes do not disturb each other.
"""

import errno
import hashlib
import io
import os
import re
import stat
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile, ZipInfo

from fscl.errors import ArchiveError
from fscl.frames import split_frame
from fscl.zip_members import DAMAGES, open_member, why_not_read
from fscl.zip_names import (
    CODE_PAGES,
    NAMELESS,
    decoded,
    guessed_code_page,
    known_code_page,
    safe,
    says_its_encoding,
)

__all__ = [
    "ArchiveError",
    "Version",
    "code_page",
    "content_hash",
    "file_of",
    "frame_of",
    "hash_of_frame",
    "is_archive",
    "is_packed",
    "members",
    "open_binary",
    "photo_version",
    "size",
]

NEVER_END = (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR)  # kinds of files that whoever reads may wait for
VIDEOS_KNOWN = 4096  # at once: frames in the order of a sampler ask for all videos in turn
THROUGH = re.compile(r"\.zip/", re.IGNORECASE)


Version = tuple[int, int]
"""Bytes and time of a file."""


class _Member(NamedTuple):
    """A file in an archive, and why it is not read, or None."""

    info: ZipInfo
    problem: str | None


_Listing = dict[str, _Member]
"""The members of an archive by name."""


class _Directory(NamedTuple):
    """What an archive holds: its members, the code page of their names, and listings in the code pages asked for."""

    infos: list[ZipInfo]
    unsaid: bool  # some names do not say their encoding
    code_page: str | None
    listings: dict[str | None, _Listing]


def is_archive(path: Path) -> bool:
    """Tell a zip archive by its name; a folder may have such a name, too."""
    return path.suffix.lower() == ".zip" and path.is_file()


def members(archive: Path, code_page: str | None = None) -> Iterator[tuple[str, str | None]]:
    """Yield the files in an archive, in its order: name with forward slashes, and why it is not read, or None.

    Names that do not say their encoding are taken for UTF-8 where they are, else for the code page that suits all
    names of the archive best. Of members of one name the last counts. Members whose names lead out of the archive
    are listed in a folder `(outside)`.

    Args:
        archive: a zip.
        code_page: of names that do not say theirs, in place of the one that suits best. `open_binary` finds the
            members under the names that it gives without being told.

    Raises:
        ArchiveError: no zip archive, or a damaged one; names that cannot be read in the code page asked for.
        ConfigurationError: an unknown code page.
        OSError: it is not there, or may not be opened.
    """
    asked_for = None if code_page is None else known_code_page(code_page)
    listing = _listing(str(archive), asked_for)
    if asked_for is not None and any(_lookup(str(archive), name) != member for name, member in listing.items()):
        raise ArchiveError(f"{archive.name}: in {code_page} its files are called like others in another one")
    return ((name, member.problem) for name, member in listing.items())


def code_page(archive: Path) -> str | None:
    """Return the code page that names in an archive are taken for; None where all are UTF-8 or say theirs.

    Raises:
        ArchiveError, OSError: as `members`.
    """
    return _directory(str(archive)).code_page


def frame_of(path: Path) -> tuple[Path, int] | None:
    """Return the video and the number of a frame of it; None of a path that is a file, also one called as a frame."""
    frame = split_frame(path.as_posix())
    if frame is None:
        return None
    video = Path(frame[0])
    place = _through(video)
    there = not video.is_dir() if place is None else _lookup(*place) is not None
    return (video, frame[1]) if there else None


def file_of(path: Path) -> Path:
    """Return the video of a frame; any other path is its own."""
    frame = frame_of(path)
    return path if frame is None else frame[0]


def open_binary(path: Path) -> io.BufferedReader:
    """Open a file, or a member of an archive, to read and seek in. A member is unpacked as far as it is read.

    Of a frame of a video it is the file of the video.

    Raises:
        ArchiveError: a member that is not read, or a damaged archive; also while reading.
        OSError: the file or member is not there, or may not be opened.

    >>> import tempfile
    >>> archive = Path(tempfile.mkdtemp()) / "photos.zip"
    >>> with ZipFile(archive, "w") as packed:
    ...     packed.writestr("fox/1.txt", "a fox")
    >>> [name for name, _ in members(archive)], size(archive / "fox/1.txt")
    (['fox/1.txt'], 5)
    >>> with open_binary(archive / "fox/1.txt") as file:
    ...     file.read()
    b'a fox'
    """
    path = file_of(path)
    place = _through(path)
    if place is None:
        if stat.S_IFMT(path.stat().st_mode) in NEVER_END:
            raise OSError(errno.EINVAL, "a pipe or device, not a file", str(path))
        return path.open("rb")
    member = _member(*place)
    return open_member(place[0], member)


def size(path: Path) -> int:
    """Return the bytes of a file, or those of a member unpacked; of a frame those of its video.

    Raises:
        ArchiveError, OSError: as `open_binary`.
    """
    path = file_of(path)
    place = _through(path)
    return path.stat().st_size if place is None else _member(*place).file_size


def photo_version(photo: Path) -> Version:
    """Return what tells a photo from an earlier one of its name: bytes and time of its file, in ns.

    Of a frame they are those of the video, in a zip those of the archive; (−1, −1) where there is no file.
    """
    for path in (photo, *photo.parents):
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):  # a path through a file is the one on Windows, else the other
            continue
        except (OSError, ValueError):  # ValueError: a name that no file has
            break
        if path == photo or stat.S_ISREG(status.st_mode):
            return status.st_size, status.st_mtime_ns
        break
    return -1, -1


def content_hash(path: Path) -> str | None:
    """Return the SHA-256 of a file; of a frame that of the video's hash and its number. None: it cannot be read."""
    try:
        frame = frame_of(path)
        if frame is None:
            return _sha256(path)
        return hash_of_frame(_sha256_of_video(frame[0], photo_version(frame[0])), frame[1])
    except (OSError, ArchiveError):
        return None


def hash_of_frame(of_video: str, number: int) -> str:
    """Return the hash of a frame, made of that of its video."""
    return hashlib.sha256(f"{of_video} frame {number}".encode()).hexdigest()


def _sha256(path: Path) -> str:
    with open_binary(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=VIDEOS_KNOWN)
def _sha256_of_video(video: Path, version: Version) -> str:
    return _sha256(video)


def is_packed(path: Path) -> bool:
    """Tell whether a path goes through an archive."""
    return "\0" not in path.as_posix() and _through(path) is not None


def _through(path: Path) -> tuple[str, str] | None:
    """The archive that a path goes through, and the name of the member in it; None where it goes through none."""
    text = path.as_posix()
    if "\0" in text:  # which no file has in its name, and for which the system has no error of its own
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), text)
    for match in THROUGH.finditer(text):
        archive = text[: match.end() - 1]
        if os.path.isfile(archive):  # noqa: PTH113 - asked for each photo: a Path takes four times as long
            return archive, text[match.end() :]
    return None


def _member(archive: str, name: str) -> ZipInfo:
    member = _lookup(archive, name)
    if member is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{archive}/{name}")
    if member.problem is not None:
        raise ArchiveError(member.problem)
    return member.info


def _lookup(archive: str, name: str) -> _Member | None:
    """The member of a name in the code page that suits best, else in any: whoever reads it need not know which."""
    listing = _listing(archive)
    if name in listing or not _directory(archive).unsaid:
        return listing.get(name)
    for code_page in CODE_PAGES:
        try:
            listing = _listing(archive, code_page)
        except ArchiveError:  # not the code page of all names
            continue
        if name in listing:
            return listing[name]
    return None


_directories: dict[
    str, tuple[tuple[int, int], _Directory | str]
] = {}  # path → (mtime in ns, bytes), content or damage
_one_at_a_time = threading.Lock()


def _directory(archive: str) -> _Directory:
    """What an archive holds now; read by one thread, while the others wait for it."""
    file = os.stat(archive)  # noqa: PTH116
    version = file.st_mtime_ns, file.st_size
    known = _directories.get(archive)
    if known is None or known[0] != version:
        with _one_at_a_time:
            known = _directories.get(archive)
            if known is None or known[0] != version:
                known = _directories[archive] = version, _read_directory(archive)
    if isinstance(known[1], str):
        raise ArchiveError(known[1])
    return known[1]


def _read_directory(archive: str) -> _Directory | str:
    """Read what an archive holds, or say what is wrong with it."""
    try:
        with open(archive, "rb") as file, ZipFile(file) as opened:  # noqa: PTH123 - ZipFile leaves it open on damage
            infos = [info for info in opened.infolist() if not info.filename.endswith("/")]
    except DAMAGES as error:
        name = Path(archive).name
        return f"{name}: expected a whole zip archive, got a damaged one ({error}), copy or download it again"
    directory = _Directory(infos, not all(map(says_its_encoding, infos)), guessed_code_page(infos), {})
    directory.listings[None] = _listed(directory)
    return directory


def _listing(archive: str, code_page: str | None = None) -> _Listing:
    """The members by their names in a code page, or in the one that suits best."""
    directory = _directory(archive)
    if code_page not in directory.listings:
        try:
            directory.listings[code_page] = _listed(directory, code_page)
        except UnicodeDecodeError as error:
            raise ArchiveError(
                f"{Path(archive).name}: its names are not in {code_page} ({error}); choose another --zip-encoding"
            ) from None
    return directory.listings[code_page]


def _listed(directory: _Directory, code_page: str | None = None) -> _Listing:
    listing: _Listing = {}
    for info in directory.infos:
        name, leads_out = safe(decoded(info, directory.code_page, code_page))
        problem = "its name leads out of its zip" if leads_out else why_not_read(info)
        listing[name] = _Member(info, "it has no name in its zip" if name == NAMELESS else problem)
    return listing

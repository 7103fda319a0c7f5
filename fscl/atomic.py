"""Files appear whole or not at all: written beside the target, then moved onto it."""

import errno
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree

if sys.platform != "win32":
    import fcntl

UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")  # .NAME.xxxxxxxx.tmp, as `replacing` calls what it writes
STALE_SECONDS = 24 * 3600.0  # since the last byte; where files cannot be locked, no writer pauses for as long


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path to write; on success it replaces `target`, on any error it is removed.

    Parent folders are made. The bytes reach the disk before the move, so that a power cut leaves the
    old file or the new one. The path ends in `.tmp`: a writer must not choose its format by the name.
    What a killed process left of an earlier writing of `target` is removed; what another process is writing stays.

    Raises:
        OSError: the disk is full or cannot be written; its `filename` is `target`, or the folder where that takes
            no file.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "figures.json"
    >>> with replacing(target) as path:
    ...     _ = path.write_text("{}")
    >>> target.read_text()
    '{}'
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear(target)
        handle, path = _unfinished(target)
    except OSError as error:
        error.filename = str(target if error.errno == errno.ENAMETOOLONG else target.parent)
        raise
    try:
        yield path
        with path.open("rb+") as written:
            os.fsync(written.fileno())
        path.chmod(0o644)
        if sys.platform == "win32":  # where no file is moved that is open
            handle = _closed(handle)
        path.replace(target)
    except OSError as error:
        if error.errno is not None:
            error.filename = str(target)  # a failed write names no file, a failed move the temporary one
        raise
    finally:
        _closed(handle)
        path.unlink(missing_ok=True)


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield a folder to fill; on success it replaces `target`, on any error it is removed.

    The caller checks that what is in `target` may be lost.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
    try:
        filled = new / "new"
        filled.mkdir()
        yield filled
        for file in filled.iterdir():
            with file.open("rb+") as written:
                os.fsync(written.fileno())
        if target.exists():
            target.replace(new / "old")
        filled.replace(target)
    finally:
        rmtree(new, ignore_errors=True)


def _unfinished(target: Path) -> tuple[int, Path]:
    """Make the file that is written in place of the target; return its handle, which holds a lock, and its path."""
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        if sys.platform == "win32":
            return handle, Path(name)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # another process took it for a leftover before it was locked


def _closed(handle: int) -> int:
    if handle >= 0:
        os.close(handle)
    return -1


def _clear(target: Path) -> None:
    """Remove what killed writers of the target left: files that no living process has locked."""
    for path in leftovers(target.parent):
        if path.name[: -len(".xxxxxxxx.tmp")] == f".{target.name}":
            with suppress(OSError):
                _remove_unless_written(path)


def _remove_unless_written(path: Path) -> None:
    stale = time.time() - path.stat().st_mtime > STALE_SECONDS
    if sys.platform == "win32":
        if stale:
            path.unlink()
        return
    with path.open("rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:  # a file system without locks
            if not stale:
                return
        path.unlink()


def write_text(target: Path, text: str) -> None:
    """Write `text` to `target` as UTF-8, whole or not at all."""
    write_bytes(target, text.encode())


def write_bytes(target: Path, content: bytes | memoryview) -> None:
    """Write `content` to `target`, whole or not at all."""
    with replacing(target) as path:
        path.write_bytes(content)


def leftovers(folder: Path) -> set[Path]:
    """Return the unfinished files that a killed process left in `folder`; none where there is no folder."""
    return {path for path in folder.glob(".*.tmp") if UNFINISHED.fullmatch(path.name)}


def sweep(folder: Path) -> None:
    """Remove the leftovers of `folder`. No other process may be writing into it.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / ".figures.json.a1b2c3d4.tmp").touch()
    >>> sweep(folder)
    >>> list(folder.iterdir())
    []
    """
    for path in leftovers(folder):
        if path.is_dir():
            rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

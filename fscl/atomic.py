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

from filelock import FileLock, Timeout

if sys.platform != "win32":
    import fcntl

DRAWN, ENDING = "xxxxxxxx", ".tmp"
UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp", re.DOTALL)  # .NAME.xxxxxxxx.tmp, as is called what is written
LONGEST_NAME = 255  # bytes, of most file systems
NEW, OLD, LOCK = "new", "old", "lock"  # in what is written in place of a folder
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

    A folder cannot take the place of another at once: of a process that is killed in between, `mend_folder` puts the
    new one there. The caller checks that what is in `target` may be lost.
    """
    with unfinished_beside(target) as around:
        new = around / NEW
        new.mkdir()
        yield new
        for file in new.iterdir():
            with file.open("rb+") as written:
                os.fsync(written.fileno())
        if target.exists():
            target.replace(around / OLD)
        new.replace(target)


@contextmanager
def unfinished_beside(target: Path) -> Iterator[Path]:
    """Yield a folder beside `target` for what is not whole yet; it is removed at the end.

    What killed processes have left of it is removed before, as `mend_folder` does.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    mend_folder(target)
    around = Path(tempfile.mkdtemp(dir=target.parent, prefix=_beginning(target), suffix=ENDING))
    try:
        with FileLock(around / LOCK):
            yield around
    finally:
        rmtree(around, ignore_errors=True)


def mend_folder(target: Path) -> None:
    """Remove what killed processes have left of `replacing_folder`; what another process is writing stays.

    Where one was killed when the old folder was away already and the new one, which is whole then, was not there yet,
    the new one is put there.
    """
    for around in _left(target.parent):
        if not (_is_of(around, target) and around.is_dir()):
            continue
        with suppress(Timeout, OSError), FileLock(around / LOCK, blocking=False):
            if (around / OLD).exists() and not target.exists():
                (around / NEW).replace(target)
            rmtree(around, ignore_errors=True)


def _unfinished(target: Path) -> tuple[int, Path]:
    """Make the file that is written in place of the target; return its handle, which holds a lock, and its path."""
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=_beginning(target), suffix=ENDING)
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
        if _is_of(path, target):
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
    return {path for path in _left(folder) if not path.is_dir()}


def _left(folder: Path) -> set[Path]:
    return {path for path in folder.glob(f".*{ENDING}") if UNFINISHED.fullmatch(path.name)}


def _beginning(target: Path) -> str:
    """How the names of what is written in place of the target begin; a long name is cut, so that they fit."""
    most = LONGEST_NAME - len(".") - len(DRAWN) - len(ENDING)
    return f".{os.fsdecode(os.fsencode(target.name)[: most - 1])}."


def _is_of(path: Path, target: Path) -> bool:
    return path.name[: -len(DRAWN + ENDING)] == _beginning(target)


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

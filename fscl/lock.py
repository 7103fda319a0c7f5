"""One process at a time works in a folder, or on a part of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fscl.errors import OutputError

LOCK = ".lock"


@contextmanager
def held(
    folder: Path, *, by: str, fix: str = "wait for it, or choose another --out", wait_seconds: float = 0.0
) -> Iterator[None]:
    """Keep other processes out of a folder until the block ends; the folder is made if it is not there.

    The lock ends with the process that holds it: a killed one leaves an empty file `.lock`, and no lock.

    Args:
        folder: that is worked in.
        by: who else may hold it, as the error calls them.
        fix: what to do then.
        wait_seconds: how long to wait for another process.

    Raises:
        OutputError: another process holds it.
        OSError: the folder cannot be written; its `filename` is `folder`.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "run"
    >>> with held(folder, by="another run"), held(folder, by="another run"):
    ...     pass
    Traceback (most recent call last):
    fscl.errors.OutputError: run: another run is at work in this folder; wait for it, or choose another --out
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=wait_seconds)
    except Timeout:
        raise OutputError(f"{folder}: {by} is at work in this folder; {fix}") from None
    except OSError as error:
        error.filename = str(folder)
        raise
    try:
        yield
    finally:
        lock.release()


@contextmanager
def taken(file: Path) -> Iterator[bool]:
    """Try to hold the lock of a file until the block ends, and tell the block whether it is held.

    The lock ends with the process that holds it; the file stays. Machines that share a file system see each other's
    locks where `flock` of that file system reaches all of them.

    Args:
        file: an empty file, made if it is not there.

    Raises:
        OSError: the folder cannot be written; its `filename` is `file`.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "locks" / "first.lock"
    >>> with taken(file) as ours, taken(file) as also:
    ...     print(ours, also)
    True False
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    except OSError as error:
        error.filename = str(file)
        raise
    try:
        yield True
    finally:
        lock.release()


def is_taken(file: Path) -> bool:
    """Tell whether a process holds the lock of a file."""
    with taken(file) as free:
        return not free

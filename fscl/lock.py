"""One process at a time works in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fscl.errors import OutputError

LOCK = ".lock"


@contextmanager
def held(folder: Path, *, by: str, fix: str = "wait for it, or choose another --out") -> Iterator[None]:
    """Keep other processes out of a folder until the block ends; the folder is made if it is not there.

    The lock ends with the process that holds it: a killed one leaves an empty file `.lock`, and no lock.

    Args:
        folder: that is worked in.
        by: who else may hold it, as the error calls them.
        fix: what to do then.

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
        lock.acquire(blocking=False)
    except Timeout:
        raise OutputError(f"{folder}: {by} is at work in this folder; {fix}") from None
    except OSError as error:
        error.filename = str(folder)
        raise
    try:
        yield
    finally:
        lock.release()

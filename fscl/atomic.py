"""Files appear whole or not at all: written beside the target, then moved onto it."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")  # .NAME.xxxxxxxx.tmp, as `replacing` calls what it writes


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path to write; on success it replaces `target`, on any error it is removed.

    Parent folders are made. The bytes reach the disk before the move, so that a power cut leaves the
    old file or the new one. The path ends in `.tmp`: a writer must not choose its format by the name.

    Raises:
        OSError: the disk is full or cannot be written; its `filename` is `target`.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "figures.json"
    >>> with replacing(target) as path:
    ...     _ = path.write_text("{}")
    >>> target.read_text()
    '{}'
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    os.close(handle)
    path = Path(name)
    try:
        yield path
        with path.open("rb+") as written:
            os.fsync(written.fileno())
        path.chmod(0o644)
        path.replace(target)
    except OSError as error:
        if error.errno is not None:
            error.filename = str(target)  # a failed write names no file, a failed move the temporary one
        raise
    finally:
        path.unlink(missing_ok=True)


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
        path.unlink(missing_ok=True)

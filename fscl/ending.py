"""How a command ends: its exit code, and what it says then of what is kept."""

import errno
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper

from cyclopts import App, CycloptsError

from fscl.errors import FsclError
from fscl.printable import printable

FIXES = dict.fromkeys(
    (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG), "choose a place that can be written"
) | dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space on that disk first")
GONE = {"--profile": "--profile is gone: --imbalance 100 alone says a long tail, leave --profile exp out"}
"""Flags of earlier releases → what to type now."""


@contextmanager
def kept(what: str) -> Iterator[None]:
    """Note on what ends a command unasked, Ctrl-C or the disk, what there is then; `run` says it."""
    try:
        yield
    except (KeyboardInterrupt, OSError) as error:
        error.add_note(what)
        raise


def run(app: App, words: Sequence[str]) -> None:
    """Run a command: exit code 0 done, 2 the user's input, 130 interrupted, 1 our fault.

    Args:
        app: the commands.
        words: the command, its arguments and flags.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console of an old code page shows ? instead of failing
    for gone in {word.partition("=")[0] for word in words} & set(GONE):
        _fail(GONE[gone])
    try:
        app(words, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        sys.exit(2)
    except FsclError as error:
        _fail(str(error))
    except KeyboardInterrupt as interruption:
        _fail("; ".join([str(interruption) or "interrupted", *_notes(interruption)]), code=130)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        fix = [FIXES[error.errno]] if error.errno in FIXES else []
        _fail("; ".join([f"{error.strerror or error}{where}", *_notes(error), *fix]))


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _fail(message: str, code: int = 2) -> None:
    print(f"fscl: {printable(message)}", file=sys.stderr)
    sys.exit(code)

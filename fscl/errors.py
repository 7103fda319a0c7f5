"""What a user can cause: one family. The command line prints the message and exits with 2, no traceback."""

import errno
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten
from typing import Any

MOST_SHOWN = 80  # characters of a value in a message
MANY = 40  # choices that are not all listed

FIXES = dict.fromkeys(
    (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG), "choose a place that can be written"
) | dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space on that disk first")
"""What the system refuses → what helps."""


NO_MEMORY = ("out of memory", "can't allocate memory")  # of a GPU; of a CPU
NEEDS_LESS = "smaller photos, smaller batches or fewer runs at once need less"


class FsclError(ValueError):
    """Something the user can mend; the message says what was expected, what came, and the fix."""


class ConfigurationError(FsclError):
    """A setting, recipe, method or option that does not exist or does not fit."""


class PhotosError(FsclError):
    """Photos, labels or tables that cannot be used."""


class UnreadableError(PhotosError):
    """A photo that cannot be read; the message is a short reason, such as `truncated file`."""


class ArchiveError(PhotosError):
    """An archive that is damaged, or a member that is not read; the message is a short reason."""


class OutputError(FsclError):
    """An output folder or file that holds something else, or cannot be written."""


class BundleError(FsclError):
    """A model folder or checkpoint that is damaged or does not fit."""


class DivergenceError(FsclError):
    """A loss that is no longer finite."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return the tail of an error about an unknown name: the nearest choice, or all, or five of many.

    >>> did_you_mean("gama", ["gamma", "alpha"])
    "; did you mean 'gamma'?"
    >>> did_you_mean("x", ["gamma", "alpha"])
    '; choose from: alpha, gamma'
    >>> did_you_mean("x", [f"model_{i}" for i in range(900)] + ["next"])
    '; the nearest of 901: next, model_99, model_98, model_97, model_96'
    """
    known = sorted(choices)
    nearest = get_close_matches(name, known, n=1)
    if nearest:
        return f"; did you mean '{nearest[0]}'?"
    if len(known) > MANY:
        near = get_close_matches(name, known, n=5, cutoff=0)
        return f"; the nearest of {len(known)}: {', '.join(near)}"
    return f"; choose from: {', '.join(known)}" if known else ""


def shown(value: object) -> str:
    """Return a value as a message shows it: as Python writes it, cut where it is long.

    >>> shown("resnet18"), len(shown("x" * 3000))
    ("'resnet18'", 80)
    """
    try:
        text = repr(value)
    except ValueError:
        text = f"a number of more than {sys.get_int_max_str_digits()} digits"
    except RecursionError:
        text = "lists in lists without end"
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"


def in_words(problem: Mapping[str, Any]) -> str:
    """Return a problem that pydantic found as the part of a message: where, what was expected, what came.

    >>> in_words({"loc": ("training", "steps"), "type": "int_type", "msg": "expected an integer", "input": "a"})
    "training.steps: expected an integer, got 'a'"
    """
    where = ".".join(str(part) for part in problem["loc"])
    got = "" if problem["type"] in ("missing", "value_error", "json_invalid") else f", got {shown(problem['input'])}"
    return f"{where}{': ' if where else ''}{problem['msg'].removeprefix('Value error, ')}{got}"


def first_line(error: Exception) -> str:
    """Return what a library said went wrong, short enough for our message.

    >>> first_line(RuntimeError("sizes do not match\\nat line 3")), first_line(KeyError())
    ('sizes do not match', 'KeyError')
    """
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return shorten(line, width=300, placeholder=" …")


def of_system(error: OSError) -> str:
    """Return an error of the system as a message: what it is, of which file, the notes on it, and what helps.

    >>> of_system(OSError(errno.ENOSPC, "No space left on device", "runs/x"))
    'No space left on device: runs/x; free some space on that disk first'
    """
    file = _in_the_way(error)
    if file is not None:  # nothing was begun there, and nothing goes on
        return f"{file}: expected a folder, found a file; choose another --out"
    where = f": {error.filename}" if error.filename else ""
    fix = [FIXES[error.errno]] if error.errno in FIXES else []
    return "; ".join([f"{error.strerror or error}{where}", *getattr(error, "__notes__", []), *fix])


def lacks_memory(error: Exception) -> bool:
    """Whether memory ran out. PyTorch says so of a CPU and of a GPU in words alone, in a RuntimeError.

    >>> lacks_memory(MemoryError()), lacks_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    (True, True)
    >>> lacks_memory(RuntimeError("sizes do not match"))
    False
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    )


def of_memory(error: Exception) -> str:
    """Return an error of too little memory as a message: what it is, the notes on it, and what helps.

    >>> of_memory(MemoryError())
    'too little memory (MemoryError); smaller photos, smaller batches or fewer runs at once need less'
    """
    notes = getattr(error, "__notes__", [])
    return "; ".join([f"too little memory ({first_line(error)})", *notes, NEEDS_LESS])


def _in_the_way(error: OSError) -> Path | None:
    """Return the file that stands where a folder was to be made, if that is what is wrong."""
    if error.errno not in (errno.ENOTDIR, errno.EEXIST) or not isinstance(error.filename, str):
        return None
    place = Path(error.filename)
    return next((path for path in (place, *place.parents) if path.is_file()), None)

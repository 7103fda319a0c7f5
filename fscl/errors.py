"""What a user can cause: one family. The command line prints the message and exits with 2, no traceback."""

import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from textwrap import shorten
from typing import Any

MOST_SHOWN = 80  # characters of a value in a message
MANY = 40  # choices that are not all listed


class FsclError(ValueError):
    """Something the user can mend; the message says what was expected, what came, and the fix."""


class ConfigurationError(FsclError):
    """A setting, recipe, method or option that does not exist or does not fit."""


class PhotosError(FsclError):
    """Photos, labels or tables that cannot be used."""


class UnreadableError(PhotosError):
    """A photo that cannot be read; the message is a short reason, such as `truncated file`."""


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

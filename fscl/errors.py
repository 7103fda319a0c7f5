"""What a user can cause: one family. The command line prints the message and exits with 2, no traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


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
    """Return the tail of an error about an unknown name: the nearest choice, or all of them.

    >>> did_you_mean("gama", ["gamma", "alpha"])
    "; did you mean 'gamma'?"
    >>> did_you_mean("x", ["gamma", "alpha"])
    '; choose from: alpha, gamma'
    """
    known = sorted(choices)
    nearest = get_close_matches(name, known, n=1)
    if nearest:
        return f"; did you mean '{nearest[0]}'?"
    return f"; choose from: {', '.join(known)}" if known else ""

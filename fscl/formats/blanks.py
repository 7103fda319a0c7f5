"""Photos without an animal, under all the names that programs have for them: left out, or the class `blank`."""

import pandas as pd

from fscl.manifest import reasons
from fscl.printable import number_of
from fscl.species import plain

BLANK = "blank"
WORDS = frozenset(plain(word) for word in ("blank", "empty", "no animal", "no animals", "nothing", "vacía", "vide"))
LEFT_OUT = "blank, left out (--blanks makes blank photos a class)"


def is_blank(label: object) -> bool:
    """Tell a label that stands for no animal.

    >>> [is_blank(label) for label in ("Empty", "no_animal", "fox", None)]
    [True, True, False, False]
    """
    return isinstance(label, str) and plain(label) in WORDS


def with_blanks(columns: pd.DataFrame, blank: pd.Series, *, wanted: bool) -> tuple[pd.DataFrame, list[str]]:
    """Return the columns with the label `blank` on photos without an animal, and a remark on how many there are.

    Args:
        columns: `label` and `problem`.
        blank: which rows are without an animal.
        wanted: they are a class; else they get a `problem`.
    """
    if not blank.any():
        return columns, []
    count = int(blank.sum())
    without = f"{number_of(count, 'row')} without an animal {'is' if count == 1 else 'are'}"
    columns = columns.assign(label=columns["label"].mask(blank, BLANK))
    if wanted:
        return columns, [f"{without} the class {BLANK}"]
    problem = reasons.added(columns["problem"], reasons.where(blank, LEFT_OUT))
    return columns.assign(problem=problem), [f"{without} left out; with --blanks they are the class {BLANK}"]

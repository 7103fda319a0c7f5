"""Names of classes, sites and sequences, in the one form that the manifest keeps."""

import unicodedata
from collections.abc import Sequence

CLASS_PREFIX = "p:"
# What takes no place: joiners, marks of direction, soft hyphens, a byte-order mark within text.
NO_WIDTH = dict.fromkeys(
    [0xAD, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF]
)


def tidy(text: str) -> str:
    """Return a name in the one form that it is compared in, and no more: case, signs and zeros stay.

    Letters are composed (NFC), white space of every kind and length becomes one space, none is left around the name,
    and what has no width is dropped.

    >>> tidy(" roe\u00a0 deer\u200b"), tidy("Fu\u0308chse")
    ('roe deer', 'Füchse')
    """
    return " ".join(unicodedata.normalize("NFC", text.translate(NO_WIDTH)).split())


def class_columns(classes: Sequence[str], own: Sequence[str]) -> dict[str, str]:
    """Return the column of each class in a table that has others: no two share one.

    >>> class_columns(["deer", "problem", "p:problem"], ["filepath", "problem"])
    {'deer': 'deer', 'problem': 'p:p:problem', 'p:problem': 'p:problem'}
    """
    taken = {*classes, *own}
    columns = {}
    for name in classes:
        column = name
        while column in own or (column != name and column in taken):
            column = CLASS_PREFIX + column
        taken.add(column)
        columns[name] = column
    return columns

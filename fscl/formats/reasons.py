"""Why a row cannot be used, in the words of the manifest's column `problem`; several are joined by `; `."""

from collections.abc import Iterable

import pandas as pd

from fscl.images import UnreadableError

SEPARATOR = "; "


def of_unreadable(error: UnreadableError) -> str:
    """Say why a photo cannot be read.

    >>> of_unreadable(UnreadableError("truncated file"))
    'unreadable: truncated file'
    """
    return str(error) if str(error) == "missing file" else f"unreadable: {error}"


def where(rows: pd.Series, reason: str) -> pd.Series:
    """Return the reason in the rows that are true, nothing in the others."""
    return pd.Series([reason if concerned else None for concerned in rows], index=rows.index, dtype="str")


def added(reasons: pd.Series, more: pd.Series) -> pd.Series:
    """Return the reasons of each row with one more, where there is one more and it is not said yet.

    >>> added(pd.Series(["no label", "no label"]), pd.Series(["missing file", None])).tolist()
    ['no label; missing file', 'no label']
    """
    both = [joined([old, new]) for old, new in zip(reasons, more, strict=True)]
    return pd.Series(both, index=reasons.index, dtype="str")


def counted(reasons: pd.Series) -> pd.Series:
    """Return one entry per reason and row, by row, so that they can be counted and listed."""
    return reasons.dropna().str.split(SEPARATOR).explode()


def joined(reasons: Iterable[object]) -> str | None:
    """Return reasons as one, each said once; what is no text is passed over.

    >>> joined(["no label", None, "no label; missing file"])
    'no label; missing file'
    """
    said = [reason for text in reasons if isinstance(text, str) for reason in text.split(SEPARATOR)]
    return SEPARATOR.join(dict.fromkeys(said)) or None

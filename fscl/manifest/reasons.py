"""Why a row cannot be used, in the words of the manifest's column `problem`; several are joined by `; `."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from fscl.images import UnreadableError

SEPARATOR = "; "
LISTED = 3  # examples of each reason
UNREADABLE = "unreadable: "  # before why a file cannot be read; tables of answers have the reason alone


def of_unreadable(error: UnreadableError) -> str:
    """Say why a photo cannot be read.

    >>> of_unreadable(UnreadableError("truncated file"))
    'unreadable: truncated file'
    """
    return str(error) if str(error) == "missing file" else f"{UNREADABLE}{error}"


def where(rows: pd.Series, reason: str) -> pd.Series:
    """Return the reason in the rows that are true, nothing in the others."""
    return pd.Series([reason if concerned else None for concerned in rows], index=rows.index, dtype="str")


def added(reasons: pd.Series, more: pd.Series) -> pd.Series:
    """Return the reasons of each row with one more, where there is one more and it is not said yet.

    >>> added(pd.Series(["no label", "no label"]), pd.Series(["missing file", None])).tolist()
    ['no label; missing file', 'no label']
    """
    if more.isna().all():
        return reasons.astype("str")
    both = [joined([old, new]) for old, new in zip(reasons, more, strict=True)]
    return pd.Series(both, index=reasons.index, dtype="str")


def without(reasons: pd.Series, beginnings: tuple[str, ...]) -> pd.Series:
    """Return the reasons of each row without those that begin so.

    >>> without(pd.Series(["no label (NA); missing file", "no label"]), ("no label",)).tolist()
    ['missing file', nan]
    """
    each = counted(reasons)
    kept = each[~each.str.startswith(beginnings)]
    return kept.groupby(level=0).agg(SEPARATOR.join).reindex(reasons.index).astype("str")


def counted(reasons: pd.Series) -> pd.Series:
    """Return one entry per reason and row, by row, so that they can be counted and listed."""
    return reasons.dropna().str.split(SEPARATOR).explode()


def tally(rows: pd.DataFrame) -> dict[str, Any]:
    """Return how many manifest rows cannot be used, and why: `unusable` of docs/schema.md.

    >>> rows = pd.DataFrame({"path": ["a.jpg", "b.jpg", "c.jpg"], "label": ["fox", None, "fox"]})
    >>> tally(rows.assign(problem=["missing file", None, None]))["rows"]
    2
    """
    whole = rows["problem"].mask(rows["problem"].isna() & rows["label"].isna(), "no label").dropna()
    each = counted(whole)
    return {
        "rows": len(whole),
        "reasons": [
            {
                "reason": reason,
                "rows": int(count),
                "paths": rows.loc[each.index[each == reason], "path"].drop_duplicates().head(LISTED).tolist(),
            }
            for reason, count in sorted(each.value_counts().items(), key=lambda pair: (-pair[1], pair[0]))
        ],
    }


def joined(reasons: Iterable[object]) -> str | None:
    """Return reasons as one, each said once; what is no text is passed over.

    >>> joined(["no label", None, "no label; missing file"])
    'no label; missing file'
    """
    said = [reason for text in reasons if isinstance(text, str) for reason in text.split(SEPARATOR)]
    return SEPARATOR.join(dict.fromkeys(said)) or None

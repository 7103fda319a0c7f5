"""Cells of a table as text, however the table stores them."""

import numpy as np
import pandas as pd

from fscl.errors import PhotosError

MISSING = frozenset(("", "-", "--", "?", "na", "n/a", "n.a.", "#n/a", "nan", "<na>", "nat", "none", "null"))
"""Words, in lower case, by which tables say that there is nothing."""


def as_text(column: pd.Series) -> pd.Series:
    """Return the cells as text without spaces around it; empty ones are missing.

    A column of numbers has one form for each number: 3, not 3.0. What is text stays as it was written, 3.0 too.

    Raises:
        PhotosError: a column of lists.

    >>> as_text(pd.Series([3.0, 2.5, None])).tolist()
    ['3', '2.5', nan]
    >>> as_text(pd.Series(["3.0", " 3 ", ""])).tolist()
    ['3.0', '3', nan]
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_float_dtype(column.dtype):
        column = column.astype("float64").map(_number, na_action="ignore")
    elif column.dtype == object:
        column = column.map(lambda value: _plain(value, str(column.name)), na_action="ignore")
    text = column.convert_dtypes().astype("str").str.strip()
    return text.mask(text == "")


def is_missing_word(text: pd.Series) -> pd.Series:
    """Tell the cells that hold a word for nothing, such as NA or null; missing ones are none.

    >>> is_missing_word(pd.Series(["NA", "Null", "fox", None])).tolist()
    [True, True, False, False]
    """
    return text.str.strip().str.lower().isin(MISSING - {""})


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(float(value))


def _plain(value: object, heading: str) -> object:
    """What is in a column of any kind of value; old writers of Parquet store text as bytes."""
    if isinstance(value, list | tuple | dict | set | np.ndarray):
        raise PhotosError(f"column {heading}: expected one text or number in a cell, got {value}")
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value

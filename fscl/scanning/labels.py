"""Labels renamed and merged by a class map, and labels that look like a slip of the pen."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fscl.errors import PhotosError, did_you_mean
from fscl.formats.tables import delimited
from fscl.manifest.names import tidy

# A slip is rare beside the label it was meant to be. Real rare species resemble a common one by name, too
# (roe deer, red deer): this is a warning for the eye, and nothing is changed.
MOST_SLIPS = 5
SLIPS_PER_PHOTO = 0.05
LONG_LABEL = 8  # letters from which on two slips count
LETTERS = 32  # columns of letter counts: an alphabet


class Suspicion(NamedTuple):
    """A label that may be a misspelling of another."""

    label: str
    rows: int
    meant: str
    meant_rows: int


def read_class_map(path: Path) -> dict[str, str | None]:
    """Read a CSV with the columns `label,class`: what each label is called from now on, None to drop it.

    Raises:
        PhotosError: other columns, a row without label, or one label twice.
    """
    table = delimited.read(path).rows
    if not {"label", "class"} <= set(table.columns):
        raise PhotosError(f"{path}: expected the columns label,class, got {','.join(table.columns)}")
    labels, classes = (table[name].map(tidy, na_action="ignore").astype("str") for name in ("label", "class"))
    labels = labels.mask(labels == "")
    twice = labels[labels.duplicated()]
    if labels.isna().any() or len(twice):
        what = "a row without label" if labels.isna().any() else f"'{twice.iloc[0]}' twice"
        raise PhotosError(f"{path}: expected each label once, got {what}")
    return {label: name or None for label, name in zip(labels, classes.fillna(""), strict=True)}


def apply_class_map(labels: pd.Series, class_map: dict[str, str | None], path: Path) -> pd.Series:
    """Rename labels; those that the map does not name stay, those it leaves blank become missing.

    Raises:
        PhotosError: the map (from `path`) names labels that are not there.

    >>> labels = pd.Series(["roe deer", "roebuck", "fox", "blank"])
    >>> apply_class_map(labels, {"roebuck": "roe deer", "blank": None}, Path("map.csv")).tolist()
    ['roe deer', 'roe deer', 'fox', nan]
    """
    known = set(labels.dropna())
    unknown = [f"'{label}'{did_you_mean(label, known)}" for label in class_map if label not in known]
    if unknown:
        raise PhotosError(f"{path}: expected labels of the photos, got " + "\n  ".join(unknown))
    return labels.map(lambda label: class_map.get(label, label), na_action="ignore").astype("str")


def suspicions(labels: pd.Series) -> list[Suspicion]:
    """Find labels that differ from a more frequent one by case, spaces or signs, or rare ones by a letter.

    >>> [suspicion] = suspicions(pd.Series(["red fox"] * 100 + ["Red_Fox"] * 40 + ["badger"] * 9))
    >>> suspicion
    Suspicion(label='Red_Fox', rows=40, meant='red fox', meant_rows=100)
    """
    counts = labels.value_counts()
    names, rows = [str(label) for label in counts.index], counts.to_numpy()
    plains = [_plain(name) for name in names]
    letters = _letter_counts(plains)
    first_of: dict[str, int] = {}
    suspected = []
    for place, plain in enumerate(plains):
        meant = first_of.setdefault(plain, place)
        if rows[place] <= MOST_SLIPS:
            frequent = np.count_nonzero(SLIPS_PER_PHOTO * rows[:meant] >= rows[place])  # most rows come first
            apart = np.abs(letters[:frequent] - letters[place]).sum(axis=1)
            near = np.flatnonzero(apart <= 2 * _allowed(plain))  # a letter replaced: one more, one less
            meant = next((other for other in near.tolist() if _is_slip(plain, plains[other])), meant)
        if meant != place:
            suspected.append(Suspicion(names[place], int(rows[place]), names[meant], int(rows[meant])))
    return suspected


def written_apart(names: pd.Series) -> list[Suspicion]:
    """Find names, such as sites, that differ from a more frequent one by case, spaces, signs or zeros only.

    >>> [suspicion] = written_apart(pd.Series(["Cam01"] * 9 + ["cam 1"] * 4 + ["cam 11"] * 5))
    >>> suspicion
    Suspicion(label='cam 1', rows=4, meant='Cam01', meant_rows=9)
    """
    counts = names.value_counts()
    first_of: dict[str, tuple[str, int]] = {}
    suspected = []
    for name, rows in zip(map(str, counts.index), map(int, counts), strict=True):
        meant, meant_rows = first_of.setdefault(_plain(name), (name, rows))
        if meant != name:
            suspected.append(Suspicion(name, rows, meant, meant_rows))
    return suspected


def _plain(label: str) -> str:
    """A name without case, spaces and signs; numbers without zeros that do not count: 001 and 1.0 are 1."""
    whole = re.sub(r"(?<![\d.,])0+(?=\d)|(?<=\d)[.,]0+(?![\d.,])", "", label)
    apart = re.sub(r"(?<=\d)[\W_]+(?=\d)", "-", whole)  # 1-12 is not 11-2
    return re.sub(r"[^\w-]|_|-(?!\d)|(?<!\d)-", "", apart).casefold() or label


def _letter_counts(labels: list[str]) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    """Count the letters of each label, (labels, LETTERS); letters beyond LETTERS share the columns.

    Labels far apart here are far apart in edits, which are too slow to count for all pairs of thousands.
    """
    counts = np.zeros((len(labels), LETTERS), dtype=np.int16)
    for row, label in enumerate(labels):
        for letter in label:
            counts[row, ord(letter) % LETTERS] += 1
    return counts


def _allowed(label: str) -> int:
    return 2 if len(label) >= LONG_LABEL else 1


def _is_slip(label: str, other: str) -> bool:
    if re.sub(r"\D", "", label) != re.sub(r"\D", "", other):  # area1 and area2 are two things
        return False
    allowed = _allowed(label)
    return abs(len(label) - len(other)) <= allowed and _edits(label, other) <= allowed


def _edits(a: str, b: str) -> int:
    """Levenshtein distance: letters inserted, left out or replaced."""
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        above, row = row, [i]
        for j, other in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != other)))
    return row[-1]

"""Tables of known programs: what they have in several columns becomes the one that the reader looks for."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pandas as pd

from fscl.formats.blanks import is_blank
from fscl.formats.boxes import Frame
from fscl.formats.detections import CONFIDENCE
from fscl.formats.tables.cells import as_text
from fscl.formats.tables.label_columns import TRUE
from fscl.manifest import reasons

DELETED = "marked for deletion (DeleteFlag)"
CORRUPT = {"corrupted": "unreadable: Timelapse calls it corrupted", "missing": "missing file"}
EMPTY, ANIMAL = "0", "1"  # categories of animl: MegaDetector's, and that of a photo in which nothing was found
NO_ANIMAL = {"2": "no animal: a person", "3": "no animal: a vehicle"}


class Adapted(NamedTuple):
    """A table with columns that the reader knows, and what its program says of rows."""

    table: pd.DataFrame
    problems: pd.Series
    remarks: list[str]
    frame: Frame | None = None
    """What the boxes are drawn on, where the program says it."""
    has_confidence: bool = False
    """Rows are boxes of a detector."""


def adapted(table: pd.DataFrame, headings: Mapping[str, str], confidence: float | None) -> Adapted:
    """Return the table of a program as a table of photos; any other one as it is.

    Args:
        table: as it was read.
        headings: those of the table, by their plain form.
        confidence: from 0 to 1, of boxes of a detector (0.3).
    """
    for known, adapt in PROGRAMS:
        if known <= set(headings):
            return adapt(table, headings, CONFIDENCE if confidence is None else confidence)
    return Adapted(table, _none(table), [])


def _timelapse(table: pd.DataFrame, headings: Mapping[str, str], _: float) -> Adapted:
    """Photos lie in RelativePath below the folder of the table; older tables have a date and a time apart."""
    deleted = as_text(table[headings["deleteflag"]]).str.lower().isin(TRUE)
    problems = reasons.where(deleted, DELETED)
    if "imagequality" in headings:
        quality = as_text(table[headings["imagequality"]]).str.lower().map(CORRUPT)
        problems = reasons.added(problems, quality.astype("str"))
    if "datetime" not in headings and {"date", "time"} <= set(headings):
        table = table.assign(datetime=as_text(table[headings["date"]]) + " " + as_text(table[headings["time"]]))
    return Adapted(_in_folders(table, headings["relativepath"], headings["file"]), problems, ["a table of Timelapse"])


def _camtrap_r(table: pd.DataFrame, headings: Mapping[str, str], _: float) -> Adapted:
    photos = _in_folders(table, headings["directory"], headings["filename"])
    return Adapted(photos, _none(table), ["a record table of camtrapR"])


def _animl(table: pd.DataFrame, headings: Mapping[str, str], confidence: float) -> Adapted:
    """Rows are boxes of MegaDetector; the label is the prediction, where there is one."""
    category = as_text(table[headings["category"]]).str.removesuffix(".0")
    sure = pd.to_numeric(as_text(table[headings["conf"]]), errors="coerce")
    label = as_text(table[headings["prediction"]]) if "prediction" in headings else _none(table)
    blank = (category == EMPTY) | label.map(is_blank)
    problems = reasons.added(
        category.map(NO_ANIMAL).astype("str"),
        reasons.where((category == ANIMAL) & ~(sure >= confidence), f"a box of less confidence than {confidence:g}"),
    )
    renamed = table.rename(columns={headings["category"]: "detection_category", headings["conf"]: "detection_conf"})
    said = "the predictions" if "prediction" in headings else "missing"
    return Adapted(
        renamed.assign(label=label.mask(blank), is_blank=blank.map({True: "1", False: "0"})),
        problems,
        [f"a table of animl: a row is a box, labels are {said}"],
        frame="upright",
        has_confidence=True,
    )


def _in_folders(table: pd.DataFrame, folder: str, file: str) -> pd.DataFrame:
    """The table with the folder before each name of a file."""
    folders = as_text(table[folder]).str.rstrip("/\\").fillna("")
    names = as_text(table[file])
    return table.assign(**{file: names.where(folders == "", folders + "/" + names)})


def _none(table: pd.DataFrame) -> pd.Series:
    return pd.Series(None, index=table.index, dtype="str")


PROGRAMS: tuple[tuple[frozenset[str], Callable[[pd.DataFrame, Mapping[str, str], float], Adapted]], ...] = (
    (frozenset({"file", "relativepath", "deleteflag"}), _timelapse),
    (frozenset({"station", "species", "directory", "filename"}), _camtrap_r),
    (frozenset({"maxdetectionconf", "category", "conf"}), _animl),
)
"""The headings that tell a program, without case, spaces, _ and -, and what is done to its table."""

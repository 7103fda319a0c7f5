"""Records of other programs, a photo or an animal each, become a manifest; what is wrong with one is its problem."""

from collections.abc import Iterable, Mapping
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from pydantic import ValidationError

from fscl.errors import PhotosError, in_words
from fscl.formats import boxes
from fscl.formats.blanks import is_blank, with_blanks
from fscl.formats.json_document import Record
from fscl.formats.reading import Reading
from fscl.formats.tables.cells import is_missing_word
from fscl.formats.tables.paths import place_paths
from fscl.formats.tables.times import read_times
from fscl.images import Box, Header
from fscl.manifest import reasons
from fscl.manifest.names import tidy
from fscl.manifest.table import BOX, Manifest

OURS = ["path", "label", "site", "sequence", "time", "problem", "note"]
SEVERAL_LABELS = "several labels for one photo"
FRAMES: tuple[boxes.Frame, ...] = ("stored", "upright")
OF_SEQUENCE = "the label is that of its sequence"
UNBOXED = "no box, beside others of its photo with one"
SAME_SHAPE = (
    0.02  # by which the shape of a photo may differ from the one that its record says: sides are whole pixels
)


class Drawn(NamedTuple):
    """A box as a source gives it."""

    box: Box
    unit: boxes.Unit
    size: tuple[float, float] | None = None
    """Width and height of the photo that a box in pixels was drawn on, where the source says it."""


def unreadable(error: ValidationError, where: str) -> str:
    """Return the problem of a record that is not as its format has it.

    Args:
        error: what pydantic says.
        where: the record, such as `images[3]`.
    """
    said = in_words(dict(error.errors(include_url=False)[0])).replace(reasons.SEPARATOR, ", ")
    return f"unreadable record {where}: {said}"


def scalars(record: Mapping[str, Any], prefix: str) -> Record:
    """Return the texts and numbers of a record as columns of their own."""
    return {f"{prefix}{key}": value for key, value in record.items() if isinstance(value, str | int | float)}


def of_one_photo(said: Iterable[Record]) -> list[Record]:
    """Return what the records of a photo say, without those that repeat another and have no box.

    Args:
        said: of any of `label`, `problem` and `drawn`, which is a `Drawn`, or why a box is none.

    >>> of_one_photo([{"label": "fox"}, {"label": "fox"}, {"label": "fox", "drawn": "box without area"}])
    [{'label': 'fox', 'problem': 'no box, beside others of its photo with one'}, \
{'label': 'fox', 'drawn': None, 'problem': 'box without area'}]
    """
    given = list(said)
    boxed = any(each.get("drawn") is not None for each in given)
    rows: list[Record] = []
    seen: set[object] = set()
    for each in given:
        drawn, label = each.get("drawn"), each.get("label")
        if isinstance(drawn, str):
            rows.append(each | {"drawn": None, "problem": reasons.joined([each.get("problem"), drawn])})
        elif drawn is not None or each.get("problem") is not None:
            rows.append(each)
        elif label not in seen:
            seen.add(label)
            rows.append(each | ({"problem": UNBOXED} if boxed else {}))
    return rows


def manifest_of(
    rows: Iterable[Record],
    source: Path,
    reading: Reading,
    *,
    start: Path | None = None,
    frame: boxes.Frame = "upright",
    remarks: Iterable[str] = (),
) -> Manifest:
    """Make a manifest of records.

    A photo that is no file of this machine, a second label or record of a photo, and a record without a box beside
    others with one become rows with a `problem`; photos without an animal as the user says.

    Args:
        rows: of any of `path` (always), `label`, `site`, `sequence`, `time` (text), `problem`, `note`, `drawn` (a
            `Drawn`), and columns that are not ours.
        source: for messages.
        reading: `root`, `box_frame`, `date_order`, `blanks` and `labels` of it.
        start: the folder or zip that paths are relative to, if not that of the source.
        frame: what the boxes are drawn on, where neither the user nor the size of the photo says it.
        remarks: what is said of all.

    Raises:
        PhotosError: there are no records; photos on several drives.
    """
    columns = pd.DataFrame(list(rows))
    if columns.empty:
        raise PhotosError(f"{source}: expected records of photos, got none")
    columns = columns.reindex(columns=list(dict.fromkeys([*OURS, *columns])))
    placed = place_paths(columns["path"], source, reading.root or start or source.parent, needs_files=False)
    times = read_times(columns["time"].astype("str"), reading.date_order)
    columns = columns.assign(
        path=placed.paths,
        **{name: _tidy(columns[name]) for name in ("label", "site", "sequence")},
        datetime=times.times,
        note=reasons.added(columns["note"].astype("str"), times.notes),
        problem=reasons.added(placed.problems, columns["problem"].astype("str")),
    ).drop(columns="time")
    if "drawn" in columns:
        columns["drawn"] = columns["drawn"].where(placed.problems.isna())
    nothing = is_missing_word(columns["label"]) & ~columns["label"].isin(reading.labels)
    none = ("no label (" + columns["label"] + ")").where(nothing)
    columns = columns.assign(
        label=columns["label"].mask(nothing),
        problem=reasons.added(columns["problem"], none),
        sequence=unique_across_sites(columns["sequence"], columns["site"]),
    )
    columns, of_blanks = with_blanks(columns, columns["label"].map(is_blank), wanted=reading.blanks)
    columns = _with_boxes(columns, placed.root, reading.box_frame, frame)
    columns["problem"] = reasons.added(columns["problem"], repeats(columns))
    return Manifest.build(_storable(columns), placed.root, (*remarks, *times.remarks, *of_blanks))


def unique_across_sites(sequence: pd.Series, site: pd.Series) -> pd.Series:
    """Return names of sequences with the site before them where several sites have one: cameras count from 1 each."""
    if (site.groupby(sequence).nunique() > 1).any():
        return (site + "/" + sequence).fillna(sequence)
    return sequence


def repeats(columns: pd.DataFrame) -> pd.Series:
    """Return why a row that says something again, or the contrary, cannot be used."""
    again = columns.duplicated(["path", "label", *BOX])
    whole = columns["x"].isna() & ~again
    labels = columns["label"].where(whole).groupby(columns["path"]).transform("nunique")
    return reasons.where(whole & (labels > 1), SEVERAL_LABELS).mask(again, "duplicate row")


def _tidy(names: pd.Series) -> pd.Series:
    text = names.astype("str").map(tidy, na_action="ignore").astype("str")
    return text.mask(text == "")


def _with_boxes(columns: pd.DataFrame, root: Path, asked_for: boxes.Frame | None, usual: boxes.Frame) -> pd.DataFrame:
    """The boxes in pixels of the upright photo, in place of the column `drawn`."""
    drawn = [each if isinstance(each, Drawn) else None for each in columns.get("drawn", [None] * len(columns))]
    columns = columns.drop(columns="drawn", errors="ignore")
    given = [boxes.NO_BOX if each is None else each.box for each in drawn]
    columns[BOX] = pd.DataFrame(given, index=columns.index, columns=BOX, dtype="float64")
    headers = boxes.read_headers(columns, root)
    fitted = [
        None if each is None else _fitted(each, headers[path], asked_for, usual)
        for each, path in zip(drawn, columns["path"], strict=True)
    ]
    columns[BOX] = pd.DataFrame(
        [boxes.NO_BOX if each is None else each.box for each in fitted], index=columns.index, columns=BOX
    )
    for name in ("problem", "note"):
        said = pd.Series([each and getattr(each, name) for each in fitted], index=columns.index, dtype="str")
        columns[name] = reasons.added(columns[name], said)
    for unit in ("pixel", "fraction"):
        for frame in FRAMES:
            of_both = pd.Series(
                [each is not None and (each.unit, each.frame) == (unit, frame) for each in fitted], columns.index
            )
            if of_both.any():
                columns[of_both] = boxes.turn_upright(columns[of_both], headers, unit=unit, frame=frame)
    return columns


class _Fitted(NamedTuple):
    box: Box
    unit: boxes.Unit
    frame: boxes.Frame
    note: str | None = None
    problem: str | None = None


def _fitted(drawn: Drawn, header: Header | str, asked_for: boxes.Frame | None, usual: boxes.Frame) -> _Fitted:
    """A box as it lies in the photo that is there: turned or made smaller since the box was drawn."""
    if drawn.size is None or isinstance(header, str):
        return _Fitted(drawn.box, drawn.unit, asked_for or usual)
    frames = (asked_for,) if asked_for else sorted(FRAMES, key=lambda frame: frame != usual)
    scales = {frame: _scale(drawn.size, header, frame) for frame in frames}
    frame = min(scales, key=lambda frame: round(abs(log(scales[frame][0] / scales[frame][1])), 3))
    across, down = scales[frame]
    if across == down == 1 or drawn.unit != "pixel":
        return _Fitted(drawn.box, drawn.unit, frame)
    of_record = f"its record says {drawn.size[0]:g} × {drawn.size[1]:g} px, the photo has another "
    if abs(log(across / down)) > SAME_SHAPE:
        return _Fitted(boxes.NO_BOX, drawn.unit, frame, problem=f"{of_record}shape: its box may lie anywhere")
    x, y, w, h = drawn.box
    return _Fitted(
        (x * across, y * down, w * across, h * down), drawn.unit, frame, note=f"{of_record}size: box scaled"
    )


def _scale(size: tuple[float, float], header: Header, frame: boxes.Frame) -> tuple[float, float]:
    width, height = boxes.stored_size(header) if frame == "stored" else (header.width, header.height)
    return width / size[0], height / size[1]


def _storable(columns: pd.DataFrame) -> pd.DataFrame:
    """The columns that are not ours, each of one kind of value: where numbers and texts are mixed all become text."""
    for name in [name for name in columns if columns[name].dtype == object]:
        converted = columns[name].convert_dtypes()
        columns[name] = converted.astype("str") if converted.dtype == object else converted
    return columns

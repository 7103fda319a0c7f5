"""A table of photos, CSV or Parquet: a row per photo or per box, columns under their usual names."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fscl.errors import ConfigurationError, PhotosError, first_line
from fscl.formats import boxes
from fscl.formats.class_folders.layouts import SPLIT_NAMES
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.formats.records import repeats, unique_across_sites
from fscl.formats.tables import delimited
from fscl.formats.tables.box_columns import as_size, find_box_columns, incomplete_box, read_box_numbers
from fscl.formats.tables.box_units import measure
from fscl.formats.tables.cells import as_text, is_missing_word
from fscl.formats.tables.label_columns import NO_LABELS, ONE_COLUMN, LabelColumns, find_label_columns, read_labels
from fscl.formats.tables.paths import place_paths
from fscl.formats.tables.programs import adapted
from fscl.formats.tables.times import read_times
from fscl.formats.walk import PHOTO_SUFFIXES
from fscl.manifest import reasons
from fscl.manifest.names import tidy
from fscl.manifest.table import BOX, COLUMNS, MAY_BE_ABSENT, Manifest, is_manifest, read_parquet
from fscl.printable import number_of

NAMES = {
    "path": ("file path", "path", "file name", "file", "image path", "image", "photo"),
    "site": (
        *("site", "location", "camera", "station", "place", "deployment", "site id", "location id"),
        "deployment id",
    ),
    "sequence": ("sequence", "sequence id", "seq id", "burst", "event id", "clip"),
    "datetime": ("datetime", "timestamp", "date time original"),
    "split": ("split", "subset"),
}
"""Our column → what others call it; the first found is taken. Case, spaces, `_` and `-` do not count."""

OURS = {*COLUMNS, *MAY_BE_ABSENT}


def recognises(source: Path) -> bool:
    """Tell a table by its suffix; a manifest is none.

    Raises:
        PhotosError: a file of that name that is not parquet.
    """
    suffix = source.suffix.lower()
    return source.is_file() and (suffix in (".csv", ".tsv") or (suffix == ".parquet" and not is_manifest(source)))


def read(table: Path, reading: Reading = NOTHING_SAID) -> Manifest:
    """Read a table of photos. Paths are relative to its folder, or to the root that the user gives; or absolute.

    Rows that cannot be used stay, with a `problem`. Columns that are not ours stay as they came, as `source_…` where
    the name is one of ours. What was left out of a row that can be used is said in its `note`, what was understood of
    the whole table in the `remarks` of the manifest.

    Raises:
        PhotosError: no table, no column of paths or labels, rows without path, no path of this machine, unknown
            splits, or boxes of which some are fractions and others are not.
    """
    source, remarks = (_read_parquet(table), []) if table.suffix.lower() == ".parquet" else delimited.read(table)
    program = adapted(source, _headings(source), reading.detection_confidence)
    source, frame = program.table, reading.box_frame or program.frame or "stored"
    headings = _headings(source)
    theirs = {ours: next(_there(headings, names), None) for ours, names in NAMES.items()}
    theirs["site"] = next((site for site in _there(headings, NAMES["site"]) if not _has_urls(source[site])), None)
    label_columns = find_label_columns(headings) or (NO_LABELS if reading.unlabelled else None)
    _check_headings(source, table, theirs["path"], label_columns)
    assert label_columns is not None, "refused above"
    _check_said(
        reading,
        table,
        has_times=theirs["datetime"] is not None,
        has_boxes=find_box_columns(headings) is not None,
        has_confidence=program.has_confidence,
    )
    _check_twins(source, table, [*filter(None, theirs.values()), *label_columns.headings])
    columns, of_words = _texts(source, theirs)
    _check(columns, table)
    labels = read_labels(source, label_columns, reading.labels, blanks=reading.blanks)
    times = read_times(source[theirs["datetime"]] if theirs["datetime"] else columns["datetime"], reading.date_order)
    placed = place_paths(columns["path"], table, reading.root or table.parent)
    columns = columns.assign(
        path=placed.paths,
        label=labels.labels,
        split=columns["split"].str.lower().map(SPLIT_NAMES),
        sequence=unique_across_sites(columns["sequence"], columns["site"]),
        datetime=times.times,
        note=times.notes,
        problem=reasons.added(reasons.added(program.problems, labels.problems), placed.problems),
    )
    boxed = _with_boxes(columns, source, headings, placed.root, reading, frame)
    columns = boxed.columns.assign(problem=reasons.added(boxed.columns["problem"], repeats(boxed.columns)))
    if boxed.unit is not None:
        columns = boxes.turn_upright(columns, boxed.photos, unit=boxed.unit, frame=frame)
    used = {*theirs.values(), *boxed.headings, *([] if label_columns.in_ranks else label_columns.headings)}
    others = source[[name for name in source.columns if name not in used]]
    others = others.rename(columns=lambda name: f"source_{name}" if name in OURS else name)
    remarks = [*remarks, *program.remarks, *labels.remarks, *boxed.remarks, *times.remarks, *of_words]
    return Manifest.build(pd.concat([columns, others], axis="columns"), placed.root, tuple(remarks))


def _headings(source: pd.DataFrame) -> dict[str, str]:
    """The headings of a table by their plain form."""
    headings: dict[str, str] = {}
    for name in source.columns:
        headings.setdefault(_plain(name), name)
    return headings


def _read_parquet(path: Path) -> pd.DataFrame:
    table = read_parquet(path)
    try:
        rows: pd.DataFrame = table.to_pandas()
    except Exception as error:  # the damaged description by pandas in a file raises almost anything
        raise PhotosError(f"{path} cannot be read as parquet: {first_line(error)}") from error
    rows = rows.reset_index(drop=rows.index.name is None)  # pandas may have kept the paths as its index
    rows = rows.set_axis(rows.columns.map(str), axis="columns")
    if not rows.columns.is_unique:
        raise PhotosError(
            f"{path}: expected each column once, got {', '.join(rows.columns[rows.columns.duplicated()])}"
        )
    return rows


def _there(headings: Mapping[str, str], names: Iterable[str]) -> Iterator[str]:
    return (headings[_plain(name)] for name in names if _plain(name) in headings)


def _has_urls(column: pd.Series) -> bool:
    """Tell the column `location` of Wildlife Insights: where a photo is stored, not where it was taken."""
    return bool(as_text(column).str.contains("://", na=False).any())


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", tidy(name)).lower()


def _check_headings(source: pd.DataFrame, table: Path, path: str | None, label: LabelColumns | None) -> None:
    """Refuse a table that names no photos or does not say what they show."""
    wanted = {"path": (path, NAMES["path"]), "label": (label, ONE_COLUMN)}
    missing = [f"{name} ({', '.join(names)})" for name, (heading, names) in wanted.items() if heading is None]
    if not missing:
        return
    got = ", ".join(source.columns)
    if any(name.lower().endswith(PHOTO_SUFFIXES) for name in source.columns):
        raise PhotosError(
            f"{table}: its first row names a photo ({got}); add a row of headings, such as filepath,label"
        )
    raise PhotosError(f"{table}: expected a column for {' and one for '.join(missing)}; got {got}")


def _check_twins(source: pd.DataFrame, table: Path, used: Iterable[str]) -> None:
    """Refuse a column that is there twice, each time with other cells: nothing says which is meant."""
    for name in used:
        numbered = re.compile(rf"{re.escape(name)}\.\d+")  # as programs call a second column of a name
        for other in source.columns:
            if other == name or not (numbered.fullmatch(other) or _plain(other) == _plain(name)):
                continue
            cells = pd.DataFrame({"one": as_text(source[name]), "other": as_text(source[other])}).fillna("")
            differ = cells["one"] != cells["other"]
            if differ.any():
                row = int(differ.argmax())
                one, another = cells.iloc[row]
                raise PhotosError(
                    f"{table}: expected one column {name}, got two ({name}, {other}) that differ, in row {row + 1} "
                    f"'{one}' and '{another}'; rename or drop one of them"
                )


def _check_said(reading: Reading, table: Path, *, has_times: bool, has_boxes: bool, has_confidence: bool) -> None:
    """Refuse what is said of columns that are not there."""
    if reading.date_order is not None and not has_times:
        raise ConfigurationError(f"--date-order says how times are read, {table} has no column of any: datetime")
    if reading.detection_confidence is not None and not has_confidence and reading.detections is None:
        raise ConfigurationError(
            f"--detection-confidence says which boxes of a detector count, {table} has none; add --detections md.json"
        )
    if (reading.box_unit is not None or reading.box_frame is not None) and not has_boxes:
        raise ConfigurationError(
            f"--box-unit and --box-frame say how boxes are read, {table} has no columns of any: x, y, w, h or xmin, "
            "ymin, xmax, ymax"
        )


def _texts(source: pd.DataFrame, headings: Mapping[str, str | None]) -> tuple[pd.DataFrame, list[str]]:
    """Our columns of text in one form, empty where the table has none; and how many words for nothing are in them."""
    columns, remarks = pd.DataFrame(index=source.index), []
    for ours, theirs in headings.items():
        text = as_text(source[theirs]) if theirs is not None else pd.Series(None, index=source.index, dtype="str")
        if ours in ("site", "sequence", "split"):
            text = text.map(tidy, na_action="ignore").astype("str")
            for word, count in text[is_missing_word(text)].value_counts().items():
                remarks.append(f"{theirs}: {number_of(count, 'cell')} of {word} taken for empty")
            text = text.mask(is_missing_word(text) | (text == ""))
        columns[ours] = text
    return columns, remarks


def _check(columns: pd.DataFrame, table: Path) -> None:
    """Refuse what cannot become rows with a problem, all of it at once."""
    wrong = []
    pathless = columns.index[columns["path"].isna()]
    if len(pathless):
        listed = ", ".join(str(row + 1) for row in pathless[:10]) + (", …" if len(pathless) > 10 else "")
        wrong.append(f"no photo is named in {number_of(len(pathless), 'row')}: row {listed}")
    splits = columns["split"].dropna()
    strange = splits[~splits.str.lower().isin(SPLIT_NAMES)].value_counts()
    if len(strange):
        listed = ", ".join(f"'{name}' ({number_of(count, 'row')})" for name, count in strange.head(10).items())
        wrong.append(f"split: expected {', '.join(SPLIT_NAMES)} or nothing, got {listed}; rename or drop the column")
    if columns.empty:
        wrong.append("expected a row per photo, got none")
    if wrong:
        raise PhotosError(f"{table}: " + "\n  ".join(wrong))


class _Boxed(NamedTuple):
    """The columns with boxes in a unit, the headers of their photos, the headings that they are from, and remarks."""

    columns: pd.DataFrame
    unit: boxes.Unit | None
    photos: boxes.Headers
    headings: list[str]
    remarks: list[str]


def _with_boxes(
    columns: pd.DataFrame,
    source: pd.DataFrame,
    headings: Mapping[str, str],
    root: Path,
    reading: Reading,
    frame: boxes.Frame,
) -> _Boxed:
    """The boxes as the table gives them, x, y, w and h; without those that are none or in another unit."""
    columns = columns.assign(**dict.fromkeys(BOX, float("nan")))
    box = find_box_columns(headings)
    if box is None:
        return _Boxed(columns, None, {}, [], incomplete_box(headings))
    numbers, given, remarks = read_box_numbers(source, box)
    named = ", ".join(box.headings)
    columns[BOX] = as_size(numbers, box.form)
    boxed = columns["x"].notna()
    four = named if len(box.headings) > 1 else "x, y, w, h"
    half = reasons.where(given & ~boxed, f"box needs four numbers: {four}")
    if not boxed.any():
        columns["problem"] = reasons.added(columns["problem"], half)
        a_size = not given.any() and bool(source[box.headings].notna().any(axis=None))
        return _Boxed(columns, None, {}, [] if a_size else box.headings, remarks)
    photos = boxes.read_headers(columns, root)
    measured = measure(
        columns.loc[boxed, ["path", *BOX]],
        numbers[boxed],
        photos,
        headings=named,
        is_sure=box.is_sure,
        asked_for=reading.box_unit,
        frame=frame,
    )
    if measured.unit is None:
        return _Boxed(columns.assign(**dict.fromkeys(BOX, float("nan"))), None, {}, [], measured.remarks)
    flat = boxed & ((columns["w"] <= 0) | (columns["h"] <= 0))
    for problem in (half, reasons.where(flat, "box without area"), measured.problems.reindex(columns.index)):
        columns["problem"] = reasons.added(columns["problem"], problem)
    columns.loc[flat | measured.problems.reindex(columns.index).notna(), BOX] = float("nan")
    return _Boxed(columns, measured.unit, photos, box.headings, remarks + measured.remarks)

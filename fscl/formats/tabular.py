"""A table of photos, CSV or Parquet: a row per photo or per box, columns under their usual names."""

import os
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa

from fscl.errors import PhotosError
from fscl.formats import boxes, reasons
from fscl.formats.layouts import SPLIT_NAMES
from fscl.manifest.table import BOX, COLUMNS, Manifest

NAMES = {
    "path": ["file path", "path", "file name", "file", "image path", "image", "photo"],
    "label": ["label", "species", "class", "category", "common name", "scientific name"],
    "site": ["site", "location", "camera", "station", "place", "deployment", "site id", "location id"],
    "sequence": ["sequence", "sequence id", "seq id", "burst", "event id", "clip"],
    "datetime": ["datetime", "timestamp", "date time original"],
    "split": ["split", "subset"],
    "x": ["x", "bbox x"],
    "y": ["y", "bbox y"],
    "w": ["w", "bbox w", "bbox width", "width"],
    "h": ["h", "bbox h", "bbox height", "height"],
}
"""Our column → what others call it; the first found is taken. Case, spaces, `_` and `-` do not count."""

OURS = {*COLUMNS, "note", "clock"}
ZONE = re.compile(r"(:\d\d(?:\.\d+)?)\s*(?:Z|[+-]\d\d:?\d\d)$")
EXIF_DATE = re.compile(r"^(\d{4}):(\d\d):(\d\d)")


def read(table: Path) -> Manifest:
    """Read a table of photos. Paths are relative to its folder, or absolute.

    Boxes need all of x, y, w, h: pixels of the stored photo, or fractions of it where no value is above 1.
    Rows that cannot be used stay, with a `problem`. Columns that are not ours stay as they came, as
    `source_…` where the name is one of ours. Times must be in ISO or EXIF order; one that is not is
    left out and said in the column `note`.

    Raises:
        PhotosError: no table, no column of paths or labels, rows without path, or unknown splits.
    """
    columns = _named(_read_parquet(table) if table.suffix.lower() == ".parquet" else read_csv(table), table)
    for name in ("path", "label", "site", "sequence", "split"):
        columns[name] = _text(columns[name])
    _check(columns, table)
    columns["label"] = columns["label"].str.normalize("NFC")
    columns["path"], root = _relative_paths(columns["path"], table)
    columns["split"] = columns["split"].str.lower().map(SPLIT_NAMES)
    columns["sequence"] = _unique_across_sites(columns["sequence"], columns["site"])
    columns["datetime"], columns["note"] = _times(columns["datetime"])
    columns["problem"] = reasons.where(columns["label"].isna(), "no label")
    columns = _with_boxes(columns)
    columns["problem"] = reasons.added(columns["problem"], _repeats(columns))
    relative = bool((columns[BOX].max() <= 1).all())
    return Manifest.build(boxes.turn_upright(columns, root, relative=relative), root)


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV as text: separated by comma, semicolon or tab; only an empty cell is missing.

    Raises:
        PhotosError: missing, empty, not UTF-8, or rows of different lengths.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max(",;\t", key=header.count)
        rows = pd.read_csv(
            path, sep=separator, dtype="str", keep_default_na=False, na_values=[""], encoding="utf-8-sig"
        )
    except FileNotFoundError:
        raise PhotosError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise PhotosError(f"{path}: expected UTF-8; in Excel, save it as 'CSV UTF-8'") from None
    except pd.errors.EmptyDataError:
        raise PhotosError(f"{path} is empty; expected a header such as filepath,label and a row per photo") from None
    except pd.errors.ParserError as error:
        raise PhotosError(f"{path}: rows differ in length: {error}") from None
    if not isinstance(rows.index, pd.RangeIndex):
        raise PhotosError(f"{path}: its rows have more fields than its header; name every column")
    return rows.dropna(how="all")  # Excel leaves such rows at the end


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        rows = pd.read_parquet(path)
    except (pa.ArrowException, OSError) as error:
        raise PhotosError(f"{path} cannot be read as parquet: {error}") from error
    return rows.reset_index(drop=rows.index.name is None)  # pandas may have kept the paths as its index


def _named(source: pd.DataFrame, table: Path) -> pd.DataFrame:
    """The table under our column names, the missing ones empty."""
    theirs: dict[str, str] = {}
    for name in source.columns:
        theirs.setdefault(_plain(str(name)), name)
    found = {
        ours: next((theirs[_plain(n)] for n in names if _plain(n) in theirs), None) for ours, names in NAMES.items()
    }
    missing = [f"{name} ({', '.join(NAMES[name])})" for name in ("path", "label") if found[name] is None]
    if missing:
        raise PhotosError(
            f"{table}: expected a column for {' and one for '.join(missing)}; "
            f"got {', '.join(map(str, source.columns))}"
        )
    if any(found[name] is None for name in BOX):  # w and h alone are the size of the photo
        found |= dict.fromkeys(BOX)
    ours = {theirs: name for name, theirs in found.items() if theirs is not None}
    names = [ours.get(n, f"source_{n}" if n in OURS else str(n)) for n in source.columns]
    named = source.set_axis(names, axis="columns")
    return named.reindex(columns=[*NAMES, *(n for n in names if n not in NAMES)])


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _text(column: pd.Series) -> pd.Series:
    """Stripped text, blanks missing; whole numbers without a decimal point."""
    text = column.convert_dtypes().astype("str").str.strip()
    return text.mask(text == "")


def _check(columns: pd.DataFrame, table: Path) -> None:
    """Refuse what cannot become rows with a problem, all of it at once."""
    wrong = []
    pathless = columns.index[columns["path"].isna()]
    if len(pathless):
        listed = ", ".join(str(row + 1) for row in pathless[:10])
        wrong.append(f"{len(pathless)} rows name no photo: row {listed}{', …' if len(pathless) > 10 else ''}")
    splits = columns["split"].dropna()
    strange = splits[~splits.str.lower().isin(SPLIT_NAMES)].value_counts()
    if len(strange):
        listed = ", ".join(f"'{name}' ({count} rows)" for name, count in strange.head(10).items())
        wrong.append(f"split: expected {', '.join(SPLIT_NAMES)} or nothing, got {listed}; rename or drop the column")
    if columns.empty:
        wrong.append("expected a row per photo, got none")
    if wrong:
        raise PhotosError(f"{table}: " + "\n  ".join(wrong))


def _relative_paths(paths: pd.Series, table: Path) -> tuple[pd.Series, Path]:
    """Paths relative to the folder of the table, or to what they share where they lie outside it."""
    folder = table.parent.resolve()
    files = {p: os.path.normpath(folder / p.replace("\\", "/")) for p in paths.unique()}
    try:
        holding = os.path.commonpath([Path(file).parent for file in files.values()])
        root = str(folder) if Path(holding).is_relative_to(folder) else holding
    except ValueError:
        raise PhotosError(f"{table}: expected photos on one drive, got several; make a table for each") from None
    relative = {path: os.path.relpath(file, root).replace(os.sep, "/") for path, file in files.items()}
    return paths.map(relative), Path(root)


def _unique_across_sites(sequence: pd.Series, site: pd.Series) -> pd.Series:
    """Cameras often count their bursts from 1 each: then the site becomes part of the name."""
    if (site.groupby(sequence).nunique() > 1).any():
        return (site + "/" + sequence).fillna(sequence)
    return sequence


def _times(column: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Local times, and a note where one is not understood."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_localize(None)
    text = _text(column)
    iso = text.str.replace(EXIF_DATE, r"\1-\2-\3", regex=True).str.replace(ZONE, r"\1", regex=True)
    # Only year-first order: 05/06/2021 is in May or in June, and a guess would be wrong in silence.
    times = pd.to_datetime(iso, format="ISO8601", errors="coerce")
    return times, ("time not understood (expected 2021-05-31 08:25:38): " + text).where(times.isna())


def _with_boxes(columns: pd.DataFrame) -> pd.DataFrame:
    columns = columns.copy()
    given = columns[BOX].apply(_text).notna().any(axis=1)
    columns[BOX] = columns[BOX].apply(pd.to_numeric, errors="coerce").astype("float64")
    number = columns[BOX].notna().all(axis=1)
    flat = number & ((columns["w"] <= 0) | (columns["h"] <= 0))
    columns["problem"] = reasons.added(
        columns["problem"], reasons.where(given & ~number, "box needs four numbers: x, y, w, h")
    )
    columns["problem"] = reasons.added(columns["problem"], reasons.where(flat, "box without area"))
    columns.loc[~number | flat, BOX] = float("nan")
    return columns


def _repeats(columns: pd.DataFrame) -> pd.Series:
    """Why a row that says something again, or the contrary, cannot be used."""
    again = columns.duplicated(["path", "label", *BOX])
    whole = columns["x"].isna() & ~again
    labels = columns["label"].where(whole).groupby(columns["path"]).transform("nunique")
    return reasons.where(whole & (labels > 1), "several labels for one photo").mask(again, "duplicate row")

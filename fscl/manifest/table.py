"""The manifest: which photos there are, one row per labelled region. docs/schema.md has every column."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fscl.atomic import replacing
from fscl.errors import OutputError, PhotosError, first_line
from fscl.manifest.root import find_root, read_root, root_metadata

VERSION = 1

COLUMNS = {
    "photo_id": "str",
    "region_id": "str",
    "path": "str",
    "x": "float64",
    "y": "float64",
    "w": "float64",
    "h": "float64",
    "label": "str",
    "site": "str",
    "sequence": "str",
    "datetime": "datetime64[us]",
    "split": "str",
    "width": "Int64",
    "height": "Int64",
    "bytes": "Int64",
    "content_hash": "str",
    "problem": "str",
}
"""Column → pandas dtype, in the order of the file."""

MAY_BE_ABSENT = {
    "note": "str",
    "clock": "str",
    "frame_rate": "float64",
    "video_id": "str",
    "video_hash": "str",
}
"""Columns of ours that only some manifests have, behind those → pandas dtype."""

IS_NUMBER = (pa.types.is_floating, pa.types.is_integer)
STORED_AS: dict[str, tuple[Callable[[pa.DataType], bool], ...]] = {
    "str": (pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary),
    "float64": IS_NUMBER,
    "datetime64[us]": (lambda kind: pa.types.is_timestamp(kind) and kind.tz is None,),
    "Int64": IS_NUMBER,
}
"""pandas dtype → types in the file: programs that add a column of their own may store ours in a narrower type."""

BOX = ["x", "y", "w", "h"]
SPLITS = ("train", "val", "test")

VERSION_KEY = b"fscl_manifest_version"


@dataclass(frozen=True)
class Manifest:
    """The photos of one source.

    Attributes:
        rows: the columns of `COLUMNS`, then those of the source that are not ours.
        root: absolute folder, or zip archive, that the column `path` is relative to.
        remarks: what a reader understood of the whole source, a sentence each; not written.

    >>> columns = pd.DataFrame({"path": ["fox/1.jpg", "hare/1.jpg"], "label": ["fox", None]})
    >>> photos = Manifest.build(columns, Path("."))
    >>> photos.rows["region_id"].tolist(), len(photos.usable)
    (['fox/1.jpg#0', 'hare/1.jpg#0'], 1)
    """

    rows: pd.DataFrame
    root: Path
    remarks: tuple[str, ...] = ()

    @classmethod
    def build(cls, columns: pd.DataFrame, root: Path, remarks: tuple[str, ...] = ()) -> Self:
        """Make a manifest of the columns that a source has; only `path` is needed.

        Missing columns are filled, `photo_id` with the path, `region_id` by counting the rows of each
        photo; every column gets its dtype; columns that are not ours stay, behind ours.

        Raises:
            PhotosError: a row without path, half a box, an unknown split, or a region twice; a root whose name
                is not UTF-8.
        """
        rows = columns.reset_index(drop=True).astype({"path": "str"})
        rows["photo_id"] = rows["photo_id"].astype("str") if "photo_id" in rows else rows["path"]
        if "region_id" not in rows:
            rows["region_id"] = rows["photo_id"] + "#" + rows.groupby("photo_id").cumcount().astype("str")
        others = [name for name in rows.columns if name not in COLUMNS]
        rows = rows.reindex(columns=[*COLUMNS, *others]).astype(COLUMNS)
        _check(rows)
        root = root.resolve()
        name = os.fsencode(root).decode(errors="backslashreplace")
        if name != str(root):
            raise PhotosError(f"{name}: the name of the folder is not UTF-8; rename it")
        return cls(rows, root, remarks)

    @classmethod
    def read(cls, path: Path, *, root: Path | None = None, anywhere: bool = False) -> Self:
        """Read a manifest that `write` wrote, with its photos where they are now.

        They are looked for in the root that is given, else relative to the manifest, else where they were when it
        was written.

        Args:
            path: of the file.
            root: the folder or zip that holds the photos now.
            anywhere: read it also where its photos are nowhere.

        Raises:
            PhotosError: no manifest, one of another version, a column that is missing or of another type, or photos
                that are nowhere.
        """
        table = read_parquet(path)
        metadata = table.schema.metadata or {}
        if VERSION_KEY not in metadata:
            raise PhotosError(
                f"{path} is a table but no manifest; make one with: fscl scan {path} --out photos.parquet"
            )
        version = metadata[VERSION_KEY].decode(errors="backslashreplace")
        if version != str(VERSION):
            raise PhotosError(
                f"{path}: expected manifest version {VERSION}, got {version}; scan the photos again, "
                "or use the release of fscl that wrote it"
            )
        missing = [name for name in COLUMNS if name not in table.column_names]
        if missing:
            raise PhotosError(f"{path}: expected the manifest column {', '.join(missing)}; scan the photos again")
        said = read_root(metadata, path)
        rows = _rows(table, path)
        return cls.build(rows, find_root(path, said, rows, root, anywhere=anywhere))

    def write(self, path: Path) -> None:
        """Write the manifest as parquet, whole or not at all.

        Raises:
            PhotosError: a column of the source that mixes kinds of values.
        """
        try:
            table = pa.Table.from_pandas(self.rows, preserve_index=False)
        except pa.ArrowException as error:
            raise PhotosError(f"a column mixes numbers and text, make it one of them: {error}") from error
        identity = {VERSION_KEY: str(VERSION).encode(), **root_metadata(self.root, path)}
        with replacing(path) as target:
            pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **identity}), target)

    @property
    def usable(self) -> pd.DataFrame:
        """The rows that can be trained on and evaluated: with a label, without a problem."""
        return self.rows[is_usable(self.rows)]

    def photo(self, path: str) -> Path:
        """The file of a row's `path`, which may go through a zip archive: `fscl.archives` opens it."""
        return self.root / path


def is_usable(rows: pd.DataFrame) -> pd.Series:
    """Tell the rows that have a label and no problem."""
    return rows["label"].notna() & rows["problem"].isna()


def unit_of(rows: pd.DataFrame) -> str:
    """Return what rows are, in a word: `photos`, or `regions` where a photo has several.

    >>> unit_of(pd.DataFrame({"photo_id": ["a.jpg", "a.jpg", "b.jpg"]}))
    'regions'
    """
    return "regions" if rows["photo_id"].duplicated().any() else "photos"


def counts_by_class(rows: pd.DataFrame, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return how many `photos` and how many `regions` of each class the rows hold.

    A row is a region: a box, or a photo without boxes. A photo counts once for each class that it shows.

    >>> rows = pd.DataFrame({"photo_id": ["a.jpg", "a.jpg", "b.jpg"], "label": ["fox", "fox", "fox"]})
    >>> counts_by_class(rows, ["fox", "hare"])
    {'photos': {'fox': 2, 'hare': 0}, 'regions': {'fox': 3, 'hare': 0}}
    """
    photos = rows.drop_duplicates(["label", "photo_id"])
    return {
        unit: {name: int(counts.get(name, 0)) for name in classes}
        for unit, counts in (("photos", photos["label"].value_counts()), ("regions", rows["label"].value_counts()))
    }


def check_new(path: Path, *, overwrite: bool) -> None:
    """Make sure that a manifest can be written to `path` without losing another file.

    Raises:
        OutputError: the file exists and is not to be overwritten, or does not end in `.parquet`.
    """
    if path.suffix != ".parquet":
        raise OutputError(f"{path}: a manifest is a .parquet file; choose such a name for --out")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists; replace it with --overwrite, or choose another --out")


def is_manifest(path: Path) -> bool:
    """Tell a manifest from other parquet tables by the version in its metadata.

    Raises:
        PhotosError: missing, or not parquet.
    """
    return VERSION_KEY in (read_parquet(path, columns=[]).schema.metadata or {})


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file, or some columns of it, and check that it holds what it says: text is UTF-8.

    Raises:
        PhotosError: missing, not Parquet, or damaged.
    """
    try:
        with path.open("rb") as file:  # a path with a colon would be taken for the address of a store
            table = pq.ParquetFile(file).read(columns=columns)
        table.validate(full=True)
    except FileNotFoundError:
        raise PhotosError(f"{path} does not exist; make it with: fscl scan PHOTOS --out {path}") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise PhotosError(f"{path} cannot be read as parquet: {first_line(error)}") from error
    return table


def _rows(table: pa.Table, path: Path) -> pd.DataFrame:
    """The rows of a manifest, our columns of the types that docs/schema.md names."""
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise PhotosError(f"{path}: expected each column once, got {', '.join(twice)} twice; scan the photos again")
    for name, dtype in (COLUMNS | {"note": "str"}).items():
        if name not in table.column_names:  # a note may be absent
            continue
        kind = table.schema.field(name).type
        if not any(is_one(kind) for is_one in (*STORED_AS[dtype], pa.types.is_null)):
            raise PhotosError(f"{path}: expected {dtype} in the column {name}, got {kind}; scan the photos again")
    try:
        rows: pd.DataFrame = table.to_pandas().reset_index(drop=True)
    except Exception as error:  # pandas' own metadata may say anything
        raise PhotosError(f"{path}: its columns cannot be read ({first_line(error)}); scan again") from None
    for name, dtype in COLUMNS.items():
        try:
            rows = rows.astype({name: dtype})
        except (ValueError, TypeError, OverflowError, KeyError) as error:
            why = f"expected {dtype} in the column {name} ({first_line(error)})"
            raise PhotosError(f"{path}: {why}; scan the photos again") from None
    return rows


def _check(rows: pd.DataFrame) -> None:
    """Hold the rows to docs/schema.md."""
    if rows["path"].isna().any():
        raise PhotosError(f"row {rows.index[rows['path'].isna()][0]} has no path; every row names its photo")
    given = rows[BOX].notna()
    whole = given.all(axis=1)
    half = rows[given.any(axis=1) & ~whole]
    if len(half):
        raise PhotosError(
            f"{half['path'].iloc[0]}: expected all of x, y, w, h or none, got {half[BOX].iloc[0].to_dict()}"
        )
    flat = rows[whole & ((rows["w"] <= 0) | (rows["h"] <= 0))]
    if len(flat):
        raise PhotosError(
            f"{flat['path'].iloc[0]}: expected a box with w and h > 0, got {flat[BOX].iloc[0].to_dict()}"
        )
    endless = rows[whole & ~np.isfinite(rows[BOX].to_numpy("float64")).all(axis=1)]
    if len(endless):
        raise PhotosError(
            f"{endless['path'].iloc[0]}: expected a box of finite numbers, got {endless[BOX].iloc[0].to_dict()}"
        )
    strange = set(rows["split"].dropna()) - set(SPLITS)
    if strange:
        raise PhotosError(f"expected the splits train, val and test, got {', '.join(sorted(strange))}")
    twice = rows["region_id"][rows["region_id"].duplicated()]
    if len(twice):
        raise PhotosError(f"region_id {twice.iloc[0]} is there {len(twice) + 1} times or more; it must be unique")

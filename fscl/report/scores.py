"""The stored scores of a study's test photos, for tests that ask what other test photos would have given."""

from collections.abc import Sequence
from functools import lru_cache, reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fscl.records import CellRecord
from fscl.report.study import Study
from fscl.scoring.crossed import photo_parts

LOGIT = "logit:"


class FigureParts(NamedTuple):
    """What each test photo of a cell adds to its figures; regions in sorted order."""

    regions: NDArray[np.object_]
    labels: NDArray[np.integer]
    by_figure: dict[str, NDArray[np.float64]]

    def of(self, regions: NDArray[np.object_], figure: str) -> NDArray[np.float64]:
        """Return the parts of some of the regions, in sorted order."""
        return self.by_figure[figure][self.places(regions)]

    def places(self, regions: NDArray[np.object_]) -> NDArray[np.intp] | slice:
        """Return where some of the regions are, in sorted order."""
        return slice(None) if len(regions) == len(self.regions) else np.searchsorted(self.regions, regions)


def read_parts(study: Study, cell: CellRecord) -> FigureParts | None:
    """Return what each test photo adds to the figures of a cell; None where its scores are missing or do not fit."""
    classes = cell.result.classes if cell.result else []
    if study.folder is None or not classes:
        return None
    columns = ["region_id", "label", *(f"{LOGIT}{name}" for name in classes)]
    scores = _read(study.folder / "scores" / f"{cell.cell.name}.parquet", columns)
    if scores is None or scores.empty or not scores["label"].isin(classes).all():
        return None
    scores = scores.sort_values("region_id")
    labels = scores["label"].map({name: place for place, name in enumerate(classes)}).to_numpy(dtype=np.int64)
    logits = scores[columns[2:]].to_numpy(dtype=np.float64)
    if not np.isfinite(logits).all():
        return None
    by_figure = photo_parts(logits, labels, np.isin(classes, cell.cell.minority))
    return FigureParts(scores["region_id"].to_numpy(dtype=object), labels, by_figure)


def common_regions(parts: Sequence[FigureParts]) -> NDArray[np.object_]:
    """Return the regions that all of them have: a photo may have been unreadable once."""
    first, *others = (part.regions for part in parts)
    if all(np.array_equal(first, other) for other in others):
        return first
    return reduce(np.intersect1d, others, first)


def bursts(study: Study, regions: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return a number for the burst of each region: its sequence where it is known, else its photo."""
    photos = pd.Series([str(region).rpartition("#")[0] for region in regions])
    sequences = _sequences(study)
    if sequences is not None:
        known = sequences.reindex(regions).reset_index(drop=True)
        photos = ("sequence " + known).fillna("photo " + photos)
    return pd.factorize(photos)[0].astype(np.int64)


@lru_cache(maxsize=1)
def _sequences(study: Study) -> "pd.Series[str] | None":
    table = None if study.folder is None else _read(study.folder / "photos.parquet", ["region_id", "sequence"])
    return None if table is None else table.drop_duplicates("region_id").set_index("region_id")["sequence"]


def _read(path: Path, columns: list[str]) -> pd.DataFrame | None:
    kinds = pa.schema([(name, pa.float64() if name.startswith(LOGIT) else pa.large_string()) for name in columns])
    try:
        table = pq.read_table(path, columns=columns).cast(kinds)
        table.validate(full=True)
    except (OSError, ValueError, pa.ArrowException):  # missing, cut short, or of other columns
        return None
    regions = table["region_id"]
    whole = not regions.null_count and len(regions.unique()) == len(regions)
    rows: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    return rows if whole else None

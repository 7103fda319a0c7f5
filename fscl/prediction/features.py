"""Features of all regions, as a Parquet file."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fscl.atomic import replacing
from fscl.manifest.table import BOX
from fscl.prediction.parts import Parts
from fscl.prediction.photos import Listing


def write_features(path: Path, listing: Listing, parts: Parts) -> None:
    """Write a row per region that could be read: `filepath`, its box, and `features`, a list of float32.

    Boxes are as they were given, in pixels, or as fractions where a detector gave them.
    """
    with replacing(path) as target:
        writer = None
        for number in range(parts.count):
            part, rows = parts.read(number), parts.rows(number)
            if part.features is None:
                continue
            read = np.array([row for row in range(len(rows)) if row not in part.problems], dtype=np.int64)
            regions = listing.regions.iloc[rows.start + read]
            kept = part.features[read]
            values = pa.array(kept.ravel(), pa.float32())
            columns = {"filepath": pa.array(listing.photos["file"].iloc[regions["photo"]], pa.string())}
            columns |= {side: pa.array(regions[side], pa.float64()) for side in BOX}
            columns["features"] = pa.FixedSizeListArray.from_arrays(values, kept.shape[1])
            table = pa.table(columns)
            writer = writer or pq.ParquetWriter(target, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()

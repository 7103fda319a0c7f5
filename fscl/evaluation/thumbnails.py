"""Which photos of an evaluation a report shows, and small pictures of them, made while the photos are at hand."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from fscl.bundle import Bundle
from fscl.config import Preprocessing
from fscl.images import UnreadableError
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.progress import Listener
from fscl.records.thumbnails import Thumbnail

RIGHT_SHOWN = 50  # of each class
SIDE_PX, LONGEST_PX = 104, 208  # of the short side; of the long one, of panoramas
QUALITY = 72
MOST_BYTES = 6_000_000  # of all pictures: a page holds them as text, a third larger, and is to stay below 10 MB
AT_ONCE = 64  # photos that are read before the bytes are counted


def chosen(predictions: pd.DataFrame) -> list[int]:
    """Return the places of the rows that are shown, the most telling first.

    First every error, the surest first; then of each class up to `RIGHT_SHOWN` photos that were named rightly, spread
    evenly from the least sure to the surest, the classes in turn.

    Args:
        predictions: the columns `label`, `prediction` (missing: not scored) and `probability`.

    >>> chosen(pd.DataFrame({"label": list("aab"), "prediction": list("aba"), "probability": [0.9, 0.6, 0.8]}))
    [2, 1, 0]
    """
    rows = predictions.reset_index(drop=True)
    rows = rows[rows["prediction"].notna()]
    right = rows["label"] == rows["prediction"]
    errors = rows[~right].sort_values("probability", ascending=False, kind="stable")
    turns = []
    for _, own in rows[right].sort_values("probability", kind="stable").groupby("label"):
        spread = np.linspace(0, len(own) - 1, min(len(own), RIGHT_SHOWN)).round().astype(int)
        turns += [(turn, place) for turn, place in enumerate(own.index[spread])]
    return [*errors.index.tolist(), *(int(place) for _, place in sorted(turns))]


def thumbnails(test: Manifest, predictions: pd.DataFrame, bundle: Bundle, listener: Listener) -> Iterator[Thumbnail]:
    """Yield the pictures of the chosen rows, in that order, until they take `MOST_BYTES`.

    A photo that can no longer be read has none.

    Args:
        test: the photos, in the rows of `predictions`.
        predictions: as `fscl.evaluation.predictions` makes them.
        bundle: whose margin around boxes is shown.
        listener: hears how many are read.
    """
    places = chosen(predictions)
    rows = test.rows.reset_index(drop=True).iloc[places]
    regions = Regions.of(rows, test.root, bundle.classes)
    pictures = _Pictures(regions, bundle.preprocessing.model_copy(update={"image_size": SIDE_PX}))
    left, names = MOST_BYTES, rows["region_id"].tolist()
    with ThreadPoolExecutor() as threads:
        for first in range(0, len(rows), AT_ONCE):
            some = range(first, min(first + AT_ONCE, len(rows)))
            for row, jpeg in zip(some, threads.map(pictures.jpeg, some), strict=True):
                left -= len(jpeg)
                if left < 0:
                    return
                if jpeg:
                    yield Thumbnail(names[row], jpeg)
            listener.prepare(some[-1] + 1, len(rows), "photos made small for the report")


class _Pictures(NamedTuple):
    """Regions, and how they are cropped."""

    regions: Regions
    preprocessing: Preprocessing

    def jpeg(self, row: int) -> bytes:
        """Return the region as the model sees it, with its own proportions; nothing where it cannot be read."""
        try:
            image = self.regions.read(row, self.preprocessing)
        except UnreadableError:
            return b""
        scale = min(1.0, SIDE_PX / min(image.size), LONGEST_PX / max(image.size))
        size = [max(1, round(scale * side)) for side in image.size]
        written = io.BytesIO()
        small = image.resize((size[0], size[1]), Image.Resampling.BICUBIC, reducing_gap=2.0)
        small.save(written, "JPEG", quality=QUALITY, comment=b"")  # a comment of the photo would be copied
        return written.getvalue()

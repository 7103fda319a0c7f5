"""Which photos of an evaluation a report shows, and small pictures of them, made while the photos are at hand."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from fscl.bundle import Bundle
from fscl.config import Preprocessing
from fscl.explain.pictures import jpeg
from fscl.images import UnreadableError
from fscl.loading.loader import inference_loader
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.progress import Listener
from fscl.records.thumbnails import Thumbnail
from fscl.saliency import drawn, enlarged, look

RIGHT_SHOWN = 50  # of each class
SIDE_PX, LONGEST_PX = 104, 208  # of the short side; of the long one, of panoramas
QUALITY = 72
MOST_BYTES = 6_000_000  # of all pictures: a page holds them as text, a third larger, and is to stay below 10 MB
AT_ONCE = 64  # photos that are read before the bytes are counted
MOST_HEATED, HEATED_AT_ONCE = 60, 16  # errors with a heat map, of all; photos whose maps are kept at once

Heat = Mapping[int, NDArray[np.float32]]  # (SIDE_PX, SIDE_PX) in [0, 1], of rows


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

    The first `MOST_HEATED` errors have a heat map, where something in the maps of the backbone says why. A photo that
    can no longer be read has no picture.

    Args:
        test: the photos, in the rows of `predictions`.
        predictions: as `fscl.evaluation.predictions` makes them.
        bundle: whose margin around boxes is shown.
        listener: hears how many are read.
    """
    places = chosen(predictions)
    rows = test.rows.reset_index(drop=True).iloc[places]
    regions = Regions.of(rows, test.root, bundle.classes)
    named = predictions.reset_index(drop=True).iloc[places]
    errors = int((named["label"] != named["prediction"]).sum())
    heat = _heat(regions, bundle, min(errors, MOST_HEATED))
    pictures = _Pictures(regions, bundle.preprocessing.model_copy(update={"image_size": SIDE_PX}), heat)
    left, names = MOST_BYTES, rows["region_id"].tolist()
    with ThreadPoolExecutor() as threads:
        for first in range(0, len(rows), AT_ONCE):
            some = range(first, min(first + AT_ONCE, len(rows)))
            for row, made in zip(some, threads.map(pictures.of, some), strict=True):
                if made is None:
                    continue
                left -= len(made.jpeg) + len(made.heat or b"")
                if left < 0:
                    return
                yield Thumbnail(names[row], *made)
            listener.prepare(some[-1] + 1, len(rows), "photos made small for the report")


def _heat(regions: Regions, bundle: Bundle, count: int) -> Heat:
    """Return what spoke for the answers on the first photos, by row; none where nothing in the maps does."""
    classifier = bundle.classifier
    found: dict[int, NDArray[np.float32]] = {}
    some = Regions(regions.photos[:count], regions.boxes[:count], regions.labels[:count])
    for batch in inference_loader(some, bundle.preprocessing, batch_size=HEATED_AT_ONCE, workers=0):
        if not batch.rows:
            continue
        heat = look(classifier, batch.photos.to(classifier.device)).heat
        if heat is None:  # the backbone has no maps
            break
        large = enlarged(heat, SIDE_PX).cpu().numpy()
        found |= {row: own for row, own in zip(batch.rows, large, strict=True) if own.max() > 0}
    return found


class _Made(NamedTuple):
    """JPEGs of a region."""

    jpeg: bytes
    heat: bytes | None


class _Pictures(NamedTuple):
    """Regions, how they are cropped, and the heat of some."""

    regions: Regions
    preprocessing: Preprocessing
    heat: Heat

    def of(self, row: int) -> _Made | None:
        """Return the region as the model sees it, with its own proportions; None where it cannot be read."""
        try:
            image = self.regions.read(row, self.preprocessing)
        except UnreadableError:
            return None
        scale = min(1.0, SIDE_PX / min(image.size), LONGEST_PX / max(image.size))
        size = [max(1, round(scale * side)) for side in image.size]
        small = image.resize((size[0], size[1]), Image.Resampling.BICUBIC, reducing_gap=2.0)
        heated = jpeg(drawn(small, self.heat[row]), QUALITY) if row in self.heat else None
        return _Made(jpeg(small, QUALITY), heated)

"""The features of the run's photos by which photos are compared: computed once, kept in the feature cache."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fscl.bundle import Bundle
from fscl.errors import OutputError, of_system
from fscl.loading.feature_files import disk_note
from fscl.loading.features import FeatureRegions, FeatureStore
from fscl.loading.regions import Regions
from fscl.models import Classifier
from fscl.progress import Listener
from fscl.scoring.some_of_each import some_of_each

MOST = 20_000  # photos to compare with: at 1280 features, 100 MB


class Directions(NamedTuple):
    """Unit vectors of the features of photos that could be read.

    Attributes:
        rows: of the manifest.
        regions: the same rows.
        features: (rows, dim).
        unread: photos that could not be read.
    """

    rows: pd.DataFrame
    regions: Regions
    features: NDArray[np.float32]
    unread: int


def directions_of(
    bundle: Bundle, rows: pd.DataFrame, root: Path, listener: Listener, workers: int, most: int | None = MOST
) -> Directions:
    """Return the directions of manifest rows; of many photos `most` are taken, the rare classes whole.

    What the cache has is not computed again. A cache that cannot be written is no reason to stop.
    """
    rows = rows.reset_index(drop=True)
    if most is not None and len(rows) > most:
        listener.note(f"{most:,} of {len(rows):,} training photos are compared with, the rare classes whole")
        rows = rows.iloc[some_of_each(rows["label"].tolist(), most)].reset_index(drop=True)
    regions = Regions.of(rows, root, bundle.classes)
    if not len(rows):
        return Directions(rows, regions, np.empty((0, 0), dtype=np.float32), 0)
    for note in filter(None, [disk_note(len(rows), bundle.classifier.pooled_dim)]):
        listener.note(note)
    try:
        return _from(_built(bundle, regions, listener, workers, None), regions, rows, bundle)
    except (OSError, OutputError) as error:
        reason = of_system(error) if isinstance(error, OSError) else error
        listener.note(f"features are not kept in the cache: {reason}")
    with TemporaryDirectory() as folder:
        return _from(_built(bundle, regions, listener, workers, Path(folder)), regions, rows, bundle)


def _built(bundle: Bundle, regions: Regions, listener: Listener, workers: int, folder: Path | None) -> FeatureRegions:
    store = FeatureStore.build(
        bundle.classifier,
        regions,
        bundle.preprocessing,
        folder=folder,
        workers=workers,
        progress=lambda done, photos: listener.prepare(done, photos, "features computed"),
    )
    return store.view(regions)


def _from(known: FeatureRegions, regions: Regions, rows: pd.DataFrame, bundle: Bundle) -> Directions:
    read = known.known
    pooled = torch.from_numpy(known.store.features(known.places[read]))
    if len(read):
        pooled = directions(bundle.classifier, pooled.to(bundle.classifier.device)).cpu()
    photos = [regions.photos[row] for row in read.tolist()]
    kept = Regions(photos, regions.boxes[read], regions.labels[read])
    return Directions(rows.iloc[read].reset_index(drop=True), kept, pooled.numpy(), len(rows) - len(read))


def directions(classifier: Classifier, pooled: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
    """Return unit vectors of the features by which photos are compared: before the head, after its adapter if any."""
    with torch.no_grad():
        return functional.normalize(classifier.head.adapt(pooled) if classifier.adapts else pooled)

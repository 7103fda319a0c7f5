"""What other benchmarks share: features of photos by the weights that are installed, and the head of `fscl train`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fscl import methods
from fscl.config import resolve, settings
from fscl.loading.features import FeatureStore
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.models.fitted_heads import LogisticHead
from fscl.runtime import Runtime
from fscl.training.start import untrained
from fscl.training.subset import Subset


def features_of(photos: Manifest, classes: Sequence[str], **flags: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of photos, from the feature cache where it has them, and the class of each."""
    chosen = settings({"classes": tuple(classes), **flags})
    config = resolve([("recipe", methods.read(methods.DEFAULT)), ("benchmark", chosen)])
    bundle = untrained(config, Subset(photos, tuple(classes), ()), Runtime.start(0))
    regions = Regions.of(photos.rows, photos.root, classes)
    known = FeatureStore.build(bundle.classifier, regions, bundle.preprocessing).view(regions)
    return known.store.features(known.places[known.known]), regions.labels[known.known]


def logits_of(features: np.ndarray, labels: np.ndarray, *judged: np.ndarray) -> list[np.ndarray]:
    """Fit the head to features and labels; return what it says of others."""
    head = LogisticHead(features.shape[1], int(labels.max()) + 1)
    head.fit(torch.from_numpy(features), torch.from_numpy(labels))
    with torch.inference_mode():
        return [head(torch.from_numpy(some)).numpy() for some in judged]

"""How alike a classifier finds a few test photos, before and after training: the matrices S of the study's loss."""

from collections.abc import Collection, Sequence
from copy import deepcopy

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from fscl.bundle import Bundle
from fscl.loading.features import FeatureStore
from fscl.loading.loader import inference_loader
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.models import Classifier
from fscl.records import CosineMatrices

MOST_PHOTOS, MOST_PER_CLASS, MOST_CLASSES = 36, 12, 12  # what a printed matrix can show


def cosine_matrices(
    before: Bundle, after: Bundle, test: Manifest, store: FeatureStore | None = None
) -> CosineMatrices | None:
    """Return the cosines between features of a few test photos: `similarity` of a cell, see docs/schema.md.

    Costs one forward pass of at most 36 photos for each bundle.

    Args:
        before: what training started from.
        after: what it left.
        test: photos to choose from.
        store: with their features, where the classifiers differ in their heads alone.

    Returns:
        None where fewer than two photos can be read.
    """
    rows = shown_photos(test.usable, after.classes, after.minority)
    regions = Regions.of(rows, test.root, after.classes)
    if store is not None:
        [batch] = store.view(regions).batches()
    else:
        [batch] = inference_loader(regions, after.preprocessing, batch_size=len(rows), workers=0)
    if len(batch.rows) < 2:
        return None
    return CosineMatrices(
        region_id=rows["region_id"].iloc[batch.rows].tolist(),
        label=rows["label"].iloc[batch.rows].tolist(),
        before=cosines(before.classifier, batch.photos),
        after=cosines(after.classifier, batch.photos),
    )


def shown_photos(rows: pd.DataFrame, classes: Sequence[str], minority: Collection[str]) -> pd.DataFrame:
    """Return up to 12 rows of each class, 36 in all, common classes first; the same for the same rows.

    They are evenly spaced in the order of `region_id`, where neighbours may be frames of one burst. Of more
    than 12 classes 12 are shown, at most half of them rare.

    >>> rows = pd.DataFrame({"region_id": [f"{n:02}" for n in range(50)], "label": ["deer", "boar"] * 25})
    >>> shown_photos(rows, ("boar", "deer"), {"boar"})["label"].value_counts().to_dict()
    {'deer': 12, 'boar': 12}
    """
    common, rare = ([n for n in classes if (n in minority) == is_rare] for is_rare in (False, True))
    if len(classes) > MOST_CLASSES:
        rare = rare[: MOST_CLASSES // 2]
        common = common[: MOST_CLASSES - len(rare)]
    each = min(MOST_PER_CLASS, MOST_PHOTOS // len([*common, *rare]))
    shown = []
    for name in [*common, *rare]:
        own = rows[rows["label"] == name].sort_values("region_id")
        shown.append(own.iloc[np.linspace(0, len(own) - 1, min(each, len(own))).round().astype(int)])
    return pd.concat(shown)


def cosines(classifier: Classifier, photos: Float[Tensor, "batch ..."]) -> dict[str, list[float]]:
    """Return S_ij, i < j, row by row, for each tapped layer by its name: batch · (batch − 1) / 2 cosines, rounded.

    The features are those that the loss sees, apart from dropout: batch normalisation takes the statistics of
    these photos. Its running ones mean nothing before training, and by them all photos would look alike.
    """
    seen = classifier
    if photos.ndim == 4:  # of features the head alone computes, and it has no such statistics
        seen = deepcopy(classifier).eval()
        for module in seen.modules():
            if isinstance(module, BatchNorm):
                module.train()
    with torch.inference_mode():
        _, features = seen(photos.to(seen.device))
    return {name: upper_cosines(layer) for name, layer in zip(seen.layer_names, features, strict=True)}


def upper_cosines(features: Float[Tensor, "batch dim"]) -> list[float]:
    """Return the cosines between each two photos i < j, row by row, rounded."""
    directions = functional.normalize(features.cpu().double()).numpy()
    upper: list[float] = (directions @ directions.T)[np.triu_indices(len(directions), k=1)].round(2).tolist()
    return upper

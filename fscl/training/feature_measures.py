"""How tightly the features hold the classes while they are trained: measured at the end of epochs, for the log."""

from collections.abc import Collection
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray

from fscl.bundle import Bundle
from fscl.inference import infer
from fscl.loading.features import FeatureStore
from fscl.loading.regions import Regions
from fscl.loading.store import PhotoStore
from fscl.scoring.collapse import averages, class_features, mean_cosine
from fscl.scoring.some_of_each import some_of_each
from fscl.training.plan import Plan

MOST, FEWEST = 64, 16  # photos of the common classes together, and of the rare ones
SHARE = 0.03  # of an epoch's photos: their forward pass takes 1 % of its time, as a step takes three times as long
BATCH = 64


class FeatureMeasures:
    """Measures the features of a few training photos, the same ones in each epoch; training goes on unchanged.

    They pass as in evaluation: nothing is drawn at random, and no running statistics move. Where so few photos would
    cost more than `SHARE` of an epoch, epochs are left out.

    Args:
        plan: of the run.
        bundle: before training: which classes are rare, and whether features change at all.
        store: of the photos.
    """

    def __init__(self, plan: Plan, bundle: Bundle, store: PhotoStore | FeatureStore | None) -> None:
        self._rare = {bundle.classes.index(name) for name in bundle.minority}
        chosen = few(plan.train.labels, self._rare)
        of = [plan.train.photos[row] for row in chosen]
        regions = Regions(of, plan.train.boxes[chosen], plan.train.labels[chosen])
        self._regions = regions if store is None else store.view(regions)
        self._every = epochs_between(len(chosen), len(plan.train))
        self._changing = not isinstance(store, FeatureStore) or bundle.classifier.adapts

    def at(self, epoch: int, bundle: Bundle, *, last: bool) -> dict[str, dict[str, float | None]] | None:
        """Return the measures of each tapped layer after an epoch; None where they are not due, or cannot change."""
        if not self._changing or (epoch % self._every and not last):
            return None
        parts = list(infer(bundle.classifier, self._regions, bundle.preprocessing, features=True, batch_size=BATCH))
        rows = np.array([row for part in parts for row in part.rows], dtype=np.int64)
        layers = [
            torch.cat(layer).numpy() for layer in zip(*(part.features for part in parts if part.rows), strict=True)
        ]
        labels = self._regions.labels[rows]
        common = {*range(len(bundle.classes))} - self._rare
        measured = {}
        for name, layer in zip(bundle.classifier.layer_names, layers, strict=False):  # none where no photo was read
            found = class_features(layer, labels, len(bundle.classes))
            groups = {"common": common, "rare": self._rare}
            measured[name] = {
                f"{group}_{measure}": value
                for group, classes in groups.items()
                if classes
                for measure, value in averages(found, classes).items()
            } | {"mean_cosine": mean_cosine(found)}
        return measured


def few(labels: NDArray[np.int64], rare: Collection[int]) -> NDArray[np.int64]:
    """Return the rows to measure: up to `MOST` of the common classes, and of the rare ones.

    >>> few(np.array([0] * 5000 + [1] * 9), {1}).shape
    (73,)
    """
    most = int(np.clip(SHARE / 2 * len(labels), FEWEST, MOST))
    is_rare = np.isin(labels, sorted(rare))
    parts = (np.flatnonzero(group) for group in (~is_rare, is_rare))
    return np.concatenate([own[some_of_each(labels[own], most)] for own in parts])


def epochs_between(measured: int, photos: int) -> int:
    """Return after how many epochs so many photos are measured again, of so many in an epoch.

    >>> epochs_between(128, 5000), epochs_between(32, 120)
    (1, 9)
    """
    return max(1, ceil(measured / (SHARE * max(1, photos))))

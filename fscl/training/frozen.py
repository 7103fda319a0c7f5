"""Runs whose backbone stays as it is: features in place of photos, heads fitted at once, the bias of rare classes."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from fscl.bundle import Bundle
from fscl.config import Config
from fscl.decisions import CrossFittedBias, Decisions
from fscl.errors import PhotosError
from fscl.inference import scores
from fscl.loading.features import FeatureRegions, FeatureStore
from fscl.loading.regions import Regions
from fscl.manifest.groups import groups
from fscl.manifest.table import Manifest
from fscl.models.fitted_heads import FittedHead
from fscl.progress import Listener
from fscl.runtime import Runtime
from fscl.scoring.bias import choose_bias
from fscl.training.optimization import Optimization
from fscl.training.plan import Plan
from fscl.training.subset import Subset

FITTED_FOLDS, TRAINED_FOLDS = 5, 3  # a head that is trained by steps takes longer
IntArray = NDArray[np.int64]


def feature_store(bundle: Bundle, rows: pd.DataFrame, root: Path, listener: Listener, workers: int) -> FeatureStore:
    """Return the features of manifest rows, from the cache where it has them."""

    def progress(done: int, photos: int) -> None:
        listener.prepare(done, photos, "photos, their features kept")

    regions = Regions.of(rows, root, classes=())
    return FeatureStore.build(bundle.classifier, regions, bundle.preprocessing, workers=workers, progress=progress)


def fit_head(bundle: Bundle, regions: FeatureRegions) -> None:
    """Fit the head to the features of all training photos that could be read, where it is one that is fitted.

    Raises:
        PhotosError: no photo of a class could be read.
    """
    head = bundle.classifier.head
    if not isinstance(head, FittedHead):
        return
    read = np.array([row for row in range(len(regions)) if regions.problem(row) is None], dtype=np.int64)
    labels = regions.labels[read]
    for label, name in enumerate(bundle.classes):
        if not (labels == label).any():
            own = next(row for row in range(len(regions)) if regions.labels[row] == label)
            raise PhotosError(f"no photo of {name} can be read: {regions.name(own)}: {regions.problem(own)}")
    features = torch.from_numpy(regions.store.features(regions.places[read]))
    head.fit(features, torch.from_numpy(labels))


def with_bias(
    decisions: Decisions, config: Config, start: Bundle, photos: Subset, store: FeatureStore, runtime: Runtime
) -> Decisions:
    """Return decisions with a bias of the classes where validation gave no threshold.

    Each fold of the training photos is scored by a head that was trained as the run's, on the other folds. What is
    of one sequence or photo stays in one fold.

    Args:
        decisions: that validation gave.
        config: of the run, frozen.
        start: the bundle before training.
        photos: of the run.
        store: with the features of all training photos.
        runtime: where the heads compute.
    """
    if decisions.threshold is not None:
        return decisions
    rows = photos.rows("train")
    regions = store.view(Regions.of(rows, photos.manifest.root, photos.classes))
    read = [row for row in range(len(regions)) if regions.problem(row) is None]
    rows, labels = rows.iloc[read], regions.labels[read]
    folds = _folds(rows, labels, TRAINED_FOLDS if config.stage else FITTED_FOLDS, config.seed)
    if not folds:
        reason = "a class has too few training photos to leave some out, so that no bias could be chosen"
        return decisions.model_copy(update={"note": "; ".join(filter(None, [decisions.note, reason]))})
    logits = np.empty((len(rows), len(photos.classes)), dtype=np.float32)
    for kept, held_out in folds:
        bundle = _trained_on(rows.iloc[kept], config, start, photos, store, runtime)
        scored = store.view(Regions.of(rows.iloc[held_out], photos.manifest.root, photos.classes))
        logits[held_out] = scores(bundle.classifier, scored, bundle.preprocessing).logits
    bias = choose_bias(logits, labels)
    chosen = {name: round(float(value), 6) for name, value in zip(photos.classes, bias, strict=True)}
    photos_read = int(rows["photo_id"].nunique())
    return decisions.model_copy(update={"bias": CrossFittedBias(bias=chosen, photos=photos_read, folds=len(folds))})


def _folds(rows: pd.DataFrame, labels: IntArray, most: int, seed: int) -> list[tuple[IntArray, IntArray]]:
    """Return which rows each head is trained on, and which it scores; none where a class would lack training rows."""
    number = groups(rows, "sequence" if rows["sequence"].notna().any() else "photo").number.to_numpy()
    classes = set(labels.tolist())
    folds = min(most, *(len(set(number[labels == label])) for label in classes))
    if folds < 2:
        return []
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    divided = list(splitter.split(np.zeros(len(labels)), labels, number))
    return divided if all(set(labels[kept].tolist()) == classes for kept, _ in divided) else []


def _trained_on(
    rows: pd.DataFrame, config: Config, start: Bundle, photos: Subset, store: FeatureStore, runtime: Runtime
) -> Bundle:
    """Return what the run would have become on these training photos alone."""
    some = Subset(Manifest(rows.reset_index(drop=True), photos.manifest.root), photos.classes, photos.minority)
    torch.manual_seed(config.seed)
    bundle = replace(start, classifier=deepcopy(start.classifier), train_counts=some.train_counts)
    plan = Plan(config, bundle, some, runtime)
    fit_head(bundle, store.view(plan.train))
    optimization = Optimization(bundle, config, plan, runtime)
    for step in plan.batches(0, store):
        optimization.step(step)
    return optimization.corrected()

"""Runs whose backbone stays as it is: features in place of photos, heads fitted at once, the bias of rare classes."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

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
REFITTED_ROWS = 30_000  # of all fits of a closed form together, which takes a second or two: for more there are folds
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]


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
    read = regions.known
    labels = regions.labels[read]
    for label, name in enumerate(bundle.classes):
        if not (labels == label).any():
            own = next(row for row in range(len(regions)) if regions.labels[row] == label)
            raise PhotosError(f"no photo of {name} can be read: {regions.name(own)}: {regions.problem(own)}")
    features = torch.from_numpy(regions.store.features(regions.places[read]))
    head.fit(features, torch.from_numpy(labels))


def with_bias(decisions: Decisions, cross_fitted: Callable[[], CrossFittedBias | None]) -> Decisions:
    """Return decisions with a bias of the classes where validation gave no threshold.

    Args:
        decisions: that validation gave.
        cross_fitted: gives the bias; it is only called where one is wanted.
    """
    if decisions.threshold is not None:
        return decisions
    bias = cross_fitted()
    if bias is None:
        reason = "a class has too few training photos to leave some out, so that no bias could be chosen"
        return decisions.model_copy(update={"note": "; ".join(filter(None, [decisions.note, reason]))})
    return decisions.model_copy(update={"bias": bias})


def cross_fitted_bias(
    config: Config, start: Bundle, photos: Subset, store: FeatureStore, runtime: Runtime
) -> CrossFittedBias | None:
    """Return the bias of the classes that the training photos give; None where a class has too few to leave some out.

    Each photo is scored by a head that was trained as the run's on others: all others where that costs little, those
    of the other folds elsewhere. What is of one sequence or photo is left out together.

    Args:
        config: of the run, frozen.
        start: the bundle before training.
        photos: of the run.
        store: with the features of all training photos.
        runtime: where the heads compute.
    """
    rows = photos.rows("train")
    regions = store.view(Regions.of(rows, photos.manifest.root, photos.classes))
    read = regions.known
    rows, regions = rows.iloc[read], regions.at(read)
    number = groups(rows, "sequence" if rows["sequence"].notna().any() else "photo").number.to_numpy()
    head = start.classifier.head
    if min(len(set(number[regions.labels == label])) for label in range(len(photos.classes))) < 2:
        return None
    if config.stage or not isinstance(head, FittedHead):

        def trained(kept: IntArray, held_out: IntArray) -> FloatArray:
            bundle = _trained_on(rows.iloc[kept], config, start, photos, store, runtime)
            return scores(bundle.classifier, regions.at(held_out), bundle.preprocessing).logits

        found = _by_folds(regions.labels, number, TRAINED_FOLDS, config.seed, trained)
    else:
        found = _by_fitting(head, regions, number, config.seed)
    if found is None:
        return None
    bias = choose_bias(found.logits, regions.labels)
    chosen = {name: round(float(value), 6) for name, value in zip(photos.classes, bias, strict=True)}
    return CrossFittedBias(bias=chosen, photos=int(rows["photo_id"].nunique()), folds=found.folds)


class _Scored(NamedTuple):
    """The logits of photos by heads that had not seen them, and into how many parts the photos were divided."""

    logits: FloatArray
    folds: int


def _by_fitting(head: FittedHead, regions: FeatureRegions, number: IntArray, seed: int) -> _Scored | None:
    """Score photos by heads fitted to others: to all others where the head has a closed form, else by folds.

    Few photos are each left out by fitting again, as the standardisation then depends on each of them. Of many, those
    that are left out alone are scored in closed form.
    """
    labels, features = torch.from_numpy(regions.labels), torch.from_numpy(regions.store.features(regions.places))
    fresh = deepcopy(head).to("cpu")

    def fitted(kept: IntArray, held_out: IntArray) -> FloatArray:
        fresh.fit(features[kept], labels[kept])
        with torch.inference_mode():
            logits: FloatArray = fresh(features[held_out]).numpy()
        return logits

    rows_of = np.bincount(number)
    few = len(labels) * int((rows_of > 0).sum()) <= REFITTED_ROWS
    again = np.flatnonzero(rows_of > (0 if few else 1))
    if not head.closed_form or len(labels) * len(again) > REFITTED_ROWS:
        return _by_folds(regions.labels, number, FITTED_FOLDS, seed, fitted)
    logits = np.empty((len(labels), len(set(regions.labels.tolist()))), dtype=np.float32)
    if not few:
        logits[:] = head.left_out(features, labels)
    for group in again:
        held_out = number == group
        logits[held_out] = fitted(np.flatnonzero(~held_out), np.flatnonzero(held_out))
    return _Scored(logits, int((rows_of > 0).sum()))


def _by_folds(
    labels: IntArray, number: IntArray, most: int, seed: int, train: Callable[[IntArray, IntArray], FloatArray]
) -> _Scored | None:
    """Score each fold by what `train` makes of the others; None where a class would lack training photos."""
    folds = _folds(labels, number, most, seed)
    parts = [(held_out, train(kept, held_out)) for kept, held_out in folds]
    if not parts:
        return None
    logits = np.empty((len(labels), parts[0][1].shape[1]), dtype=np.float32)
    for held_out, scored in parts:
        logits[held_out] = scored
    return _Scored(logits, len(folds))


def _folds(labels: IntArray, number: IntArray, most: int, seed: int) -> list[tuple[IntArray, IntArray]]:
    """Return which rows each head is trained on, and which it scores; none where a class would lack training rows."""
    classes = set(labels.tolist())
    folds = min(most, *(len(set(number[labels == label])) for label in classes))
    how: dict[str, Any] = {"n_splits": folds, "shuffle": True, "random_state": seed % 2**32}
    if len(set(number)) == len(number):  # the other splitter looks at each of thousands of groups in Python
        divided = list(StratifiedKFold(**how).split(labels, labels))
    else:
        divided = list(StratifiedGroupKFold(**how).split(labels, labels, number))
    return divided if all(set(labels[kept].tolist()) == classes for kept, _ in divided) else []


def _trained_on(
    rows: pd.DataFrame, config: Config, start: Bundle, photos: Subset, store: FeatureStore, runtime: Runtime
) -> Bundle:
    """Return what the run would have become on these training photos alone."""
    some = Subset(Manifest(rows.reset_index(drop=True), photos.manifest.root), photos.classes, photos.minority)
    torch.manual_seed(config.seed)
    bundle = replace(start, classifier=start.classifier.with_own_head(), train_counts=some.train_counts)
    plan = Plan(config, bundle, some, runtime)
    fit_head(bundle, store.view(plan.train))
    optimization = Optimization(bundle, config, plan, runtime)
    for step in plan.batches(0, store):
        optimization.step(step)
    return optimization.corrected()

"""Runs whose backbone stays as it is: features in place of photos, heads fitted at once, photos left out in turn."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from torch import Tensor

from fscl.bundle import Bundle
from fscl.config import Augmentation, Config
from fscl.decisions import CrossFitted
from fscl.errors import PhotosError
from fscl.inference import bursts, scores
from fscl.loading.feature_files import disk_note
from fscl.loading.features import FeatureRegions, FeatureStore, Views
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.models.fitted_heads import FittedHead
from fscl.progress import Listener
from fscl.runtime import Runtime
from fscl.training.optimization import Optimization
from fscl.training.plan import Plan
from fscl.training.subset import Subset

FITTED_FOLDS, TRAINED_FOLDS = 5, 3  # a head that is trained by steps takes longer
REFITTED_ROWS = 30_000  # of all fits of a closed form together, which takes a second or two: for more there are folds
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]


def feature_store(
    bundle: Bundle,
    rows: pd.DataFrame,
    root: Path,
    listener: Listener,
    workers: int,
    augmentation: Augmentation | None = None,
) -> FeatureStore:
    """Return the features of manifest rows, from the cache where it has them.

    Args:
        bundle: its backbone computes them.
        rows: the photos.
        root: that they are in.
        listener: hears how far it is.
        workers: processes that read photos.
        augmentation: where it says so, views of the training photos are wanted, too.
    """
    views = None
    if augmentation is not None and augmentation.feature_views is not None:
        views = Views(augmentation, np.flatnonzero(rows["split"] == "train"))
    what = "features computed" if views is None else "features of photos and views computed"
    wanted = len(rows) + (0 if views is None else len(views.rows) * (views.settings.feature_views or 0))
    for note in filter(None, [disk_note(wanted, bundle.classifier.pooled_dim)]):
        listener.note(note)

    def progress(done: int, photos: int) -> None:
        listener.prepare(done, photos, what)

    regions, shape = Regions.of(rows, root, classes=()), bundle.preprocessing
    return FeatureStore.build(bundle.classifier, regions, shape, views=views, workers=workers, progress=progress)


def fit_head(bundle: Bundle, regions: FeatureRegions, augmentation: Augmentation) -> None:
    """Fit the head to the features of all training photos that could be read, where it is one that is fitted.

    Args:
        bundle: with the head.
        regions: the training photos.
        augmentation: says which views of them there are.

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
    features = _views(regions.at(read), augmentation, bundle)
    _fit(head, features, torch.from_numpy(labels))


def cross_fitted(
    config: Config, start: Bundle, photos: Subset, store: FeatureStore, runtime: Runtime
) -> CrossFitted | None:
    """Return what is said of training photos by heads that had not seen them; None where a class has too few of them.

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
    number, unit = bursts(rows)
    head = start.classifier.head
    if min(len(set(number[regions.labels == label])) for label in range(len(photos.classes))) < 2:
        return None
    if config.stage or not isinstance(head, FittedHead):

        def trained(kept: IntArray, held_out: IntArray) -> FloatArray:
            bundle = _trained_on(rows.iloc[kept], config, start, photos, store, runtime)
            return scores(bundle.classifier, regions.at(held_out), bundle.preprocessing).logits

        found = _by_folds(regions.labels, number, TRAINED_FOLDS, config.seed, trained)
    else:
        features = _views(regions, config.augmentation, start)
        found = _by_fitting(head, features, regions.labels, number, config.seed)
    if found is None:
        return None
    return CrossFitted(
        found.logits, regions.labels, number, unit, photos=int(rows["photo_id"].nunique()), folds=found.folds
    )


class _Scored(NamedTuple):
    """The logits of photos by heads that had not seen them, and into how many parts the photos were divided."""

    logits: FloatArray
    folds: int


def _views(regions: FeatureRegions, augmentation: Augmentation, bundle: Bundle) -> Float[Tensor, "photos views dim"]:
    """Return the features of the plain photos, and of their views after these."""
    seen = regions.seen(augmentation, [bundle.classes.index(name) for name in bundle.minority])
    return torch.from_numpy(regions.store.features(seen.ravel())).reshape(*seen.shape, -1)


def _fit(head: FittedHead, features: Float[Tensor, "photos views dim"], labels: Int[Tensor, "photos"]) -> None:
    views = features.shape[1]
    head.fit(features.flatten(0, 1), labels.repeat_interleave(views), views=views)


def _by_fitting(
    head: FittedHead,
    features: Float[Tensor, "photos views dim"],
    labels: IntArray,
    number: IntArray,
    seed: int,
) -> _Scored | None:
    """Score photos by heads fitted to others: to all others where the head has a closed form, else by folds.

    Few photos are each left out by fitting again, as the standardisation then depends on each of them. Of many, those
    that are left out alone are scored in closed form, where they have no views. Plain photos alone are scored.
    """
    classes, plain, rows = torch.from_numpy(labels), features[:, 0], features.shape[0] * features.shape[1]
    fresh = deepcopy(head).to("cpu")

    def fitted(kept: IntArray, held_out: IntArray) -> FloatArray:
        _fit(fresh, features[kept], classes[kept])
        with torch.inference_mode():
            logits: FloatArray = fresh(plain[held_out]).numpy()
        return logits

    rows_of = np.bincount(number)
    refitted = rows * int((rows_of > 0).sum()) <= REFITTED_ROWS or features.shape[1] > 1
    again = np.flatnonzero(rows_of > (0 if refitted else 1))
    if not head.closed_form or rows * len(again) > REFITTED_ROWS:
        return _by_folds(labels, number, FITTED_FOLDS, seed, fitted)
    logits = np.empty((len(labels), len(set(labels.tolist()))), dtype=np.float32)
    if not refitted:
        logits[:] = head.left_out(plain, classes)
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
    fit_head(bundle, store.view(plan.train), config.augmentation)
    optimization = Optimization(bundle, config, plan, runtime)
    for step in plan.batches(0, store):
        optimization.step(step)
    return optimization.corrected()

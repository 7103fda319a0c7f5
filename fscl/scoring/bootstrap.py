"""Between which values a figure lies, were other sites, bursts or photos drawn."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from fscl.scoring.crossed import photo_parts
from fscl.scoring.statistics import Interval

DRAWS = 1000
AT_ONCE = 2_000_000  # numbers drawn, so that memory stays small
FEW = 10  # groups: with fewer, what is drawn is too much alike


class Intervals(NamedTuple):
    """Of figures, each None where it is not defined in nearly all draws; `recall` and `precision` class by class."""

    balanced_accuracy: Interval | None
    auroc: Interval | None
    recall: list[Interval | None]
    precision: list[Interval | None]
    groups: list[int]  # that photos of each class are in


def bootstrap(
    logits: Float[np.ndarray, "photos classes"],
    labels: Int[np.ndarray, "photos"],
    groups: Int[np.ndarray, "photos"],
    *,
    generator: np.random.Generator,
    confidence: float = 0.95,
) -> Intervals:
    """Return percentile intervals of figures, drawing whole groups with replacement.

    Photos of one site or burst are alike, so that photos drawn one by one would make the intervals too short (cluster
    bootstrap, Davison & Hinkley 1997, Sec. 3.8). AUROC is drawn to first order: A* = Σ_c mean*_c h − A, with the part
    h(i) of each photo as `photo_parts` gives it, which needs no sorting in each draw.

    Args:
        logits: finite; the answer is their argmax.
        labels: index of the true class.
        groups: number of the group of each photo.
        generator: of the draws.
        confidence: of the intervals, in (0, 1).

    >>> labels = np.repeat([0, 1], 50)
    >>> logits = np.eye(2)[np.where(np.arange(100) % 5 == 0, 1 - labels, labels)]  # 4 of 5 right
    >>> found = bootstrap(logits, labels, np.arange(100), generator=np.random.default_rng(0))
    >>> 0.68 < found.balanced_accuracy.low < 0.8 < found.balanced_accuracy.high < 0.92
    True
    """
    classes, numbers = logits.shape[1], np.unique(groups, return_inverse=True)[1]
    size = int(numbers.max()) + 1 if len(numbers) else 0
    answers, parts = logits.argmax(axis=1), photo_parts(logits, labels, np.ones(classes, dtype=bool))["auroc"]
    shown, called = np.eye(classes)[labels], np.eye(classes)[answers]
    sums = np.concatenate([shown, called, shown * called, shown * parts[:, None]], axis=1)
    of_groups = np.zeros((size, sums.shape[1]))
    np.add.at(of_groups, numbers, sums)
    drawn = _drawn(of_groups, generator)
    photos, taken, hits, ranked = (drawn[:, place * classes : (place + 1) * classes] for place in range(4))
    with np.errstate(invalid="ignore"):
        recall, precision, placed = hits / photos, hits / taken, ranked / photos
    present = shown.any(axis=0)
    area = (parts @ shown / shown.sum(axis=0).clip(min=1)).sum() / 2
    return Intervals(
        balanced_accuracy=_interval(recall[:, present].mean(axis=1), confidence) if present.any() else None,
        auroc=_interval((placed[:, present].sum(axis=1) - area).clip(0, 1), confidence)
        if present.sum() > 1
        else None,
        recall=[_interval(recall[:, label], confidence) for label in range(classes)],
        precision=[_interval(precision[:, label], confidence) for label in range(classes)],
        groups=[len(np.unique(numbers[labels == label])) for label in range(classes)],
    )


def _drawn(of_groups: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the sums of each draw of as many groups as there are, (draws, sums)."""
    size = len(of_groups)
    parts, left = [np.empty((0, of_groups.shape[1]))], DRAWS if size else 0
    while left:
        some = min(left, max(AT_ONCE // size, 1))
        picked = generator.integers(size, size=(some, size)) + size * np.arange(some)[:, None]
        times = np.bincount(picked.ravel(), minlength=some * size).reshape(some, size)
        parts.append(times @ of_groups)
        left -= some
    return np.concatenate(parts)


def _interval(values: NDArray[np.float64], confidence: float) -> Interval | None:
    defined = values[np.isfinite(values)]
    if len(defined) < confidence * DRAWS:
        return None
    beyond = (1 - confidence) / 2
    low, high = np.quantile(defined, [beyond, 1 - beyond])
    return Interval(float(low), float(high))

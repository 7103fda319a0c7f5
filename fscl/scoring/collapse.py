"""How tightly features hold the classes: cosines within and between them, and their scatter."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
NAMES = ("within_cosine", "between_cosine", "scatter_ratio")


class ClassFeatures(NamedTuple):
    """What features say of the classes; of a class NaN where it has too few photos.

    Attributes:
        within_cosine: (classes,) mean cosine between two photos of the class, in [−1, 1].
        between_cosine: (classes,) mean cosine between a photo of the class and one of another, in [−1, 1].
        scatter_ratio: (classes,) mean squared distance of its photos from the class mean, over that of the class
            means from their mean; ≥ 0, and 0 where all photos of a class have one feature.
        mean_cosines: (classes, classes) cosine between class means.
    """

    within_cosine: FloatArray
    between_cosine: FloatArray
    scatter_ratio: FloatArray
    mean_cosines: FloatArray


def class_features(features: NDArray[np.floating], labels: NDArray[np.int64], classes: int) -> ClassFeatures:
    """Return how features hold the classes apart, each class for itself, so that a common one hides no rare one.

    The study's loss pulls `within_cosine` to 1 and `between_cosine` to 0. `scatter_ratio` is the trace form of NC1,
    tr(Σ_W) / tr(Σ_B) of Papyan et al. 2020 (Fig. 6), a class at a time and without its pseudo-inverse.

    Args:
        features: (photos, dim).
        labels: of each, 0 … classes − 1.
        classes: K.

    >>> found = class_features(np.array([[1.0, 0], [1, 0], [0, 2], [0, 4]]), np.array([0, 0, 1, 1]), 2)
    >>> found.within_cosine.tolist(), found.between_cosine.tolist(), found.scatter_ratio.round(2).tolist()
    ([1.0, 1.0], [0.0, 0.0], [0.0, 0.4])
    """
    x = np.asarray(features, dtype=np.float64)
    of_class = (labels[None, :] == np.arange(classes)[:, None]).astype(np.float64)  # (classes, photos)
    count = of_class.sum(axis=1)
    directions = _unit(x)
    sums = of_class @ directions
    own, lengths = (sums**2).sum(axis=1), of_class @ (directions**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        means = (of_class @ x) / count[:, None]
        seen = count > 0
        centre = means[seen].mean(axis=0) if seen.any() else np.zeros(x.shape[1])
        scatter = np.array([((x[labels == c] - means[c]) ** 2).sum() for c in range(classes)]) / count
        spread = ((means[seen] - centre) ** 2).sum(axis=1).mean() if seen.sum() > 1 else np.nan
        between = (sums @ sums.sum(axis=0) - own) / (count * (count.sum() - count))
        within = np.where(count > 1, (own - lengths) / (count * (count - 1)), np.nan)
        ratio = np.where((count > 1) & (spread > 0), scatter / spread, np.nan)
    unit_means = _unit(means)
    return ClassFeatures(within, between, ratio, np.clip(unit_means @ unit_means.T, -1, 1))


def averages(found: ClassFeatures, which: Collection[int]) -> dict[str, float | None]:
    """Return the mean of each measure over some classes, by its name; None where none of them has one.

    >>> found = class_features(np.eye(3), np.array([0, 1, 1]), 2)
    >>> averages(found, {0})
    {'within_cosine': None, 'between_cosine': 0.0, 'scatter_ratio': None}
    """
    return {name: mean(getattr(found, name)[sorted(which)]) for name in NAMES}


def mean_cosine(found: ClassFeatures) -> float | None:
    """Return the cosine between the means of two classes, mean over all pairs; None where there is none."""
    return mean(found.mean_cosines[np.triu_indices(len(found.mean_cosines), k=1)])


def mean(values: FloatArray) -> float | None:
    """Return the mean of the values that are known, to four places."""
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 4) if len(known) else None


def _unit(rows: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: FloatArray = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths != 0)
    return unit

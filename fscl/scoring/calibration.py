"""Whether a probability of 0.8 is right in 8 of 10 photos."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

BINS = 15  # Guo et al. 2017


def expected_calibration_error(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], bins: int = BINS
) -> float | None:
    """Return the mean gap between confidence and accuracy, over bins of equal width, weighted by photos.

    Confidence is the probability of the predicted class; a bin holds its upper edge. Guo et al. 2017, Eq. 3.

    Args:
        probabilities: (photos, classes), in [0, 1].
        labels: (photos,), index of the true class.
        bins: how many divide [0, 1], ≥ 1.

    Returns:
        The error in [0, 1], 0 calibrated; None without photos.

    >>> expected_calibration_error(np.array([[0.75, 0.25], [0.75, 0.25]]), np.array([0, 1]))
    0.25
    """
    if not len(labels):
        return None
    return _mean_gap(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, bins)


def classwise_calibration_error(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], bins: int = BINS
) -> float | None:
    """Return the mean over the classes of the gap between the probability of a class and the share that it has.

    As `expected_calibration_error`, but of each class by itself, so that a rare one has the same say. Kull et al.
    2019, Eq. 3 (classwise ECE).

    Args:
        probabilities: (photos, classes), in [0, 1].
        labels: (photos,), index of the true class.
        bins: how many divide [0, 1], ≥ 1.

    Returns:
        The error in [0, 1], 0 calibrated; None without photos.

    >>> classwise_calibration_error(np.array([[0.75, 0.25], [0.75, 0.25]]), np.array([0, 1]))
    0.25
    """
    if not len(labels):
        return None
    gaps = [_mean_gap(of_class, labels == label, bins) for label, of_class in enumerate(probabilities.T)]
    return float(np.mean(gaps))


def brier_score(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float | None:
    """Return the mean over photos of Σ_c (p_c − 1[c is the true class])². Brier 1950.

    Args:
        probabilities: (photos, classes), in [0, 1].
        labels: (photos,), index of the true class.

    Returns:
        The score in [0, 2], 0 sure and right; None without photos.

    >>> brier_score(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0, 1]))
    0.25
    """
    if not len(labels):
        return None
    shown = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - shown) ** 2).sum(axis=1).mean())


class Reliability(NamedTuple):
    """Photos to which a class was given a probability of one bin: the mean of it, and the share that is the class."""

    photos: int
    probability: float
    share: float


def reliability(
    probabilities: Float[np.ndarray, "photos"], shown: Bool[np.ndarray, "photos"], bins: int = BINS
) -> list[Reliability]:
    """Return the bins of a reliability diagram, from the lowest probability up; bins without photos are left out.

    Args:
        probabilities: of one class, in [0, 1].
        shown: whether a photo shows it.
        bins: how many divide [0, 1], ≥ 1.

    >>> reliability(np.array([0.1, 0.9, 0.9]), np.array([False, True, False]), bins=2)
    [Reliability(photos=1, probability=0.1, share=0.0), Reliability(photos=2, probability=0.9, share=0.5)]
    """
    bin_of = _bin_of(probabilities, bins)
    photos = np.bincount(bin_of, minlength=bins)
    summed = np.bincount(bin_of, weights=probabilities, minlength=bins)
    hits = np.bincount(bin_of, weights=shown, minlength=bins)
    return [
        Reliability(int(photos[b]), float(summed[b] / photos[b]), float(hits[b] / photos[b]))
        for b in np.flatnonzero(photos)
    ]


def _mean_gap(probabilities: NDArray[np.floating], right: NDArray[np.bool_], bins: int) -> float:
    gaps = np.bincount(_bin_of(probabilities, bins), weights=right - probabilities, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def _bin_of(probabilities: NDArray[np.floating], bins: int) -> Int[np.ndarray, "photos"]:
    edges = np.linspace(0, 1, bins + 1)
    places: Int[np.ndarray, photos] = np.digitize(probabilities, edges[1:-1], right=True)
    return places

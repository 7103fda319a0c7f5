"""Sets of species that hold the true one as often as promised, species by species."""

from math import ceil, floor, inf

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from fscl.scoring.statistics import Interval


def fewest_photos(alpha: float) -> int:
    """Return how many calibration photos of a class a finite quantile takes: ceil(1/alpha) − 1.

    >>> fewest_photos(0.05)
    19
    """
    return ceil(round(1 / alpha, 9)) - 1


def class_quantiles(
    probabilities: Float[np.ndarray, "photos classes"], labels: Int[np.ndarray, "photos"], alpha: float
) -> Float[np.ndarray, "classes"]:
    """Return the quantile of each class: a class c is in the set of a photo where 1 − p_c is at most this.

        q_c = the ⌈(n_c + 1)(1 − α)⌉-th smallest 1 − p_c of the n_c photos of class c;  ∞ where that is above n_c

    Class-conditional (Mondrian) split conformal prediction: Vovk 2012; Sadinle, Lei & Wasserman 2019 for the score.
    Of new photos of *each* class, at least 1 − α have it in their set, over draws of calibration and new photos, as
    long as both are drawn alike. With fewer than `fewest_photos(alpha)` photos nothing finite keeps that promise: the
    class is in every set.

    Args:
        probabilities: in [0, 1], of calibration photos that the model was not fitted to.
        labels: index of the true class.
        alpha: the share of photos that may be missed, in (0, 1).

    >>> p = np.linspace(0.99, 0.61, 39)
    >>> class_quantiles(np.stack([p, 1 - p], axis=1), np.zeros(39, int), alpha=0.05).round(2).tolist()
    [0.38, inf]
    """
    quantiles = np.full(probabilities.shape[1], inf)
    for label in range(probabilities.shape[1]):
        own = np.sort(1 - probabilities[labels == label, label])
        place = ceil(round((len(own) + 1) * (1 - alpha), 9))
        if place <= len(own):
            quantiles[label] = own[place - 1]
    return quantiles


def prediction_sets(
    probabilities: Float[np.ndarray, "photos classes"], quantiles: Float[np.ndarray, "classes"]
) -> Bool[np.ndarray, "photos classes"]:
    """Return which classes are in the set of each photo. It may be empty: the photo is like none of them.

    >>> prediction_sets(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([0.6, 0.3])).tolist()
    [[True, False], [True, False]]
    """
    inside: Bool[np.ndarray, "photos classes"] = 1 - probabilities <= quantiles
    return inside


def coverage_band(calibration: int, photos: int, alpha: float, confidence: float = 0.99) -> Interval:
    """Return between which shares the coverage of new photos of a class lies if the promise is kept.

    The number covered of m new photos, after n of calibration, is beta-binomial with (n + 1 − l, l), where
    l = ⌊(n + 1) α⌋: Vovk 2012. Ties in the scores can only raise it.

    Args:
        calibration: n, at least `fewest_photos(alpha)`.
        photos: m ≥ 1.
        alpha: as in `class_quantiles`.
        confidence: of the band, in (0, 1).

    >>> coverage_band(500, 1000, 0.05)
    Interval(low=0.915, high=0.976)
    """
    missed = floor(round((calibration + 1) * alpha, 9))
    covered = stats.betabinom(photos, calibration + 1 - missed, missed)
    beyond = (1 - confidence) / 2
    return Interval(float(covered.ppf(beyond)) / photos, float(covered.ppf(1 - beyond)) / photos)

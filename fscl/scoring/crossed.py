"""Do two methods differ on other seeds and other test photos? Seeds share the test photos: they alone cannot say.

Within each class a figure is a mean over photos; what photo i adds to it is its part h(i).
"""

from collections.abc import Sequence
from itertools import combinations
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from fscl.errors import ConfigurationError
from fscl.scoring.statistics import PairedT, t_test

Array = NDArray[np.float64]
Numbers = NDArray[np.integer]


def photo_parts(logits: NDArray[np.floating], labels: Numbers, minority: NDArray[np.bool_]) -> dict[str, Array]:
    """Return what each photo adds to `minority_recall`, `balanced_accuracy` and `auroc`, (photos,) each.

        recall   h(i) = 1 where the photo is named rightly, else 0, over the number of classes that the mean is over
        AUROC    h(i) = share of the photos of the other class that it is ranked rightly against, ties half; the mean
                 over pairs of classes

    Summed over the classes, the mean part of a class's photos is the figure that `fscl.scoring.metrics` gives; of
    AUROC it is twice that, for a pair of photos counts on both sides.

    Args:
        logits: (photos, classes), finite.
        labels: (photos,), index of the true class.
        minority: (classes,), which of them are rare.

    >>> logits, labels = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), np.array([0, 1, 1])
    >>> {name: parts.tolist() for name, parts in photo_parts(logits, labels, np.array([False, True])).items()}
    {'minority_recall': [0.0, 1.0, 0.0], 'balanced_accuracy': [0.5, 0.5, 0.0], 'auroc': [0.5, 1.0, 0.0]}
    """
    present = np.unique(labels)
    right = (logits.argmax(axis=1) == labels).astype(np.float64)
    return {
        "minority_recall": right * minority[labels] / max(int(minority[present].sum()), 1),
        "balanced_accuracy": right / max(len(present), 1),
        "auroc": _auroc_parts(logits.astype(np.float64), labels, present),
    }


def _auroc_parts(logits: Array, labels: Numbers, present: Numbers) -> Array:
    parts = np.zeros(len(labels))
    rows = {label: np.flatnonzero(labels == label) for label in present}
    pairs = list(combinations(present, 2))
    for a, b in pairs:
        of_a, of_b = (logits[rows[label], a] - logits[rows[label], b] for label in (a, b))
        parts[rows[a]] += _share_below(of_a, of_b) / len(pairs)
        parts[rows[b]] += _share_below(-of_b, -of_a) / len(pairs)
    return parts


def _share_below(own: Array, others: Array) -> Array:
    ordered = np.sort(others)
    below = np.searchsorted(ordered, own, "left") + np.searchsorted(ordered, own, "right")
    shares: Array = below / (2 * len(others))
    return shares


def crossed_t(
    differences: Sequence[float], parts: Array, labels: Numbers, bursts: Numbers, confidence: float = 0.95
) -> PairedT | None:
    """Test whether two methods differ in the mean over seeds and test photos, both drawn at random.

    The variance of the mean difference is that of seeds and that of photos, less what both count: the noise that each
    seed has on each photo.

        V        = V_photos + s²/S − (mean_s V_s − V_photos) / (S − 1),   at least V_photos and s²/S
        V_photos = Σ_b (Σ_{i ∈ b} x(i))²,   x(i) = (h(i) − mean h of class c) / n_c · √(B_c / (B_c − 1))

    with s² the variance of the differences over S seeds, h the mean over seeds, V_s the same as V_photos of one seed,
    n_c photos of class c in B_c bursts b. t has Satterthwaite's degrees of freedom. Source of V_s: for AUROC DeLong
    et al. 1988, for recall the binomial variance; over bursts the sandwich of Liang & Zeger 1986. The sum is ours.

    Args:
        differences: of the figure, one per seed.
        parts: (seeds, photos), h(i): what each photo adds to the difference of a seed.
        labels: (photos,), class of each, ≥ 0.
        bursts: (photos,), number of its burst, ≥ 0: photos of a burst are near-copies, so they are drawn together.
        confidence: of the interval, in (0, 1).

    Returns:
        The test; None where the photos of a class are of a single burst, which says nothing of others.

    Raises:
        ConfigurationError: fewer than 2 seeds, or parts of another number of them.
    """
    seeds = len(differences)
    if seeds < 2 or parts.shape != (seeds, len(labels)):
        raise ConfigurationError(f"expected 2 seeds or more and parts of each, got {seeds} and {parts.shape}")
    of_seeds = float(np.var(differences, ddof=1)) / seeds
    uncertainty = of_seeds**2 / (seeds - 1)
    scaled = np.zeros_like(parts)
    for label in np.unique(labels):
        own = labels == label
        number = len(np.unique(bursts[own]))
        if number > 1:
            centred = parts[:, own] - parts[:, own].mean(axis=1, keepdims=True)
            scaled[:, own] = centred / own.sum() * sqrt(number / (number - 1))
            uncertainty += _sum_of_squares(scaled[:, own].mean(axis=0), bursts[own]) ** 2 / (number - 1)
        elif parts[:, own].any():
            return None
    of_photos = _sum_of_squares(scaled.mean(axis=0), bursts)
    of_each = float(np.mean([_sum_of_squares(of_seed, bursts) for of_seed in scaled]))
    variance = max(of_photos + of_seeds - (of_each - of_photos) / (seeds - 1), of_photos, of_seeds)
    freedom = variance**2 / uncertainty if uncertainty else inf
    return t_test(float(np.mean(differences)), variance, freedom, confidence)


def _sum_of_squares(values: Array, bursts: Numbers) -> float:
    """Return the sum over bursts of the square of their sum."""
    sums = np.bincount(bursts, weights=values)
    return float(sums @ sums)

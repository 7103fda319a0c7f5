"""Is a figure above guessing? What guessing gives on these test photos, and how much that varies by chance."""

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np
from scipy import stats

GUESSED_AUROC = 0.5


def auroc_noise(counts: Sequence[int]) -> float:
    """Return the variance of AUROC over test photos for scores that know nothing of the classes.

    Of two classes it is that of the Mann–Whitney statistic, (n + m + 1) / (12 n m). Of more it is the most that the
    mean over pairs of classes can have: a photo's ranks against other classes go together.

    Args:
        counts: test photos of each class; at least two classes have some.

    >>> round(auroc_noise([3, 5]), 4), (3 + 5 + 1) / (12 * 3 * 5)
    (0.05, 0.05)
    """
    inverse = 1 / np.array([count for count in counts if count], dtype=np.float64)
    classes = len(inverse)
    both = (inverse.sum() ** 2 - np.square(inverse).sum()) / 2  # Σ 1/(n m) over pairs
    pairs = classes * (classes - 1) / 2
    return float((4 / classes**2 * inverse.sum() + both / pairs**2) / 12)


def balanced_accuracy_noise(recall: Mapping[str, float | None], counts: Mapping[str, int]) -> float:
    """Return the variance of balanced accuracy over test photos: that of a mean of shares.

    A share p of n photos has p (1 − p) / n, here with one more photo found and one more missed: all of 3 found is no
    proof that every one would be.

    >>> round(balanced_accuracy_noise({"boar": 0.5, "deer": 1.0}, {"boar": 98, "deer": 2}), 5)
    0.02408
    """
    shares = [(value, counts[name]) for name, value in recall.items() if value is not None]
    smoothed = [((value * n + 1) / (n + 2), n) for value, n in shares]
    return sum(p * (1 - p) / n for p, n in smoothed) / len(shares) ** 2


def above_chance(values: Sequence[float], noise: Sequence[float], chance: float, confidence: float = 0.95) -> bool:
    """Return whether the mean over seeds is above chance: its interval over seeds and test photos does not cover it.

    Seeds share the test photos, so their noise does not become less with more seeds. What both variances count twice
    widens the interval.

    Args:
        values: the figure of each seed, at least one.
        noise: its variance over test photos, for each seed.
        chance: what guessing gives.
        confidence: of the two-sided interval, in (0, 1).

    >>> above_chance([0.55], [0.0009], chance=0.5), above_chance([0.7, 0.8, 0.75], [0.001] * 3, chance=0.5)
    (False, True)
    """
    seeds = len(values)
    of_seeds = float(np.var(values, ddof=1)) / seeds if seeds > 1 else 0.0
    variance = float(np.mean(noise)) + of_seeds
    # Satterthwaite; that of the photos is as good as known.
    freedom = (variance / of_seeds) ** 2 * (seeds - 1) if of_seeds else np.inf
    margin = float(stats.t.ppf((1 + confidence) / 2, freedom)) * sqrt(variance)
    return float(np.mean(values)) - chance > margin

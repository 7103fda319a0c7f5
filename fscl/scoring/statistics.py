"""What several seeds say: mean, spread, and whether two methods differ; and whether two models do."""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fscl.errors import ConfigurationError

CHANCE = 0.05  # p-values from here on are called chance

DRAWS = 99_999  # by chance, of a test: p-values are then known to within 0.003


class PairedT(NamedTuple):
    """A paired t test: mean of the differences, its confidence interval, two-sided p-value.

    Where nothing varies the interval has no width; p is 1 then for a mean of 0, and None for another: that
    differences are equal says nothing of how far the next ones may lie.
    """

    difference: float
    low: float
    high: float
    p: float | None


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and sample standard deviation (n - 1); None for the latter with one value.

    >>> mean_sd([0.4, 0.6])[0], mean_sd([0.5])
    (0.5, (0.5, None))
    """
    if not len(values):
        raise ConfigurationError("expected at least 1 value to average, got none; run at least one seed")
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def paired_t(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> PairedT:
    """Test whether `a` and `b`, figures of two methods on the same seeds, differ in the mean.

    Args:
        a: a figure per seed.
        b: the same figure of the other method, in the same order of seeds.
        confidence: of the interval, in (0, 1).

    Raises:
        ConfigurationError: different lengths, or fewer than 2 seeds.

    >>> paired_t([0.75, 1.0, 0.5], [0.5, 0.5, 0.5]).difference
    0.25
    """
    if len(a) != len(b):
        raise ConfigurationError(f"expected the same seeds of both methods, got {len(a)} and {len(b)} figures")
    if len(a) < 2:
        raise ConfigurationError(f"expected at least 2 seeds for a paired t test, got {len(a)}; run more seeds")
    differences = np.subtract(a, b)
    rounding = 4 * np.finfo(np.float64).eps * float(np.abs([a, b]).max())  # of differences that are equal
    varies = bool(np.ptp(differences) > rounding)
    variance = float(np.var(differences, ddof=1)) / len(a) if varies else 0.0
    return t_test(float(differences.mean()), variance, len(a) - 1, confidence)


def t_test(mean: float, variance: float, freedom: float, confidence: float = 0.95) -> PairedT:
    """Return the test of a mean against 0 from its variance, known to `freedom` degrees of freedom.

    >>> t_test(0.25, 0.0, 2).p is None
    True
    """
    if variance == 0:
        return PairedT(mean, mean, mean, None if mean else 1.0)
    error = sqrt(variance)
    margin = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    return PairedT(mean, mean - margin, mean + margin, float(2 * stats.t.sf(abs(mean) / error, freedom)))


class Interval(NamedTuple):
    """Between which shares the true one lies."""

    low: float
    high: float


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the exact interval of a share, of `hits` in `trials`. Clopper & Pearson 1934.

    It takes the trials to be independent: frames of one burst are not, and the true interval is wider then.

    Args:
        hits: 0 … `trials`.
        trials: at least 1.
        confidence: of the interval, in (0, 1).

    Raises:
        ConfigurationError: no trial, or hits outside of them.

    >>> low, high = clopper_pearson(1, 5)
    >>> round(low, 3), round(high, 3)
    (0.005, 0.716)
    """
    if not 0 <= hits <= trials or not trials:
        raise ConfigurationError(f"expected hits among 1 or more trials, got {hits} of {trials}")
    beyond = (1 - confidence) / 2
    low = float(stats.beta.ppf(beyond, hits, trials - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(1 - beyond, hits + 1, trials - hits)) if hits < trials else 1.0
    return Interval(low, high)


class PairedPhotos(NamedTuple):
    """A paired test on photos: the difference, photos that one alone names rightly, two-sided p-value."""

    difference: float
    differ: int
    p: float


def paired_balanced_accuracy(
    right: NDArray[np.bool_],
    other_right: NDArray[np.bool_],
    labels: NDArray[np.integer],
    bursts: NDArray[np.integer],
    *,
    generator: np.random.Generator,
) -> PairedPhotos:
    """Test whether two models differ in balanced accuracy on the same photos.

        T = Σ_i w_i (right_i − other_right_i),   w_i = 1 / (K n_y)

    with n_y photos of the class of photo i, K classes with photos. T is the difference in balanced accuracy. What is
    tested: that on each burst it was left to chance which of the two models did as the one did, and which as the
    other. Then each burst adds its part to T with either sign, equally often, and p is the share of such draws whose
    |T| is as large. Where photos are no bursts and classes equally large, this is the exact test of McNemar (1947),
    which looks at photos that one model alone names rightly; else it is that test with weights (Fisher's
    randomisation test), by draws (Phipson and Smyth 2010: + 1 above and below).

    Args:
        right: (photos,), whether the one model names a photo rightly.
        other_right: (photos,), the same of the other model.
        labels: (photos,), class of each.
        bursts: (photos,), number of its burst, ≥ 0: photos of a burst are near-copies, so they change sides together.
        generator: of the draws.

    Raises:
        ConfigurationError: no photo, or arrays of several lengths.

    >>> right, other = np.array([True] * 5 + [False] * 15), np.zeros(20, dtype=bool)
    >>> generator = np.random.default_rng(0)
    >>> found = paired_balanced_accuracy(right, other, np.zeros(20, int), np.arange(20), generator=generator)
    >>> found.difference, found.differ, round(found.p, 2)  # by hand: 2 / 2⁵ = 0.0625
    (0.25, 5, 0.06)
    """
    if not len(labels) or {len(right), len(other_right), len(bursts)} != {len(labels)}:
        raise ConfigurationError(
            f"expected the same photos of both models, 1 or more, got {len(right)} and {len(other_right)}"
        )
    _, classes, photos = np.unique(labels, return_inverse=True, return_counts=True)
    parts = (right.astype(np.float64) - other_right) / (len(photos) * photos[classes])
    of_bursts = np.abs(np.bincount(np.unique(bursts, return_inverse=True)[1], weights=parts))
    drawn = np.zeros(DRAWS)
    for size, number in zip(*np.unique(of_bursts.round(12), return_counts=True), strict=True):
        drawn += size * (2 * generator.binomial(number, 0.5, DRAWS) - number)
    found = float(parts.sum())
    as_large = int((np.abs(drawn) > abs(found) - 1e-9).sum())
    return PairedPhotos(found, int((right != other_right).sum()), (as_large + 1) / (DRAWS + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for testing several hypotheses at once, in the order given. Holm 1979.

    The smallest of m is multiplied by m, the next by m - 1, and so on; the order is kept, and 1 is the most.

    Raises:
        ConfigurationError: a p-value outside [0, 1].

    >>> holm([0.01, 0.5, 0.02])
    [0.03, 0.5, 0.04]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not np.all((p >= 0) & (p <= 1)):
        raise ConfigurationError(f"expected p-values in [0, 1], got {list(p_values)}")
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return [float(value) for value in adjusted]

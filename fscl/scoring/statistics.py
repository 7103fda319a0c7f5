"""What several seeds say: mean, spread, and whether two methods differ."""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from scipy import stats

from fscl.errors import ConfigurationError


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

"""What several seeds say: mean, spread, and whether two methods differ."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from fscl.errors import ConfigurationError


class PairedT(NamedTuple):
    """A paired t test: mean of the differences, its confidence interval, two-sided p-value."""

    difference: float
    low: float
    high: float
    p: float


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

    Differences that are all equal leave an interval of no width, and p = 1 where they are 0, else p = 0.

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
    mean, error = float(differences.mean()), float(stats.sem(differences))
    if error == 0:
        return PairedT(mean, mean, mean, float(mean == 0))
    # By hand, for ttest_rel warns where differences are nearly equal.
    freedom = len(a) - 1
    margin = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    return PairedT(mean, mean - margin, mean + margin, float(2 * stats.t.sf(abs(mean) / error, freedom)))


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

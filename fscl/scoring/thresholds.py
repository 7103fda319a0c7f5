"""From which score on a photo counts as one of the minority."""

import numpy as np
from numpy.typing import NDArray

MIN_VALIDATION_PHOTOS = 20  # of every class, to choose an epoch or a threshold on: with fewer, the best is luck


def choose_threshold(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float | None:
    """Return the threshold at which `scores > threshold` has the highest balanced accuracy, on validation.

    Every threshold between two neighbouring scores decides alike, so the middle is taken: of the best such
    interval, of the widest where several are best. Where none beats calling no photo the minority, the
    highest score is returned, which does that.

    Args:
        scores: (photos,), finite; of the minority, so higher is likelier.
        labels: (photos,), whether it is one.

    Returns:
        The threshold, None where either class has no photo.

    >>> choose_threshold(np.array([0.25, 0.5, 0.3, 1.0]), np.array([False, False, True, True]))
    0.75
    """
    rare = labels.astype(bool)
    if rare.all() or not rare.any():
        return None
    exact = scores.astype(np.float64)
    lower = np.unique(exact)
    upper = np.append(lower[1:], lower[-1])
    hits = rare.sum() - np.searchsorted(np.sort(exact[rare]), lower, side="right")
    passed = np.searchsorted(np.sort(exact[~rare]), lower, side="right")
    # Balanced accuracy times twice both counts: whole numbers, so that ties are exact.
    merit = hits * (~rare).sum() + passed * rare.sum()
    best = np.lexsort((upper - lower, merit))[-1]
    middle = lower[best] + (upper[best] - lower[best]) / 2
    return float(middle if middle < upper[best] else lower[best])  # adjacent floats have no middle

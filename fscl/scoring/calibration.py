"""Whether a probability of 0.8 is right in 8 of 10 photos."""

import numpy as np
from numpy.typing import NDArray


def expected_calibration_error(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], bins: int = 15
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
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    bin_of = np.digitize(confidence, edges[1:-1], right=True)
    gaps = np.bincount(bin_of, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))

"""How unlike the species of training a photo is: high scores are of species that the model was never shown."""

from math import ceil, inf

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

TINY = 1e-12  # of a length


def energy(logits: Float[np.ndarray, "photos classes"], temperature: float = 1.0) -> Float[np.ndarray, "photos"]:
    """Return the energy of each photo: E = −T log Σ_c exp(f_c / T). Liu et al. 2020, Eq. 4.

    Args:
        logits: as the model gives them, without a bias of the classes.
        temperature: T > 0.

    >>> energy(np.array([[9.0, 0.0], [0.5, 0.0]])).round(2).tolist()
    [-9.0, -0.97]
    """
    scores: Float[np.ndarray, photos] = -temperature * logsumexp(logits.astype(np.float64) / temperature, axis=1)
    return scores


def class_mean_distance(
    features: Float[np.ndarray, "photos dim"], known: Float[np.ndarray, "known dim"], labels: Int[np.ndarray, "known"]
) -> Float[np.ndarray, "photos"]:
    """Return how far each photo is from the nearest class: 1 − max_c cos(h − m, m_c − m), in [0, 2].

    m_c are the class means of known photos, m is the mean of these, so that a common class does not draw it. After
    standardising by the known photos. As the nearest-class-mean scores of Lee et al. 2018, with a cosine in place of
    their covariance, which takes more photos than a rare class has.

    Args:
        features: of the photos to score.
        known: of training photos.
        labels: of these, index of the class; classes without photos are passed over.

    >>> known, labels = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])
    >>> class_mean_distance(np.array([[1.0, 0.0], [1.0, 1.0]]), known, labels).round(2).tolist()
    [0.0, 1.0]
    """
    mean, spread = known.mean(axis=0), known.std(axis=0)
    spread = np.where(spread > 0, spread, 1)
    scaled = (known - mean) / spread
    means = np.stack([scaled[labels == label].mean(axis=0) for label in np.unique(labels)])
    middle = means.mean(axis=0)
    cosines = _directions((features - mean) / spread - middle) @ _directions(means - middle).T
    distances: Float[np.ndarray, photos] = 1 - cosines.max(axis=1)
    return distances


def unknown_threshold(scores: Float[np.ndarray, "photos"], rate: float) -> float:
    """Return the score above which a photo counts as unknown: of new known photos, at most `rate` are above it.

    The ⌈(n + 1)(1 − rate)⌉-th smallest score, as in split conformal prediction; ∞ where n photos are too few for
    that.

    Args:
        scores: of calibration photos of known species that the model was not fitted to.
        rate: in (0, 1).

    >>> unknown_threshold(np.arange(39.0), rate=0.05), unknown_threshold(np.arange(9.0), rate=0.05)
    (37.0, inf)
    """
    place = ceil(round((len(scores) + 1) * (1 - rate), 9))
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else inf


def _directions(rows: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    directions: Float[np.ndarray, "rows dim"] = rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=TINY)
    return directions

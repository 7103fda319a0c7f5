"""One number by which logits are divided, so that a probability is right as often as it says."""

from math import exp

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

FARTHEST = 10.0  # of log T from 0


def fit_temperature(
    logits: Float[np.ndarray, "photos classes"],
    labels: Int[np.ndarray, "photos"],
    *,
    balanced: bool = False,
    pull: float = 1.0,
) -> float:
    """Return the temperature T > 0: softmax(f / T) are the calibrated probabilities, of the same order as before.

        min_T  Σ_i w_i CE(f_i / T, y_i) + pull / n · (log T)²,   Σ w = 1

    Guo et al. 2017, Sec. 4.2. The pull to T = 1 is ours: photos that are told apart without an error would make T 0,
    and so a few dozen of them would make every answer a certainty. It weighs as much as `pull` photos do.

    Args:
        logits: finite; of photos that the model was not fitted to.
        labels: index of the true class, one photo at least.
        balanced: every class that has photos weighs the same; for logits that decide as if all were equally common.
        pull: ≥ 0, in photos.

    >>> logits = np.array([[4.0, 0.0]] * 3 + [[0.0, 4.0]])  # sure of it each time, and right in 3 of 4
    >>> t = fit_temperature(logits, np.array([0, 0, 0, 0]), pull=0)
    >>> round(1 / (1 + exp(-4 / t)), 2)
    0.75
    """
    exact, rows = logits.astype(np.float64), np.arange(len(labels))
    counts = np.bincount(labels, minlength=logits.shape[1])
    weights = 1 / ((counts > 0).sum() * counts[labels]) if balanced else np.full(len(labels), 1 / len(labels))

    def loss(log_t: float) -> float:
        of_true = log_softmax(exact * exp(-log_t), axis=1)[rows, labels]
        return float(-weights @ of_true) + pull / len(labels) * log_t**2

    return exp(float(minimize_scalar(loss, bounds=(-FARTHEST, FARTHEST), options={"xatol": 1e-4}).x))

"""What is added to the logit of each class so that rare and common ones are found equally well."""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import log_softmax

PULL = 1e-3  # to no change: of classes that are told apart without an error, nothing else decides the bias


def choose_bias(
    logits: Float[np.ndarray, "photos classes"], labels: Int[np.ndarray, "photos"]
) -> Float[np.ndarray, "classes"]:
    """Return the bias of each class, in the units of the logits; they sum to 0.

        min_a,b  1/K Σ_c mean_{i of c} CE(a f_i + b, c) + PULL ((log a)² + |b|²),   bias = b / a

    Platt scaling (Platt 1999) in which every class has the same say, however few photos it has. Choose it on photos
    that the logits were not fitted to.

    Args:
        logits: finite.
        labels: every class with one photo at least.

    >>> logits = np.array([[2.0, 0.0], [3.0, 0.0], [2.5, 0.0], [1.0, 0.0], [0.5, 0.0]])
    >>> bias = choose_bias(logits, np.array([0, 0, 0, 1, 1]))
    >>> (logits + bias).argmax(axis=1)
    array([0, 0, 0, 1, 1])
    """
    classes = logits.shape[1]
    level = max(float(np.abs(logits - logits.mean(axis=1, keepdims=True)).mean()), 1e-12)
    scaled = logits.astype(np.float64) / level  # so that the pull means the same whatever the scale of the logits
    share = 1 / (classes * np.bincount(labels, minlength=classes)[labels])
    shown = np.eye(classes)[labels]

    def loss(parameters: Float[np.ndarray, "_"]) -> tuple[float, Float[np.ndarray, "_"]]:
        slope, bias = np.exp(parameters[0]), parameters[1:]
        log_p = log_softmax(slope * scaled + bias, axis=1)
        wrong = share[:, None] * (np.exp(log_p) - shown)
        value = -(share[:, None] * shown * log_p).sum() + PULL * (parameters @ parameters)
        gradient = np.concatenate([[(wrong * scaled).sum() * slope], wrong.sum(axis=0)]) + 2 * PULL * parameters
        return float(value), gradient

    found = minimize(loss, np.zeros(classes + 1), jac=True, method="L-BFGS-B").x
    bias: Float[np.ndarray, classes] = (found[1:] - found[1:].mean()) / np.exp(found[0]) * level
    return bias

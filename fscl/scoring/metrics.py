"""The figures of an evaluation; docs/schema.md lists them under "Figures". What nothing defines is None."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp
from sklearn.metrics import average_precision_score

from fscl.errors import DivergenceError, PhotosError
from fscl.scoring.calibration import expected_calibration_error

BINS: dict[str, tuple[float, float]] = {
    "<10": (0, 10),
    "10-99": (10, 100),
    "100-999": (100, 1000),
    ">=1000": (1000, inf),
}
"""Classes by training regions (boxes, or photos without): name → from, and below. The bins of Cunha et al. 2023."""
SHOTS: dict[str, tuple[float, float]] = {"many": (101, inf), "medium": (20, 101), "few": (0, 20)}
"""The same of the long-tail benchmarks (Liu et al. 2019): more than 100, 20 to 100, fewer than 20 photos."""
OVER_ALL_CLASSES = ("balanced_accuracy", "macro_f1", "balanced_log_loss")
"""Figures in which every class has the same say: another figure where photos of a class are lacking."""


def figures(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    classes: Sequence[str],
    minority: Sequence[str],
    train_counts: Mapping[str, int],
) -> dict[str, Any]:
    """Return every figure, with the decisions at argmax.

    Means over classes are over those with photos here.

    Args:
        logits: (photos, classes), finite.
        labels: (photos,), index into `classes`.
        classes: names, in the order of the logits.
        minority: the rare ones among them.
        train_counts: class → training regions; a class that it lacks has none.

    Raises:
        PhotosError: shapes or labels that do not fit.
        DivergenceError: logits that are not finite.

    >>> logits, labels = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), np.array([0, 1, 1])
    >>> counts = {"boar": 100, "bear": 9}
    >>> result = figures(logits, labels, classes=["boar", "bear"], minority=["bear"], train_counts=counts)
    >>> result["minority_recall"], result["auroc"], result["recall_by_bin"]["<10"]
    (0.5, 0.5, 0.5)
    """
    _check(logits, labels, len(classes))
    exact = logits.astype(np.float64)
    log_probabilities = log_softmax(exact, axis=1)
    losses = -log_probabilities[np.arange(len(labels)), labels]
    decisions = decision_figures(
        logits.argmax(axis=1), labels, classes=classes, minority=minority, train_counts=train_counts
    )
    return decisions | {
        "auroc": auroc(exact, labels),
        "average_precision": average_precision(exact, labels, np.isin(classes, minority)),
        "ece": expected_calibration_error(np.exp(log_probabilities), labels),
        "log_loss": _mean(losses),
        "balanced_log_loss": _mean(_mean(losses[labels == index]) for index in range(len(classes))),
    }


def decision_figures(
    predicted: NDArray[np.integer],
    labels: NDArray[np.integer],
    *,
    classes: Sequence[str],
    minority: Sequence[str],
    train_counts: Mapping[str, int],
) -> dict[str, Any]:
    """Return the figures that hang on decisions alone: those of argmax, or of a threshold.

    `predicted` is (photos,), index into `classes`; the rest is as in `figures`.

    >>> predicted, labels = np.array([1, 1, 1]), np.array([0, 0, 1])
    >>> result = decision_figures(predicted, labels, classes=["a", "b"], minority=["b"], train_counts={})
    >>> result["recall_by_class"], result["balanced_accuracy"]
    ({'a': 0.0, 'b': 1.0}, 0.5)
    """
    table = confusion(predicted, labels, len(classes))
    hits, photos, taken = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    recall = {
        name: float(hits[index] / photos[index]) if photos[index] else None for index, name in enumerate(classes)
    }
    return {
        "minority_recall": _mean(recall[name] for name in classes if name in minority),
        "majority_recall": _mean(recall[name] for name in classes if name not in minority),
        "balanced_accuracy": _mean(recall.values()),
        "macro_f1": _mean(2 * hits[index] / (photos[index] + taken[index]) for index in np.flatnonzero(photos)),
        "accuracy": float(hits.sum() / photos.sum()) if photos.any() else None,
        "recall_by_class": recall,
        "recall_by_bin": _recall_by_bin(recall, train_counts, BINS),
        "recall_by_shot": _recall_by_bin(recall, train_counts, SHOTS),
    }


def lacking(measured: Mapping[str, Any]) -> list[str]:
    """Return the classes that the photos of these figures do not show.

    >>> lacking({"recall_by_class": {"bear": None, "boar": 0.0}})
    ['bear']
    """
    return [name for name, recall in measured["recall_by_class"].items() if recall is None]


def confusion(predicted: NDArray[np.integer], labels: NDArray[np.integer], num_classes: int) -> NDArray[np.int64]:
    """Count photos, (classes, classes): rows true, columns predicted.

    >>> confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    cells = np.bincount(labels.astype(np.int64) * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def _recall_by_bin(
    recall: Mapping[str, float | None], train_counts: Mapping[str, int], bins: Mapping[str, tuple[float, float]]
) -> dict[str, float | None]:
    return {
        bin_name: _mean(value for name, value in recall.items() if low <= train_counts.get(name, 0) < high)
        for bin_name, (low, high) in bins.items()
    }


def auroc(logits: NDArray[np.float64], labels: NDArray[np.integer]) -> float | None:
    """Return the area under the ROC curve; over all pairs of classes with photos, its mean.

    A pair (a, b) is ranked by logit_a - logit_b. Hand & Till 2001 rank by the probability of a, which the
    biases of the other classes change; the difference is free of all biases, so that a method that only
    moves the threshold gains nothing. Two classes: the usual AUROC.
    """
    of_class = [logits[labels == index] for index in range(logits.shape[1])]
    present = [index for index, own in enumerate(of_class) if len(own)]
    return _mean(
        _area(of_class[a][:, a] - of_class[a][:, b], of_class[b][:, a] - of_class[b][:, b])
        for a, b in combinations(present, 2)
    )


def _area(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Return the chance that a positive outranks a negative, ties half: the Mann–Whitney statistic.

    A sort and two look-ups per pair are far quicker than roc_auc_score, and 500 classes make 124,750 pairs.
    """
    ordered = np.sort(negative)
    wins = np.searchsorted(ordered, positive, "left").sum() + np.searchsorted(ordered, positive, "right").sum()
    return float(wins / (2 * len(positive) * len(negative)))


def average_precision(
    logits: NDArray[np.float64], labels: NDArray[np.integer], minority: NDArray[np.bool_]
) -> float | None:
    """Return the average precision: of the minority of two classes, else the mean of each against the rest.

    `minority` is (classes,). A class that no photo, or every photo, belongs to is left out. Photos are ranked
    by log-odds: the order of the probabilities, without their saturation at 1.
    """
    ranked = minority if len(minority) == 2 and minority.sum() == 1 else np.ones_like(minority)
    log_odds = _log_odds(logits)
    scores = []
    for index in np.flatnonzero(ranked):
        positive = labels == index
        if 0 < positive.sum() < len(labels):
            scores.append(average_precision_score(positive, log_odds[:, index]))
    return _mean(scores)


def _log_odds(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(p / (1 - p)) of each class, exact where p is near 1: there the others are summed by themselves."""
    photos, top = np.arange(len(logits)), logits.argmax(axis=1)
    relative = np.exp(logits - logits[photos, top][:, None])
    of_others = relative.sum(axis=1, keepdims=True) - relative
    of_others[photos, top] = 1  # cancels here; replaced below
    log_others = logits[photos, top][:, None] + np.log(of_others)
    without_top = logits.copy()
    without_top[photos, top] = -inf
    log_others[photos, top] = logsumexp(without_top, axis=1)
    log_odds: NDArray[np.float64] = logits - log_others
    return log_odds


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of what is defined, if anything is."""
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _check(logits: NDArray[np.floating], labels: NDArray[np.integer], num_classes: int) -> None:
    if logits.shape != (len(labels), num_classes):
        raise PhotosError(
            f"expected logits of shape (photos, classes) = ({len(labels)}, {num_classes}), got {logits.shape}"
        )
    if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
        raise PhotosError(
            f"expected labels from 0 to {num_classes - 1}, got {labels.min()} to {labels.max()};"
            " leave out photos of classes that the model does not know"
        )
    broken = int((~np.isfinite(logits)).any(axis=1).sum())
    if broken:
        raise DivergenceError(
            f"expected finite logits, got nan or infinity for {broken} of {len(labels)} photos;"
            " train with a lower learning rate"
        )

"""Which labels look wrong: a photo's neighbours in features, and a model that was not trained on it, say another."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

NEIGHBOURS, FOLDS = 10, 5
STRENGTH = 0.001  # C of logistic regression on standardised features, as `LogisticHead` has it: best for few photos
MOST_ITERATIONS = 300
BLOCK = 1024  # rows whose cosines to all others are kept at once
FloatArray = NDArray[np.floating]
IntArray = NDArray[np.int64]


class Suspects(NamedTuple):
    """Photos whose label is doubtful, in the order in which to look at them.

    Attributes:
        rows: their places among all photos.
        suggested: the class that the model gives them.
        score: in [0, 1], how doubtful: the mean of the share of neighbours that disagree and of the model's
            probability that the label is wrong.
        agree: neighbours with the same label.
        neighbours: that were asked; as many as `NEIGHBOURS`, fewer in a class that has fewer photos.
    """

    rows: IntArray
    suggested: IntArray
    score: NDArray[np.float64]
    agree: IntArray
    neighbours: IntArray


def suspects(features: FloatArray, labels: IntArray, groups: IntArray, *, seed: int = 0) -> Suspects:
    """Return the photos whose label most neighbours and the out-of-fold model contradict, the rare classes not last.

    Each is ranked among those of its own label, and the first of every class come first, so that a common class with
    many doubtful labels does not drown a rare one. Photos of one group are no neighbours and are in one fold: frames
    of a burst share a wrong label. Of a photo with k neighbours of its own label to be had, k are asked at most, so
    that nobody is doubted for being of a small class. The model gives every class the same say.

    Args:
        features: (photos, dim), of a network that was not trained on these labels, or only by its head.
        labels: (photos,) ≥ 0.
        groups: (photos,) photos of one sequence or site.
        seed: of the folds.

    >>> x = np.concatenate([np.eye(2)[[0] * 20], np.eye(2)[[1] * 6]])
    >>> y = np.repeat([0, 1], [20, 6])
    >>> y[3] = 1
    >>> suspects(x, y, np.arange(26)).rows.tolist()
    [3]
    """
    classes, y = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        none = np.empty(0, dtype=np.int64)
        return Suspects(none, none, np.empty(0), none, none)
    x = np.asarray(features, dtype=np.float32)
    agree, asked = _agreement(x, y, groups)
    probability = out_of_fold(x, y, groups, seed=seed)
    known = np.isfinite(probability).all(axis=1)
    answer = np.where(known, np.nan_to_num(probability).argmax(axis=1), y)
    doubt = 1 - np.where(known, probability[np.arange(len(y)), y], 1)
    share = np.divide(asked - agree, asked, out=np.zeros(len(y)), where=asked > 0)
    score = (share + doubt) / 2
    doubted = np.flatnonzero((answer != y) & (2 * agree < asked))
    order = doubted[np.lexsort((doubted, -score[doubted]))]
    rank = np.empty(len(order), dtype=np.int64)
    for label in np.unique(y[order]):
        own = y[order] == label
        rank[own] = np.arange(own.sum())
    order = order[np.lexsort((-score[order], rank))]
    return Suspects(order, classes[answer[order]], score[order], agree[order], asked[order])


def out_of_fold(features: FloatArray, labels: IntArray, groups: IntArray, *, seed: int = 0) -> NDArray[np.float64]:
    """Return the probabilities that logistic regression gives photos of folds which it was not trained on.

    Args:
        features: (photos, dim).
        labels: (photos,) 0 … K − 1, each of them there.
        groups: (photos,) what is kept in one fold.
        seed: of the folds.

    Returns:
        (photos, K); NaN where the photo's class has no photo in the other folds, which then know nothing of it.

    >>> found = out_of_fold(np.eye(2)[[0, 0, 0, 1]], np.array([0, 0, 0, 1]), np.arange(4))
    >>> found.argmax(axis=1)[:3].tolist(), np.isnan(found[3]).all()
    ([0, 0, 0], np.True_)
    """
    count = int(labels.max()) + 1
    probability = np.full((len(labels), count), np.nan)
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        return probability
    for kept, held_out in _folds(labels, groups, folds, seed):
        seen = np.unique(labels[kept])
        if len(seen) < 2:
            continue
        mean, spread = features[kept].mean(axis=0), features[kept].std(axis=0) + 1e-6
        model: Any = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=MOST_ITERATIONS)
        model.fit((features[kept] - mean) / spread, labels[kept])
        judged = held_out[np.isin(labels[held_out], seen)]
        if len(judged):
            probability[judged] = 0
            probability[np.ix_(judged, seen)] = model.predict_proba((features[judged] - mean) / spread)
    return probability


def _folds(labels: IntArray, groups: IntArray, folds: int, seed: int) -> list[tuple[IntArray, IntArray]]:
    """Divide photos, each class as evenly as its groups allow; classes of fewer groups than folds are no fault."""
    largest = np.bincount(labels).max()
    if largest < folds:  # the splitter refuses folds without any class that fills them
        folds = max(2, int(largest))
        if largest < 2:
            return []
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return list(splitter.split(labels, labels, groups))


def _agreement(features: NDArray[np.float32], labels: IntArray, groups: IntArray) -> tuple[IntArray, IntArray]:
    """Return how many of the nearest photos of other groups have the same label, and how many were asked."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    x = np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
    agree, asked = np.zeros((2, len(x)), dtype=np.int64)
    for start in range(0, len(x), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(x)))
        cosines = x[rows] @ x.T
        cosines[groups[rows][:, None] == groups[None, :]] = -np.inf
        same = labels[rows][:, None] == labels[None, :]
        to_be_had = (same & np.isfinite(cosines)).sum(axis=1)
        others = np.isfinite(cosines).sum(axis=1)
        asked[rows] = np.minimum(np.clip(to_be_had, 1, NEIGHBOURS), others)
        most = min(NEIGHBOURS, len(x) - 1)
        near = np.argpartition(-cosines, most - 1, axis=1)[:, :most]
        near = np.take_along_axis(near, np.argsort(-np.take_along_axis(cosines, near, axis=1), axis=1), axis=1)
        counted = np.arange(most)[None, :] < asked[rows][:, None]
        agree[rows] = (np.take_along_axis(same, near, axis=1) & counted).sum(axis=1)
    return agree, asked

"""What a model says of photos that it was not trained on: logistic regression on features, fold by fold."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

FOLDS = 5
STRENGTH = 0.001  # C of logistic regression on standardised features, as `LogisticHead` has it: best for few photos
MOST_ITERATIONS = 300
TINY = 1e-6  # added to a spread
IntArray = NDArray[np.int64]


def out_of_fold(
    features: NDArray[np.floating], labels: IntArray, groups: IntArray, *, seed: int = 0
) -> NDArray[np.float64]:
    """Return the probabilities of photos by a model that was trained on other folds; every class has the same say.

    Args:
        features: (photos, dim).
        labels: (photos,) 0 … K − 1.
        groups: (photos,) what is kept in one fold.
        seed: of the folds.

    Returns:
        (photos, K). Where the other folds have no photo of its class, or of one class alone, nothing is known of a
        photo, and its label is left to it: 1 for its own class.

    >>> out_of_fold(np.eye(2)[[0, 0, 0, 1]], np.array([0, 0, 0, 1]), np.arange(4)).argmax(axis=1).tolist()
    [0, 0, 0, 1]
    """
    probability = np.eye(int(labels.max()) + 1)[labels]
    for kept, held_out in _folds(labels, groups, seed):
        seen = np.unique(labels[kept])
        judged = held_out[np.isin(labels[held_out], seen)]
        if len(seen) < 2 or not len(judged):
            continue
        mean, spread = features[kept].mean(axis=0), features[kept].std(axis=0) + TINY
        model: Any = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=MOST_ITERATIONS)
        model.fit((features[kept] - mean) / spread, labels[kept])
        probability[judged] = 0
        probability[np.ix_(judged, seen)] = model.predict_proba((features[judged] - mean) / spread)
    return probability


def _folds(labels: IntArray, groups: IntArray, seed: int) -> list[tuple[IntArray, IntArray]]:
    """Divide photos, each class as evenly as its groups allow; a class of fewer photos than folds is no fault."""
    folds = min(FOLDS, len(np.unique(groups)), int(np.bincount(labels).max()))
    if folds < 2:
        return []
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return list(splitter.split(labels, labels, groups))

"""Photos whose label may be wrong: neither their neighbours nor a model that has not seen them agree with it."""

from math import ceil
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

AT_ONCE = 1024  # photos whose neighbours are looked for together
TINY = 1e-12  # of a length


class Suspect(NamedTuple):
    """A photo, by its row; how suspect its label is, from 0 to 1 within its class; what it rather shows."""

    row: int
    suspicion: float
    rather: int


def nearest_others(
    features: Float[np.ndarray, "photos dim"], neighbours: int = 10, groups: Int[np.ndarray, "photos"] | None = None
) -> Int[np.ndarray, "photos neighbours"]:
    """Return the nearest other photos of each, by cosine about the mean; −1 where there are fewer.

    Args:
        features: of the photos.
        neighbours: how many are looked at; all others where there are fewer.
        groups: of the photos, such as their sequences: those of its own group are no neighbours of a photo, for the
            frames of a burst share a wrong label.

    >>> features = np.array([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.2]])
    >>> nearest_others(features, 1).T.tolist(), nearest_others(features, 1, np.array([0, 0, 1, 1])).T.tolist()
    ([[1, 0, 3, 2]], [[2, 3, 0, 1]])
    """
    centred = features - features.mean(axis=0)
    directions = centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(min=TINY)
    near = max(min(neighbours, len(features) - 1), 1)
    of = np.arange(len(features)) if groups is None else groups
    nearest = np.full((len(features), near), -1)
    for start in range(0, len(features), AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, len(features)))
        cosines = directions[rows] @ directions.T
        cosines[of[rows][:, None] == of[None, :]] = -np.inf
        places = np.argpartition(-cosines, near - 1, axis=1)[:, :near]
        nearest[rows] = np.where(np.isfinite(np.take_along_axis(cosines, places, axis=1)), places, -1)
    return nearest


def share_of(
    nearest: Int[np.ndarray, "photos neighbours"], labels: Int[np.ndarray, "photos"]
) -> Float[np.ndarray, "photos classes"]:
    """Return the share of each class among the nearest photos; a photo without neighbours is left its own class.

    A neighbour of class c weighs 1/√n_c: weighed alike, common classes win by their number, and with 1/n_c a stray
    rare photo outweighs all others.

    Args:
        nearest: of `nearest_others`.
        labels: index of the class by the source.

    >>> features = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [-1.0, 0.0], [-1.0, 0.1]])
    >>> share_of(nearest_others(features, 2), np.array([0, 0, 1, 1, 1]))[2].tolist()
    [1.0, 0.0]
    """
    counts = np.bincount(labels)
    weights = np.eye(len(counts))[labels] / np.sqrt(counts[labels])[:, None]
    shares = (weights[nearest] * (nearest >= 0)[..., None]).sum(axis=1)
    alone = (nearest < 0).all(axis=1)
    shares[alone] = weights[alone]
    totals: Float[np.ndarray, "photos classes"] = shares / shares.sum(axis=1, keepdims=True)
    return totals


def suspects(
    shares: Float[np.ndarray, "photos classes"],
    probabilities: Float[np.ndarray, "photos classes"],
    labels: Int[np.ndarray, "photos"],
    *,
    most: float = 0.1,
) -> list[Suspect]:
    """Return the photos whose label neighbours and model speak against, class by class the most suspect first.

    A photo is suspect where the mean of both gives another class than its own the first place. Within a class photos
    are ranked by what the two say against the label, each by its rank, so that neither drowns the other; and at most
    the share `most` of a class is named, so that rare classes, which a model often gets wrong, are neither flooded
    with suspects nor, being judged among themselves, passed over.

    Args:
        shares: of `share_of`.
        probabilities: of a model that was not trained on the photo (out of fold).
        labels: index of the class by the source.
        most: of the photos of a class, in (0, 1]; at least one.

    >>> shares, p = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8]]), np.array([[0.7, 0.3], [0.9, 0.1], [0.1, 0.9]])
    >>> suspects(shares, p, np.array([0, 0, 0]))
    [Suspect(row=2, suspicion=1.0, rather=1)]
    """
    rows = np.arange(len(labels))
    rather = (shares + probabilities).argmax(axis=1)
    found: list[Suspect] = []
    for label in np.unique(labels):
        own = rows[labels == label]
        ranks = rankdata(-shares[own, label]) + rankdata(-probabilities[own, label])
        suspicion = ranks / (2 * len(own))
        order = [place for place in np.argsort(-suspicion, kind="stable") if rather[own[place]] != label]
        some = order[: ceil(most * len(own))]
        found += [Suspect(int(own[p]), float(suspicion[p]), int(rather[own[p]])) for p in some]
    return found

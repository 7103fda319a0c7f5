"""How common species are where a model is used, and what its precision is there."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from fscl.errors import ConfigurationError

MOST_ROUNDS, STILL = 1000, 1e-8  # of the EM algorithm; a change of the shares that is none


def shares_of_unlabelled(
    probabilities: Float[np.ndarray, "photos classes"], before: Float[np.ndarray, "classes"]
) -> Float[np.ndarray, "classes"]:
    """Return the share of each class among unlabelled photos, estimated from what a model says of them.

        p_i(c) ∝ π_c / before_c · p(c | x_i),   π_c ← mean_i p_i(c),   until π stays as it is

    The EM algorithm of Saerens, Latinne & Decaestecker 2002. It takes calibrated probabilities, and that photos of a
    class look as they did in calibration: photos of a species that the model does not know count for others.

    Args:
        probabilities: of the unlabelled photos, calibrated where the classes have the shares `before`.
        before: the shares of the classes on the calibration photos; 1/K each where these were weighted alike.

    >>> p = np.array([[0.9, 0.1]] * 9 + [[0.1, 0.9]])
    >>> shares_of_unlabelled(p, np.array([0.5, 0.5])).round(2).tolist()
    [1.0, 0.0]
    """
    shares: Float[np.ndarray, classes] = before / before.sum()
    for _ in range(MOST_ROUNDS if len(probabilities) else 0):
        weighted = probabilities * (shares / before)
        latest = (weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0)
        still = np.abs(latest - shares).max() < STILL
        shares = latest
        if still:
            break
    return shares


def all_shares(named: Mapping[str, float], classes: Sequence[str], photos: Mapping[str, int]) -> dict[str, float]:
    """Return a share for every class: those that were named, and of the others what is left, as their photos are.

    Args:
        named: class → share, in [0, 1].
        classes: all that the model knows.
        photos: class → calibration photos.

    Raises:
        ConfigurationError: another class; shares that are none, or more than 1 together, or less with no class left.

    >>> all_shares({"deer": 0.01}, ["deer", "boar", "hare"], {"deer": 9, "boar": 3, "hare": 1})
    {'deer': 0.01, 'boar': 0.7425, 'hare': 0.2475}
    """
    unknown = sorted(set(named) - set(classes))
    if unknown:
        raise ConfigurationError(f"--prevalence: the model knows {', '.join(classes)}, got {', '.join(unknown)}")
    others = [name for name in classes if name not in named]
    total, left = sum(named.values()), 1 - sum(named.values())
    if any(not 0 <= share <= 1 for share in named.values()) or left < -1e-9 or (not others and left > 1e-9):
        raise ConfigurationError(
            f"--prevalence: expected shares from 0 to 1 that are 1 together, or less where other species are left, "
            f"got {', '.join(f'{name}={share:g}' for name, share in named.items())}, together {total:g}"
        )
    whole = sum(photos.get(name, 0) for name in others)
    own = {name: photos.get(name, 0) / whole if whole else 1 / len(others) for name in others}
    return {name: named[name] if name in named else round(max(left, 0) * own[name], 12) for name in classes}


def precision_at_shares(
    accepted: Int[np.ndarray, "classes"],
    photos: Int[np.ndarray, "classes"],
    shares: Float[np.ndarray, "classes"],
    species: int,
    level: float,
) -> float:
    """Return what the precision of accepted answers is above where the classes have these shares, but for a chance.

        precision = π_s TPR / (π_s TPR + Σ_{c ≠ s} π_c FPR_c)

    TPR, the share of the photos of the species that are accepted, is taken at its lower bound, the FPR_c, shares of
    the photos of the others, at their upper ones: Clopper & Pearson 1934, each at the level divided by their number
    (Bonferroni), so that all hold together. A class without a calibration photo may be accepted always.

    Args:
        accepted: calibration photos of each class that are accepted as the species.
        photos: all calibration photos of each class.
        shares: of the classes where the model is used.
        species: index of the class.
        level: the chance that the bound does not hold, in (0, 1).

    >>> accepted, photos, half, rare = *np.array([[450, 5], [500, 500]]), np.array([0.5, 0.5]), np.array([0.01, 0.99])
    >>> round(precision_at_shares(accepted, photos, half, 0, 0.05), 2)
    0.97
    >>> round(precision_at_shares(accepted, photos, rare, 0, 0.05), 2)
    0.27
    """
    each = level / (shares > 0).sum()
    true = _lowest(int(accepted[species]), int(photos[species]), each)
    wrong = sum(
        shares[c] * _highest(int(accepted[c]), int(photos[c]), each)
        for c in range(len(shares))
        if c != species and shares[c] > 0
    )
    found = float(shares[species] * true)
    return found / (found + float(wrong)) if found else 0.0


def _lowest(hits: int, trials: int, level: float) -> float:
    return float(stats.beta.ppf(level, hits, trials - hits + 1)) if hits else 0.0


def _highest(hits: int, trials: int, level: float) -> float:
    return float(stats.beta.ppf(1 - level, hits + 1, trials - hits)) if hits < trials else 1.0

"""From which score on may the answers of a species be accepted unseen? What that costs is counted, and bounded.

A bar is tried rung by rung, from the surest answers down: first where they are just enough to be certified, then
lower as long as the bound of the precision holds. Each rung is a number of accepted photos, chosen before a label is
looked at, so that the photos above it are a sample of what would be accepted there.
"""

from collections.abc import Callable, Sequence
from math import ceil, log
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import stats

from fscl.scoring.prevalence import precision_at_shares

RUNG = 1.05  # accepted photos at a rung, of those at the one above
START, MOST_STARTS = 4, 4  # each start has 4 times the photos of the one before


class Rung(NamedTuple):
    """The photos accepted where the bar is `score`, or higher scores: how many of each true class, (classes,)."""

    score: float
    counts: NDArray[np.int64]


class Certified(NamedTuple):
    """A bar, and what it did on the calibration photos: accepted, of these wrong, photos of the species missed."""

    score: float
    accepted: int
    wrong: int
    missed: int


def enough_without_error(target: float, confidence: float) -> int:
    """Return how many accepted photos without an error certify a precision: log(1 − confidence) / log(target).

    >>> enough_without_error(0.95, 0.95)
    59
    """
    return ceil(round(log(1 - confidence) / log(target), 9))


def rungs(
    scores: Float[np.ndarray, "photos"], labels: Int[np.ndarray, "photos"], classes: int, first: int
) -> list[Rung]:
    """Return the bars that are tried for a species, the highest first.

    Args:
        scores: of the photos whose answer is the species.
        labels: the true class of each.
        classes: K.
        first: accepted photos at the first rung, ≥ 1; each has 5 % more, the last all. Equal scores stay together.

    >>> [(rung.score, rung.counts.tolist()) for rung in rungs(np.array([0.9, 0.8, 0.7]), np.array([0, 1, 0]), 2, 2)]
    [(0.8, [1, 1]), (0.7, [2, 1])]
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    found, place = [], first
    while place <= len(scores):
        below = int(np.searchsorted(-ordered, -ordered[place - 1], side="right"))  # the first that is less
        counts = np.bincount(labels[order[:below]], minlength=classes)
        found.append(Rung(float(ordered[below - 1]), counts))
        if below == len(scores):
            break
        place = min(max(below + 1, ceil(below * RUNG)), len(scores))
    return found


def precision_bound(hits: int, accepted: int, level: float) -> float:
    """Return what the true precision is above, but for a chance of `level`: Clopper & Pearson 1934, one-sided.

    >>> round(precision_bound(59, 59, 0.05), 3), round(precision_bound(92, 93, 0.05), 3)
    (0.95, 0.95)
    """
    return float(stats.beta.ppf(level, hits, accepted - hits + 1)) if hits else 0.0


def lowest_certified(
    accepted: Sequence[int], bound: Callable[[int, float], float], target: float, confidence: float
) -> int | None:
    """Return the number of the lowest rung at which the precision is certified; None where it is at no rung.

    Rungs are tested in their order, each at the level 1 − confidence, and the first that fails ends it:
    fixed-sequence testing (Maurer, Hothorn & Lehmacher 1995; for a bar, Angelopoulos et al. 2021, "Learn then test").
    The search costs nothing: let R be the first rung whose true precision is below the target. All above it hold, so
    that a false one is only certified by passing the test at R itself, which happens with a chance of 1 − confidence
    at most. The photos at a rung are a number fixed beforehand, the surest of those answered so: given the next score
    below, they are a sample of all photos above it. This takes the precision to stay below the target once it has
    fallen below it, as it does where a higher score is never less often right.

    One error among the first 59 would end it, where hundreds more would have shown the precision. So it starts again
    at 4, 16, … times as many photos, where there are as many: each start has an equal part of the level, what one
    carries down is added to that of the next (the fallback procedure, Wiens 2003), and the chances add up to
    1 − confidence.

    Args:
        accepted: photos at each rung, as `rungs` gives them.
        bound: called with the number of a rung and a level, says what its precision is above but for that chance.
        target: of the precision, in (0, 1), e.g. .95.
        confidence: in (0, 1), e.g. .95.
    """
    starts, level, lowest = _starts(accepted, target, confidence), 0.0, None
    for rung in range(len(accepted)):
        level += (1 - confidence) / len(starts) if rung in starts else 0
        if level and bound(rung, level) >= target:
            lowest = rung
        else:
            level = 0.0
    return lowest


def certify(
    found: Sequence[Rung],
    species: int,
    photos: Int[np.ndarray, "classes"],
    *,
    target: float = 0.95,
    confidence: float = 0.95,
    shares: Float[np.ndarray, "classes"] | None = None,
) -> Certified | None:
    """Return the lowest bar at which the answers of a species have the precision; None where none can be certified.

    Args:
        found: the bars to try, as `rungs` gives them.
        species: index of the class.
        photos: calibration photos of each class, accepted or not.
        target: of the precision, in (0, 1).
        confidence: that the true precision reaches the target, in (0, 1).
        shares: of the classes where the model is used; None: those of the calibration photos.

    >>> scores, labels = np.arange(120, 0, -1) / 120, np.r_[np.zeros(100, int), np.ones(20, int)]
    >>> certify(rungs(scores, labels, 2, 59), 0, np.array([100, 200]))
    Certified(score=0.2, accepted=97, wrong=0, missed=3)
    """

    def bound(rung: int, level: float) -> float:
        counts = found[rung].counts
        if shares is not None:
            return precision_at_shares(counts, photos, shares, species, level)
        return precision_bound(int(counts[species]), int(counts.sum()), level)

    lowest = lowest_certified([int(rung.counts.sum()) for rung in found], bound, target, confidence)
    if lowest is None:
        return None
    score, counts = found[lowest]
    accepted, right = int(counts.sum()), int(counts[species])
    return Certified(score, accepted, accepted - right, int(photos[species]) - right)


def _starts(accepted: Sequence[int], target: float, confidence: float) -> set[int]:
    """Return the rungs at which tests start: where no error passes, and where there are 4, 16, … times as many."""
    for number in range(MOST_STARTS, 0, -1):
        first = enough_without_error(target, 1 - (1 - confidence) / number)
        wanted = [first * START**place for place in range(number)]
        if accepted and accepted[-1] >= wanted[-1]:
            return {int(np.searchsorted(accepted, count)) for count in wanted}
    return set()

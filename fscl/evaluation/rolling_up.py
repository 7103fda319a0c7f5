"""What rolling unsure answers up along a taxonomy gives on evaluated photos."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fscl.decisions import UNSURE_BELOW, Decisions
from fscl.formats.answers import PLACES
from fscl.records import AnsweredAt, Credit, RollUp
from fscl.scoring.taxonomy import UNSURE, Taxonomy, credit, lowest_sure, right, summed

Integers = NDArray[np.integer]


def rolled_up(
    decisions: Decisions, logits: NDArray[np.floating], labels: Integers, classes: Sequence[str], taxonomy: Taxonomy
) -> RollUp:
    """Return how many answers are at which rank, how many are right, and the partial credit with and without.

    Args:
        decisions: of the model.
        logits: (regions, classes), finite.
        labels: (regions,), index of the class.
        classes: names, in the order of the logits.
        taxonomy: of these.
    """
    probabilities = decisions.probabilities(logits, classes)
    answers = probabilities.argmax(axis=1)
    levels = lowest_sure(summed(probabilities, answers, taxonomy).round(PLACES), UNSURE_BELOW)
    hits = right(answers, levels, labels, taxonomy)
    numbers = {rank: level for level, rank in enumerate(("class", *taxonomy.ranks))}
    return RollUp(
        unsure_below=UNSURE_BELOW,
        ranks=[_at(rank, levels == level, hits) for rank, level in numbers.items()],
        unsure=_at("class", levels == UNSURE, hits),
        credit=_credit(credit(answers, levels, labels, taxonomy), hits > 0, labels, classes),
        without=_credit((answers == labels).astype(np.float64), answers == labels, labels, classes),
    )


def _at(rank: str, own: NDArray[np.bool_], hits: NDArray[np.floating]) -> AnsweredAt:
    return AnsweredAt(rank, int(own.sum()), int(hits[own].sum()))


def _credit(
    credits: NDArray[np.floating], hits: NDArray[np.bool_], labels: Integers, classes: Sequence[str]
) -> Credit:
    means = {
        name: float(credits[labels == place].mean()) if (labels == place).any() else None
        for place, name in enumerate(classes)
    }
    known = [mean for mean in means.values() if mean is not None]
    return Credit(means, float(np.mean(known)) if known else None, int((~hits).sum()))

"""How far a model can be relied on: calibration, accepted answers, sets and intervals, on evaluated photos."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from fscl.decisions import Accept, Decisions
from fscl.manifest.groups import groups
from fscl.records import (
    Acceptance,
    AcceptedAnswers,
    Calibration,
    CalibrationErrors,
    FigureIntervals,
    LikeNone,
    ReliabilityBin,
    SetCoverage,
)
from fscl.scoring.bootstrap import FEW, bootstrap
from fscl.scoring.calibration import (
    brier_score,
    classwise_calibration_error,
    expected_calibration_error,
    reliability,
)
from fscl.scoring.statistics import Interval

CURVE_POINTS = 50  # of each species
Floats = NDArray[np.floating]
Integers = NDArray[np.integer]
UNITS: dict[Literal["site", "sequence", "photo"], Literal["sites", "sequences", "photos"]] = {
    "site": "sites",
    "sequence": "sequences",
    "photo": "photos",
}


def reliance(
    decisions: Decisions, logits: Floats, labels: Integers, rows: pd.DataFrame, classes: Sequence[str]
) -> dict[str, Any]:
    """Return the parts of an evaluation that say how far the model can be relied on, by their names in the record.

    Args:
        decisions: of the model.
        logits: (regions, classes), finite, of regions that could be read.
        labels: (regions,), index of the class.
        rows: of the manifest, the same regions.
        classes: names, in the order of the logits.
    """
    probabilities = decisions.probabilities(logits, classes)
    return {
        "calibration": _calibration(decisions, logits, probabilities, labels, classes),
        "accept": None if decisions.accept is None else _acceptance(decisions.accept, probabilities, labels, classes),
        "sets": _sets(decisions, probabilities, labels, classes),
        "unknown": _like_none(decisions, logits),
        "intervals": _intervals(logits, labels, rows, classes),
    }


def _calibration(
    decisions: Decisions, logits: Floats, probabilities: Floats, labels: Integers, classes: Sequence[str]
) -> Calibration:
    known = decisions.temperature
    bins = {
        name: [ReliabilityBin(*one) for one in reliability(probabilities[:, place], labels == place)]
        for place, name in enumerate(classes)
    }
    return Calibration(
        temperature=None if known is None else known.value,
        origin=None if known is None else known.origin,
        before=_errors(softmax(logits.astype(np.float64), axis=1), labels),
        after=_errors(probabilities, labels),
        reliability=bins,
    )


def _errors(probabilities: Floats, labels: Integers) -> CalibrationErrors:
    return CalibrationErrors(
        ece=expected_calibration_error(probabilities, labels),
        classwise_ece=classwise_calibration_error(probabilities, labels),
        brier=brier_score(probabilities, labels),
    )


def _acceptance(accept: Accept, probabilities: Floats, labels: Integers, classes: Sequence[str]) -> Acceptance:
    answers, scores, bars = probabilities.argmax(axis=1), probabilities.max(axis=1), accept.bars(classes)
    species = {}
    for place, name in enumerate(classes):
        own, photos = answers == place, int((labels == place).sum())
        taken = own & (scores >= bars[place])
        right = int((labels[taken] == place).sum())
        accepted = int(taken.sum())
        species[name] = AcceptedAnswers(
            score=accept.species[name].score,
            reason=accept.species[name].reason,
            photos=photos,
            accepted=accepted,
            wrong=accepted - right,
            missed=photos - right,
            curve=_curve(scores[own], labels[own] != place),
        )
    return Acceptance(target=accept.target, confidence=accept.confidence, origin=accept.origin, species=species)


def _curve(scores: Floats, wrong: NDArray[np.bool_]) -> list[tuple[float, int, int]]:
    """Return what each bar would accept, and how much of that is wrong, from the highest bar down."""
    if not len(scores):
        return []
    order = np.argsort(-scores, kind="stable")
    ordered, errors = scores[order], np.cumsum(wrong[order])
    places = np.unique(np.linspace(0, len(scores) - 1, min(CURVE_POINTS, len(scores))).round().astype(int))
    last = np.unique(np.searchsorted(-ordered, -ordered[places], side="right") - 1)  # of equal scores
    return [(float(ordered[place]), int(place) + 1, int(errors[place])) for place in last]


def _sets(
    decisions: Decisions, probabilities: Floats, labels: Integers, classes: Sequence[str]
) -> SetCoverage | None:
    inside = decisions.in_sets(probabilities, classes)
    if inside is None or decisions.sets is None:
        return None
    covered, sizes = inside[np.arange(len(labels)), labels], inside.sum(axis=1)
    return SetCoverage(
        alpha=decisions.sets.alpha,
        origin=decisions.sets.origin,
        coverage={
            name: float(covered[labels == place].mean()) if (labels == place).any() else None
            for place, name in enumerate(classes)
        },
        without_promise=[name for name in classes if decisions.sets.quantiles[name] is None],
        mean_size=float(sizes.mean()) if len(sizes) else None,
        single=float((sizes == 1).mean()) if len(sizes) else None,
    )


def _like_none(decisions: Decisions, logits: Floats) -> LikeNone | None:
    flagged = decisions.like_none(logits)
    if flagged is None or decisions.unknown is None:
        return None
    known = decisions.unknown
    return LikeNone(kind=known.kind, rate=known.rate, flagged=int(flagged.sum()), photos=len(flagged))


def _intervals(logits: Floats, labels: Integers, rows: pd.DataFrame, classes: Sequence[str]) -> FigureIntervals:
    known = [by for by in ("site", "sequence") if rows[by].notna().any()]
    by: Literal["site", "sequence", "photo"] = "site" if "site" in known else "sequence" if known else "photo"
    number = groups(rows, by).number.to_numpy() if len(rows) else np.zeros(0, dtype=np.int64)
    found = bootstrap(logits.astype(np.float64), labels, number, generator=np.random.default_rng(0))
    counts = dict(zip(classes, found.groups, strict=True))
    few = [f"{name} {count}" for name, count in counts.items() if 0 < count < FEW]
    note = f"there are too few {UNITS[by]} to say much (fewer than {FEW}): {', '.join(few)}" if few else None
    return FigureIntervals(
        unit=UNITS[by],
        groups=counts,
        balanced_accuracy=_span(found.balanced_accuracy),
        auroc=_span(found.auroc),
        recall={name: _span(span) for name, span in zip(classes, found.recall, strict=True)},
        precision={name: _span(span) for name, span in zip(classes, found.precision, strict=True)},
        note=note,
    )


def _span(interval: Interval | None) -> tuple[float, float] | None:
    return None if interval is None else (interval.low, interval.high)

"""Calibration of a model, and the promises that rest on it, on photos that it was not fitted to.

Temperature, bars, sets and the bias do not eat the same photos: of each fold the shift of the logits and the
temperature are chosen on the other folds, and bars and sets are taken from these probabilities.
"""

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fscl.decisions.deciding import Decisions
from fscl.decisions.parts import (
    Accept,
    AcceptedSpecies,
    AcceptRung,
    CrossFittedBias,
    Sets,
    Temperature,
    Unit,
    Unknown,
)
from fscl.scoring.auto_accept import certify, enough_without_error, rungs
from fscl.scoring.bias import choose_bias
from fscl.scoring.conformal import class_quantiles
from fscl.scoring.temperature import fit_temperature
from fscl.scoring.thresholds import choose_threshold
from fscl.scoring.unknown import energy, unknown_threshold

FOLDS = 5
FEWEST = 20  # photos, or bursts, to calibrate on
TARGET, CONFIDENCE = 0.95, 0.95  # of the precision of accepted answers, and that it is reached
ENOUGH = enough_without_error(TARGET, CONFIDENCE)  # photos named so, below which no bar can be certified
ALPHA = 0.05  # of the photos of a class, whose set may lack it
RATE = 0.05  # of the photos of known classes, flagged as unknown
ROUNDING = 1e-3  # of energies on other machines and engines: the photo that gives the bar stays below it
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class CalibrationPhotos(NamedTuple):
    """What a model says of photos that it was not fitted to.

    Attributes:
        logits: (regions, classes).
        labels: (regions,), index of the class.
        groups: (regions,), number of the burst, or photo: what is alike is never in two folds.
        unit: what the groups are.
        origin: which photos they are, in words.
        decided: threshold or bias were chosen on these photos, so that each fold chooses them anew.
    """

    logits: NDArray[np.floating]
    labels: NDArray[np.integer]
    groups: NDArray[np.integer]
    unit: Unit
    origin: str
    decided: bool


class _Said(NamedTuple):
    """Which photos a promise is from."""

    unit: Unit
    origin: str


class CrossFitted(NamedTuple):
    """What is said of training photos by models that had not seen them.

    Attributes:
        logits: (regions, classes).
        labels: (regions,), index of the class.
        groups: (regions,), number of the burst, or photo; each was left out as a whole.
        unit: what the groups are.
        photos: how many photos these are.
        folds: into which they were divided.
    """

    logits: NDArray[np.floating]
    labels: NDArray[np.integer]
    groups: NDArray[np.integer]
    unit: Unit
    photos: int
    folds: int

    def bias(self, classes: Sequence[str]) -> CrossFittedBias:
        """Return the bias of the classes that they give."""
        bias = choose_bias(self.logits, self.labels)
        chosen = {name: round(float(value), 6) for name, value in zip(classes, bias, strict=True)}
        return CrossFittedBias(bias=chosen, photos=self.photos, folds=self.folds)

    @property
    def fewest(self) -> int:
        """How many regions of them the class has that has the fewest."""
        return int(np.bincount(self.labels, minlength=self.logits.shape[1]).min())

    def calibration(self, bias: CrossFittedBias) -> CalibrationPhotos:
        """Return them as photos to calibrate on."""
        how = "each left out by itself" if bias.folds == bias.photos else f"cross-fitted in {bias.folds:,} folds"
        origin = f"{self.photos:,} training photos, {how}"
        return CalibrationPhotos(self.logits, self.labels, self.groups, self.unit, origin, decided=True)


def calibrated(decisions: Decisions, photos: CalibrationPhotos, classes: Sequence[str]) -> Decisions:
    """Return decisions with temperature, bars, sets and the energy of the unknown; as they are with too few photos.

    Args:
        decisions: with threshold or bias, where these were chosen.
        photos: to calibrate on.
        classes: names, in the order of the logits.

    >>> generator = np.random.default_rng(0)
    >>> labels = generator.integers(0, 2, 400)
    >>> logits = 9 * np.eye(2)[labels] + generator.normal(0, 4, (400, 2))
    >>> photos = CalibrationPhotos(logits, labels, np.arange(400), "photos", "400 validation photos", decided=False)
    >>> found = calibrated(Decisions(), photos, ["boar", "deer"])
    >>> round(found.temperature.value), found.accept.species["deer"].accepted > 150
    (2, True)
    """
    logits, labels = photos.logits.astype(np.float64), photos.labels.astype(np.int64)
    alone = _one_of_each(photos.groups)
    if len(alone) < FEWEST or not np.isfinite(logits).all():
        return decisions
    even = decisions.threshold is not None or decisions.bias is not None  # all classes are taken for equally common
    temperature = fit_temperature(decisions.shifted(logits, classes), labels, balanced=even)
    known = Temperature(value=temperature, photos=len(labels), origin=photos.origin)
    left_out = _left_out(decisions, photos, classes, even)[alone]
    energies = energy(logits[alone], temperature)
    threshold = unknown_threshold(energies, RATE) + ROUNDING
    said = _Said(photos.unit, f"{photos.origin}, each left out when it was calibrated")
    unknown = Unknown(kind="energy", threshold=threshold, rate=RATE, photos=len(alone), **said._asdict())
    return decisions.model_copy(
        update={
            "temperature": known,
            "accept": _accept(left_out, labels[alone], classes, said),
            "sets": _sets(left_out, labels[alone], classes, said),
            "unknown": unknown if isfinite(threshold) else None,
        }
    )


def _left_out(decisions: Decisions, photos: CalibrationPhotos, classes: Sequence[str], even: bool) -> Floats:
    """Return the probabilities of each fold by what the others give."""
    logits, labels, fold = photos.logits, photos.labels, _folds(photos.labels, photos.groups)
    found = np.empty(logits.shape)
    for number in np.unique(fold):
        held, rest = fold == number, fold != number
        chosen = _again(decisions, logits[rest], labels[rest], classes) if photos.decided else decisions
        value = fit_temperature(chosen.shifted(logits[rest], classes), labels[rest], balanced=even)
        own = Temperature(value=value, photos=int(rest.sum()), origin=photos.origin)
        found[held] = chosen.model_copy(update={"temperature": own}).probabilities(logits[held], classes)
    return found


def _again(
    decisions: Decisions, logits: NDArray[np.floating], labels: NDArray[np.integer], classes: Sequence[str]
) -> Decisions:
    """Return the threshold or bias that some of the photos give; that of all where these lack a class."""
    if len(np.unique(labels)) < len(classes):
        return decisions
    if decisions.threshold is not None:
        rare = classes.index(decisions.threshold.minority)
        margin = choose_threshold(logits[:, rare].astype(np.float64) - logits[:, 1 - rare], labels == rare)
        return decisions.model_copy(update={"threshold": decisions.threshold.model_copy(update={"margin": margin})})
    if decisions.bias is not None:
        bias = dict(zip(classes, choose_bias(logits, labels).tolist(), strict=True))
        return decisions.model_copy(update={"bias": decisions.bias.model_copy(update={"bias": bias})})
    return decisions


def _folds(labels: NDArray[np.integer], groups: NDArray[np.integer]) -> Integers:
    """Return the fold of each region: groups go round, class by class, so that each fold has some of each."""
    names, first, number = np.unique(groups, return_index=True, return_inverse=True)
    order = np.lexsort((np.random.default_rng(0).random(len(names)), labels[first]))
    fold_of = np.empty(len(names), dtype=np.int64)
    fold_of[order] = np.arange(len(names)) % FOLDS
    return fold_of[number]


def _one_of_each(groups: NDArray[np.integer]) -> Integers:
    """Return a region of each group, drawn by chance: what is alike would count as evidence several times."""
    order = np.random.default_rng(0).permutation(len(groups))
    return np.sort(order[np.unique(groups[order], return_index=True)[1]])


def _accept(probabilities: Floats, labels: Integers, classes: Sequence[str], said: _Said) -> Accept:
    answers, scores = probabilities.argmax(axis=1), probabilities.max(axis=1)
    counts = np.bincount(labels, minlength=len(classes))
    species = {}
    for place, name in enumerate(classes):
        own = answers == place
        tried = rungs(scores[own], labels[own], len(classes), ENOUGH)
        bar = certify(tried, place, counts, target=TARGET, confidence=CONFIDENCE)
        kept = tuple(AcceptRung(score=rung.score, counts=_named(rung.counts, classes)) for rung in tried)
        if bar is not None:
            species[name] = AcceptedSpecies(**bar._asdict(), rungs=kept)
            continue
        reason = f"{int(own.sum())} {said.unit} were named so, and it takes {ENOUGH} without an error"
        if kept:
            reason = f"the surest of the {int(own.sum())} {said.unit} that were named so have too many errors"
        species[name] = AcceptedSpecies(score=None, missed=int(counts[place]), reason=reason, rungs=kept)
    photos = dict(zip(classes, counts.tolist(), strict=True))
    return Accept(target=TARGET, confidence=CONFIDENCE, photos=photos, species=species, **said._asdict())


def _named(counts: NDArray[np.integer], classes: Sequence[str]) -> dict[str, int]:
    return {name: int(count) for name, count in zip(classes, counts, strict=True) if count}


def _sets(probabilities: Floats, labels: Integers, classes: Sequence[str], said: _Said) -> Sets:
    quantiles = class_quantiles(probabilities, labels, ALPHA)
    photos = dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
    finite = {name: float(q) if isfinite(q) else None for name, q in zip(classes, quantiles, strict=True)}
    return Sets(alpha=ALPHA, quantiles=finite, photos=photos, **said._asdict())

"""The first lines of the page of a run, in plain words computed from its figures; and what to do next."""

import shlex
from collections.abc import Iterator
from typing import NamedTuple

from fscl.methods import DEFAULT
from fscl.printable import number_of
from fscl.records import Beside
from fscl.report.run.result import RunResult
from fscl.report.run.species import SpeciesResult, confused_pairs, interval, list_of, percent, species_of
from fscl.scoring.statistics import CHANCE

WEAK = 0.8  # recall below which a species is called weak
FEW_TESTED = 10  # test photos below which a share says little: with 10 of 10, the true one may be 70 %
FEW_TRAINED = 100  # training photos below which more of them are the first thing to try
OTHERS = {"start": "its start", "earlier": "the earlier model"}


class NextStep(NamedTuple):
    """What to do next: words, a command to be copied, and the section of the page that shows more."""

    text: str
    command: str = ""
    section: str = ""


def headline(result: RunResult) -> list[str]:
    """Return what an ecologist should know first: how good, what is weak, and did training help."""
    return [*_how_good(result), _weak(result), *_decided(result), *map(_beside, result.evaluation.beside)]


def _how_good(result: RunResult) -> Iterator[str]:
    record, shares = result.evaluation, interval(result.right, result.scored)
    whose = "It was not trained on them." if record.note is None else f"Note: {record.note}."
    yield (
        f"The model named {result.right:,} of {number_of(result.scored, f'test {result.unit}')} rightly: "
        f"{percent(record.figures.accuracy)} (95 % interval {shares}). {whose}"
    )
    balanced = record.figures.balanced_accuracy
    if balanced is not None:
        yield (
            f"Counting each of {number_of(len(result.classes), 'species', 'species')} the same, it finds "
            f"{percent(balanced)} (balanced accuracy): a figure that common species cannot hide rare ones in."
        )


def weak_species(result: RunResult) -> list[SpeciesResult]:
    """Return the species that are found too rarely, the worst first."""
    everyone = species_of(result.evaluation)
    return sorted(
        (one for one in everyone if one.recall is not None and one.recall < WEAK),
        key=lambda one: (one.recall or 0.0, -one.tested),
    )


def _weak(result: RunResult) -> str:
    weak = weak_species(result)
    tested = [one for one in species_of(result.evaluation) if one.recall is not None]
    few = [f"{one.name} ({one.tested})" for one in tested if one.tested < FEW_TESTED]
    if weak:
        said = f"Weak: {list_of([_as_found(one) for one in weak])}."
    else:
        lowest = min(tested, key=lambda one: one.recall or 0.0)
        said = f"No species is weak. The one that is found least is {_as_found(lowest)}."
    if few:
        said += f" Too few test {result.unit}s to say much: {list_of(few)}."
    if result.evaluation.not_evaluable:
        said += f" No test {result.unit} at all: {list_of(result.evaluation.not_evaluable)}."
    return said


def _as_found(one: SpeciesResult) -> str:
    mostly = f", most often taken for {one.taken_for}" if one.taken_for else ""
    return f"{one.name} ({one.found:,} of {one.tested:,} found{mostly})"


def _decided(result: RunResult) -> Iterator[str]:
    """Yield what the threshold or bias that prediction uses changes."""
    record = result.evaluation
    chosen, what = (record.bias, "bias") if record.bias else (record.threshold, "threshold")
    if chosen is None or chosen.figures.balanced_accuracy is None:
        return
    yield (
        f"The figures and photos here are without the {what} that fscl predict uses; with it, balanced "
        f"accuracy is {percent(chosen.figures.balanced_accuracy)}."
    )


def _beside(other: Beside) -> str:
    """Say whether the model is better than another one on the same photos."""
    name = OTHERS[other.kind]
    if other.figures is None or other.difference is None:
        return f"It could not be compared with {name}: {other.reason}."
    found = other.difference
    theirs = other.figures.balanced_accuracy
    both = f"{percent(theirs)} before, {percent(None if theirs is None else theirs + found.value)} now"
    if not found.differ:
        return f"Training changed no answer to right or wrong: {name} ({other.what}) does as well."
    chance = f"p = {found.p:.2g}"
    if found.p < CHANCE and found.value > 0:
        return f"Training helped: {both}, against {name} ({other.what}); that is more than chance ({chance})."
    if found.p < CHANCE:
        return f"Training made it worse: {both}, against {name} ({other.what}); that is more than chance ({chance})."
    return f"Not shown to be better than {name} ({other.what}): {both}; that may be chance ({chance})."


def next_steps(result: RunResult) -> list[NextStep]:
    """Return what to do next, the most useful first; how to use the model last."""
    record, steps = result.evaluation, []
    scarce = [one for one in weak_species(result) if one.trained < FEW_TRAINED]
    if scarce:
        names = list_of([f"{one.name} ({one.trained:,} now)" for one in scarce])
        steps.append(NextStep(f"Label more training {result.unit}s of {names}.", section="species"))
    pairs = confused_pairs(record)
    if pairs:
        count, true, named = pairs[0]
        which = f"{number_of(count, result.unit)} of {record.classes[true]} taken for {record.classes[named]}"
        steps.append(
            NextStep(f"Look at the {which}: are their labels right? What do they share?", section="confusion")
        )
    few = [one.name for one in species_of(record) if one.tested < FEW_TESTED]
    if few:
        steps.append(
            NextStep(f"Label more test {result.unit}s of {list_of(few)}: few say little.", section="species")
        )
    no_better = any(
        other.difference and other.difference.value <= 0 for other in record.beside if other.kind == "start"
    )
    if no_better and result.bundle.setting("method", "name") != DEFAULT:
        steps.append(NextStep("Train without --method: the default does well with few photos.", section="training"))
    if record.failed:
        steps.append(
            NextStep(f"Mend {number_of(len(record.failed), 'photo')} that cannot be read.", section="photos")
        )
    if pairs:
        why = shlex.join(["fscl", "explain", str(result.run), "--labels"])
        steps.append(NextStep("See why it was wrong, and which labels to check:", command=why))
    if result.answers is not None:
        steps.append(NextStep("Choose from which score on you accept a species unseen.", section="scores"))
    use = ["fscl", "predict", str(result.run), "PHOTOS", "--out"]
    certified = [
        name for name, own in (record.accept.species if record.accept else {}).items() if own.score is not None
    ]
    if certified:
        marked = shlex.join([*use, "predictions.csv", "--accept"])
        steps.append(NextStep(f"Have the answers marked that need no second look, of {list_of(certified)}:", marked))
    return [*steps, NextStep("Name photos that nobody has sorted:", command=shlex.join([*use, "predictions.json"]))]

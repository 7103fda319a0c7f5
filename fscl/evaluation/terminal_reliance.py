"""What can be accepted unseen, and how far probabilities and figures can be relied on, for the terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from fscl.evaluation.tables import plain_table, rounded
from fscl.records import Acceptance, Evaluation, RollUp

FEWER_RIGHT = (
    "{}: fewer than {:g} % of the accepted answers are right here, by chance, or because species are not as common "
    "here; fscl predict --accept --prevalence sets the score anew"
)
MORE_CERTIFIED = "to certify more species, label more photos of them and train again"


def reliance_tables(record: Evaluation) -> Iterator[RenderableType]:
    """Yield the table of answers that may be accepted unseen, then a line each on calibration, sets and intervals."""
    if record.accept is not None:
        yield from _accept_table(record.accept)
    for line in _lines(record):
        yield Text(line)


def _accept_table(accept: Acceptance) -> Iterator[RenderableType]:
    shown = plain_table(f"auto-accept at {100 * accept.target:g} %")
    shown.caption = (
        f"score: from which on the precision is at least {100 * accept.target:g} %, certified at "
        f"{100 * accept.confidence:g} % where species are as common as in {accept.origin}; accepted, wrong, missed: "
        "counted on these test photos, among the answers that fscl predict gives"
    )
    shown.add_column("species", overflow="fold")
    for column in ("score", "accepted", "wrong", "missed"):
        shown.add_column(column, justify="right")
    for name, one in accept.species.items():
        if one.score is None:
            shown.add_row(Text(name), "–", "–", "–", f"all {one.photos:,}")
        else:
            counts = (f"{one.accepted:,}", f"{one.wrong:,}", f"{one.missed:,} of {one.photos:,}")
            shown.add_row(Text(name), f"{one.score:.4f}", *counts)
    yield shown
    for name, one in accept.species.items():
        if one.score is None:
            yield Text(f"{name} cannot be certified: {one.reason}")
    if below := accept.below_target():
        yield Text(FEWER_RIGHT.format(", ".join(below), 100 * accept.target))
    if any(one.score is None for one in accept.species.values()):
        yield Text(MORE_CERTIFIED)


def _lines(record: Evaluation) -> Iterator[str]:
    known, sets, unknown, intervals = record.calibration, record.sets, record.unknown, record.intervals
    if known is not None and known.temperature is not None:
        errors = f"{rounded(known.before.ece)} before, {rounded(known.after.ece)} after"
        yield f"calibration error: {errors} division by the temperature {known.temperature:.2f} ({known.origin})"
    elif known is not None:
        yield "the probabilities are not calibrated: too few photos to do it on"
    if sets is not None:
        lowest = min((share for share in sets.coverage.values() if share is not None), default=None)
        promised = f"the true one of {100 * (1 - sets.alpha):g} % of each class"
        here = f"{rounded(lowest)} of the class that is held least here, {rounded(sets.mean_size)} species in a set"
        yield f"sets of species that promise to hold {promised}: {here}"
        if sets.without_promise:
            yield f"in every set, for there are too few photos of them: {', '.join(sets.without_promise)}"
    if unknown is not None:
        known_ones = f"of known species, up to {100 * unknown.rate:g} % are expected"
        yield f"like none of the species: {unknown.flagged:,} of {unknown.photos:,} photos; {known_ones}"
    if record.rollup is not None:
        yield _rolled_up(record.rollup)
    if intervals is not None and intervals.balanced_accuracy is not None:
        low, high = intervals.balanced_accuracy
        yield f"balanced accuracy is {low:.3f} to {high:.3f}, were other {intervals.unit} drawn (95 %)"
    if intervals is not None and intervals.note:
        yield intervals.note


def _rolled_up(found: RollUp) -> str:
    """Say at which ranks the model answers, and what that is worth."""
    named = [one for one in found.ranks if one.answered]
    ranks = [f"{one.rank} {one.answered:,} ({one.right:,} right)" for one in named]
    if found.unsure.answered:
        ranks.append(f"unsure {found.unsure.answered:,} ({found.unsure.right:,} right)")
    with_it, without = found.credit, found.without
    return (
        f"rolled up where less sure than {found.unsure_below:g}: {', '.join(ranks)}; without rolling up "
        f"{without.wrong:,} are wrong, with it {with_it.wrong:,}; partial credit, all classes weighing the same, "
        f"{rounded(without.balanced)} without, {rounded(with_it.balanced)} with it"
    )

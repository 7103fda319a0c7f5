"""How far answers can be relied on: those to accept unseen, how sure and how right, sets with the true species."""

from collections.abc import Iterator, Mapping

from fscl.records import Acceptance, AnsweredAt, Calibration, RollUp, SetCoverage
from fscl.report.run.charts import sure_bins
from fscl.report.run.result import RunResult
from fscl.report.run.species import ACCEPTED_AT, accepted, interval, list_of, percent
from fscl.report.tables import DASH, Entry, Row, Table, TableSection

PARTS = ("threshold", "bias")  # of decisions, that change scores
WHY_FEWER = (
    "by chance, or because species are not as common here; fscl predict --accept --prevalence sets the score anew"
)
COLUMNS = ("accepted", "wrong", "missed", "right of accepted")


def scores_note(result: RunResult) -> str:
    """Say what the scores are, where they are not the plain probabilities of the confusion matrix."""
    decisions = result.bundle.decisions
    parts = [] if decisions is None else [name for name in PARTS if getattr(decisions, name)]
    if not parts:
        return ""
    return (
        f"Scores and answers of this section are those that fscl predict gives, with the {' and the '.join(parts)} "
        "of the model; the confusion matrix and the photos are without."
    )


def accept_tables(result: RunResult) -> list[Table]:
    """Return what accepting answers gives: from the certified scores on, where these are known, else from one."""
    certified = result.evaluation.accept
    if certified is not None:
        return [_certified(certified, result.unit)]
    return [_at_one_score(result)] if result.answers is not None else []


def _certified(record: Acceptance, unit: str) -> Table:
    rows = []
    for name, own in record.species.items():
        if own.score is None:
            rows.append(Row(name, "", (Entry(DASH, value=2.0), Entry(own.reason or "not certified", words=True))))
            continue
        score = Entry(f"{own.score:.3f}", value=own.score)
        rows.append(Row(name, "", (score, *_counts(own.accepted, own.wrong, own.missed))))
    caption = (
        f"Certified: from this score on, at least {percent(record.target)} of the accepted answers are right, with a "
        f"confidence of {percent(record.confidence)}, where species are as common as there ({record.origin}). "
        f"Counted on these test {unit}s. Missed: those of the species that were named otherwise, or less surely."
    )
    if below := record.below_target():
        caption += f" Fewer are right here of {list_of(below)}: {WHY_FEWER}."
    return Table(caption, "species", ("accept from", *COLUMNS), (TableSection("", tuple(rows)),))


def _at_one_score(result: RunResult) -> Table:
    assert result.answers is not None, "asked for where there are scores"
    rows = []
    for place, name in enumerate(result.classes):
        at = accepted(result.answers, place, ACCEPTED_AT)
        rows.append(Row(name, "", _counts(at.accepted, at.wrong, at.missed)))
    caption = (
        f"If every answer with a score of at least {ACCEPTED_AT} were accepted unseen, on these test {result.unit}s. "
        "Missed: those of the species that were named otherwise, or less surely. Where a species is rarer than here, "
        "more of the accepted ones are wrong."
    )
    return Table(caption, "species", COLUMNS, (TableSection("", tuple(rows)),))


def _counts(taken: int, wrong: int, missed: int) -> tuple[Entry, ...]:
    counts = [Entry(f"{count:,}", value=count) for count in (taken, wrong, missed)]
    share = (taken - wrong) / taken if taken else None
    return (*counts, Entry(percent(share), value=-1.0 if share is None else share))


def sure_tables(result: RunResult) -> list[Table]:
    """Return how sure the answers are and how many of them are right, and what calibration and sets give."""
    record, tables = result.evaluation, []
    if result.answers is not None:
        rows = tuple(
            Row(percent(own.probability), "", (Entry(f"{own.answers:,}"), _right(own.right, own.answers)))
            for own in sure_bins(result.answers)
        )
        caption = "Answers by the score that fscl predict gives them, and how many of them are right."
        tables.append(Table(caption, "score (mean)", ("answers", "right"), (TableSection("", rows),)))
    if record.calibration is not None:
        tables.append(_calibration(record.calibration))
    if record.sets is not None:
        tables.append(_sets(record.sets, record.counts))
    if record.rollup is not None:
        tables += _rolled_up(record.rollup)
    return tables


def _right(right: int, answers: int) -> Entry:
    return Entry(percent(right / answers), interval(right, answers))


def _calibration(record: Calibration) -> Table:
    names = {"ece": "ECE", "classwise_ece": "classwise ECE", "brier": "Brier score"}
    rows = tuple(
        Row(title, "", (_rounded(getattr(record.before, name)), _rounded(getattr(record.after, name))))
        for name, title in names.items()
    )
    how = "No temperature was chosen."
    if record.temperature is not None:
        how = f"The scores are calibrated by a temperature of {record.temperature:.2f} ({record.origin})."
    caption = f"{how} Lower is better: 0 is a model that is right as often as it says."
    return Table(caption, "error", ("before", "after"), (TableSection("", rows),))


def _sets(record: SetCoverage, counts: Mapping[str, int]) -> Table:
    rows = []
    for name, share in record.coverage.items():
        photos = counts.get(name, 0)
        held = DASH if share is None else f"{share * photos:,.0f} of {photos:,}"
        rows.append(Row(name, "no promise" if name in record.without_promise else "", (Entry(percent(share), held),)))
    sizes = "" if record.mean_size is None else f" On average a set has {record.mean_size:.2f} species."
    alone = "" if record.single is None else f" {percent(record.single)} of the sets hold one species."
    caption = (
        f"Sets that shall hold the true species of {percent(1 - record.alpha)} of the photos of each "
        f"({record.origin}).{sizes}{alone}"
    )
    if record.without_promise:
        caption += " A species without a promise has too few photos there, and is in every set."
    return Table(caption, "species", ("held in its set",), (TableSection("", tuple(rows)),))


def _rolled_up(record: RollUp) -> Iterator[Table]:
    """Yield at which ranks answers are, and their partial credit."""
    ranks = [*(_answered(one.rank, one) for one in record.ranks), _answered("unsure", record.unsure)]
    caption = (
        f"Unsure answers rolled up: a species less sure than {percent(record.unsure_below)} becomes the lowest rank "
        "of the taxonomy that is that sure; unsure: none is. Right: the true species is in the group. "
        f"{record.credit.wrong:,} answers are wrong; without rolling up, {record.without.wrong:,}."
    )
    yield Table(caption, "rank", ("answers", "right"), (TableSection("", tuple(ranks)),))
    worth = [("all, each weighing the same", record.credit.balanced, record.without.balanced)]
    worth += [(name, own, record.without.by_class[name]) for name, own in record.credit.by_class.items()]
    rows = tuple(Row(name, "", (Entry(percent(own)), Entry(percent(alone)))) for name, own, alone in worth)
    caption = (
        "Partial credit: 100 % for the right species, 1 − log(species in the group) / log(all species) for a group "
        "that has it, else 0. Without rolling up every answer is a species, also an unsure one, and a guess that is "
        "right counts in full."
    )
    yield Table(caption, "species", ("rolled up", "without"), (TableSection("", rows),))


def _answered(name: str, at: AnsweredAt) -> Row:
    share = Entry(percent(at.right / at.answered), interval(at.right, at.answered)) if at.answered else Entry(DASH)
    return Row(name, "", (Entry(f"{at.answered:,}"), share))


def reliance_notes(result: RunResult) -> Iterator[str]:
    """Yield what was measured of the figures' own uncertainty, and of photos that are like none of the species."""
    record = result.evaluation
    if record.intervals is not None:
        span = record.intervals.balanced_accuracy
        if span is not None:
            yield (
                f"Were other {record.intervals.unit} drawn, balanced accuracy would lie between {percent(span[0])} "
                f"and {percent(span[1])} (95 % interval)."
            )
        if record.intervals.note:
            yield f"{record.intervals.note[0].upper()}{record.intervals.note[1:]}."
    if record.unknown is not None:
        yield (
            f"{record.unknown.flagged:,} of {record.unknown.photos:,} test {result.unit}s are said to be like none "
            f"of the species; the promise is at most {percent(record.unknown.rate)}."
        )
    if record.sets is not None and record.sets.without_promise:
        yield f"Too few photos for a promise of sets: {list_of(record.sets.without_promise, 20)}."


def _rounded(figure: float | None) -> Entry:
    return Entry(DASH if figure is None else f"{figure:.3f}")

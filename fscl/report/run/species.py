"""How each species does: counts, shares with their intervals, and what it is taken for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fscl.records import Evaluation
from fscl.report.run.result import Answers, RunResult
from fscl.report.tables import BINS, DASH, Entry, Row, Table, TableSection
from fscl.scoring.statistics import clopper_pearson

LEVELS = 10_000  # scores on the page are whole numbers up to this
ACCEPTED_AT = 0.9
MOST_IN_MATRIX = 40  # species; of more the matrix would be larger than any screen
MOST_CONFUSED, CONFUSED_BESIDE = 100, 10  # pairs of species that are listed: alone, and beside the matrix


@dataclass(frozen=True)
class SpeciesResult:
    """One species: photos in training, and what was made of those in the test."""

    name: str
    place: int
    rare: bool
    trained: int
    tested: int
    found: int  # of those tested
    called: int  # that were given this name, right or wrong
    taken_for: str = ""  # the species that most of the others were taken for
    taken: int = 0

    @property
    def recall(self) -> float | None:
        """Share of its photos that was found."""
        return self.found / self.tested if self.tested else None

    @property
    def precision(self) -> float | None:
        """Share of right ones among the photos that were given this name."""
        return self.found / self.called if self.called else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of recall and precision; 0 where nothing was found."""
        return 2 * self.found / (self.tested + self.called) if self.tested else None

    @property
    def bin(self) -> str:
        """The bin of training photos that it falls into."""
        bounds = {"<10": 10, "10-99": 100, "100-999": 1000}
        return BINS[next((name for name, bound in bounds.items() if self.trained < bound), ">=1000")]


def species_of(record: Evaluation) -> list[SpeciesResult]:
    """Return every species of an evaluation, in the order of the scores."""
    called = [sum(column) for column in zip(*record.confusion, strict=True)]
    found = []
    for place, (name, row) in enumerate(zip(record.classes, record.confusion, strict=True)):
        others = [(count, -other) for other, count in enumerate(row) if other != place]
        taken, most = max(others)
        found.append(
            SpeciesResult(
                name=name,
                place=place,
                rare=name in record.minority,
                trained=record.train_counts.get(name, 0),
                tested=sum(row),
                found=row[place],
                called=called[place],
                taken_for=record.classes[-most] if taken else "",
                taken=taken,
            )
        )
    return found


def percent(share: float | None) -> str:
    """Return a share in percent; 100 % and 0 % are exact.

    >>> percent(0.999), percent(1.0), percent(0.004), percent(None)
    ('99.9 %', '100 %', '0.4 %', '–')
    """
    if share is None:
        return DASH
    whole = f"{100 * share:.0f}"
    return f"{100 * share:.1f} %" if whole in ("0", "100") and share not in (0, 1) else f"{whole} %"


def interval(hits: int, trials: int) -> str:
    """Return the interval that a true share lies in, with a confidence of 95 %; nothing without trials.

    >>> interval(1, 5)
    '1–72 %'
    """
    if not trials:
        return ""
    low, high = clopper_pearson(hits, trials)
    return f"{100 * low:.0f}–{100 * high:.0f} %"


def species_table(result: RunResult) -> Table:
    """Return the table of all species, those found least first: the page sorts it by any column."""
    unit, rows, given = result.unit, [], result.evaluation.intervals
    for one in sorted(species_of(result.evaluation), key=_worst_first):
        spans = (given.recall.get(one.name), given.precision.get(one.name)) if given else (None, None)
        recall = Entry(percent(one.recall), _counted(one.found, one.tested, spans[0]), value=_or_last(one.recall))
        called = _counted(one.found, one.called, spans[1])
        precision = Entry(percent(one.precision), called, value=_or_last(one.precision))
        taken = Entry(f"{one.taken_for} ({one.taken:,})" if one.taken else DASH, words=True, value=one.taken)
        entries = (
            Entry(f"{one.trained:,}", value=one.trained),
            Entry(f"{one.tested:,}", value=one.tested),
            recall,
            precision,
            Entry(DASH if one.f1 is None else f"{one.f1:.2f}", value=_or_last(one.f1)),
            taken,
        )
        rows.append(Row(one.name, "rare" if one.rare else "", entries))
    drawn = f", were other {given.unit} drawn" if given else ""
    caption = (
        f"Recall: of the {unit}s of a species, how many were found. Precision: of those given its name, how many are "
        f"right. Below each, how many these are, and the 95 % interval of the share{drawn}."
    )
    columns = (f"training {unit}s", f"test {unit}s", "recall", "precision", "F1", "most often taken for")
    return Table(caption, "species", columns, (TableSection("", tuple(rows)),))


def bins_table(result: RunResult) -> Table:
    """Return recall by bins of training photos: what few photos cost."""
    rows = []
    everyone = species_of(result.evaluation)
    for title in BINS.values():
        own = [one for one in everyone if one.bin == title]
        recalls = [one.recall for one in own if one.recall is not None]
        if own:
            mean = sum(recalls) / len(recalls) if recalls else None
            lowest = min(own, key=_worst_first)
            entries = (Entry(f"{len(own):,}"), Entry(percent(mean)), Entry(_named(lowest), words=True))
            rows.append(Row(title, "", entries))
    caption = f"Recall by how many training {result.unit}s a species has: the mean over the species of a bin."
    return Table(
        caption, f"training {result.unit}s", ("species", "mean recall", "lowest"), (TableSection("", tuple(rows)),)
    )


def confusion_table(result: RunResult) -> Table:
    """Return who is taken for whom, most often first."""
    record, rows = result.evaluation, []
    most = CONFUSED_BESIDE if len(record.classes) <= MOST_IN_MATRIX else MOST_CONFUSED
    for count, true, named in confused_pairs(record)[:most]:
        share = count / sum(record.confusion[true])
        entries = (
            Entry(record.classes[named], words=True),
            Entry(f"{count:,}", value=count, cell=(true, named)),
            Entry(percent(share), value=share),
        )
        rows.append(Row(record.classes[true], "", entries))
    caption = f"Which species are taken for which, most often first; share: of the {result.unit}s of the species."
    columns = ("taken for", f"{result.unit}s", "share")
    return Table(caption, "species", columns, (TableSection("", tuple(rows)),))


def confused_pairs(record: Evaluation) -> list[tuple[int, int, int]]:
    """Return how many photos of a species (second, its place) were given the name of another (third), most first."""
    pairs = [
        (count, true, named)
        for true, row in enumerate(record.confusion)
        for named, count in enumerate(row)
        if count and true != named
    ]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))


@dataclass(frozen=True)
class Accepted:
    """What accepting the answers of a species from a score on gives: how many, wrong ones, and those missed."""

    accepted: int
    wrong: int
    missed: int


def levels(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return probabilities in 10,000ths, rounded down: 0.9 and more is then 9,000 and more."""
    whole: NDArray[np.int64] = (shares * LEVELS + 1e-6).astype(np.int64)
    return whole


def score_levels(answers: Answers, classes: int) -> list[dict[str, list[int]]]:
    """Return for each species the levels of the photos that are decided to be it, right or wrong, surest first."""
    level, right = levels(answers.score), answers.labels == answers.decided
    sides = {"right": right, "wrong": ~right}
    return [
        {side: np.sort(level[(answers.decided == place) & those])[::-1].tolist() for side, those in sides.items()}
        for place in range(classes)
    ]


def accepted(answers: Answers, place: int, score: float) -> Accepted:
    """Count what accepting every answer of the species at `place` from a score on would give."""
    shown = answers.labels == place
    above = (answers.decided == place) & (levels(answers.score) >= round(score * LEVELS))
    right = int((above & shown).sum())
    return Accepted(int(above.sum()), int(above.sum()) - right, int(shown.sum()) - right)


def list_of(names: Sequence[str], most: int = 5) -> str:
    """Join names as prose, the first few of many.

    >>> list_of(["a", "b", "c"]), list_of(list("abcdefg"), most=3)
    ('a, b and c', 'a, b, c and 4 more')
    """
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _counted(hits: int, trials: int, span: tuple[float, float] | None) -> str:
    """Return a share as it was counted, and its interval: the given one, at least that of independent photos.

    Drawn anew, a share of 100 % is always 100 %, however few photos it is of.
    """
    if not trials:
        return "none"
    low, high = clopper_pearson(hits, trials)
    if span is not None:
        low, high = min(low, span[0]), max(high, span[1])
    return f"{hits:,} of {trials:,}, {100 * low:.0f}–{100 * high:.0f} %"


def _named(one: SpeciesResult) -> str:
    return f"{one.name}, {percent(one.recall)}"


def _or_last(share: float | None) -> float:
    return -1.0 if share is None else round(share, 6)


def _worst_first(one: SpeciesResult) -> tuple[bool, float, int, str]:
    return (one.recall is None, one.recall or 0.0, -one.tested, one.name)

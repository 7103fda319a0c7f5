"""Do the methods differ from the baseline? Paired t tests over the seeds that both finished."""

from dataclasses import asdict, dataclass

import pandas as pd

from fscl.report.study import Pair, Study
from fscl.report.tables import FIGURES, Entry, Row, Section, Table, ratio_title
from fscl.scoring.statistics import holm, paired_t

BASELINE = "baseline"
TESTED = ("minority_recall", "balanced_accuracy", "auroc")
SEEDS_NEEDED = 3  # with 2, a 95 % interval is 13 standard errors wide on either side
SEEDS_WANTED, SEEDS_WANTED_WHERE_RARE, RARE = 5, 10, 0.005  # the study protocol's least
PROTOCOL = f"the protocol asks for {SEEDS_WANTED} ({SEEDS_WANTED_WHERE_RARE} at {ratio_title(RARE)} and rarer)"
ALPHA = 0.05


@dataclass(frozen=True)
class PairedTest:
    """A figure of a method less that of the reference at one ratio, over the seeds that both finished.

    `difference` is their mean, from `low` to `high` the 95 % interval, `p` two-sided, and `p_holm` that adjusted
    over the ratios of the pair.
    """

    pair: Pair
    ratio: float
    method: str
    reference: str
    figure: str
    seeds: int
    difference: float
    low: float
    high: float
    p: float
    p_holm: float


def paired_tests(study: Study, pair: Pair) -> list[PairedTest]:
    """Return the tests of each method against the reference, where at least 3 common seeds have the figure.

    The reference is `baseline`, or the study's first method where that is not among them.
    """
    tests = []
    reference, *others = _methods(study)
    for method in others:
        for figure in TESTED:
            samples = {r: _common(study, pair, r, method, reference, figure) for r in study.ratios(pair)}
            enough = {r: paired_t(own, other) for r, (own, other) in samples.items() if len(own) >= SEEDS_NEEDED}
            adjusted = holm([result.p for result in enough.values()])
            tests += [
                PairedTest(pair, ratio, method, reference, figure, len(samples[ratio][0]), *result, p_holm)
                for (ratio, result), p_holm in zip(enough.items(), adjusted, strict=True)
            ]
    return tests


def paired_frame(study: Study) -> pd.DataFrame:
    """Return every test of a study, a row each, with the fields of `PairedTest` as columns."""
    return pd.DataFrame([asdict(test) for pair in study.pairs for test in paired_tests(study, pair)])


def paired_table(study: Study, pair: Pair) -> Table | None:
    """Return the differences to the reference: a section per ratio, a row per method; None without any test."""
    tests = {(test.ratio, test.method, test.figure): test for test in paired_tests(study, pair)}
    if not tests:
        return None
    reference, *others = _methods(study)
    sections = []
    for ratio in study.ratios(pair):
        rows = []
        for method in others:
            entries = tuple(_entry(tests.get((ratio, method, figure))) for figure in TESTED)
            seeds = len(_common(study, pair, ratio, method, reference, TESTED[0])[0])
            rows.append(Row(study.title(method), f"{seeds} common seed{'' if seeds == 1 else 's'}", entries))
        sections.append(Section(ratio_title(ratio, study.profile), tuple(rows)))
    caption = (
        f"Difference to {study.title(reference)} over the seeds that both finished: mean, 95 % interval and p of a "
        f"paired t test; p, not the interval, is adjusted over the ratios (Holm). Marked: p below {ALPHA:g}, higher "
        f"or lower."
    )
    columns = tuple(FIGURES[figure] for figure in TESTED)
    return Table(caption, "method", columns, tuple(sections))


def seeds_note(study: Study, pair: Pair) -> str:
    """Return a sentence where a test of the pair has fewer seeds than the protocol asks for, else nothing."""
    reference, *others = _methods(study)
    common = {
        (ratio, method): len(_common(study, pair, ratio, method, reference, TESTED[0])[0])
        for ratio in study.ratios(pair)
        for method in others
    }
    most = max(common.values(), default=0)
    if others and most < SEEDS_NEEDED:
        return (
            f"No paired tests: they need {SEEDS_NEEDED} seeds that two methods finished, and {PROTOCOL}; here: "
            f"{most}."
        )
    if any(
        seeds < (SEEDS_WANTED_WHERE_RARE if ratio <= RARE else SEEDS_WANTED) for (ratio, _), seeds in common.items()
    ):
        return f"Some comparisons have fewer seeds than wanted: {PROTOCOL}. Take them as a trial, not a finding."
    return ""


def _methods(study: Study) -> list[str]:
    """Return the methods of a study, the reference first."""
    return sorted(study.methods, key=lambda method: method != BASELINE)


def _common(
    study: Study, pair: Pair, ratio: float, method: str, reference: str, figure: str
) -> tuple[list[float], list[float]]:
    """Return the figure of the method and that of the reference, for each seed that has both."""
    own, other = (
        {
            cell.cell.seed: value
            for cell in study.select(pair, ratio, name)
            if cell.result and (value := cell.result.figures.value(figure)) is not None
        }
        for name in (method, reference)
    )
    seeds = sorted(own.keys() & other.keys())
    return [own[seed] for seed in seeds], [other[seed] for seed in seeds]


def _entry(test: PairedTest | None) -> Entry:
    if test is None:
        return Entry()
    p = f"p = {test.p_holm:.3f}" if test.p_holm >= 0.001 else "p < 0.001"
    clear = test.p_holm < ALPHA
    return Entry(
        _signed(test.difference),
        f"[{_signed(test.low)}, {_signed(test.high)}] · {p}",
        best=clear and test.difference > 0,
        worse=clear and test.difference < 0,
    )


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")

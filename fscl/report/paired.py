"""Do the methods differ? Paired tests over the seeds that two methods finished and, by their scores, test photos."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, lru_cache
from typing import Literal

import numpy as np
import pandas as pd

from fscl.errors import ConfigurationError, did_you_mean
from fscl.printable import number_of
from fscl.records import CellRecord, Pair
from fscl.report.scores import FigureParts, bursts, common_regions, read_parts
from fscl.report.study import Study
from fscl.report.tables import FIGURES, Entry, Row, Table, TableSection, ratio_title
from fscl.scoring.crossed import crossed_t
from fscl.scoring.statistics import PairedT, holm, paired_t

BASELINE = "baseline"
# What a method has to beat besides the baseline: the same sampling without the similarity term.
RIVALS = {"fscl": "oversampling", "fscl_m_per_class": "oversampling", "fscl_mixup": "oversampling"}
TESTED = ("minority_recall", "balanced_accuracy", "auroc")
PRIMARY = "auroc"  # the study protocol's: a method that only moves the threshold does not raise it
SEEDS_NEEDED = 3  # with 2, a 95 % interval is 13 standard errors wide on either side
SEEDS_WANTED, SEEDS_WANTED_WHERE_RARE, RARE = 5, 10, 0.005  # the study protocol's least
WANTED = (
    f"For a firm result: at least {SEEDS_WANTED} seeds ({SEEDS_WANTED_WHERE_RARE} at {ratio_title(RARE)} and rarer)"
)
ALPHA = 0.05
Comparison = tuple[str, str]  # method, reference
Covers = Literal["seeds and test photos", "seeds"]
By = Mapping[tuple[str, int], CellRecord]  # cells by method and seed


@dataclass(frozen=True)
class PairedTest:
    """A figure of a method less that of the reference at one ratio, over the seeds that both finished.

    `difference` is their mean, from `low` to `high` the 95 % interval, `p` two-sided: None where it is undefined, for
    all differences are equal. `p_holm` is adjusted: of AUROC for all its tests in the study, whatever the pair, ratio
    and methods; of another figure for all tests of all figures. `covers` says what interval and p speak of: seeds
    and test photos, or, where the scores of single photos are not there, seeds on these test photos only.
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
    p: float | None
    p_holm: float | None
    covers: Covers


def paired_tests(study: Study, pair: Pair) -> list[PairedTest]:
    """Return the report's tests of a pair, where at least 3 common seeds have the figure.

    Each method against `baseline`, or against the study's first method where that is not among them; and FSCL against
    oversampling. Adjusted for the tests of all pairs.
    """
    return [test for test in _tests_of_report(study) if test.pair == pair]


def paired_frame(study: Study, comparisons: Sequence[Comparison] | None = None) -> pd.DataFrame:
    """Return every test of a study, a row each, with the fields of `PairedTest` as columns.

    Args:
        study: with its folder, else the tests cover seeds only.
        comparisons: (method, reference) each; those of the report by default. They are adjusted for each other, so
            give all that you look at.

    Raises:
        ConfigurationError: a method that the study does not have.
    """
    for name in {name for methods in comparisons or () for name in methods}:
        if name not in study.methods:
            raise ConfigurationError(f"the study has no method '{name}'{did_you_mean(name, study.methods)}")
    tests = _tests_of_report(study) if comparisons is None else _tests(study, comparisons)
    return pd.DataFrame([asdict(test) for test in tests], columns=[field.name for field in fields(PairedTest)])


@lru_cache(maxsize=1)
def _tests_of_report(study: Study) -> list[PairedTest]:
    return _tests(study, _comparisons(study))


def _comparisons(study: Study) -> list[Comparison]:
    reference, *others = sorted(study.methods, key=lambda method: method != BASELINE)
    rivals = [(method, rival) for method, rival in RIVALS.items() if {method, rival} <= set(study.methods)]
    return list(dict.fromkeys([*((method, reference) for method in others), *rivals]))


def _tests(study: Study, comparisons: Sequence[Comparison]) -> list[PairedTest]:
    """Return the tests, adjusted for each other."""
    tests = [
        test
        for pair in study.pairs
        for ratio in study.ratios(pair)
        for test in _tests_at(study, pair, ratio, comparisons)
    ]
    of_all = {place: test.p for place, test in enumerate(tests) if test.p is not None}
    of_primary = {place: p for place, p in of_all.items() if tests[place].figure == PRIMARY}
    adjusted: dict[int, float] = {}
    for family in (of_all, of_primary):
        adjusted |= dict(zip(family, holm(list(family.values())), strict=True))
    return [replace(test, p_holm=adjusted.get(place)) for place, test in enumerate(tests)]


def _tests_at(study: Study, pair: Pair, ratio: float, comparisons: Sequence[Comparison]) -> list[PairedTest]:
    """Return the tests of a pair at a ratio, not adjusted yet."""
    cells = {(cell.cell.method, cell.cell.seed): cell for cell in study.select(pair, ratio)}
    parts = cache(lambda key: read_parts(study, cells[key]))
    tests = []
    for method, reference in comparisons:
        for figure in TESTED:
            seeds = _common_seeds(cells, method, reference, figure)
            if len(seeds) >= SEEDS_NEEDED:
                result, covers = _test(study, cells, (method, reference), figure, seeds, parts)
                place = (pair, ratio, method, reference, figure, len(seeds))
                tests.append(PairedTest(*place, *result, p_holm=None, covers=covers))
    return tests


def _test(
    study: Study,
    cells: By,
    methods: Comparison,
    figure: str,
    seeds: Sequence[int],
    parts: Callable[[tuple[str, int]], FigureParts | None],
) -> tuple[PairedT, Covers]:
    figures = ({seed: _value(cells[method, seed], figure) for seed in seeds} for method in methods)
    own, other = ([value for value in of_method.values() if value is not None] for of_method in figures)
    known = [part for method in methods for seed in seeds if (part := parts((method, seed)))]
    if len(known) == 2 * len(seeds):
        regions = common_regions(known)
        of_photos = np.stack([part.of(regions, figure) for part in known])
        labels = known[0].labels[known[0].places(regions)]
        differences = of_photos[: len(seeds)] - of_photos[len(seeds) :]
        result = crossed_t(np.subtract(own, other).tolist(), differences, labels, bursts(study, regions))
        if result is not None:
            return result, "seeds and test photos"
    return paired_t(own, other), "seeds"


def paired_table(study: Study, pair: Pair) -> Table | None:
    """Return the differences: a section per ratio, a row per method and reference; None without any test."""
    tests = {(test.ratio, test.method, test.reference, test.figure): test for test in paired_tests(study, pair)}
    if not tests:
        return None
    comparisons = _comparisons(study)
    reference = comparisons[0][1]
    mixed = len({test.covers for test in _tests_of_report(study)}) > 1
    sections = []
    for ratio in study.ratios(pair):
        cells = {(cell.cell.method, cell.cell.seed): cell for cell in study.select(pair, ratio)}
        rows = []
        for method, other in comparisons:
            tested = (tests.get((ratio, method, other, figure)) for figure in TESTED)
            entries = tuple(_entry(test, mixed=mixed) for test in tested)
            title = study.title(method) + ("" if other == reference else f", to {study.title(other)}")
            seeds = len(_common_seeds(cells, method, other, TESTED[0]))
            rows.append(Row(title, number_of(seeds, "common seed"), entries))
        sections.append(TableSection(ratio_title(ratio, study.profile), tuple(rows)))
    columns = tuple(FIGURES[figure] + (" (primary)" if figure == PRIMARY else "") for figure in TESTED)
    return Table(_caption(study, reference), "method", columns, tuple(sections))


def _caption(study: Study, reference: str) -> str:
    tests = _tests_of_report(study)
    tested = [test.figure for test in tests if test.p is not None]
    covers = {test.covers for test in tests}
    if covers == {"seeds and test photos"}:
        speak_of = "Interval and p hold for other seeds and other test photos; photos of a burst count together."
    else:
        where = "" if covers == {"seeds"} else " where it says so (elsewhere for other test photos, too)"
        speak_of = (
            f"Interval and p hold for other seeds only{where}: the scores of single photos are missing, so other "
            "test photos can change more, and p is too small."
        )
    return (
        f"Difference to {study.title(reference)}, or to the method that the row names: mean over the seeds that both "
        f"finished, 95 % interval and p. {speak_of} p is adjusted for the number of tests (Holm): "
        f"{tested.count(PRIMARY)} for AUROC, {len(tested)} for each other figure. Marked: p below {ALPHA:g}."
    )


def seeds_note(study: Study, pair: Pair) -> str:
    """Return a sentence where a test of the pair has fewer seeds than wanted, else nothing."""
    common = []
    for ratio in study.ratios(pair):
        cells = {(cell.cell.method, cell.cell.seed): cell for cell in study.select(pair, ratio)}
        wanted = SEEDS_WANTED_WHERE_RARE if ratio <= RARE else SEEDS_WANTED
        common += [(len(_common_seeds(cells, *methods, TESTED[0])), wanted) for methods in _comparisons(study)]
    most = max((seeds for seeds, _ in common), default=0)
    if common and most < SEEDS_NEEDED:
        return (
            f"No test of the differences: it needs {SEEDS_NEEDED} seeds that both methods finished; here: {most}. "
            f"{WANTED}."
        )
    if any(seeds < wanted for seeds, wanted in common):
        return f"Some comparisons have few seeds: take them as a first try, not as a result. {WANTED}."
    return ""


def _common_seeds(cells: By, method: str, reference: str, figure: str) -> list[int]:
    """Return the seeds of which both methods have the figure."""
    own, other = (
        {seed for name, seed in cells if name == wanted and _value(cells[name, seed], figure) is not None}
        for wanted in (method, reference)
    )
    return sorted(own & other)


def _value(cell: CellRecord, figure: str) -> float | None:
    return cell.result.figures.value(figure) if cell.result else None


def _entry(test: PairedTest | None, *, mixed: bool) -> Entry:
    if test is None:
        return Entry()
    if test.p_holm is None:
        p = "p undefined: all differences are equal"
    else:
        p = f"p = {test.p_holm:.3f}" if test.p_holm >= 0.001 else "p < 0.001"
    clear = test.p_holm is not None and test.p_holm < ALPHA
    seeds_only = ", seeds only" if mixed and test.covers == "seeds" else ""
    return Entry(
        _signed(test.difference),
        f"[{_signed(test.low)}, {_signed(test.high)}] · {p}{seeds_only}",
        best=clear and test.difference > 0,
        worse=clear and test.difference < 0,
    )


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")

"""The study's ablation as arrows computed from the figures here, beside those printed there for the same species."""

from collections.abc import Sequence
from statistics import mean

from fscl.records import Pair
from fscl.report.published import ARROWS, is_published
from fscl.report.spread import Spread, spread
from fscl.report.study import Study
from fscl.report.tables import Entry, Row, Table, TableSection, ratio_title

# Balanced accuracy, so that recall bought with the other class earns nothing. Absolute bands, so that arrows of
# different pairs and studies compare: the fifths of the way from guessing between two classes to no error.
BANDS = {"↑↑↑": 0.9, "↑": 0.8, "↔": 0.7, "↓": 0.6}
LOWEST = "↓↓↓"


def arrow(balanced_accuracy: float) -> str:
    """Return the arrow of a balanced accuracy between two classes.

    >>> arrow(0.84), arrow(0.5)
    ('↑', '↓↓↓')
    """
    return next((sign for sign, least in BANDS.items() if balanced_accuracy >= least), LOWEST)


def ablation_table(study: Study) -> Table | None:
    """Return arrows for the study's methods, and its own for its species; None where no pair has two to compare."""
    pairs: tuple[Pair, ...] = ("coarse", "fine")
    ratios = {pair: compared for pair in pairs if (compared := _ratios(study, pair))}
    if not ratios:
        return None
    rows = []
    published = [pair for pair in ratios if is_published(study, pair)]
    for method in (method for method in ARROWS if method in study.methods):
        entries = []
        for pair, own in ratios.items():
            entries += [Entry(ARROWS[method][pair])] if pair in published else []
            entries += [_entry(study, pair, method, own)]
        rows.append(Row(study.title(method), "", tuple(entries)))
    bands = ", ".join(f"{sign} from {least:g}" for sign, least in BANDS.items())
    where = "; ".join(f"{pair}: {', '.join(map(ratio_title, own))}" for pair, own in ratios.items())
    caption = (
        f"{'Published: the arrows of the study, for its photos. ' if published else ''}Here: balanced accuracy, mean "
        f"over the ratios rarer than 1:1 that all of these methods finished ({where}). 0.5 is guessing; {bands}, "
        f"{LOWEST} for less. Below each arrow: that mean ± sd over seeds, and the minority recall."
    )
    columns = [f"{pair}, {w}" for pair in ratios for w in ("published", "here") if w == "here" or pair in published]
    return Table(caption, "method", tuple(columns), (TableSection("", tuple(rows)),))


def _ratios(study: Study, pair: Pair) -> list[float]:
    """Return the ratios rarer than 1:1 at which all of the study's methods that have figures have them."""
    methods = {cell.cell.method for cell in study.select(pair) if cell.result} & ARROWS.keys()
    if len(methods) < 2:
        return []
    finished = {ratio: {c.cell.method for c in study.select(pair, ratio) if c.result} for ratio in study.ratios(pair)}
    return [ratio for ratio, done in finished.items() if ratio < 1 and methods <= done]


def _entry(study: Study, pair: Pair, method: str, ratios: Sequence[float]) -> Entry:
    balanced, recall = (
        _over_ratios(study, pair, method, ratios, figure) for figure in ("balanced_accuracy", "minority_recall")
    )
    if balanced is None or recall is None:
        return Entry()
    return Entry(arrow(balanced.mean), f"{balanced} · minority {recall.mean:.2f}")


def _over_ratios(study: Study, pair: Pair, method: str, ratios: Sequence[float], figure: str) -> Spread | None:
    """Return the spread over seeds of a figure's mean over ratios; a seed that lacks a ratio is left out."""
    by_seed: dict[int, list[float]] = {}
    for cell in study.select(pair, method=method):
        value = cell.result.figures.value(figure) if cell.result and cell.cell.ratio in ratios else None
        if value is not None:
            by_seed.setdefault(cell.cell.seed, []).append(value)
    return spread(mean(values) for values in by_seed.values() if len(values) == len(ratios))

"""Charts of minority recall and of what it costs. `draw_charts` draws all charts of a study."""

from math import floor
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from fscl.records import Pair
from fscl.report.charts.cosine_matrices import cosine_panels
from fscl.report.charts.drawing import CARD, GRID, MUTED, Drawing, method_legend, method_styles, render, styled
from fscl.report.charts.panels import confusion_panels, loss_panels, validation_panels
from fscl.report.published import published_recalls
from fscl.report.spread import kept_spread
from fscl.report.study import Study
from fscl.report.tables import pair_title, ratio_title

PUBLISHED_DASHES = (0, (4, 3))


def draw_charts(study: Study) -> list[Drawing]:
    """Return the charts of every pair: recall and trade-off, then those of which a cell has the figures."""
    curves = (loss_panels, validation_panels)
    makers = (_recall_chart, _tradeoff_chart, confusion_panels, cosine_panels, *curves)
    with styled():
        return [drawing for pair in study.pairs for make in makers if (drawing := make(study, pair))]


def _recall_chart(study: Study, pair: Pair) -> Drawing:
    single = len(study.ratios(pair)) == 1
    figure = (_recall_at_one_ratio if single else _recall_over_ratio)(study, pair)
    description = "Share of the rare class's test photos that was found. " + (
        "Bar: mean over seeds; points: single seeds."
        if single
        else "The rare class gets rarer to the right. Line: mean over seeds; band: ± sd; points: single seeds."
    )
    if published_recalls(study, pair):
        description += " Dashed: the study's published figures."
    return render(figure, f"recall-{pair}", "Minority recall", pair_title(study, pair), description)


def _recall_over_ratio(study: Study, pair: Pair) -> Figure:
    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    axes = figure.subplots()
    published = published_recalls(study, pair)
    for place, (method, (colour, marker)) in enumerate(method_styles(study.methods).items()):
        spreads = [(r, kept_spread(study.select(pair, r, method), "minority_recall")) for r in study.ratios(pair)]
        known = [(ratio, value) for ratio, value in spreads if value]
        ratios = np.array([ratio for ratio, _ in known])
        mean, sd = (np.array([getattr(value, name) or 0.0 for _, value in known]) for name in ("mean", "sd"))
        axes.fill_between(ratios, np.clip(mean - sd, 0, 1), np.clip(mean + sd, 0, 1), color=colour, alpha=0.13, lw=0)
        axes.plot(ratios, mean, color=colour, marker=marker, ms=6, mec=CARD, mew=0.8, lw=1.8)
        shift = 10 ** (0.1 * ((place + 0.5) / len(study.methods) - 0.5))  # side by side, so that equal seeds show
        seeds = _seeds(study, pair, method, "minority_recall")
        axes.plot([r * shift for r, _ in seeds], [y for _, y in seeds], marker, color=colour, ms=2.6, alpha=0.6)
        curve = {r: y for r, y in published.get(method, {}).items() if min(study.ratios(pair)) <= r}
        axes.plot(list(curve), list(curve.values()), color=colour, ls=PUBLISHED_DASHES, lw=1, alpha=0.55)
    axes.set_xscale("log")
    axes.set_xlim(max(study.ratios(pair)) * 1.25, min(study.ratios(pair)) / 1.25)
    axes.set_xticks(study.ratios(pair), [f"{ratio:g}" for ratio in study.ratios(pair)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(-0.03, 1.03)
    axes.set(xlabel="minority photos for each majority photo in training", ylabel="minority recall")
    dashed = Line2D([], [], color=MUTED, ls=PUBLISHED_DASHES, lw=1, label="published")
    method_legend(figure, study, [dashed] if published else [])
    return figure


def _recall_at_one_ratio(study: Study, pair: Pair) -> Figure:
    ratio, published = study.ratios(pair)[0], published_recalls(study, pair)
    figure = Figure(figsize=(5.4, 1.2 + 0.5 * len(study.methods)), layout="constrained")
    axes = figure.subplots()
    for place, (method, (colour, marker)) in enumerate(method_styles(study.methods).items()):
        value = kept_spread(study.select(pair, ratio, method), "minority_recall")
        if value is None:
            axes.text(0.01, place, "no figures", color=MUTED, va="center", fontstyle="italic")
            continue
        axes.barh(place, value.mean, height=0.56, color=colour, alpha=0.25)
        axes.plot([value.mean] * 2, [place - 0.28, place + 0.28], color=colour, lw=2.5, solid_capstyle="butt")
        seeds = [y for _, y in _seeds(study, pair, method, "minority_recall")]
        axes.plot(seeds, [place] * len(seeds), marker, color=colour, ms=5, mec=CARD, mew=0.7)
        axes.text(max(value.mean, *seeds) + 0.03, place, f"{value.mean:.2f}", va="center")
        known = published.get(method, {}).get(ratio)
        if known is not None:
            axes.plot([known] * 2, [place - 0.4, place + 0.4], color=colour, ls=(0, (2, 2)), lw=1.2)
    axes.set_yticks(range(len(study.methods)), [fill(study.title(method), 20) for method in study.methods])
    axes.set_ylim(len(study.methods) - 0.4, -0.6)
    axes.set_xlim(0, 1.17)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"minority recall at {ratio_title(ratio, study.profile)}")
    return figure


def _tradeoff_chart(study: Study, pair: Pair) -> Drawing:
    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    axes = figure.subplots()
    left = 0.9
    for method, (colour, marker) in method_styles(study.methods).items():
        seeds = _seeds(study, pair, method, "majority_recall", "minority_recall")
        if not seeds:
            continue
        left = min(left, *(floor(10 * majority) / 10 for _, majority, _ in seeds))
        axes.plot([x for _, x, _ in seeds], [y for _, _, y in seeds], marker, color=colour, ms=2.6, alpha=0.6)
        ratios = list(dict.fromkeys(ratio for ratio, _, _ in seeds))
        means = np.array([np.mean([point[1:] for point in seeds if point[0] == ratio], axis=0) for ratio in ratios])
        axes.plot(means[:, 0], means[:, 1], color=colour, marker=marker, ms=6, mec=CARD, mew=0.8, lw=1, alpha=0.9)
        if len(ratios) > 1:
            axes.plot(*means[-1], "o", ms=12, mfc="none", mec=colour, mew=1.2)
    shares = {len(cell.cell.minority) / len(cell.cell.classes) for cell in study.select(pair)}
    one_share = len(shares) == 1  # in a long tail the rare classes can be others at each imbalance
    if one_share:
        _draw_equal_balance(axes, shares.pop())
    axes.grid(False)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set(xlim=(left - 0.01, 1.01), ylim=(-0.03, 1.03), xlabel="majority recall", ylabel="minority recall")
    method_legend(figure, study, [])
    return render(
        figure,
        f"trade-off-{pair}",
        "What finding the rare class costs",
        pair_title(study, pair),
        "Up: more of the rare class found; right: more of the common class named rightly; the upper right corner is "
        "best. Large markers: means over seeds, joined from 1:1 to the rarest ratio, which has a ring; small points: "
        f"single seeds{'; grey lines: equal balanced accuracy' if one_share else ''}.",
    )


def _draw_equal_balance(axes: Axes, rare_share: float) -> None:
    """Draw lines on which balanced accuracy is the same, each with its value at the right edge."""
    margin: dict[str, Any] = {
        "color": MUTED,
        "fontsize": 8,
        "va": "center",
        "transform": axes.get_yaxis_transform(),
    }
    for balanced in np.arange(1, 10) / 10:
        majority, minority = equal_balance(balanced, rare_share)
        if minority[1] >= 0:
            axes.plot(majority, minority, color=GRID, lw=1, zorder=0)
            axes.text(1.015, minority[1], f"{balanced:.1f}", **margin)
    axes.text(1.07, 0.5, "balanced accuracy", rotation=90, **margin)


def equal_balance(balanced: float, rare_share: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return majority and minority recall at both ends of the line of a balanced accuracy, the mean over all classes.

    Args:
        balanced: the balanced accuracy.
        rare_share: of the classes, those that are rare; in (0, 1).

    >>> equal_balance(0.75, rare_share=0.5)
    ((0.5, 1.0), (1.0, 0.5))
    """
    common_share = 1 - rare_share
    at_full_recall = (balanced - rare_share) / common_share  # of the rare classes
    return (at_full_recall, 1.0), (1.0, (balanced - common_share) / rare_share)


def _seeds(study: Study, pair: Pair, method: str, *figures: str) -> list[tuple[float, ...]]:
    """Return (ratio, figure, …) of every seed that has all of the figures, from balanced to rarest."""
    points = []
    for cell in study.select(pair, method=method):
        values = [cell.result.figures.value(figure) if cell.result else None for figure in figures]
        defined = [value for value in values if value is not None]
        points += [(cell.cell.ratio, *defined)] if len(defined) == len(figures) else []
    return points

"""The charts of a run: how sure it is, recall over training photos, and how training went."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fscl.report.charts.drawing import CARD, GRID, INK, MUTED, Drawing, render, styled
from fscl.report.run.result import Answers, RunResult
from fscl.report.run.species import species_of
from fscl.scoring.curves import curve, validation_curve
from fscl.scoring.statistics import clopper_pearson

BLUE, ORANGE = "#1f83c4", "#d55e00"  # Okabe & Ito 2008
SURE_BINS = 10
SIZE_IN = (5.2, 3.5)


class SureBin(NamedTuple):
    """Answers whose probability is alike: how many, its mean, and how many of them are right."""

    answers: int
    probability: float
    right: int


def draw_run_charts(result: RunResult) -> list[Drawing]:
    """Return the charts that the run has the figures for."""
    with styled():
        return [*_reliability(result), *_recall(result), *_training(result)]


def sure_bins(answers: Answers) -> list[SureBin]:
    """Return the answers by their probability, in ten bins of equal width; those without answers are left out."""
    number = np.minimum((answers.score * SURE_BINS).astype(int), SURE_BINS - 1)
    right = answers.labels == answers.decided
    return [
        SureBin(int(own.sum()), float(answers.score[own].mean()), int(right[own].sum()))
        for place in range(SURE_BINS)
        if (own := number == place).any()
    ]


def _reliability(result: RunResult) -> Iterator[Drawing]:
    if result.answers is None or not len(result.answers.labels):
        return
    figure, axes = _axes()
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 3)))
    bins = sure_bins(result.answers)
    shares = [own.right / own.answers for own in bins]
    ends = [clopper_pearson(own.right, own.answers) for own in bins]
    sure = [own.probability for own in bins]
    axes.vlines(sure, [end.low for end in ends], [end.high for end in ends], color=BLUE, alpha=0.45, lw=2)
    sizes = [18 + 130 * own.answers / max(other.answers for other in bins) for own in bins]
    axes.scatter(sure, shares, s=sizes, color=BLUE, edgecolor=CARD, linewidth=0.8, zorder=3)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.04), xlabel="probability that the model gives", ylabel="share that is right")
    yield render(
        figure,
        "reliability",
        "Is it as right as it is sure?",
        f"{len(result.answers.labels):,} answers",
        "On the dashed line, of the answers with a probability of 80 %, 80 % are right. Points above it: right more "
        "often than the model says; below: less often. Larger points: more answers. Bars: 95 % intervals.",
    )


def _recall(result: RunResult) -> Iterator[Drawing]:
    everyone = [one for one in species_of(result.evaluation) if one.tested and one.trained]
    if len({one.trained for one in everyone}) < 2:
        return  # nothing to compare
    figure, axes = _axes()
    for one in everyone:
        low, high = clopper_pearson(one.found, one.tested)
        colour, marker = (ORANGE, "D") if one.rare else (BLUE, "o")
        axes.vlines(one.trained, low, high, color=colour, alpha=0.35, lw=2)
        axes.plot(one.trained, one.found / one.tested, color=colour, marker=marker, ms=6, mec=CARD, mew=0.8, ls="")
    few, most = min(one.trained for one in everyone), max(one.trained for one in everyone)
    axes.set(xscale="log", xlim=(few / 1.6, most * 1.6), ylim=(0, 1.04))
    axes.set(xlabel=f"training {result.unit}s of the species", ylabel="recall")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:,.0f}" if most < 4 * few else "")
    rare = " Orange diamonds: rare species." if any(one.rare for one in everyone) else ""
    yield render(
        figure,
        "recall",
        "What few photos cost",
        f"{len(everyone)} species",
        f"A point per species: how many of its test {result.unit}s were found. Bars: 95 % intervals.{rare}",
    )


def _training(result: RunResult) -> Iterator[Drawing]:
    losses, epochs = curve(result.metrics), validation_curve(result.metrics)
    if losses.step:
        figure, axes = _axes()
        axes.plot(losses.step, losses.loss, color=INK, lw=1.5)
        axes.set_ylim(bottom=min(0.0, *losses.loss))
        axes.set(xlabel="step", ylabel="loss")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        description = "The number that training makes smaller, over its steps."
        yield render(figure, "loss", "Training loss", f"{losses.step[-1]:,} steps", description)
    known = [(e, a) for e, a in zip(epochs.epoch, epochs.balanced_accuracy, strict=True) if a is not None]
    if len(known) > 1 and not epochs.lacking:
        figure, axes = _axes()
        axes.plot([e + 1 for e, _ in known], [a for _, a in known], color=BLUE, marker="o", ms=4, mec=CARD, lw=1.5)
        axes.set(xlabel="epoch", ylabel="balanced accuracy", ylim=(0, 1.04))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        description = "Balanced accuracy on the validation photos after each epoch."
        yield render(figure, "validation", "Validation", f"{len(known)} epochs", description)


def _axes() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE_IN, layout="constrained")
    axes = figure.subplots()
    axes.grid(color=GRID)
    return figure, axes

"""Small multiples, a row per ratio and a column per method: confusion matrices, loss and validation curves."""

from collections.abc import Iterable, Sequence
from itertools import cycle
from textwrap import fill
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from fscl.records import CellRecord, Pair
from fscl.report.charts.drawing import CARD, INK, Drawing, legend, method_legend, method_styles, render
from fscl.report.study import Study
from fscl.report.tables import pair_title, ratio_title

# Shades of a confusion let the card through, light or dark; text on the darkest cells.
CONFUSION = LinearSegmentedColormap.from_list("confusion", [to_rgba("#174a7c", 0.04), to_rgba("#174a7c")])
COUNT_INK = "#fdfdfd"
TERM_LINES = (("#1f83c4", "-"), ("#d55e00", "--"), ("#009e73", "-."), ("#b565a7", ":"))
MOST_CLASSES_WITH_TEXT, MOST_CLASSES_NAMED = 6, 20  # a confusion matrix of more shows shades only, and no names
PAGE_IN = 10.4  # wider charts have to be scrolled
Matrix = npt.NDArray[np.float64]
Place = tuple[float, str]  # ratio, method


def confusion_panels(study: Study, pair: Pair) -> Drawing | None:
    """Draw the confusion matrices, mean over seeds; None where no cell has figures."""
    ratios = _ratios_with_figures(study, pair)
    if not ratios:
        return None
    classes, order = _most_photos_first(study, pair, ratios[-1])
    with_text, named = len(classes) <= MOST_CLASSES_WITH_TEXT, len(classes) <= MOST_CLASSES_NAMED
    left = 0.6 + (0.065 * max(map(len, classes)) if named else 0)  # inches: 0.065 a letter
    fitting = (PAGE_IN - left) / len(study.methods) - 0.12
    side = min(2.1, max(1.3, 0.42 * len(classes) if with_text else fitting))
    figure, panels = _panels(study, ratios, side + 0.12, side + 0.1, left, share_axes=False)
    for (ratio, method), axes in panels.items():
        matrices = [cell.result.confusion for cell in study.select(pair, ratio, method) if cell.result]
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xticks([])
        axes.set_yticks([])
        if not matrices:
            axes.set_axis_off()
            continue
        (_draw_cells if with_text else _draw_shades)(axes, np.mean(matrices, axis=0)[np.ix_(order, order)])
        axes.set(xlim=(0, len(classes)), ylim=(len(classes), 0), aspect="equal")
        if named and method == study.methods[0]:
            axes.set_yticks(np.arange(len(classes)) + 0.5, classes)
    figure.supxlabel("predicted, in the same order", fontsize=9.5)
    figures = " and upper figure: share of the row; lower figure: test photos" if with_text else ": share of the row"
    return render(
        figure,
        f"confusion-{pair}",
        "Confusion matrices",
        pair_title(study, pair),
        f"Rows: true class; columns: predicted class, both from most to fewest training photos: what lies off the "
        f"diagonal is confused. Shade{figures}, mean over seeds. A row per ratio, a column per method.",
        wide=True,
    )


def _most_photos_first(study: Study, pair: Pair, ratio: float) -> tuple[list[str], list[int]]:
    """Return the classes from most to fewest training photos at a ratio, and their places in a confusion matrix."""
    cell = next(cell for cell in study.select(pair, ratio) if cell.result)
    classes = cell.result.classes if cell.result else []
    order = sorted(range(len(classes)), key=lambda place: -cell.train_counts[classes[place]])
    return [classes[place] for place in order], order


def _draw_cells(axes: Axes, counts: Matrix) -> None:
    """Draw a confusion matrix with its figures."""
    for (row, column), share in np.ndenumerate(_shares(counts)):
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=CONFUSION(share), edgecolor=CARD))
        ink: dict[str, Any] = {"color": COUNT_INK if share > 0.62 else INK, "ha": "center", "va": "center"}
        axes.text(column + 0.5, row + 0.38, f"{share:.2f}", fontsize=8, **ink)
        axes.text(column + 0.5, row + 0.72, f"{counts[row, column]:,.0f}", fontsize=6, **ink)


def _draw_shades(axes: Axes, counts: Matrix) -> None:
    """Draw a confusion matrix as an image of a pixel per cell: small, however many the classes."""
    axes.imshow(
        _shares(counts), CONFUSION, vmin=0, vmax=1, interpolation="none", extent=(0, len(counts), len(counts), 0)
    )


def _shares(counts: Matrix) -> Matrix:
    totals = counts.sum(axis=1, keepdims=True)
    shares: Matrix = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    return shares


def loss_panels(study: Study, pair: Pair) -> Drawing | None:
    """Draw the training loss and its terms, mean over seeds; None where no cell has a curve."""
    curves = {key: [cell.curve for cell in study.select(pair, *key) if cell.curve] for key in _places(study, pair)}
    terms = sorted({term for own in curves.values() for curve in own for term in curve.terms})
    ratios = list(dict.fromkeys(ratio for (ratio, _), own in curves.items() if own))
    if not ratios:
        return None
    figure, panels = _panels(study, ratios, max(1.5, 9.2 / len(study.methods)), 1.3)
    lines = dict(zip(terms, cycle(TERM_LINES), strict=False))
    for key, axes in panels.items():
        own = curves[key]
        if not own:
            axes.set_axis_off()
            continue
        for term, (colour, dashes) in lines.items():
            with_term = [(curve.step, curve.terms[term]) for curve in own if term in curve.terms]
            axes.plot(*_mean_curve(with_term), color=colour, ls=dashes, lw=1.1)
        axes.plot(*_mean_curve([(curve.step, curve.loss) for curve in own]), color=INK, lw=1.5)
        axes.set_ylim(bottom=0)
    figure.supxlabel("step", fontsize=9.5)
    handles = [Line2D([], [], color=INK, lw=1.5, label="total")]
    handles += [Line2D([], [], color=c, ls=ls, lw=1.1, label=term) for term, (c, ls) in lines.items()]
    legend(figure, handles)
    return render(
        figure,
        f"loss-{pair}",
        "Training loss",
        pair_title(study, pair),
        "Total loss and its unweighted terms over the training steps, mean over seeds. A row per ratio, a column "
        "per method; totals of different methods are not comparable.",
        wide=True,
    )


def validation_panels(study: Study, pair: Pair) -> Drawing | None:
    """Draw balanced accuracy on validation over the epochs, mean over seeds; None where none was measured.

    Where validation lacks a class there is none: `validation_note` says so.
    """
    curves = {
        key: [
            (curve.epoch, curve.balanced_accuracy)
            for cell in study.select(pair, *key)
            if (curve := cell.validation_curve) and curve.epoch and not _not_validated(cell)
        ]
        for key in _places(study, pair)
    }
    ratios = list(dict.fromkeys(ratio for (ratio, _), own in curves.items() if own))
    if not ratios:
        return None
    figure = Figure(figsize=(min(10.2, 3.6 * len(ratios) + 1), 2.5), layout="constrained")
    row = figure.subplots(1, len(ratios), squeeze=False, sharey=True)[0]
    for ratio, axes in zip(ratios, row, strict=True):
        for method, (colour, marker) in method_styles(study.methods).items():
            epochs, accuracy = _mean_curve(curves[ratio, method])
            axes.plot(epochs, accuracy, color=colour, marker=marker, ms=3, mec=CARD, mew=0.4, lw=1.3, markevery=0.2)
        axes.set_title(ratio_title(ratio, study.profile))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.tick_params(labelsize=8)
    row[0].set_ylabel("balanced accuracy")
    figure.supxlabel("epoch", fontsize=9.5)
    method_legend(figure, study, [])
    return render(
        figure,
        f"validation-{pair}",
        "Validation",
        pair_title(study, pair),
        "Balanced accuracy on the validation photos after each epoch, mean over seeds; a panel per ratio.",
        wide=True,
    )


def validation_note(study: Study, pair: Pair) -> str:
    """Say at which ratios validation lacks a class, so that its balanced accuracy is not drawn; else nothing."""
    without: dict[str, list[str]] = {}
    for ratio in study.ratios(pair):
        names = {name for cell in study.select(pair, ratio) for name in _not_validated(cell)}
        if names:
            without.setdefault(", ".join(sorted(names)), []).append(ratio_title(ratio, study.profile))
    if not without:
        return ""
    where = "; ".join(f"{names} at {', '.join(ratios)}" for names, ratios in without.items())
    return (
        f"{pair_title(study, pair)}. Validation lacks photos of {where}. Its balanced accuracy would be over the "
        "other classes alone and is not drawn there."
    )


def _not_validated(cell: CellRecord) -> Sequence[str]:
    """Return the classes without validation photos; of an earlier version's cell the rare ones without any recall."""
    curve = cell.validation_curve
    if curve is None or not curve.epoch:
        return []
    if curve.lacking is not None:
        return curve.lacking
    unknown = bool(curve.minority_recall) and all(recall is None for recall in curve.minority_recall)
    return cell.cell.minority if unknown else []


def _panels(
    study: Study,
    ratios: Sequence[float],
    width_in: float,
    height_in: float,
    left_in: float = 1.0,
    share_axes: bool = True,
) -> tuple[Figure, dict[Place, Axes]]:
    """Return a figure with a panel for every ratio (rows) and method (columns), and room for names on their left."""
    size = (width_in * len(study.methods) + left_in, height_in * len(ratios) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(ratios), len(study.methods), squeeze=False, sharex=share_axes)
    for method, axes in zip(study.methods, grid[0], strict=True):
        axes.set_title(fill(study.title(method), int(12 * width_in)))
    for ratio, axes in zip(ratios, grid[:, 0], strict=True):
        axes.set_ylabel(ratio_title(ratio, study.profile), fontweight="bold")
    for axes in grid.flat:
        axes.tick_params(labelsize=8)
    places = [(ratio, method) for ratio in ratios for method in study.methods]
    return figure, dict(zip(places, grid.flat, strict=True))


def _places(study: Study, pair: Pair) -> list[Place]:
    return [(ratio, method) for ratio in _ratios_with_figures(study, pair) for method in study.methods]


def _ratios_with_figures(study: Study, pair: Pair) -> list[float]:
    return [ratio for ratio in study.ratios(pair) if any(cell.result for cell in study.select(pair, ratio))]


def _mean_curve(curves: Iterable[tuple[Sequence[int], Sequence[float | None]]]) -> tuple[Matrix, Matrix]:
    """Return the mean of curves on the x of the first, leaving out undefined points."""
    defined = []
    for x, y in curves:
        points = np.array([(a, b) for a, b in zip(x, y, strict=True) if b is not None])
        defined += [points.T] if len(points) else []
    if not defined:
        return np.empty(0), np.empty(0)
    base = defined[0][0]
    return base, np.mean([np.interp(base, x, y) for x, y in defined], axis=0)

"""The matrices S of the study's loss before and after training, beside the T that the loss pulls them towards."""

from collections.abc import Sequence
from math import ceil
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.spatial.distance import squareform

from fscl.records import CosineMatrices, Pair
from fscl.report.charts.drawing import MUTED, Drawing, legend, render
from fscl.report.study import Study
from fscl.report.tables import pair_title, ratio_title

MOST_COLUMNS = 6  # panels in a row
MOST_LETTERS = 28  # of a class beside a panel
SHADES = colormaps["Blues"]  # from light to dark without a turn, so that it reads in grey print, too
BOUNDARY = "#d55e00"
SAME_START = 0.02  # cosines of equal weights differ by rounding between processes
Matrix = npt.NDArray[np.float64]


class Panel(NamedTuple):
    """A matrix over photos in the order of their classes, cosines in [−1, 1]."""

    title: str
    labels: list[str]
    matrix: Matrix


def cosine_panels(study: Study, pair: Pair) -> Drawing | None:
    """Draw S of every method and layer at the rarest ratio that most methods finished; None where no cell has it."""
    cells = {(cell.cell.ratio, cell.cell.seed, cell.cell.method): cell.similarity for cell in study.select(pair)}
    known = {key: matrices for key, matrices in cells.items() if matrices}
    if not known:
        return None
    finished = [(ratio, seed) for ratio, seed, _ in known]
    ratio, seed = max(finished, key=lambda at: (finished.count(at), -at[0], -at[1]))
    shown = {method: own for (r, s, method), own in known.items() if (r, s) == (ratio, seed)}
    layers = list(dict.fromkeys(layer for own in shown.values() for layer in own.after))
    description = (
        f"How alike the model finds {len(next(iter(shown.values())).label)} test photos: the cosine between their "
        f"features, for each two of them, in each layer that the loss sees; at {ratio_title(ratio, study.profile)}, "
        f"seed {seed}. Darker is more alike. The photos stand class by class, downwards and to the right alike; "
        f"lines part the classes. T is what the similarity loss pulls towards: dark squares along the diagonal, one "
        f"for each class, and light beside them. Beneath: the mean over different photos of the same class and over "
        f"photos of different classes; the further apart the two, the better the layer tells the classes."
    )
    return render(
        panel_figure({layer: _panels(study, shown, layer) for layer in layers}),
        f"similarity-{pair}",
        "Feature similarity before and after training",
        pair_title(study, pair),
        description,
        wide=True,
    )


def _panels(study: Study, shown: dict[str, CosineMatrices], layer: str) -> list[Panel]:
    """Return the panels of a layer: T, S before training, once for methods that start alike, and after each."""
    shown = {method: own for method, own in shown.items() if layer in own.after}
    starts: list[tuple[CosineMatrices, list[str]]] = []
    for method, own in shown.items():
        alike = (methods for start, methods in starts if _start_alike(start, own, layer))
        known = next(alike, None)
        if known is None:
            starts.append((own, [method]))
        else:
            known.append(method)
    labels = next(iter(shown.values())).label
    before = [
        Panel(
            "before training" if len(starts) == 1 else f"before {', '.join(map(study.title, methods))}",
            start.label,
            matrix_of(start.before[layer]),
        )
        for start, methods in starts
    ]
    after = [Panel(f"after {study.title(m)}", own.label, matrix_of(own.after[layer])) for m, own in shown.items()]
    return [Panel("T", labels, same_class(labels).astype(float)), *before, *after]


def panel_figure(panels: dict[str, list[Panel]], *, from_zero: bool = False) -> Figure:
    """Return a figure with rows of panels for each layer; shades from 0 on, or from −1 where a cosine is below 0."""
    most = max(map(len, panels.values()))
    columns = ceil(most / ceil(most / MOST_COLUMNS))  # rows of about the same length
    rows = [(layer, own[n : n + columns]) for layer, own in panels.items() for n in range(0, len(own), columns)]
    figure = Figure(figsize=(1.55 * columns + 1.0, 2.05 * len(rows) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    lowest = 0 if from_zero else min(panel.matrix.min() for own in panels.values() for panel in own)
    scale = np.linspace(-1 if lowest < 0 else 0, 1, 5)
    for (layer, row), axes_of_row in zip(rows, grid, strict=True):
        for place, axes in enumerate(axes_of_row):
            if place >= len(row):
                axes.set_axis_off()
                continue
            _draw(axes, row[place], scale[0], names=place == 0)
        axes_of_row[0].set_ylabel(layer, fontweight="bold")
    squares: dict[str, Any] = {"ls": "", "marker": "s", "ms": 9, "mec": MUTED, "mew": 0.5}
    shades = SHADES(np.linspace(0, 1, len(scale)))
    cosines = [f"cosine {value:g}".replace("-", "−") for value in scale]
    handles = [Line2D([], [], color=c, label=cosine, **squares) for c, cosine in zip(shades, cosines, strict=True)]
    legend(figure, [*handles, Line2D([], [], color=BOUNDARY, lw=1, label="between classes")])
    return figure


def _draw(axes: Axes, panel: Panel, lowest: float, names: bool) -> None:
    count = len(panel.labels)
    axes.imshow(panel.matrix, SHADES, vmin=lowest, vmax=1, interpolation="none", extent=(0, count, count, 0))
    starts = [place for place in range(count) if place == 0 or panel.labels[place] != panel.labels[place - 1]]
    few = len(starts) <= 6
    for boundary in starts[1:]:
        axes.axhline(boundary, color=BOUNDARY, lw=0.8 if few else 0.4)
        axes.axvline(boundary, color=BOUNDARY, lw=0.8 if few else 0.4)
    axes.grid(False)
    axes.spines[:].set_visible(True)
    centres = [(start + end) / 2 for start, end in zip(starts, [*starts[1:], count], strict=True)]
    axes.set_xticks([])
    axes.set_yticks(centres if names else [], [in_short(panel.labels[start]) for start in starts] if names else [])
    axes.tick_params(length=0, labelsize=8 if few else 6.5)
    axes.set_title(fill(panel.title, 20), fontsize=9)
    same, other = _means(panel)
    axes.set_xlabel(f"same {same} · other {other}".replace("-", "−"), fontsize=8)


def in_short(name: str) -> str:
    """Return a name as long as a chart has room for.

    >>> in_short("a_species_with_a_very_long_name_indeed")
    'a_species_with_a_very_long_…'
    """
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"


def _means(panel: Panel) -> tuple[str, str]:
    """Return the mean over pairs of different photos of the same class, and of other classes."""
    same = same_class(panel.labels)
    itself = np.eye(len(panel.labels), dtype=bool)
    pairs = (panel.matrix[same & ~itself], panel.matrix[~same])
    first, second = (f"{values.mean():.2f}" if len(values) else "–" for values in pairs)
    return first, second


def same_class(labels: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return T: which photos show the same class, (photos, photos)."""
    names = np.array(labels)
    same: npt.NDArray[np.bool_] = names[:, None] == names[None, :]
    return same


def _start_alike(one: CosineMatrices, other: CosineMatrices, layer: str) -> bool:
    if one.label != other.label or layer not in one.before:
        return False
    return np.allclose(one.before[layer], other.before[layer], atol=SAME_START)


def matrix_of(cosines: Sequence[float]) -> Matrix:
    """Return S of its upper triangle."""
    matrix: Matrix = squareform(np.array(cosines, dtype=float))
    np.fill_diagonal(matrix, 1)
    return matrix

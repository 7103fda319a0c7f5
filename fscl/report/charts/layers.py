"""How the layers of a model see photos: who is like whom, places in the plane, measures over the epochs."""

from collections.abc import Sequence
from itertools import cycle
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fscl.records import CurvePoint, Embedding, Explanation, LayerMatrices
from fscl.report.charts.cosine_matrices import Panel, in_short, matrix_of, panel_figure, same_class
from fscl.report.charts.drawing import INK, METHOD_STYLES, OTHER_STYLES, Drawing, legend, render, styled

COLOURS = [colour for colour, _ in (*METHOD_STYLES.values(), *OTHER_STYLES)][1:]  # grey is for what is not named
MARKERS = "os^DvPX<>p"
COMMON, RARE = "#1f83c4", "#d55e00"
MOST_COLUMNS = 3
PANEL_IN = 3.3


def draw_layers(explanation: Explanation) -> dict[str, Drawing]:
    """Return the charts of an explanation by their kind: `matrices`, `embedding` and `curve`, those that it has."""
    with styled():
        made = {
            "matrices": explanation.matrices and _matrices(explanation.matrices),
            "embedding": explanation.embedding and _embedding(explanation.embedding, explanation.classes),
            "curve": _curve(explanation.curve) if len(explanation.curve) > 1 else None,
        }
    return {kind: drawing for kind, drawing in made.items() if drawing}


def _matrices(matrices: LayerMatrices) -> Drawing:
    same = Panel("T: same class", matrices.label, same_class(matrices.label).astype(float))
    layers = [Panel(name, matrices.label, matrix_of(cosines)) for name, cosines in matrices.layers.items()]
    return render(
        panel_figure({"": [same, *layers]}, from_zero=True),
        "matrices",
        "Which photos look alike to the model",
        f"{len(matrices.label)} test photos, layer by layer",
        "The cosine between the features of each two photos, in each layer that the losses see. Darker is more "
        "alike; what is below 0 is as light as 0. The photos stand class by class, downwards and to the right alike; "
        "lines part the classes. A layer that tells the classes looks like T: dark squares along the diagonal, light "
        "beside them. Beneath: the mean over photos of the same class, and of other classes.",
        wide=True,
    )


def _embedding(embedding: Embedding, classes: Sequence[str]) -> Drawing:
    count = len(embedding.layers)
    columns = min(count, MOST_COLUMNS)
    rows = ceil(count / columns)
    figure = Figure(figsize=(PANEL_IN * columns, (PANEL_IN + 0.2) * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    shown = [name for name in classes if name in embedding.label]
    styles = dict(zip(shown, zip(cycle(COLOURS), cycle(MARKERS), strict=False), strict=False))
    label, wrong = np.array(embedding.label), np.array(embedding.label) != np.array(embedding.answer)
    for axes in grid[count:]:
        axes.set_axis_off()
    for axes, (name, places) in zip(grid, embedding.layers.items(), strict=False):
        _scatter(axes, np.array(places).reshape(-1, 2), label, wrong, styles)
        axes.set_title(name)
    dots: dict[str, Any] = {"ls": "", "ms": 6, "mew": 0}
    handles = [Line2D([], [], color=c, marker=m, label=in_short(name), **dots) for name, (c, m) in styles.items()]
    ring = Line2D([], [], ls="", marker="o", ms=9, mfc="none", mec=INK, mew=1.2, label="named wrongly")
    legend(figure, [*handles, ring])
    return render(
        figure,
        "embedding",
        "Which photos lie beside each other",
        f"{len(label)} test photos, {wrong.sum()} named wrongly; t-SNE of each layer",
        "Photos that the layer finds alike lie beside each other; colour and form tell the class, a ring a wrong "
        "answer. Only who is near whom means something: distances between groups, their sizes and the axes do not.",
        wide=columns > 1,
    )


def _scatter(axes: Axes, places: Any, label: Any, wrong: Any, styles: dict[str, tuple[str, str]]) -> None:
    for name, (colour, marker) in styles.items():
        own = places[label == name]
        axes.plot(own[:, 0], own[:, 1], ls="", marker=marker, ms=4.5, color=colour, alpha=0.75, mew=0)
    missed = places[wrong]
    axes.plot(missed[:, 0], missed[:, 1], ls="", marker="o", ms=9, mfc="none", mec=INK, mew=1.2)
    axes.set(xlim=(-1.08, 1.08), ylim=(-1.08, 1.08), aspect="equal", xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(True)


def _curve(points: Sequence[CurvePoint]) -> Drawing:
    layers = list(dict.fromkeys(name for point in points for name in point.layers))
    width = max(4.6, 3.4 * len(layers))
    figure = Figure(figsize=(width, 4.4), layout="constrained")
    grid = figure.subplots(2, len(layers), squeeze=False, sharex=True, sharey="row")
    groups = {"common": COMMON, "rare": RARE}
    known = {
        group for group in groups if any(f"{group}_within_cosine" in own for p in points for own in p.layers.values())
    }
    for column, name in enumerate(layers):
        upper, lower = grid[:, column]
        for group in sorted(known):
            for measure, dashes in (("within_cosine", "-"), ("between_cosine", "--")):
                upper.plot(
                    *_line(points, name, f"{group}_{measure}"), color=groups[group], ls=dashes, marker=".", ms=4
                )
            lower.plot(*_line(points, name, f"{group}_scatter_ratio"), color=groups[group], marker=".", ms=4)
        upper.set_title(name)
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid[1, 0].set_ylim(bottom=0)  # of the whole row, once all is drawn
    grid[0, 0].set_ylabel("cosine")
    grid[1, 0].set_ylabel("scatter ratio")
    figure.supxlabel("epoch", fontsize=9.5)
    handles = [
        Line2D([], [], color=groups[group], ls=dashes, label=f"{group}, {what}")
        for group in sorted(known)
        for dashes, what in (("-", "same class"), ("--", "other classes"))
    ]
    legend(figure, handles)
    return render(
        figure,
        "curve",
        "How training drew the classes apart",
        "a few training photos, at the end of epochs",
        "Above: the mean cosine between two photos of a class, and between photos of two classes; training with the "
        "similarity term pulls the first to 1 and the second to 0, or below 0 where its target is a simplex. Below: "
        "how far photos lie from their class mean, "
        "over how far the class means lie from each other (squared); it falls to 0 as each class becomes one point.",
        wide=len(layers) > 1,
    )


def _line(points: Sequence[CurvePoint], layer: str, key: str) -> tuple[list[int], list[float]]:
    """The epochs in which a measure is known, counted from 1, and its values."""
    known = [
        (point.epoch + 1, value) for point in points if (value := point.layers.get(layer, {}).get(key)) is not None
    ]
    return [epoch for epoch, _ in known], [value for _, value in known]

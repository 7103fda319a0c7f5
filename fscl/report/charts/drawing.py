"""How every chart of the report looks: colours, markers, legends, and its rendering to SVG."""

import io
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from math import ceil
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fscl.printable import printable
from fscl.report.study import Study

# The page swaps these for its own colours, so that inlined charts follow light and dark mode.
INK, MUTED, GRID, CARD = "#1d2126", "#667080", "#e2e6eb", "#ffffff"
METHOD_STYLES = {  # after Okabe & Ito 2008: told apart under colour blindness, and by marker in grey print
    "baseline": ("#767c85", "o"),
    "oversampling": ("#009e73", "s"),
    "contrastive": ("#1f83c4", "^"),
    "fscl": ("#d55e00", "D"),
}
OTHER_STYLES = (
    ("#b565a7", "v"),
    ("#a67c00", "P"),
    ("#6a5acd", "X"),
    ("#2a9d8f", "<"),
    ("#b23a48", ">"),
    ("#7f6a4f", "p"),
)
LEGEND_ROW_IN = 0.19
RC: dict[Any, Any] = {  # matplotlib's settings
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "figure.facecolor": CARD,
    "font.sans-serif": ["DejaVu Sans", "sans-serif"],  # stands in every text of an SVG
    "font.size": 9.5,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "fscl",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


@dataclass(frozen=True)
class Drawing:
    """A chart: file name without ending, title, what it is of, how to read it, its SVG, whether it is wide."""

    name: str
    title: str
    subject: str
    description: str
    svg: str
    wide: bool = False


@contextmanager
def styled() -> Iterator[None]:
    """Draw with the report's settings of matplotlib."""
    with rc_context(RC), warnings.catch_warnings():
        # Text stays text in the SVG, so that a reader's fonts draw what matplotlib's own cannot measure.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def render(figure: Figure, name: str, title: str, subject: str, description: str, wide: bool = False) -> Drawing:
    """Render a chart with the same bytes every time: no date, and identifiers from the content."""
    svg = io.StringIO()
    metadata = {"Title": f"{title}. {subject}", "Date": None, "Creator": None}
    figure.savefig(svg, format="svg", metadata=metadata)
    text = printable(svg.getvalue())  # names may hold characters that XML does not have
    without_twins = re.sub(r' id="image\w+"', "", text)  # made from the content: equal images share theirs
    return Drawing(name, title, subject, description, without_twins, wide)


def method_styles(methods: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each method: fixed for the study's four, a cycle for the others.

    >>> method_styles(["fscl", "focal"])
    {'fscl': ('#d55e00', 'D'), 'focal': ('#b565a7', 'v')}
    """
    others = cycle(OTHER_STYLES)
    return {method: METHOD_STYLES.get(method) or next(others) for method in methods}


def method_legend(figure: Figure, study: Study, extra: list[Line2D]) -> None:
    """Put a legend of the methods, and of `extra` lines, above the panels."""
    styles = method_styles(study.methods).items()
    handles = [Line2D([], [], color=c, marker=m, ms=6, label=study.title(method)) for method, (c, m) in styles]
    legend(figure, handles + extra)


def legend(figure: Figure, handles: list[Line2D]) -> None:
    """Put a legend above the panels, row by row, in as many columns as fit; the figure grows by its rows."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = int(72 * figure.get_figwidth() / (4.4 * longest + 36))  # points: 4.4 a letter, 36 line and gaps
    columns = min(max(1, columns), len(handles))
    rows = ceil(len(handles) / columns)
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW_IN * (rows - 1))
    by_column = [handle for column in range(columns) for handle in handles[column::columns]]  # as matplotlib fills it
    figure.legend(handles=by_column, loc="outside upper left", ncols=columns, fontsize=8.5)

from itertools import pairwise

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fscl.report.charts.drawing import LEGEND_ROW_IN, legend

ROW_PX = 8  # more than letters reach below the line


def drawn(names, width_in):
    figure = Figure(figsize=(width_in, 3), layout="constrained")
    figure.subplots()
    legend(figure, [Line2D([], [], label=name) for name in names])
    figure.draw_without_rendering()
    return figure, figure.legends[0].get_texts()


def test_a_legend_reads_row_by_row():
    names = ["baseline", "oversampling", "contrastive", "FSCL", "focal", "mixup", "remix"]
    _, texts = drawn(names, 5.4)
    boxes = {text.get_text(): text.get_window_extent() for text in texts}
    below = [boxes[one].y0 - boxes[other].y0 > ROW_PX for one, other in pairwise(names)]
    right = [boxes[one].x1 < boxes[other].x0 for one, other in pairwise(names)]
    assert right == [not lower for lower in below]
    assert any(below)
    assert any(right)


def test_panels_keep_their_height_below_a_long_legend():
    names = [f"a method with a name of {n} and forty letters" for n in range(8)]
    figure, _ = drawn(names, 5.4)
    assert figure.get_figheight() == 3 + 7 * LEGEND_ROW_IN
    one, _ = drawn(names[:1], 5.4)
    heights = [f.axes[0].get_position().height * f.get_figheight() for f in (figure, one)]
    assert heights[0] > heights[1] - 0.1

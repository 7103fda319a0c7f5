import re
from xml.etree import ElementTree

import numpy as np
import pytest

from fscl.report.charts.drawing import METHOD_STYLES, OTHER_STYLES, method_styles
from fscl.report.charts.panels import _mean_curve, validation_note
from fscl.report.charts.recall import draw_charts, equal_balance
from fscl.report.study import read_study

SMALL = {"methods": ("baseline", "fscl"), "pairs": {"fine": ["water_deer", "roe_deer"]}, "seeds": (0, 1)}
KINDS = ["recall-fine", "trade-off-fine", "confusion-fine", "similarity-fine", "loss-fine", "validation-fine"]


def texts(svg):
    root = ElementTree.fromstring(svg)
    return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def drawings(write_study):
    return {drawing.name: drawing for drawing in draw_charts(read_study(write_study(**SMALL)))}


def test_every_chart_parses_and_says_what_it_shows(drawings):
    assert list(drawings) == KINDS
    for drawing in drawings.values():
        assert ElementTree.fromstring(drawing.svg).tag.endswith("svg")
        assert drawing.description
        assert "water_deer" in drawing.subject
    assert {"1", "0.01", "minority recall", "FSCL", "published"} <= set(texts(drawings["recall-fine"].svg))


def test_confusions_show_the_mean_count_and_the_share_of_the_row(write_study):
    folder = write_study(**{**SMALL, "methods": ("fscl",)}, ratios=(0.01,))
    study = read_study(folder)
    shown = texts(next(d.svg for d in draw_charts(study) if d.name == "confusion-fine"))
    mean = np.mean([cell.result.confusion for cell in study.cells], axis=0)
    for row in mean:
        for count in row:
            assert f"{count:,.0f}" in shown
            assert f"{count / row.sum():.2f}" in shown


def test_confusions_are_named_in_the_order_of_the_evaluation_and_drawn_with_the_common_class_first(write_study):
    def change(cell):
        evaluation = cell["evaluations"]["last"]
        evaluation["classes"] = ["roe_deer", "water_deer"]  # sorted, as training has them; the cell names them else
        evaluation["confusion"] = [[11, 12], [13, 14]]
        return cell

    study = read_study(write_study(**{**SMALL, "methods": ("fscl",)}, ratios=(0.01,), best=False, change=change))
    shown = texts(next(d.svg for d in draw_charts(study) if d.name == "confusion-fine"))
    counts = [text for text in shown if text in ("11", "12", "13", "14")]
    assert counts == ["14", "13", "12", "11"]
    assert [text for text in shown if text.endswith("deer")] == ["water_deer", "roe_deer"]


@pytest.mark.parametrize(("number", "named"), [(10, True), (60, False)])
def test_confusions_of_many_classes_are_small_images(write_study, number, named):
    classes = [f"species {place}" for place in range(number)]
    study = read_study(
        write_study(
            pairs={"all": classes}, minority=classes[:2], methods=("fscl",), ratios=(0.01,), seeds=(0,), best=False
        )
    )
    svg = next(drawing.svg for drawing in draw_charts(study) if drawing.name == "confusion-all")
    assert svg.count("<image") == 1
    assert len(svg) < 30_000
    order = [*classes[2:], *classes[:2]]
    assert [text for text in texts(svg) if text.startswith("species")] == (order if named else [])


@pytest.mark.slow
def test_drawing_again_gives_the_same_bytes(write_study):
    study = read_study(write_study(**SMALL, ratios=(0.01,)))
    assert draw_charts(study) == draw_charts(study)


def test_one_ratio_is_drawn_as_bars_with_their_value(write_study):
    study = read_study(write_study(**SMALL, ratios=(0.02,)))
    chart = draw_charts(study)[0]
    recall = np.mean([c.result.figures.minority_recall for c in study.select("fine", 0.02, "fscl")])
    assert {f"{recall:.2f}", "minority recall at 1:0.02", "baseline", "FSCL"} <= set(texts(chart.svg))
    assert "Dashed" not in chart.description


def test_names_are_drawn_as_they_are(write_study):
    names = ["<b>", "$고라니$"]
    folder = write_study(**{**SMALL, "pairs": {"fine": names}}, ratios=(0.01,))
    confusion = next(d for d in draw_charts(read_study(folder)) if d.name == "confusion-fine")
    assert set(names) <= set(texts(confusion.svg))


def test_a_study_without_figures_still_draws(write_study):
    none = {"status": "failed", "reason": "stopped", "evaluations": {}, "similarity": None}
    none |= {"curve": None, "validation_curve": None}
    for ratios in ((0.02,), (1.0, 0.02)):
        study = read_study(write_study(**SMALL, ratios=ratios, change=lambda cell: {**cell, **none}))
        assert [drawing.name for drawing in draw_charts(study)] == ["recall-fine", "trade-off-fine"]


def test_a_method_without_figures_leaves_its_panel_empty(write_study):
    none = {"status": "failed", "reason": "stopped", "evaluations": {}, "curve": None, "validation_curve": None}
    study = read_study(
        write_study(**SMALL, ratios=(0.02,), change=lambda c: {**c, **none} if c["cell"]["method"] == "fscl" else c)
    )
    recall, *_, loss, _ = draw_charts(study)
    assert "no figures" in texts(recall.svg)
    assert "FSCL" in texts(loss.svg)


def test_many_methods_keep_the_fixed_styles_and_do_not_repeat_soon():
    others = [f"peer {number}" for number in range(len(OTHER_STYLES))]
    styles = method_styles([*others, "fscl", "baseline"])
    assert styles["fscl"] == METHOD_STYLES["fscl"]
    assert len(set(styles.values())) == len(styles)


def test_curves_of_different_length_are_averaged_where_the_first_is_defined():
    x, y = _mean_curve([([0, 2, 4], [0.0, None, 4.0]), ([0, 1, 2, 3, 4], [2.0, 2.0, 2.0, 2.0, 2.0])])
    np.testing.assert_allclose(x, [0, 4])
    np.testing.assert_allclose(y, [1, 3])


def lines_of_validation(study):
    drawing = next((drawing for drawing in draw_charts(study) if drawing.name == "validation-fine"), None)
    return {text for text in texts(drawing.svg) if text.startswith("1:")} if drawing else None


@pytest.mark.slow
def test_validation_that_lacks_a_class_is_not_drawn_and_that_is_said(write_study):
    def without(names, curve):
        def change(cell):
            rare = cell["cell"]["ratio"] < 1
            return {**cell, "validation_curve": cell["validation_curve"] | (curve if rare else {"lacking": []})}

        return read_study(write_study(**SMALL, change=change)), names

    epochs = len(range(20))
    of_old = {"minority_recall": [None] * epochs}  # an earlier version knew no `lacking`
    for study, names in (without("roe_deer", {"lacking": ["roe_deer"]}), without("roe_deer", of_old)):
        assert lines_of_validation(study) == {"1:1"}
        assert f"Validation lacks photos of {names} at 1:0.01." in validation_note(study, "fine")
    whole = read_study(write_study(**SMALL))
    assert lines_of_validation(whole) == {"1:1", "1:0.01"}
    assert validation_note(whole, "fine") == ""
    nowhere = read_study(
        write_study(**SMALL, change=lambda c: {**c, "validation_curve": c["validation_curve"] | {"lacking": ["b"]}})
    )
    assert lines_of_validation(nowhere) is None
    assert "at 1:1, 1:0.01. Its balanced accuracy" in validation_note(nowhere, "fine")


def test_charts_carry_no_date_and_no_address(drawings):
    for drawing in drawings.values():
        assert not re.search(r"(href|src)=\"http", drawing.svg)
        assert "<dc:date>" not in drawing.svg
        assert "matplotlib.org" not in drawing.svg


@pytest.mark.parametrize(("rare", "classes"), [(1, 2), (1, 3), (2, 3), (5, 10)])
def test_lines_of_equal_balanced_accuracy_are_of_all_classes(rare, classes):
    """Three classes, one of them rare: the two common ones count twice."""
    for balanced in (0.4, 0.7, 0.9):
        majority, minority = equal_balance(balanced, rare / classes)
        for common_recall, rare_recall in zip(majority, minority, strict=True):
            recalls = [rare_recall] * rare + [common_recall] * (classes - rare)
            assert sum(recalls) / classes == pytest.approx(balanced)

import base64
import io
import json
import re

import numpy as np
import pytest
from matplotlib import rc_context
from PIL import Image

from fscl.errors import OutputError
from fscl.report.charts.cosine_matrices import BOUNDARY, cosine_panels
from fscl.report.charts.drawing import RC
from fscl.report.study import read_study

SMALL = {"pairs": {"fine": ["water_deer", "roe_deer"]}, "methods": ("baseline", "fscl"), "seeds": (0, 1)}
LAYERS = 2


def drawing_of(folder):
    with rc_context(RC):
        return cosine_panels(read_study(folder), "fine")


def texts(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def images(svg):
    encoded = re.findall(r'xlink:href="data:image/png;base64,([^"]*)"', svg)
    return [np.array(Image.open(io.BytesIO(base64.b64decode(text))).convert("L")) for text in encoded]


def test_target_start_and_what_each_method_made_of_it_stand_side_by_side_in_each_layer(write_study):
    shown = texts(drawing_of(write_study(**SMALL)).svg)
    titles = [text for text in shown if text == "T" or text.startswith(("before", "after"))]
    assert titles == ["T", "before training", "after baseline", "after FSCL"] * LAYERS
    assert [text for text in shown if text.startswith("layer")] == ["layer3", "layer4"]
    means = [text for text in shown if text.startswith("same")]
    target, before = "same 1.00 · other 0.00", "same 0.90 · other 0.90"
    assert means == [target, before, "same 0.90 · other 0.80", "same 0.90 · other 0.50"] * LAYERS
    assert shown.count("water_deer") == shown.count("roe_deer") == LAYERS


def test_the_matrices_are_images_in_which_more_alike_is_darker(write_study):
    svg = drawing_of(write_study(**SMALL)).svg
    target, before, baseline, fscl = images(svg)[:4]
    assert target.shape == fscl.shape == (6, 6)
    same = np.kron(np.eye(2), np.ones((3, 3))).astype(bool)
    assert target[same].max() < target[~same].min()
    assert len(np.unique(before[~np.eye(6, dtype=bool)])) == 1
    assert fscl[~same].min() > baseline[~same].max() > baseline[same].max()
    assert svg.count(f"stroke: {BOUNDARY}") == 2 * 4 * LAYERS + 1  # a line each way in each panel, and the legend's
    assert len(svg) < 60_000


def test_the_rarest_ratio_that_every_method_finished_and_the_first_seed_are_shown(write_study):
    def change(cell):
        key = cell["cell"]
        unfinished = (key["ratio"], key["method"]) == (0.001, "fscl") or (key["ratio"], key["seed"]) == (0.01, 0)
        return None if unfinished else cell

    drawing = drawing_of(write_study(**SMALL, ratios=(1.0, 0.01, 0.001), change=change))
    assert "at 1:0.01, seed 1." in drawing.description


def test_methods_that_start_from_other_weights_have_their_own_start(write_study):
    def change(cell):
        shift = {"oversampling": 0.01, "fscl": -0.4}.get(cell["method"]["name"], 0)  # rounding, other weights
        before = cell["similarity"]["before"]
        cell["similarity"]["before"] = {k: [value + shift for value in own] for k, own in before.items()}
        return cell

    options = {**SMALL, "methods": ("baseline", "oversampling", "fscl")}
    shown = texts(drawing_of(write_study(**options, change=change)).svg)
    assert [text for text in shown if text.startswith("before")] == ["before baseline,", "before FSCL"] * LAYERS
    assert [text for text in shown if text.startswith("same")][1:3] == [
        "same 0.90 · other 0.90",
        "same 0.50 · other 0.50",
    ]


def test_negative_cosines_widen_the_scale(write_study):
    def change(cell):
        cell["similarity"]["after"]["layer4"][0] = -0.3
        return cell

    folders = (write_study(**SMALL), write_study(**SMALL, change=change))
    plain, wide = ([t for t in texts(drawing_of(f).svg) if t.startswith("cosine")] for f in folders)
    assert (plain[0], plain[-1]) == ("cosine 0", "cosine 1")
    assert (wide[0], wide[-1]) == ("cosine −1", "cosine 1")


def test_many_methods_take_several_rows_and_one_photo_a_class_has_no_mean(write_study):
    def change(cell):
        own = {"label": ["water_deer", "roe_deer"], "before": {"layer4": [0.5]}, "after": {"layer4": [0.25]}}
        cell["similarity"] |= own
        return cell

    methods = tuple(f"method-{n}" for n in range(11))
    shown = texts(drawing_of(write_study(**{**SMALL, "methods": methods}, change=change)).svg)
    assert shown.count("layer4") == 3
    assert shown.count("same – · other 0.25") == 11


def test_cells_of_earlier_versions_are_read_and_have_no_chart(write_study):
    folder = write_study(**SMALL, change=lambda cell: {k: v for k, v in cell.items() if k != "similarity"})
    assert drawing_of(folder) is None


@pytest.mark.parametrize("damage", [{"after": {"layer3": [0.1], "layer4": [0.1]}}, {"before": {}}])
def test_cosines_that_do_not_fit_the_photos_are_named(write_study, damage):
    folder = write_study(**SMALL)
    path = folder / "cells" / "fine-fscl-r0.01-s0.json"
    cell = json.loads(path.read_text(encoding="utf-8"))
    cell["similarity"] |= damage
    path.write_text(json.dumps(cell), encoding="utf-8")
    with pytest.raises(
        OutputError, match=r"r0\.01-s0\.json is damaged: similarity: .*expected 15 cosines for 6 photos"
    ):
        read_study(folder)

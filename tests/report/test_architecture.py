from math import cos, radians
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fscl.report.charts.drawing import INK
from fscl.report.page import ARCHITECTURE, draw_architecture
from fscl.report.study import read_study

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "architecture.svg"  # which the README shows
DARK = {INK: "#e7eaee", MUTED: "#a0a9b4", GRID: "#323941", CARD: "#181c21"}  # the page's dark colours
SIMILARITY = "#d55e00"
SPECIES = "aaaabbbb"  # of the photos of the batch
DIRECTIONS = {  # degrees at which the photos' features point
    "layer4": (4, 12, 0, 18, 70, 82, 76, 90),
    "layer3": (14, 30, 20, 38, 48, 62, 55, 74),
}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def root():
    return ElementTree.parse(ARCHITECTURE).getroot()


def test_every_part_is_named(root):
    texts = [element.text for element in root.iter(f"{SVG}text")]
    parts = [
        "batch of photos",
        "sampler",
        "augmentation",
        "stem",
        "layer1",
        "layer2",
        "head",
        "cross-entropy",
        "loss",
    ]
    assert set(parts) <= set(texts)
    for twice in ("S: cosines of h", "T: same species", "MSE"):
        assert texts.count(twice) == 2
    assert texts.count("average") == 2
    assert all(texts.count(layer) == 2 for layer in ("layer3", "layer4"))  # the stage, and what is tapped from it
    assert root.find(f"{SVG}title").text
    assert "cosines" in root.find(f"{SVG}desc").text


def test_everything_lies_inside_the_frame(root):
    width, height = (float(side) for side in root.get("viewBox").split()[2:])
    for element in root.iter(f"{SVG}rect"):
        box = {key: float(element.get(key, 0)) for key in ("x", "y", "width", "height")}
        assert 0 <= box["x"] <= box["x"] + box["width"] <= width
        assert 0 <= box["y"] <= box["y"] + box["height"] <= height
    for element in root.iter(f"{SVG}text"):
        assert 0 < float(element.get("x")) < width
        assert 0 < float(element.get("y")) < height


def test_the_matrices_show_the_cosines_of_the_directions_beside_the_species(root):
    cells = [e for e in root.iter(f"{SVG}rect") if e.get("fill") == SIMILARITY and e.get("width") == "8"]
    shades = np.array([float(cell.get("fill-opacity")) for cell in cells]).reshape(2, 2, 8, 8)
    same = [[a == b for b in SPECIES] for a in SPECIES]
    for (cosines, target), degrees in zip(shades, (DIRECTIONS["layer4"], DIRECTIONS["layer3"]), strict=True):
        expected = [[cos(radians(a - b)) for b in degrees] for a in degrees]
        np.testing.assert_allclose(cosines, 0.05 + 0.95 * np.array(expected), atol=0.006)
        np.testing.assert_allclose(target, np.where(same, 1.0, 0.05))


def test_it_follows_dark_mode_with_the_pages_colours():
    css = (Path(__file__).resolve().parents[2] / "fscl" / "report" / "templates" / "style.css").read_text("utf-8")
    dark = css[css.index("prefers-color-scheme: dark") :].split("}")[0]
    assert all(colour in dark for colour in DARK.values())
    assert f'[fill="{INK}"] {{ fill: {DARK[INK]} }}' in ARCHITECTURE.read_text(encoding="utf-8")


def test_it_stands_only_where_a_method_has_the_similarity_term(write_study):
    one = {"pairs": {"fine": ["a", "b"]}, "ratios": (0.01,), "seeds": (0,)}
    assert draw_architecture(read_study(write_study(**one, methods=("baseline", "oversampling")))) == []
    [drawing] = draw_architecture(read_study(write_study(**one, methods=("baseline", "contrastive"))))
    assert drawing.svg == ARCHITECTURE.read_text(encoding="utf-8")
    assert drawing.description.startswith("A sampler fills each batch")


def test_the_readme_shows_the_drawing_of_the_page():
    assert DOCUMENT.read_bytes() == ARCHITECTURE.read_bytes(), f"copy {ARCHITECTURE} to {DOCUMENT}"

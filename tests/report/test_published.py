import io

import pytest
from rich.console import Console

from fscl.report import write_report
from fscl.report.charts.recall import draw_charts
from fscl.report.published import RECALLS, is_published, published_recalls
from fscl.report.study import read_study
from fscl.report.tables import study_table, terminal_table

OPTIONS = {"methods": ("baseline", "focal", "fscl"), "ratios": (0.01,), "seeds": (0,)}


@pytest.mark.parametrize(
    ("pair", "classes", "published"),
    [
        ("fine", ["water_deer", "roe_deer"], True),
        ("fine", ["노루", "고라니"], True),
        ("coarse", ["Hydropotes inermis", "Sus scrofa"], True),
        ("fine", ["water_deer", "wild_boar"], False),
        ("fine", ["deer", "horse"], False),
        ("all", ["water_deer", "roe_deer", "wild_boar"], False),
    ],
)
def test_published_figures_are_of_two_pairs_of_species_by_all_their_names(write_study, pair, classes, published):
    study = read_study(write_study(**OPTIONS, pairs={pair: classes}))
    assert is_published(study, pair) == published
    assert published_recalls(study, pair) == ({m: RECALLS[m] for m in ("baseline", "fscl")} if published else {})


def test_generated_photos_of_the_species_and_other_ratios_have_none(write_study):
    pairs = {"fine": ["water_deer", "roe_deer"]}
    drawn = read_study(write_study(**OPTIONS, pairs=pairs, photos="generated"))
    assert not is_published(drawn, "fine")
    other = read_study(write_study(**{**OPTIONS, "ratios": (0.02,)}, pairs=pairs))
    assert published_recalls(other, "fine") == {}


@pytest.mark.slow
@pytest.mark.parametrize("ratios", [(0.01,), (1.0, 0.01)])
def test_nothing_published_stands_beside_other_animals(write_study, ratios):
    folder = write_study(**{**OPTIONS, "ratios": ratios}, pairs={"fine": ["deer", "horse"]})
    study = read_study(folder)
    recall = draw_charts(study)[0]
    assert "published" not in recall.svg + recall.description
    assert not any("published" in e.detail for e in study_table(study, "fine").sections[0].rows[0].entries)
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(terminal_table(study))
    assert "published" not in console.export_text()
    assert "Published" not in write_report(folder).read_text(encoding="utf-8")

"""The page of a run in a real browser: what a person does on it, and what hostile names may not do."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fscl.records import read_evaluation, write_record
from fscl.report import write_report
from tests.report.run.test_reliance import PARTS

HOSTILE = (
    "<script>document.title='taken'</script>",
    "</script><img src=x onerror=\"alert('x')\">",
    "\"quoted\" & 'single' `{{ 7 * 7 }}`",
    "고라니 \\u003c",
)


@pytest.fixture(scope="module")
def run(write_run):
    return write_run()


@pytest.fixture(scope="module")
def page_path(run):
    return write_report(run)


@pytest.fixture(scope="module")
def table(run):
    return pd.read_csv(run / "predictions.csv", keep_default_na=False)


def button(page, true, named):
    return page.locator(f'.matrix td[data-true="{true}"][data-named="{named}"] button')


def test_a_click_on_a_cell_shows_its_photos(opened, page_path, table):
    page = opened(page_path)
    for true, named in (("deer", "boar"), ("boar", "boar")):
        places = [["boar", "deer", "고라니"].index(name) for name in (true, named)]
        own = table[(table["label"] == true) & (table["prediction"] == named)]
        assert len(own)
        cell = button(page, *places)
        assert cell.inner_text() == str(len(own))
        cell.click()
        dialog = page.get_by_role("dialog")
        assert dialog.is_visible()
        files = dialog.locator("small").all_inner_texts()
        assert sorted(files) == sorted(file.rpartition("/")[2] for file in own["filepath"])
        for caption, file in zip(dialog.locator("figcaption").all_inner_texts(), files, strict=True):
            probability = own.set_index("filepath").loc[f"/photos/of/mine/{file}", "probability"]
            assert f"is {true}" in caption
            assert f"named {named}, {rounded_down(probability):.2f}" in caption
        assert page.evaluate("[...document.querySelectorAll('#gallery img')].every((i) => i.naturalWidth === 104)")
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert page.evaluate("document.activeElement.parentElement.dataset.named") == str(places[1])


def test_a_cell_is_opened_and_closed_by_keyboard_and_by_its_button(opened, page_path):
    page = opened(page_path)
    button(page, 1, 0).focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert dialog.is_visible()
    assert "deer taken for boar" in dialog.locator("h2").inner_text()
    page.get_by_role("button", name="close").click()
    assert not dialog.is_visible()


def test_tables_sort_by_click_and_by_keyboard(opened, page_path):
    page = opened(page_path)
    species = page.locator("#species .sortable").first

    def column(number):
        return species.locator(f"tbody tr > :nth-child({number})").all_inner_texts()

    head = species.locator("thead th").nth(1)
    head.get_by_role("button").click()
    assert column(2) == ["300", "60", "7"]
    assert head.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert column(2) == ["7", "60", "300"]
    assert head.get_attribute("aria-sort") == "ascending"
    species.locator("thead th").nth(3).get_by_role("button").click()
    recalls = [float(text.split(" %")[0]) for text in column(4)]
    assert recalls == sorted(recalls, reverse=True)
    assert head.get_attribute("aria-sort") is None
    species.locator("thead th").first.get_by_role("button").click()
    assert [text.splitlines()[0] for text in column(1)] == ["고라니", "deer", "boar"]


def rounded_down(probability):
    return float(np.floor(1e4 * probability + 1e-6) / 1e4)


def test_a_species_without_a_certified_score_sorts_too(opened, write_run):
    run = write_run()
    write_record(run / "evaluation.json", replace(read_evaluation(run / "evaluation.json"), **PARTS))
    page = opened(write_report(run))
    table = page.locator("#scores .sortable").first
    for column, order in ((5, ["boar", "deer"]), (1, ["deer", "boar"])):
        table.locator("thead th").nth(column).get_by_role("button").click()
        assert table.locator("tbody th").all_inner_texts() == order


def expected(table, name, score):
    above = table[(table["prediction"] == name) & (table["probability"] >= score - 1e-9)]
    right = (above["label"] == name).sum()
    of = (table["label"] == name).sum()
    return [str(len(above)), str(len(above) - right), str(of - right), f"of {of} missed"]


def test_the_numbers_of_the_slider_agree_with_pandas(opened, page_path, table):
    page = opened(page_path)

    def shown():
        return [page.locator(f"#{one}").inner_text() for one in ("accepted", "wrong", "missed", "missed-of")]

    assert shown() == expected(table, "boar", 0.9)
    for name in ("boar", "deer", "고라니"):
        page.locator("#species-chosen").select_option(label=name)
        edges = [rounded_down(p) for p in table.loc[table["prediction"] == name, "probability"][:3]]
        for score in (0, 0.34, 0.5, 0.77, *edges, 0.9, 0.9999, 1):
            page.locator("#score-typed").fill(str(score))
            assert shown() == expected(table, name, score), (name, score)
    page.locator("#species-chosen").select_option(label="boar")
    page.locator("#score-typed").fill("0.9")
    page.locator("#score").focus()
    for step in range(1, 4):
        page.keyboard.press("ArrowLeft")
        assert shown() == expected(table, "boar", 0.9 - step / 100)
        assert float(page.locator("#score-typed").input_value()) == pytest.approx(0.9 - step / 100)
    assert page.locator("#trade polyline").count() == 2


def test_hostile_names_of_classes_and_photos_do_no_harm(opened, write_run):
    name = "<b onclick=\"alert(1)\">{place}'</b></script><script>alert('y')</script>\u202e\x1b.jpg"
    run = write_run(classes=HOSTILE, counts=(12, 12, 12, 12), trained=(9, 20, 30, 200), name=name, skill=1.0)
    page = opened(write_report(run))
    assert page.title().endswith("Frozen")
    assert page.locator("#species-chosen option").all_inner_texts() == [" ".join(one.split()) for one in HOSTILE]
    assert page.locator("script").count() == 2
    assert page.locator("#worst figcaption b, #worst img:not([src^='data:'])").count() == 0
    true, named = next((t, n) for t in range(4) for n in range(4) if t != n and button(page, t, n).count())
    button(page, true, named).click()
    dialog = page.get_by_role("dialog")
    assert dialog.locator("b, script").count() == 0
    assert HOSTILE[true] in dialog.locator("h2").inner_text()
    file = dialog.locator("small").first.inner_text()
    assert "<b onclick=" in file
    assert r"\u202e\x1b" in file


def test_without_scripts_tables_and_figures_are_there(opened, page_path):
    page = opened(page_path, java_script_enabled=False)
    assert page.locator("#explorer").is_hidden()
    assert page.locator(".matrix td.right").all_inner_texts()[0].isdigit()
    assert page.locator("#worst img").first.is_visible()
    assert page.locator("table").count() >= 5
    assert page.locator("figure svg").first.is_visible()
    assert page.get_by_text("Choose a cell").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_the_page_without_scrolling_sideways(opened, page_path, scheme):
    page = opened(page_path, viewport={"width": 390, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    ink, ground = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    levels = [sum(map(int, colour.strip("rgb()").split(","))) for colour in (ink, ground)]
    assert (levels[0] > levels[1]) == (scheme == "dark")
    button(page, 1, 0).click()
    box = page.get_by_role("dialog").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def test_many_photos_come_in_parts_each_beside_its_heat_map(opened, write_run):
    page = opened(write_report(write_run(counts=(150, 5, 5), skill=4.0, heat=True)))
    assert page.locator("#worst figure").first.locator("img").count() == 2
    button(page, 0, 0).click()
    figures = page.locator("#gallery figure")
    assert figures.count() == 60
    assert figures.first.locator("img").count() == 2
    for _ in range(2):
        page.get_by_role("button", name="show more").click()
    assert figures.count() == int(button(page, 0, 0).inner_text()) > 120
    assert page.get_by_role("button", name="show more").count() == 0


def test_the_data_of_the_page_is_json(page_path, table):
    text = page_path.read_text(encoding="utf-8")
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert data["classes"] == ["boar", "deer", "고라니"]
    assert len(data["photos"]) == len(table)

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from fscl.errors import OutputError
from fscl.report import read_study, write_report
from fscl.report.ablation import ablation_table
from fscl.report.paired import paired_table, seeds_note
from fscl.report.tables import study_table

SMALL = {
    "pairs": {"fine": ["water_deer", "roe_deer"]},
    "methods": ("baseline", "fscl"),
    "ratios": (0.01,),
    "seeds": (0, 1),
}


class Page(HTMLParser):
    """What a reader of the page meets: tags with attributes, text, and identifiers."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)
        self.identifiers = [attributes["id"] for _, attributes in self.tags if "id" in attributes]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def folder(write_study):
    return write_study(**SMALL)


@pytest.fixture(scope="module")
def html(folder):
    return write_report(folder).read_text(encoding="utf-8")


def test_the_page_stands_on_its_own(html):
    for tag, attributes in Page(html).tags:
        assert tag not in ("script", "link", "iframe", "img")
        for name in ("src", "href", "xlink:href", "srcset", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))
    assert "@import" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?(.)", html))


def test_the_page_is_well_formed_and_every_link_has_its_target(html):
    page = Page(html)
    assert page.open == []
    assert len(page.identifiers) == len(set(page.identifiers))
    links = {a.get("href") or a.get("xlink:href") for tag, a in page.tags if tag in ("a", "use")}
    links |= {f"#{target}" for target in re.findall(r"url\(#([^)]+)\)", html)}
    assert {link.removeprefix("#") for link in links} <= set(page.identifiers)


def test_the_page_can_be_read_aloud(html):
    page = Page(html)
    assert len(re.findall("<table>", html)) == len(re.findall("<caption>", html)) > 3
    images = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert len(images) == html.count("<svg") == 7
    assert all(len(image["aria-label"]) > 40 for image in images)
    assert ("html", {"lang": "en"}) in page.tags


def test_the_page_shows_the_tables_figures(folder, html):
    text = Page(html).text
    for entry in study_table(read_study(folder), "fine").sections[0].rows[0].entries:
        assert entry.text in text
        assert entry.detail in text
    for shown in (
        "0123abc",
        "a processor, 16 cores, no accelerator",
        "torch 2.15.0",
        "fscl compare photos.parquet",
    ):
        assert shown in text
    for shown in ("learning_rate", "cross-entropy on photos as they come", "column 'fscl'", "balanced accuracy"):
        assert shown in text


def test_names_from_the_data_cannot_become_markup(write_study):
    names = ["<b>deer</b>", 'x" onload="alert(1)|']
    reason = "<script>alert(1)</script>"
    options = {**SMALL, "pairs": {"fine": names}, "title": "<i>title</i>"}
    none = {"status": "failed", "reason": reason, "evaluations": {}, "curve": None, "validation_curve": None}
    folder = write_study(**options, change=lambda c: {**c, **none} if c["cell"]["seed"] else c)
    page = Page(write_report(folder).read_text(encoding="utf-8"))
    assert {"b", "i", "script"}.isdisjoint({tag for tag, _ in page.tags})
    assert not any("onload" in attributes for _, attributes in page.tags)
    assert all(name in page.text for name in (*names, reason, "<i>title</i>"))
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    assert r"\<b\>deer\</b\>" in markdown
    assert r"alert(1)\|" in markdown


def test_generated_photos_wear_a_badge(write_study, html):
    assert 'class="badge"' not in html
    generated = write_report(write_study(**SMALL, photos="generated"))
    assert '<p class="badge">generated photos</p>' in generated.read_text(encoding="utf-8")
    assert "**Generated photos.**" in generated.with_suffix(".md").read_text(encoding="utf-8")


def test_everything_is_written_and_again_with_the_same_bytes(folder, html):
    written = [folder / name for name in ("report.html", "report.md", "report.csv")]
    written += sorted((folder / "figures").glob("*.svg"))
    assert len(written) == 3 + 7
    before = [path.read_bytes() for path in written]
    write_report(folder)
    assert [path.read_bytes() for path in written] == before


def test_markdown_shows_tables_and_figures_that_are_there(folder, html):
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    figures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", markdown)
    assert len(figures) == 7
    assert all((folder / figure).is_file() for figure in figures)
    rows = [line for line in markdown.splitlines() if line.startswith("| 1:0.01")]
    assert [entry.text in rows[0] for entry in study_table(read_study(folder), "fine").sections[0].rows[0].entries]
    for block in re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_csv_can_be_read_back(folder, html):
    frame = pd.read_csv(folder / "report.csv")
    assert len(frame) == 2 * 2 * 4
    assert set(frame["epoch"]) == {"last", "best"}


def test_tests_and_ablation_stand_on_the_page_in_markdown_and_in_csv(write_study):
    options = {**SMALL, "methods": ("baseline", "fscl"), "seeds": (0, 1, 2)}
    folder = write_study(**options)
    html = write_report(folder).read_text(encoding="utf-8")
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    study = read_study(folder)
    for table in (paired_table(study, "fine"), ablation_table(study)):
        for entry in table.sections[0].rows[-1].entries:
            assert entry.text in html
            assert entry.text in markdown
    assert seeds_note(study, "fine") in Page(html).text
    tests = pd.read_csv(folder / "report_paired.csv")
    assert tests["figure"].tolist() == ["minority_recall", "balanced_accuracy", "auroc"]
    assert (tests["p_holm"] >= tests["p"]).all()


def test_without_enough_seeds_there_is_a_sentence_and_no_file(folder, html):
    assert "No test of the differences: it needs 3 seeds" in Page(html).text
    assert not (folder / "report_paired.csv").exists()


def test_the_page_can_go_elsewhere(write_study, tmp_path):
    folder = write_study(**SMALL)
    page = write_report(folder, tmp_path / "sent" / "deer.html")
    assert page == tmp_path / "sent" / "deer.html"
    assert [path.name for path in page.parent.iterdir()] == ["deer.html"]
    assert not (folder / "report.html").exists()
    assert (folder / "report.csv").exists()


def test_a_page_that_cannot_be_written_is_named(folder, tmp_path):
    with pytest.raises(
        OutputError, match=r"expected a page ending in \.html, got .*sent; for example .*report\.html"
    ):
        write_report(folder, tmp_path / "sent")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match=r"cannot write .*report\.html: .*; choose a place that can be written"):
        write_report(folder, tmp_path / "file" / "report.html")


@pytest.mark.slow
def test_reporting_does_not_import_torch():
    code = "import sys, fscl.report; sys.exit('torch' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_photos_that_were_not_used_stand_on_the_page_by_reason(write_study, html):
    assert "Photos that were not used" not in html

    def change(cell):
        for evaluation in cell["evaluations"].values():
            evaluation["failed"] = [{"path": "roe_deer/9.jpg", "reason": "truncated file"}]
        seed = cell["cell"]["seed"]
        return cell | {"unreadable": [{"path": f"water_deer/{seed}.jpg", "reason": "truncated file"}]}

    folder = write_study(**SMALL, change=change)
    header = json.loads((folder / "study.json").read_text())
    reasons = [{"reason": "no label <NA>", "rows": 1200, "paths": ["x/1.jpg"]}]
    header |= {"given": {"rows": 5000, "photos": 4000}, "unusable": {"rows": 1200, "reasons": reasons}}
    (folder / "study.json").write_text(json.dumps(header | {"notes": ["3 photos left out"]}))
    text = " ".join(Page(write_report(folder).read_text(encoding="utf-8")).text.split())
    assert "3 photos left out" in text
    assert "rows of the source that cannot be used: 1,200 of 5,000 no label <NA>1,200x/1.jpg, …" in text
    assert "photos that could not be read when cells were run: 3 truncated file3" in text
    assert "unreadable photos3" in text
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    assert "| truncated file | 3 | water_deer/0.jpg, roe_deer/9.jpg, water_deer/1.jpg |" in markdown


def test_names_that_steer_terminals_are_written_out_everywhere(write_study):
    from xml.etree import ElementTree

    names = ["deer\x1b[31m", "roe\ndeer \x07\u202e"]
    options = {**SMALL, "pairs": {"fine": names}, "title": "of \x1b]0;x\x07 \ufffe"}
    failed = {"status": "failed", "reason": "a\x1bb\nc | d", "evaluations": {}, "curve": None}
    folder = write_study(**options, change=lambda c: {**c, **failed} if c["cell"]["seed"] else c)
    page = write_report(folder)
    figures = sorted((folder / "figures").glob("*.svg"))
    for path in [page, folder / "report.md", *figures]:
        text = path.read_text(encoding="utf-8")
        assert not set(text) & set("\x1b\x07\u202e\ufffe"), path
    assert all(ElementTree.parse(path) for path in figures)
    assert "\\x1b[31m" in page.read_text(encoding="utf-8")
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    rows = [line for line in markdown.splitlines() if line.startswith("| fine-")]
    assert len(rows) == 2
    assert all(line.endswith("|") and line.count(" | ") == 2 for line in rows), "a line of a table is one line"

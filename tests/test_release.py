"""What is shipped beside the code: the documentation as a site, and the files that the wheel must hold."""

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("zensical", reason="the docs extra is not installed")
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "zensical.toml", folder)
    build = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    told = subprocess.run(build, cwd=folder, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return folder / "site"


def test_every_document_is_a_page_and_no_link_is_broken(site):
    for page in PAGES:
        built = page.with_suffix(".html") if page.stem != "README" else page.with_name("index.html")
        assert (site / built).is_file(), page


def test_the_site_loads_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?:https?:)?//', page), path


def test_no_document_links_to_what_the_site_lacks():
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (ROOT / "docs" / page.parent / target).resolve().is_relative_to(ROOT / "docs"), f"{page}: {target}"


def test_the_navigation_names_every_document_but_the_cards():
    with (ROOT / "zensical.toml").open("rb") as file:
        named = set(re.findall(r"'([\w/]+\.md)'", str(tomllib.load(file)["project"]["nav"])))
    cards = {page for page in PAGES if page.parent.name == "methods" and page.stem != "README"}
    assert named == {page.as_posix() for page in set(PAGES) - cards}


def test_the_wheel_takes_every_file_that_is_no_module():
    with (ROOT / "pyproject.toml").open("rb") as file:
        patterns = tomllib.load(file)["tool"]["setuptools"]["package-data"]["fscl"]
    package = ROOT / "fscl"
    for path in package.rglob("*"):
        inside = path.relative_to(package).as_posix()
        if path.is_file() and path.suffix not in {".py", ".pyc"}:
            assert any(fnmatch(inside, pattern) for pattern in patterns), f"not in the wheel: {inside}"

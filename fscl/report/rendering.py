"""Templates filled, charts put into pages, files written: what the pages of studies and of runs share."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from fscl.atomic import write_text
from fscl.errors import OutputError
from fscl.printable import number_of, printable
from fscl.report.charts.drawing import CARD, GRID, INK, MUTED, Drawing

PAGE_COLOURS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", CARD: "var(--card)"}
MARKDOWN_SPECIAL = re.compile(r"([\\`*<>\[\]|#])")


def checked_page(page: Path) -> Path:
    """Return where a page is to be written, if it can be a page.

    Raises:
        OutputError: it is a folder, or does not end in `.html`.
    """
    if page.suffix != ".html" or page.is_dir():
        raise OutputError(f"expected a page ending in .html, got {page}; for example {page / 'report.html'}")
    return page


def rendered(template: str, content: Mapping[str, Any]) -> str:
    """Return a template filled; names are escaped in `.html.j2`, and `plain` is theirs in Markdown."""
    return printable(_environment(html=template.endswith(".html.j2")).get_template(template).render(content))


def write_files(files: Mapping[Path, str]) -> None:
    """Write texts, each whole or not at all.

    Raises:
        OutputError: one cannot be written.
    """
    for path, text in files.items():
        try:
            write_text(path, text)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; choose a place that can be written") from error


def machine_in_words(machine: Mapping[str, Any]) -> str:
    """Return what computed, on one line."""
    named = {
        "cores": f"{machine.get('cores')} cores",
        "accelerator": machine.get("accelerator") or "no accelerator",
    }
    return ", ".join(str(named.get(part, value)) for part, value in machine.items())


def _environment(html: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("fscl.report"), autoescape=html, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"inline": _inline, "plain": plain, "number_of": number_of}
    return environment


def plain(text: object) -> str:
    """Return text as Markdown shows it: on one line, which a table needs, and no mark-up."""
    return MARKDOWN_SPECIAL.sub(r"\\\1", " ".join(str(text).splitlines()))


def _inline(drawing: Drawing) -> Markup:
    """Return a chart for the page: its colours follow the page's, its identifiers are unique in it."""
    svg = drawing.svg[drawing.svg.index("<svg") :]
    svg = re.sub(r"<title>.*?</title>|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{drawing.name}-", svg)
    for colour, variable in PAGE_COLOURS.items():
        svg = svg.replace(colour, variable)
    width_pt = re.search(r'width="([\d.]+)pt" height="[\d.]+pt"', svg)
    assert width_pt, "every chart states its size in points"
    svg = svg.replace(width_pt[0], f'style="--width: {width_pt[1]}pt" aria-hidden="true" focusable="false"', 1)
    return Markup(svg)

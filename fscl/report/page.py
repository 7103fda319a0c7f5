"""A study as one self-contained HTML page, with Markdown, CSV and SVG beside the study."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fscl.config import SIMILARITY
from fscl.report.ablation import ablation_table
from fscl.report.charts.drawing import Drawing, method_styles
from fscl.report.charts.panels import validation_note
from fscl.report.charts.recall import draw_charts
from fscl.report.frame import figures_frame
from fscl.report.headline import headline
from fscl.report.paired import paired_frame, paired_table, seeds_note
from fscl.report.photos import photos_table
from fscl.report.published import published_recalls
from fscl.report.rendering import checked_page, machine_in_words, rendered, write_files
from fscl.report.study import Study, read_study
from fscl.report.tables import (
    choices_table,
    effort_table,
    figures_table,
    pair_title,
    study_table,
    unfinished_table,
)
from fscl.words import meanings

ARCHITECTURE = Path(__file__).parent / "templates" / "architecture.svg"
READING = (
    "Bold: the best figure, and those as good: at most one standard deviation below the best. A method that is not "
    "clearly better than guessing is never bold: the 95 % interval of its balanced accuracy contains the value of "
    "guessing (for AUROC, average precision and ECE: the interval of its AUROC)."
)
PUBLISHED_NOTE = (
    " Published: the figures of the study that proposed FSCL, only to compare the order: 10,000 photos of the common "
    "class from AI Hub, 100 epochs, one run each."
)


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the report of a study and return the path of its page.

    `report.md`, `report.csv`, `report_paired.csv` (where seeds suffice for tests) and `figures/*.svg` go into the
    study folder; the page stands on its own and goes to `out`. The same cells give the same bytes.

    Args:
        folder: as written by `fscl compare`; finished cells suffice.
        out: the page, ending in `.html`; default `report.html` in the study folder.

    Raises:
        OutputError: the folder is no study, has no finished cell or holds a damaged one; `out` is not an `.html`
            file, or a file cannot be written.
    """
    page = checked_page(out or folder / "report.html")
    study = read_study(folder)
    drawings = [*draw_charts(study), *draw_architecture(study)]
    content = _content(study, drawings)
    files = {
        page: rendered("page.html.j2", content),
        folder / "report.md": rendered("report.md.j2", content),
        folder / "report.csv": figures_frame(study).to_csv(index=False, lineterminator="\n"),
    }
    tests = paired_frame(study)
    if not tests.empty:
        files[folder / "report_paired.csv"] = tests.to_csv(index=False, lineterminator="\n")
    files |= {folder / "figures" / f"{drawing.name}.svg": drawing.svg for drawing in drawings}
    write_files(files)
    return page


def draw_architecture(study: Study) -> list[Drawing]:
    """Return the drawing of how the loss is made; none where no method of the study has the similarity term."""
    terms = {term for cell in study.cells if cell.curve for term in cell.curve.terms}
    if not any(term.startswith(SIMILARITY) for term in terms):
        return []
    svg = ARCHITECTURE.read_text(encoding="utf-8")
    description = svg.partition("<desc>")[2].partition("</desc>")[0]
    subject = "Cross-entropy and feature similarity, of one batch"
    return [Drawing("architecture", "How the loss is made", subject, description, svg, wide=True)]


def _content(study: Study, drawings: Iterable[Drawing]) -> dict[str, Any]:
    """Return what both templates show."""
    by_name = {drawing.name: drawing for drawing in drawings}
    pairs = [
        {
            "title": pair_title(study, pair),
            "study_table": study_table(study, pair),
            "figures_table": figures_table(study, pair),
            "paired_table": paired_table(study, pair),
            "seeds_note": seeds_note(study, pair),
            "choices_table": choices_table(study, pair),
            "validation_note": validation_note(study, pair),
            "charts": {
                kind: by_name[f"{kind}-{pair}"]
                for kind in ("recall", "trade-off", "confusion", "similarity", "loss", "validation")
                if f"{kind}-{pair}" in by_name
            },
        }
        for pair in study.pairs
    ]
    return {
        "study": study.header,
        "summary": headline(study),
        "pairs": pairs,
        "ablation_table": ablation_table(study),
        "architecture": by_name.get("architecture"),
        "methods": [recipe for method in study.methods if (recipe := study.recipe(method))],
        "unfinished_table": unfinished_table(study),
        "photos_table": photos_table(study),
        "effort_table": effort_table(study),
        "provenance": _provenance(study),
        "glossary": meanings(),
        "reading": READING + (PUBLISHED_NOTE if any(published_recalls(study, pair) for pair in study.pairs) else ""),
        "colours": {method: colour for method, (colour, _) in method_styles(study.methods).items()},
    }


def _provenance(study: Study) -> dict[str, str]:
    """Return where the figures come from; what differs between cells is listed in full."""
    runs = [cell.provenance for cell in study.cells if cell.status == "done"]
    created = sorted(run.created for run in runs if run.created)
    machines = [
        machine_in_words(machine) for machine in (study.header.machine, *(run.machine for run in runs)) if machine
    ]
    versions = [", ".join(f"{name} {version}" for name, version in run.versions.items()) for run in runs]
    commits = [commit for commit in (study.header.commit, *(run.commit for run in runs)) if commit]
    return {
        "command": study.header.command or "not recorded",
        "commit": _distinct(commits) or "outside a checkout",
        "machine": _distinct(machines) or "not recorded",
        "versions": _distinct(versions) or "not recorded",
        "seeds": ", ".join(str(seed) for seed in sorted({cell.cell.seed for cell in study.cells})),
        "cells": f"{len(runs)} finished of {len(study.cells) + len(list(study.missing()))}",
        "computed": " to ".join(dict.fromkeys([created[0], created[-1]])) if created else "not recorded",
        "unreadable photos": str(len(study.unreadable)),
    }


def _distinct(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))

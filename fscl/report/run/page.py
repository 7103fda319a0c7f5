"""The page of a single run, with Markdown, its figures and the model card beside it."""

import shlex
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from markupsafe import Markup

from fscl.printable import number_of, printable
from fscl.report.charts.drawing import Drawing
from fscl.report.photos import reason_row
from fscl.report.rendering import checked_page, machine_in_words, rendered, write_files
from fscl.report.run.card import card
from fscl.report.run.charts import draw_run_charts
from fscl.report.run.headline import headline, next_steps
from fscl.report.run.photos import gallery, gallery_note, pictures, worst_mistakes
from fscl.report.run.reliance import accept_tables, reliance_notes, scores_note, sure_tables
from fscl.report.run.result import RunResult, read_run
from fscl.report.run.species import (
    ACCEPTED_AT,
    LEVELS,
    MOST_IN_MATRIX,
    bins_table,
    confusion_table,
    percent,
    score_levels,
    species_table,
)
from fscl.report.tables import DASH, Entry, Row, Table, TableSection
from fscl.run_folder import RunFolder
from fscl.words import meanings

SCRIPT = Path(__file__).parent.parent / "templates" / "run.js"
IN_WORDS = {"start": "its start, and class means", "earlier": "the earlier model"}


def write_run_report(folder: Path, out: Path | None = None) -> Path:
    """Write the report of a run and return the path of its page.

    `report.md`, `figures/*.svg` and `model_card.md` go into the folder; the page stands on its own and goes to `out`.
    The same files give the same bytes.

    Args:
        folder: of a run that `fscl evaluate` has scored, or of its evaluation on other photos.
        out: the page, ending in `.html`; default `report.html` in the folder.

    Raises:
        OutputError: no run, not evaluated, or damaged; `out` is not an `.html` file, or a file cannot be written.
    """
    files = RunFolder(folder)
    page = checked_page(out or files.page)
    result = read_run(folder)
    drawings = draw_run_charts(result)
    content = _content(result, drawings)
    texts = {page: rendered("run.html.j2", content), files.markdown: rendered("run.md.j2", content)}
    texts[files.card] = rendered("model_card.md.j2", card(result))
    texts |= {files.figures / f"{drawing.name}.svg": drawing.svg for drawing in drawings}
    write_files(texts)
    return page


def _content(result: RunResult, drawings: list[Drawing]) -> dict[str, Any]:
    """Return what both templates show."""
    shown = pictures(result)
    script = SCRIPT.read_text(encoding="utf-8")
    few = len(result.classes) <= MOST_IN_MATRIX
    return {
        "title": f"{result.folder.resolve().name}: {result.bundle.method}",
        "byline": " · ".join(_byline(result)),
        "unit": result.unit,
        "summary": headline(result),
        "steps": next_steps(result),
        "notes": result.notes,
        "classes": result.classes,
        "species_table": species_table(result),
        "bins_table": bins_table(result),
        "matrix": _matrix(result) if few else None,
        "confusion_table": confusion_table(result),
        "gallery": bool(shown),
        "gallery_note": gallery_note(result, shown),
        "scores": result.answers is not None,
        "accepted_at": ACCEPTED_AT,
        "scores_note": scores_note(result),
        "accept_tables": accept_tables(result),
        "sure_tables": sure_tables(result),
        "reliance_notes": list(reliance_notes(result)),
        "worst": list(worst_mistakes(result, shown)),
        "heated": any(one.thumbnail.heat for one in shown),
        "beside_table": _beside_table(result),
        "training": list(_training(result)),
        "unread_table": _unread_table(result),
        "notes_of_photos": _notes_of_photos(result),
        "charts": {drawing.name: drawing for drawing in drawings},
        "provenance": _provenance(result),
        "settings": dict(_settings(result.bundle.config)),
        "glossary": meanings(),
        "data": _data(result, shown),
        "script": Markup(script),  # our own file, as it is
        "script_hash": "sha256-" + b64encode(sha256(script.encode()).digest()).decode(),
    }


def _data(result: RunResult, shown: list[Any]) -> dict[str, Any]:
    """Return what the script of the page works with."""
    answers, classes = result.answers, [printable(name) for name in result.classes]
    if answers is None:
        return {"classes": classes, "levels": LEVELS, "photos": [], "scores": None}
    counts = [sum(row) for row in result.evaluation.confusion]
    sides = score_levels(answers, len(result.classes))
    return {
        "classes": classes,
        "levels": LEVELS,
        "photos": gallery(answers, shown),
        "scores": [{**own, "photos": photos} for own, photos in zip(sides, counts, strict=True)],
    }


def _byline(result: RunResult) -> Iterator[str]:
    yield number_of(len(result.classes), "species", "species")
    trained = result.evaluation.train_photos or result.evaluation.train_counts
    yield f"{sum(trained.values()):,} training photos"
    scored = result.evaluation.scored
    yield number_of(scored.photos if scored else result.scored, "test photo")
    if result.unit != "photo":
        yield number_of(result.scored, result.unit)


def _matrix(result: RunResult) -> list[list[dict[str, Any]]]:
    return [
        [{"count": count, "share": round(count / sum(row), 3) if count else 0} for count in row]
        for row in result.evaluation.confusion
    ]


def _beside_table(result: RunResult) -> Table | None:
    """Return the model beside its start and the earlier model, on the photos that both were scored on."""
    record, rows = result.evaluation, []
    names = ["balanced_accuracy", *(["minority_recall"] if record.minority else []), "auroc"]
    for other in record.beside:
        if other.figures is None or other.difference is None:
            continue
        own = other.same_photos or record.figures
        for title, figures in (("this model", own), (IN_WORDS[other.kind], other.figures)):
            entries = tuple(Entry(_rounded(figures.value(name))) for name in names)
            rows.append(Row(title, "" if figures is own else other.what, (Entry(f"{other.photos:,}"), *entries)))
    if not rows:
        return None
    titles = {"balanced_accuracy": "balanced accuracy", "minority_recall": "recall of the rare", "auroc": "AUROC"}
    columns = ("photos", *(titles[name] for name in names))
    return Table("Did training beat its start?", "model", columns, (TableSection("", tuple(rows)),))


def _rounded(figure: float | None) -> str:
    return DASH if figure is None else f"{figure:.3f}"


def _training(result: RunResult) -> Iterator[str]:
    """Yield what the log says besides its curves."""
    epochs = [line for line in result.metrics if line["kind"] == "epoch"]
    if not epochs:
        yield "The log of the training is not there: no curves are shown."
    elif not epochs[-1]["step"]:
        yield "The backbone stayed as it was and its head was fitted at once, without steps: there is no curve."
    if epochs and (validation := epochs[-1]["validation"]):
        yield (f"Balanced accuracy on the validation photos, at the end: {percent(validation['balanced_accuracy'])}.")


def _unread_table(result: RunResult) -> Table | None:
    """Return which photos were not scored, and why; None where all were."""
    record, sections = result.evaluation, []
    if record.failed:
        rows = tuple(Row(photo.path, "", (Entry(photo.reason, words=True),)) for photo in record.failed)
        sections.append(TableSection(f"test photos that could not be read: {len(record.failed):,}", rows))
    problems = {line["path"]: line["reason"] for line in result.metrics if line["kind"] == "problem"}
    if problems:
        rows = tuple(Row(path, "", (Entry(reason, words=True),)) for path, reason in problems.items())
        sections.append(
            TableSection(f"training and validation photos that could not be read: {len(problems):,}", rows)
        )
    if record.unusable and record.unusable.rows:
        reasons = tuple(reason_row(why.reason, why.rows, why.paths) for why in record.unusable.reasons)
        sections.append(TableSection(f"rows that cannot be used: {record.unusable.rows:,}", reasons))
    if not sections:
        return None
    return Table("The figures are without these.", "photo or reason", ("", ""), tuple(sections))


def _notes_of_photos(result: RunResult) -> list[str]:
    record = result.evaluation
    left_out = [f"{count:,} {kind} were left out of the test." for kind, count in record.left_out.items()]
    said = result.source.get("notes")
    notes = [str(note) for note in said] if isinstance(said, list) else []
    return [*left_out, *notes]


def _settings(config: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{section}{key}.")
        else:
            yield f"{section}{key}", str(value)


def _provenance(result: RunResult) -> dict[str, str]:
    """Return where model and figures come from."""
    bundle, record, run = result.bundle, result.evaluation, str(result.run)
    began = result.source.get("provenance")
    machine, commit = (began.get("machine"), began.get("commit")) if isinstance(began, dict) else (None, None)
    given = result.source.get("given")
    photos = given.get("photos") if isinstance(given, dict) else None
    evaluated = record.provenance
    start = (bundle.start or {}).get("origin")
    facts = {
        "method": bundle.method,
        "backbone": f"{bundle.model.get('backbone', 'not recorded')}, {f'from {start}' if start else 'from scratch'}",
        "data": f"{result.photos.root.name if result.photos else 'not recorded'}: {photos or '?'} photos given",
        "trained": bundle.created or "not recorded",
        "trained on": machine_in_words(machine) if isinstance(machine, dict) else "not recorded",
        "trained with": ", ".join(f"{name} {version}" for name, version in bundle.versions.items()),
        "commit": str(commit or "outside a checkout"),
        "train again": shlex.join(["fscl", "train", "PHOTOS", "--config", f"{run}/config.toml", "--out", "NEW"]),
        "evaluate again": shlex.join(["fscl", "evaluate", run]),
    }
    if evaluated is not None:
        facts["evaluated on"] = machine_in_words(evaluated.machine)
        facts["evaluated with"] = ", ".join(f"{name} {version}" for name, version in evaluated.versions.items())
    return facts

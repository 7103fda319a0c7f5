"""An explanation as one self-contained HTML page, made of `explain.json` and the pictures beside it."""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from markupsafe import Markup

from fscl.errors import OutputError
from fscl.printable import number_of
from fscl.records import Explanation, LayerMeasures, Tightness, read_explanation
from fscl.report.charts.layers import draw_layers
from fscl.report.rendering import rendered, write_files
from fscl.report.tables import DASH, Entry, Row, Table, TableSection
from fscl.words import meanings

WORDS = (
    "heat map",
    "nearest training photos",
    "runner-up",
    "cosine",
    "t-SNE",
    "scatter ratio",
    "labels to check",
    "feature",
)


def write_explanation(folder: Path, page: str = "explain.html") -> Path:
    """Write the page of an explanation beside it and return its path.

    Args:
        folder: as `fscl explain` writes it: `explain.json` and pictures.
        page: its name.

    Raises:
        OutputError: no explanation there, one of another version, or a damaged one; the page cannot be written.
    """
    record = folder / "explain.json"
    if not record.is_file():
        raise OutputError(f"{folder}: no explain.json there; expected the folder that fscl explain writes")
    explanation = read_explanation(record)
    content = {
        "explanation": explanation,
        "summary": _summary(explanation),
        "cards": [
            (photo, wrong) for photo in explanation.photos for wrong in [photo.label not in (None, photo.answer)]
        ],
        "charts": draw_layers(explanation),
        "measures": measures_table(explanation) if explanation.measures else None,
        "picture": _pictures(folder),
        "glossary": {word: meaning for word, meaning in meanings().items() if word in WORDS},
        "versions": ", ".join(f"{name} {version}" for name, version in explanation.versions.items()),
    }
    write_files({folder / page: rendered("explain.html.j2", content)})
    return folder / page


def _pictures(folder: Path) -> Callable[[str | None], Markup | None]:
    """Return a function from the file of a picture to what stands in the page; None where it is not there."""

    def data(name: str | None) -> Markup | None:
        path = folder / Path(name or "").name
        if not name or not path.is_file():
            return None
        return Markup(f"data:image/jpeg;base64,{b64encode(path.read_bytes()).decode()}")

    return data


def _summary(explanation: Explanation) -> list[str]:
    """Return what the page says first."""
    shown = number_of(len(explanation.photos), "photo")
    failed = f"; {len(explanation.failed):,} could not be explained" if explanation.failed else ""
    sentences = [f"{shown}: {explanation.chosen}{failed}."]
    known = [photo for photo in explanation.photos if photo.nearest and photo.label is not None]
    if known:
        alike = sum(photo.nearest[0].label == photo.label for photo in known)
        wrong = sum(photo.answer != photo.label for photo in known)
        sentences.append(
            f"Of {number_of(len(known), 'photo')} with a label {wrong} {'is' if wrong == 1 else 'are'} named "
            f"wrongly. For {alike} of these {len(known)} the most similar training photo has the same label. "
            "Where it has another, look whether the label is right, and whether similar training photos are there."
        )
    if explanation.labels_to_check is not None:
        found = number_of(len(explanation.labels_to_check), "label")
        sentences.append(
            f"Of {number_of(explanation.labels_checked, 'label')} of the run, {found} should be checked."
        )
    sentences.append(
        "A heat map shows where the answer won over the runner-up. Heat on the background says that the model knows "
        "the place and not the animal."
    )
    return sentences


def measures_table(explanation: Explanation) -> Table:
    """Return how each layer holds the classes apart: a section a layer, a row a class, the groups first."""
    return Table(
        caption=f"How the layers hold the classes apart, on {number_of(explanation.measured_on, 'test photo')}",
        corner="class",
        columns=("training regions", "cosine, same class", "cosine, other classes", "scatter ratio"),
        sections=tuple(_section(name, measures, explanation) for name, measures in explanation.measures.items()),
    )


def _section(layer: str, measures: LayerMeasures, explanation: Explanation) -> TableSection:
    groups = (
        [("all common classes", measures.common), ("all rare classes", measures.rare)] if explanation.minority else []
    )
    rows = [_row(title, "", None, tightness) for title, tightness in groups]
    for name in sorted(explanation.classes, key=lambda name: -explanation.train_counts[name]):
        detail = "rare" if name in explanation.minority else ""
        rows.append(_row(name, detail, explanation.train_counts[name], measures.by_class[name]))
    title = f"{layer} (cosine between two class means, on average: {_figure(measures.mean_cosine)})"
    return TableSection(title, tuple(rows))


def _row(title: str, detail: str, count: int | None, tightness: Tightness) -> Row:
    figures = (tightness.within_cosine, tightness.between_cosine, tightness.scatter_ratio)
    counted = Entry(DASH if count is None else f"{count:,}")
    return Row(title, detail, (counted, *(Entry(_figure(value)) for value in figures)))


def _figure(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f}".replace("-", "−")

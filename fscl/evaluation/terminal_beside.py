"""Did training beat its start? The other models of an evaluation, for the terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from fscl.evaluation.tables import plain_table, rounded
from fscl.printable import number_of
from fscl.records import Beside, Evaluation, Metrics
from fscl.scoring.statistics import CHANCE

NAMES = {"start": "start + class means", "earlier": "earlier model"}
IN_WORDS = {"start": "its start", "earlier": "the earlier model"}
FIGURES = ("balanced_accuracy", "minority_recall", "auroc")


def beside_table(record: Evaluation) -> Iterator[RenderableType]:
    """Yield the models beside each other, what each of them is, and whether the model is better."""
    scored = [other for other in record.beside if other.figures]
    if scored:
        table = plain_table("did training beat its start?")
        names = [name for name in FIGURES if record.minority or name != "minority_recall"]
        rare = record.minority[0] if len(record.minority) == 1 else "the rare"
        columns = {"balanced_accuracy": "balanced accuracy", "minority_recall": f"recall of {rare}", "auroc": "AUROC"}
        table.add_column("model", overflow="fold")
        for column in ("photos", *(columns[name] for name in names)):
            table.add_column(Text(column), justify="right", overflow="fold")
        for model, photos, figures in _rows(record, scored):
            table.add_row(model, f"{photos:,}", *(rounded(figures.value(name)) for name in names))
        yield table
    yield from (Text(verdict(record, other)) for other in scored)
    yield from (Text(_what(other)) for other in record.beside)


def _rows(record: Evaluation, scored: list[Beside]) -> Iterator[tuple[str, int, Metrics]]:
    photos = record.scored.photos if record.scored else sum(record.counts.values())
    yield "this model", photos, record.figures
    if record.bias:
        yield "  with the bias", photos, record.bias.figures
    if record.threshold:
        yield f"  at threshold {record.threshold.value:.3f}", photos, record.threshold.figures
    for other in scored:
        assert other.figures is not None, "chosen for these"
        yield NAMES[other.kind], other.photos, other.figures
        if other.same_photos:
            yield "  this model on these", other.photos, other.same_photos


def _what(other: Beside) -> str:
    if other.figures is None:
        return f"{NAMES[other.kind]} ({other.what}) is not shown: {other.reason}"
    left_out = f", without {number_of(other.left_out, 'photo')} that it was trained on" if other.left_out else ""
    note = f"; {other.note}" if other.note else ""
    return f"{NAMES[other.kind]}: {other.what}{left_out}{note}"


def verdict(record: Evaluation, other: Beside) -> str:
    """Say whether the evaluated model is better than another that has figures."""
    assert other.figures is not None, "compared"
    assert other.difference is not None, "written with the figures"
    found, name = other.difference, IN_WORDS[other.kind]
    own = (other.same_photos or record.figures).balanced_accuracy
    both = f"{rounded(own)}, {name} {rounded(other.figures.balanced_accuracy)}"
    boxes = record.scored is not None and record.scored.rows != record.scored.photos
    unit = number_of(found.differ, "region" if boxes else "photo")
    if not found.differ:
        return f"no better than {name} in balanced accuracy: both name the same photos rightly ({rounded(own)})"
    tested = f"p = {found.p:.2g}, {unit} that one of them alone names rightly"
    if found.p < CHANCE and found.value > 0:
        return f"better than {name} in balanced accuracy: {both} ({tested})"
    if found.p < CHANCE:
        return f"worse than {name} in balanced accuracy: {both} ({tested}){_decided(record, other)}"
    better = "not shown to be better" if found.value > 0 else "no better"
    return f"{better} than {name} in balanced accuracy: {both}; within chance ({tested}){_decided(record, other)}"


def _decided(record: Evaluation, other: Beside) -> str:
    """Say what a bias or threshold would add, which a sentence on argmax leaves out."""
    chosen, what = (record.bias, "bias") if record.bias else (record.threshold, "threshold")
    if chosen is None or other.same_photos:
        return ""
    return f"; with the {what} {rounded(chosen.figures.balanced_accuracy)}"

"""What the terminal shows of an explanation."""

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath

from rich.console import Group, RenderableType
from rich.text import Text

from fscl.evaluation.tables import plain_table
from fscl.printable import number_of
from fscl.records import ExplainedPhoto, Explanation

MOST_PHOTOS, MOST_LABELS, MOST_FAILED = 24, 10, 5


def table(explanation: Explanation) -> Group:
    """Return a line per photo: the answer, its probability, and what the training photos most similar to it show."""
    return Group(*_parts(explanation))


def _parts(explanation: Explanation) -> Iterator[RenderableType]:
    shown = plain_table(explanation.chosen)
    columns = ("photo", "label", "answer", "probability", "most similar in training")
    for column in columns:
        shown.add_column(column, justify="right" if column == "probability" else "left", overflow="fold")
    for photo in explanation.photos[:MOST_PHOTOS]:
        known = "–" if photo.label is None else photo.label
        row = (PurePath(photo.path).name, known, photo.answer, f"{photo.probability:.2f}", _nearest(photo))
        shown.add_row(*map(Text, row))
    yield shown
    if len(explanation.photos) > MOST_PHOTOS:
        yield Text(f"and {len(explanation.photos) - MOST_PHOTOS:,} more on the page")
    if explanation.failed:
        yield Text(f"{number_of(len(explanation.failed), 'photo')} could not be explained:")
        yield from (Text(f"    {photo.path}: {photo.reason}") for photo in explanation.failed[:MOST_FAILED])
    if explanation.labels_to_check is not None:
        yield from _labels(explanation)


def _nearest(photo: ExplainedPhoto) -> str:
    """Return how many of the nearest training photos show which species: which these are is on the page."""
    counts = Counter(near.label for near in photo.nearest)
    return ", ".join(f"{count:,} {label}" for label, count in counts.most_common()) or "–"


def _labels(explanation: Explanation) -> Iterator[RenderableType]:
    doubtful = explanation.labels_to_check or []
    checked = number_of(explanation.labels_checked, "label")
    if not doubtful:
        yield Text(f"\n{checked} looked at: none contradicts the most similar photos and the model")
        return
    shown = plain_table(f"labels to check: {len(doubtful):,} of {checked}")
    for column in ("photo", "label", "perhaps", "similar photos that agree"):
        shown.add_column(column, overflow="fold")
    for photo in doubtful[:MOST_LABELS]:
        agree = f"{photo.agree} of {photo.neighbours}"
        shown.add_row(*map(Text, (photo.region, photo.label, photo.suggested, agree)))
    yield shown
    if len(doubtful) > MOST_LABELS:
        yield Text(f"and {len(doubtful) - MOST_LABELS:,} more in labels_to_check.csv")

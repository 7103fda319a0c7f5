"""The record of an evaluation, for the terminal."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fscl.records import Evaluation

MOST_COLUMNS = 12  # classes up to which the table shows what each was taken for
LISTED = 3  # photos that failed
GAIN_AND_COST = ("minority_recall", "majority_recall", "balanced_accuracy")  # of a threshold
LEFT_OUT = {"training photos": "training photos of the run", "other splits": "photos outside the test split"}


def table(record: Evaluation) -> Group:
    """Return the record for the terminal: a table, per class first, then the metrics; then what was not scored."""
    return Group(_metrics_table(record), *map(Text, _not_scored(record)))


def _metrics_table(record: Evaluation) -> Table:
    classes = record.classes if len(record.classes) <= MOST_COLUMNS else []
    trained = _counts(record.train_counts, record.train_photos or {})
    scored = _counts(record.counts, record.photos or {})
    regions = sum(record.counts.values())
    photos = record.scored.photos if record.scored else regions
    boxes = f", {regions:,} regions" if photos != regions else ""
    shown = Table(title=f"{record.split}: {photos:,} photos{boxes}", title_justify="left")
    shown.add_column("class")
    for column in (f"training {trained.unit}", scored.unit, "recall", *(f"as {name}" for name in classes)):
        shown.add_column(Text(column), justify="right")
    for name, row in zip(record.classes, record.confusion, strict=True):
        rare = " (rare)" if name in record.minority else ""
        recall = record.figures.recall_by_class[name]
        shown.add_row(
            Text(f"{name}{rare}"),
            trained.shown[name],
            scored.shown[name],
            "not evaluable" if recall is None else _shown(recall),
            *map(str, row if classes else ()),
        )
    shown.add_section()
    for name, value in asdict(record.figures).items():
        if not isinstance(value, Mapping):
            shown.add_row(name.replace("_", " "), "", "", _shown(value))
    if record.threshold:
        shown.add_section()
        for name in GAIN_AND_COST:
            at = f"{name.replace('_', ' ')} at threshold {record.threshold.value:.3f}"
            shown.add_row(at, "", "", _shown(record.threshold.figures.value(name)))
    return shown


class _Counts(NamedTuple):
    """What a column counts, and its entries."""

    unit: str
    shown: dict[str, str]


def _counts(regions: Mapping[str, int], known: Mapping[str, int]) -> _Counts:
    """Count photos where these are known, and regions where these are not the same."""
    photos = {name: known.get(name, count) for name, count in regions.items()}
    if photos == dict(regions):
        return _Counts("photos" if known else "regions", {name: str(count) for name, count in regions.items()})
    return _Counts("photos (regions)", {name: f"{photos[name]} ({count})" for name, count in regions.items()})


def _shown(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.3f}"


def _not_scored(record: Evaluation) -> Iterator[str]:
    failed = record.failed
    if failed:
        yield f"{len(failed)} photos could not be read:"
        yield from (f"    {photo.path}: {photo.reason}" for photo in failed[:LISTED])
    if len(failed) > LISTED:
        yield f"    and {len(failed) - LISTED:,} more"
    for kind, count in record.left_out.items():
        yield f"{count:,} {LEFT_OUT[kind]} were left out"
    unusable, given = record.unusable, record.given
    if unusable and unusable.rows:
        of = f" of {given.rows:,}" if given else ""
        yield f"{unusable.rows:,}{of} rows cannot be used:"
    for why in unusable.reasons if unusable else []:
        more = ", …" if why.rows > len(why.paths) else ""
        yield f"    {why.rows:,} {why.reason}: {', '.join(why.paths)}{more}"
    if record.no_threshold:
        yield f"no threshold was chosen: {record.no_threshold}"
    if record.note:
        yield f"note: {record.note}"

"""The record of an evaluation, for the terminal."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fscl.evaluation.tables import plain_table, rounded
from fscl.evaluation.terminal_beside import beside_table
from fscl.evaluation.terminal_reliance import reliance_tables
from fscl.printable import number_of
from fscl.records import Evaluation
from fscl.scoring.statistics import clopper_pearson

MOST_COLUMNS = 12  # classes up to which the table shows what each was taken for
CONFIDENCE = 0.95  # of intervals
LISTED = 3  # photos that failed
GAIN_AND_COST = ("minority_recall", "majority_recall", "balanced_accuracy")  # of a threshold
LEFT_OUT = {"training photos": "training photos of the run", "other splits": "photos outside the test split"}


def table(record: Evaluation) -> Group:
    """Return the record for the terminal: class by class, then all classes together; then what was not scored.

    Recall and precision are counted out, with the interval that the true share lies in.
    """
    tables = [_class_table(record)]
    if len(record.classes) <= MOST_COLUMNS:
        tables.append(_confusion_table(record))
    relied = reliance_tables(record)
    return Group(*tables, _metrics_table(record), *relied, *beside_table(record), *map(Text, _not_scored(record)))


def _class_table(record: Evaluation) -> Table:
    trained = _counts(record.train_counts, record.train_photos or {})
    scored = _counts(record.counts, record.photos or {})
    regions = sum(record.counts.values())
    photos = record.scored.photos if record.scored else regions
    boxes = f", {number_of(regions, 'region')}" if photos != regions else ""
    shown = plain_table(f"{record.split}: {number_of(photos, 'photo')}{boxes}")
    shown.caption = (
        "recall: of the photos of a class, how many were found; precision: of those called it, how many were right; "
        f"each with its {100 * CONFIDENCE:.0f} % interval{_without(record)}"
    )
    shown.add_column("class", overflow="fold")
    for column in (f"training {trained.unit}", scored.unit):
        shown.add_column(column, justify="right")
    shown.add_column("recall")
    shown.add_column("precision")
    called = [sum(column) for column in zip(*record.confusion, strict=True)]
    for place, name in enumerate(record.classes):
        hits = record.confusion[place][place]
        shown.add_row(
            _class(name, record),
            trained.shown[name],
            scored.shown[name],
            _share(hits, sum(record.confusion[place])) or "not evaluable",
            _share(hits, called[place]) or "none called so",
        )
    return shown


def _without(record: Evaluation) -> str:
    """Say that the answers that are counted are not those that fscl predict gives, where they differ."""
    part = "bias" if record.bias else "threshold" if record.threshold else ""
    return f"; here and below without the {part} that fscl predict uses, unless it is named" if part else ""


def _confusion_table(record: Evaluation) -> Table:
    shown = plain_table("what each was taken for")
    shown.add_column("class", overflow="fold")
    for name in record.classes:
        shown.add_column(Text(f"as {name}"), justify="right", overflow="fold")
    for name, row in zip(record.classes, record.confusion, strict=True):
        shown.add_row(_class(name, record), *(f"{count:,}" for count in row))
    return shown


def _metrics_table(record: Evaluation) -> Table:
    shown = plain_table("all classes together")
    shown.add_column("metric")
    shown.add_column("value", justify="right")
    for name, value in asdict(record.figures).items():
        if not isinstance(value, Mapping):
            shown.add_row(name.replace("_", " "), rounded(value))
    if record.threshold:
        for name in GAIN_AND_COST:
            at = f"{name.replace('_', ' ')} at threshold {record.threshold.value:.3f}"
            shown.add_row(at, rounded(record.threshold.figures.value(name)))
    if record.bias:
        for name in GAIN_AND_COST:
            shown.add_row(f"{name.replace('_', ' ')} with the bias", rounded(record.bias.figures.value(name)))
    return shown


def _class(name: str, record: Evaluation) -> Text:
    return Text(f"{name}{' (rare)' if name in record.minority else ''}")


def _share(hits: int, trials: int) -> str:
    """Return a share as it was counted, and its interval; empty where there is none.

    >>> _share(1, 5)
    '1 of 5, 1–72 %'
    """
    if not trials:
        return ""
    low, high = clopper_pearson(hits, trials, CONFIDENCE)
    return f"{hits:,} of {trials:,}, {100 * low:.0f}–{100 * high:.0f} %"


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


def _not_scored(record: Evaluation) -> Iterator[str]:
    failed = record.failed
    if failed:
        yield f"{number_of(len(failed), 'photo')} could not be read:"
        yield from (f"    {photo.path}: {photo.reason}" for photo in failed[:LISTED])
    if len(failed) > LISTED:
        yield f"    and {len(failed) - LISTED:,} more"
    for kind, count in record.left_out.items():
        yield f"{count:,} {LEFT_OUT[kind]} were left out"
    unusable, given = record.unusable, record.given
    if unusable and unusable.rows:
        rows = f"{unusable.rows:,} of {number_of(given.rows, 'row')}" if given else number_of(unusable.rows, "row")
        yield f"{rows} cannot be used:"
    for why in unusable.reasons if unusable else []:
        more = ", …" if why.rows > len(why.paths) else ""
        yield f"    {why.rows:,} {why.reason}: {', '.join(why.paths)}{more}"
    if record.bias:
        added = ", ".join(f"{name} {value:+.2f}" for name, value in record.bias.value.items())
        yield f"the bias is added to the scores of the classes, {record.bias.origin}: {added}"
    elif record.no_threshold:
        yield f"no threshold was chosen: {record.no_threshold}"
    if record.note:
        yield f"note: {record.note}"

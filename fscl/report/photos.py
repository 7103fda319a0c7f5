"""The photos of a study that were not used: rows of the source that cannot be, and photos that could not be read."""

from collections import Counter
from collections.abc import Mapping

from fscl.printable import number_of
from fscl.report.study import Study
from fscl.report.tables import DASH, Entry, Row, Table, TableSection

LISTED = 3  # paths of each reason


def photos_table(study: Study) -> Table | None:
    """Return how many rows and photos were not used, by reason, with a few of their paths; None where all were."""
    header, sections = study.header, []
    if header.unusable and header.unusable.rows:
        of = f" of {header.given.rows:,}" if header.given else ""
        rows = tuple(reason_row(why.reason, why.rows, why.paths) for why in header.unusable.reasons)
        sections.append(TableSection(f"rows of the source that cannot be used: {header.unusable.rows:,}{of}", rows))
    unreadable = study.unreadable
    if unreadable:
        counts = Counter(unreadable.values())
        paths = {reason: [path for path, why in unreadable.items() if why == reason] for reason in counts}
        rows = tuple(reason_row(reason, count, paths[reason]) for reason, count in counts.most_common())
        sections.append(TableSection(f"photos that could not be read when cells were run: {len(unreadable):,}", rows))
    if not sections:
        return None
    caption = (
        "A row with two reasons counts for both. A training photo that cannot be read is replaced by another of its "
        "class; figures are without such photos of validation and test."
    )
    return Table(caption, "reason", ("number", "such as"), tuple(sections))


def unreadable_line(unreadable: Mapping[str, str]) -> str | None:
    """Return a line for the terminal on photos that could not be read, path → reason; None without any.

    >>> unreadable_line({"deer/a.jpg": "truncated file"})
    '1 photo could not be read in training, validation or test, e.g. deer/a.jpg: truncated file'
    """
    if not unreadable:
        return None
    path, reason = next(iter(unreadable.items()))
    where = "could not be read in training, validation or test"
    return f"{number_of(len(unreadable), 'photo')} {where}, e.g. {path}: {reason}"


def reason_row(reason: str, count: int, paths: list[str]) -> Row:
    """Return the row of a reason: how many, and a few of their paths."""
    listed = ", ".join(paths[:LISTED]) + (", …" if count > LISTED else "")
    return Row(reason, "", (Entry(f"{count:,}"), Entry(listed or DASH, words=True)))

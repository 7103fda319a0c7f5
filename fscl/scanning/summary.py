"""What a scan found, for the terminal: the photos of each class, and what is wrong. Whole, or in a few lines."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import pandas as pd
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fscl.manifest import reasons
from fscl.manifest.balance import at_single_site
from fscl.manifest.table import SPLITS, Manifest
from fscl.printable import number_of
from fscl.scanning.labels import suspicions, written_apart
from fscl.scanning.sequences import untimed

FEWEST = 3  # photos of a class below which there is nothing to learn from and test on
LISTED = 3  # examples of each finding, copies in an example
MOST_SITES = 12  # in the table of sites
IN_SHORT = 5  # reasons, labels and kinds of notes in a few lines

Verify = Literal["none", "header", "decode"]
UNCHECKED = {
    "none": "no photo was opened (--verify header or decode does)",
    "header": "pixels were not decoded (--verify decode does, and finds every damaged photo)",
    "decode": "every photo was decoded",
}
DEPTH = re.compile(r"\d+ bits in a \d+-bit file")

Finding = tuple[str, Sequence[str]]
"""A sentence, and examples."""


def summary(manifest: Manifest, verify: Verify = "header") -> Group:
    """Return what a scan found: photos per class, split and site, and a section of what is wrong.

    Printed by `rich.print`; names are never taken for markup.

    Args:
        manifest: that was scanned.
        verify: how closely photos were looked at: nothing is called right that was not looked at.
    """
    rows, usable = manifest.rows, manifest.usable
    title = f"{number_of(usable['photo_id'].nunique(), 'usable photo')}, "
    title += f"{number_of(usable['label'].nunique(), 'class', 'classes')}, in {manifest.root}"
    findings = list(_findings(rows, usable))
    nothing = f"Nothing {'else ' if manifest.remarks else ''}found; {UNCHECKED[verify]}."
    limits = [f"{UNCHECKED[verify].capitalize()}."] if findings and verify != "decode" else []
    limits += [f"{note}." for note in [untimed(rows)] if note is not None]
    return Group(
        Text(title, style="bold", overflow="fold"),
        *(_bullet(remark) for remark in manifest.remarks),
        *_class_table(rows, usable),
        *_site_table(usable),
        Text("\nWorth a look" if findings else f"\n{nothing}", style="bold"),
        *(_shown(finding) for finding in findings),
        *([Text()] if findings and limits else []),
        *map(Text, limits),
    )


def in_short(manifest: Manifest, source: object, *, scanned: bool) -> list[str]:
    """Return what a scan found in a few lines, none where there is nothing to say.

    Args:
        manifest: the photos.
        source: what the user calls them.
        scanned: they were scanned just now; of a manifest only rows that cannot be used are worth a word.
    """
    rows, usable = manifest.rows, manifest.usable
    problems = reasons.counted(_problems_of(rows))
    said = []
    if len(problems):
        counts = [f"{count:,} {problem}" for problem, count in problems.value_counts().items()]
        said.append(f"{len(rows) - len(usable):,} of {number_of(len(rows), 'row')} cannot be used: {_few(counts)}")
    if scanned or said:
        said += _labels_in_short(rows)
    if scanned:
        said += [sentence for sentence, _ in [*_notes(rows)][:IN_SHORT]]
        said += [sentence for sentence, _ in _torn(usable)]
        said += manifest.remarks
    return [f"{source}, in short (fscl scan {source} shows all):", *(f"  {line}" for line in said)] if said else []


def _findings(rows: pd.DataFrame, usable: pd.DataFrame) -> Iterator[Finding]:
    yield from _problems(rows)
    yield from _notes(rows)
    yield from _depths(rows)
    yield from _copies(usable)
    yield from _torn(usable)
    yield from _labels(rows)
    yield from _keys(rows)
    yield from _classes(usable)


def _class_table(rows: pd.DataFrame, usable: pd.DataFrame) -> Iterable[Table]:
    photos = usable.drop_duplicates(["label", "photo_id"])
    by_class = photos.groupby("label")
    columns = {"photos": by_class.size()}
    if usable["x"].notna().any():
        columns["boxes"] = usable[usable["x"].notna()].groupby("label").size()
    if usable["site"].notna().any():
        columns["sites"] = by_class["site"].nunique()
    if usable["split"].notna().any():
        columns |= {part: photos[photos["split"] == part].groupby("label").size() for part in SPLITS}
    unusable = rows[rows["problem"].notna() & rows["label"].notna()]
    if len(unusable):
        columns["unusable"] = unusable.groupby("label")["photo_id"].nunique()
    counts = pd.DataFrame(columns).fillna(0).astype(int).sort_values("photos", ascending=False, kind="stable")
    table = Table("class", box=None, pad_edge=False)
    for name in counts.columns:
        table.add_column(name, justify="right")
    for label, row in zip(counts.index, counts.itertuples(index=False), strict=True):
        table.add_row(Text(str(label)), *(f"{count:,}" for count in row))
    if len(counts):
        yield table


def _site_table(usable: pd.DataFrame) -> Iterable[Table | Text]:
    """The sites with most photos, where sites are known."""
    by_site = usable.groupby("site")
    counts = pd.DataFrame({"photos": by_site["photo_id"].nunique(), "classes": by_site["label"].nunique()})
    if counts.empty:
        return
    table = Table("site", box=None, pad_edge=False)
    for name in counts.columns:
        table.add_column(name, justify="right")
    counts = counts.sort_values("photos", ascending=False, kind="stable")
    for site, photos, classes in counts.head(MOST_SITES).itertuples():
        table.add_row(Text(str(site)), f"{photos:,}", f"{classes:,}")
    yield Text()
    yield table
    if len(counts) > MOST_SITES:
        yield Text(f"and {len(counts) - MOST_SITES:,} more")


def _problems_of(rows: pd.DataFrame) -> pd.Series:
    """Why rows cannot be used; of a row without label also where the source did not say so."""
    return rows["problem"].mask(rows["problem"].isna() & rows["label"].isna(), "no label")


def _problems(rows: pd.DataFrame) -> Iterable[Finding]:
    problems = reasons.counted(_problems_of(rows))
    for problem, count in problems.value_counts().items():
        yield f"{number_of(count, 'row')} cannot be used: {problem}", _paths(rows, problems == problem)


def _notes(rows: pd.DataFrame) -> Iterable[Finding]:
    notes = reasons.counted(rows.get("note", pd.Series(dtype="str")))
    kinds = notes.str.split(": ").str[0]
    for kind, count in kinds.value_counts().items():
        yield f"{number_of(count, 'row')}: {kind}", _paths(rows, kinds == kind)


def _paths(rows: pd.DataFrame, chosen: pd.Series) -> list[str]:
    return list(rows.loc[chosen.index[chosen], "path"].drop_duplicates())


def _depths(rows: pd.DataFrame) -> Iterable[Finding]:
    """Photos of one camera that are not scaled alike, as their files do not say their depth."""
    depths = rows.get("note", pd.Series(dtype="str")).str.extract(f"({DEPTH.pattern})")[0].dropna()
    camera = rows.get("clock", rows["site"]).fillna(rows["site"])[depths.index].fillna("")
    each = depths.groupby(camera).agg(lambda of_camera: ", ".join(of_camera.value_counts().index))
    mixed = each[each.str.contains(",")]
    if len(mixed):
        yield (
            "photos of one camera are scaled by different depths, each by its own: convert all alike to 8 bits",
            [f"{name or 'all photos'}: {depths}" for name, depths in mixed.items()],
        )


def _groups_of_copies(usable: pd.DataFrame) -> pd.DataFrame:
    photos = usable.dropna(subset="content_hash").drop_duplicates(["content_hash", "path"])
    return photos[photos["content_hash"].duplicated(keep=False)]


def _copies(usable: pd.DataFrame) -> Iterable[Finding]:
    copies = _groups_of_copies(usable)
    groups = copies.groupby("content_hash", sort=False)
    if len(copies):
        extra = len(copies) - groups.ngroups
        yield (
            f"{number_of(extra, 'byte copy', 'byte copies')} of other photos; a split keeps copies together",
            [_equal(paths) for paths in groups["path"].agg(list)],
        )


def _torn(usable: pd.DataFrame) -> Iterable[Finding]:
    copies = _groups_of_copies(usable)
    torn = copies[copies.groupby("content_hash")["label"].transform("nunique") > 1]
    if len(torn):
        named = (torn["path"] + " (" + torn["label"] + ")").groupby(torn["content_hash"], sort=False).agg(list)
        yield (
            f"{number_of(len(named), 'photo')} with different labels on its copies",
            [_equal(copies) for copies in named],
        )


def _equal(paths: Sequence[str]) -> str:
    more = len(paths) - LISTED
    return " = ".join([*paths[:LISTED], *([f"{more:,} more"] if more > 0 else [])])


def _labels(rows: pd.DataFrame) -> Iterable[Finding]:
    suspicious = suspicions(rows["label"].dropna())
    if suspicious:
        yield (
            "labels that may be misspelt; a class map (label,class) merges them",
            [f"{s.label} ({number_of(s.rows, 'row')}), like {s.meant} ({s.meant_rows:,})" for s in suspicious],
        )


def _labels_in_short(rows: pd.DataFrame) -> Iterable[str]:
    suspicious = suspicions(rows["label"].dropna())
    if suspicious:
        yield f"labels that may be misspelt: {_few([f'{s.label} (like {s.meant})' for s in suspicious])}"


def _keys(rows: pd.DataFrame) -> Iterable[Finding]:
    for column in ("site", "sequence"):
        apart = written_apart(rows[column].dropna())
        if apart:
            yield (
                f"{column}s that differ in case, spaces, signs or zeros only, and count as several: a split may part "
                "what belongs together",
                [f"{s.label} ({number_of(s.rows, 'row')}), like {s.meant} ({s.meant_rows:,})" for s in apart],
            )


def _classes(usable: pd.DataFrame) -> Iterable[Finding]:
    photos = usable.groupby("label")["photo_id"].nunique()
    single = at_single_site(usable)
    if single:
        yield (
            f"{number_of(len(single), 'class', 'classes')} at a single site: a model may learn the place",
            [f"{label} (only at {site})" for label, site in single.items()],
        )
    few = photos[photos < FEWEST]
    if len(few):
        yield (
            f"{number_of(len(few), 'class', 'classes')} with fewer than {FEWEST} photos: too few to learn",
            [f"{label} ({count})" for label, count in few.items()],
        )
    if len(photos) < 2:
        yield f"{number_of(len(photos), 'class', 'classes')}: training needs two or more", photos.index.tolist()


def _shown(finding: Finding) -> Group:
    sentence, examples = finding
    listed = [*examples[:LISTED], *([f"and {len(examples) - LISTED:,} more"] if len(examples) > LISTED else [])]
    lines = [Padding(Text(example, overflow="fold"), (0, 0, 0, 4), expand=False) for example in listed]
    return Group(_bullet(sentence, style="yellow"), *lines)


def _bullet(sentence: str, style: str = "") -> Table:
    """A point whose further lines are indented, too."""
    point = Table.grid(padding=(0, 1))
    point.add_row(Text("•", style=style), Text(sentence, style=style, overflow="fold"))
    return point


def _few(names: Sequence[str]) -> str:
    more = len(names) - IN_SHORT
    return ", ".join([*names[:IN_SHORT], *([f"{more:,} more"] if more > 0 else [])])

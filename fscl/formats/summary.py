"""What a scan found, for the terminal: the photos of each class, and what is wrong."""

from collections.abc import Iterable, Sequence

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from fscl.formats import reasons
from fscl.formats.labels import suspicions, written_apart
from fscl.manifest.table import SPLITS, Manifest

FEWEST = 3  # photos of a class below which there is nothing to learn from and test on
LISTED = 3  # examples of each finding
MOST_SITES = 12  # in the table of sites

Finding = tuple[str, Sequence[str]]
"""A sentence, and examples."""


def summary(manifest: Manifest) -> Group:
    """Return what a scan found: photos per class, split and site, and a section of what is wrong.

    Printed by `rich.print`; names are never taken for markup.
    """
    rows, usable = manifest.rows, manifest.usable
    title = f"{_number(usable['photo_id'].nunique(), 'usable photo')}, "
    title += f"{_number(usable['label'].nunique(), 'class', 'classes')}, in {manifest.root}"
    found = [*_problems(rows), *_notes(rows), *_copies(usable), *_labels(rows), *_keys(rows), *_classes(usable)]
    heading = Text("\nWorth a look" if found else "\nNothing is wrong.", style="bold")
    tables = [_class_table(rows, usable), *_site_table(usable)]
    remarks = [Text(f"  {remark}", overflow="fold") for remark in manifest.remarks]
    return Group(Text(title, style="bold"), *remarks, *tables, heading, *map(_shown, found))


def _class_table(rows: pd.DataFrame, usable: pd.DataFrame) -> Table:
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
    return table


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


def _problems(rows: pd.DataFrame) -> Iterable[Finding]:
    problems = reasons.counted(rows["problem"])
    for problem, count in problems.value_counts().items():
        yield f"{_number(count, 'row')} cannot be used: {problem}", _paths(rows, problems == problem)


def _notes(rows: pd.DataFrame) -> Iterable[Finding]:
    notes = reasons.counted(rows.get("note", pd.Series(dtype="str")))
    kinds = notes.str.split(": ").str[0]
    for kind, count in kinds.value_counts().items():
        yield f"{_number(count, 'row')}: {kind}", _paths(rows, kinds == kind)


def _paths(rows: pd.DataFrame, chosen: pd.Series) -> list[str]:
    return list(rows.loc[chosen.index[chosen], "path"])


def _copies(usable: pd.DataFrame) -> Iterable[Finding]:
    photos = usable.dropna(subset="content_hash").drop_duplicates(["content_hash", "path"])
    copies = photos[photos["content_hash"].duplicated(keep=False)]
    groups = copies.groupby("content_hash", sort=False)
    if len(copies):
        extra = len(copies) - groups.ngroups
        yield (
            f"{_number(extra, 'byte copy', 'byte copies')} of other photos; a split keeps copies together",
            [" = ".join(paths) for paths in groups["path"].agg(list)],
        )
    torn = copies[groups["label"].transform("nunique") > 1]
    if len(torn):
        named = (torn["path"] + " (" + torn["label"] + ")").groupby(torn["content_hash"], sort=False).agg(list)
        yield (
            f"{_number(len(named), 'photo')} with different labels on its copies",
            [" = ".join(copies) for copies in named],
        )


def _labels(rows: pd.DataFrame) -> Iterable[Finding]:
    found = suspicions(rows["label"].dropna())
    if found:
        yield (
            "labels that may be misspelt; a class map (label,class) merges them",
            [f"{s.label} ({_number(s.rows, 'row')}), like {s.meant} ({s.meant_rows:,})" for s in found],
        )


def _keys(rows: pd.DataFrame) -> Iterable[Finding]:
    for column in ("site", "sequence"):
        found = written_apart(rows[column].dropna())
        if found:
            yield (
                f"{column}s that differ in case, spaces, signs or zeros only, and count as several: a split may part "
                "what belongs together",
                [f"{s.label} ({_number(s.rows, 'row')}), like {s.meant} ({s.meant_rows:,})" for s in found],
            )


def _classes(usable: pd.DataFrame) -> Iterable[Finding]:
    by_class = usable.groupby("label")
    sites, photos = by_class["site"].nunique(), by_class["photo_id"].nunique()
    single = sites.index[sites == 1].tolist()
    if usable["site"].nunique() > 1 and single:
        where = usable.groupby("label")["site"].first()
        yield (
            f"{_number(len(single), 'class', 'classes')} at a single site: a model may learn the place",
            [f"{label} (only at {where[label]})" for label in single],
        )
    few = photos[photos < FEWEST]
    if len(few):
        yield (
            f"{_number(len(few), 'class', 'classes')} with fewer than {FEWEST} photos: too few to learn",
            [f"{label} ({count})" for label, count in few.items()],
        )
    if len(photos) < 2:
        yield f"{_number(len(photos), 'class', 'classes')}: training needs two or more", photos.index.tolist()


def _shown(finding: Finding) -> Text:
    sentence, examples = finding
    text = Text(f"• {sentence}", style="yellow", overflow="fold")
    for example in examples[:LISTED]:
        text.append(f"\n    {example}", style="default")
    if len(examples) > LISTED:
        text.append(f"\n    and {len(examples) - LISTED:,} more", style="default")
    return text


def _number(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"

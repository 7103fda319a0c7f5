"""The photos of a run: labelled and readable, split without leaks, thinned to the wanted ratio or long tail."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from fscl.config import Config, Split
from fscl.errors import ConfigurationError, PhotosError, did_you_mean
from fscl.manifest.balance import at_single_site, balance_report, filled_in
from fscl.manifest.forward import times_line, why_all_overlap
from fscl.manifest.groups import By, why_no_test
from fscl.manifest.imbalance import measures, profile, thin
from fscl.manifest.reasons import tally
from fscl.manifest.splits import (
    LEFT_OUT,
    assign_splits,
    check_disjoint,
    tests_on_val,
)
from fscl.manifest.table import SPLITS, Manifest, counts_by_class, unit_of
from fscl.printable import number_of
from fscl.scoring.metrics import SHOTS

LISTED = 3  # photos in a note
TIED_LISTED = 5  # classes in a sentence
VERSION = 1  # of the record


@dataclass(frozen=True)
class Subset:
    """The rows of a run, all with a split, what its classes are, and what the source held besides.

    `minority` is empty where no class is rare.
    """

    manifest: Manifest
    classes: tuple[str, ...]
    minority: tuple[str, ...]
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def train_counts(self) -> dict[str, int]:
        """Training regions per class: a photo without boxes is one."""
        return counts_by_class(self.rows("train"), self.classes)["regions"]

    @property
    def record(self) -> dict[str, Any]:
        """What `photos.json` of the run says, see docs/schema.md."""
        counts = {split: counts_by_class(self.rows(split), self.classes) for split in SPLITS}
        classes, minority = list(self.classes), list(self.minority)
        return {"version": VERSION, **self.source, "classes": classes, "minority": minority, "counts": counts}

    def rows(self, split: str) -> pd.DataFrame:
        """Return the usable rows of a split."""
        rows = self.manifest.usable
        return rows[rows["split"] == split].reset_index(drop=True)


def split_photos(manifest: Manifest, settings: Split, *, redraw: bool = False) -> Manifest:
    """Return the manifest with every usable row in train, val or test.

    Splits of the source are kept, unless they are to be drawn anew.

    Raises:
        PhotosError: nothing to train on, or with `strict` a class that cannot be split.
    """
    by = _by(manifest, settings)
    rows = assign_splits(
        manifest.rows,
        by=by,
        val_fraction=settings.val_fraction,
        test_fraction=settings.test_fraction,
        strict=settings.strict,
        redraw=redraw,
    )
    check_disjoint(rows, by)
    return Manifest(rows, manifest.root)


def source_record(source: Manifest, divided: Manifest, settings: Split, *, redraw: bool = False) -> dict[str, Any]:
    """Return what a source held and what dividing it did unasked: `given`, `unusable`, `notes` of docs/schema.md.

    Args:
        source: all photos.
        divided: what `split_photos` made of them.
        settings: of the split.
        redraw: whether it was drawn anew.
    """
    return {
        "given": {"rows": len(source.rows), "photos": source.rows["photo_id"].nunique()},
        "unusable": tally(divided.rows),
        "notes": split_notes(source, divided, settings, redraw=redraw),
    }


def split_notes(source: Manifest, divided: Manifest, settings: Split, *, redraw: bool = False) -> list[str]:
    """Say what dividing the photos did unasked: validation taken for test, photos left out, nothing to test on."""
    rows = divided.usable
    photos = rows.groupby("split")["photo_id"].nunique()
    notes, by = [], _by(divided, settings)
    if by == "time":
        notes.append(times_line(rows))
    if not redraw and tests_on_val(source.rows, settings.test_fraction):
        carved = photos.get("val", 0)
        instead = f", and {carved:,} training photos are the validation" if carved else ""
        notes.append(
            f"the photos have a validation but no test split: their {photos['test']:,} validation photos are the test"
            f"{instead}"
        )
    elif not redraw:
        shares = {"val": settings.val_fraction, "test": settings.test_fraction}
        notes += filled_in(source.rows, divided.rows, shares, by_time=by == "time")
    left_out = divided.rows[divided.rows["problem"].str.startswith(LEFT_OUT, na=False)]
    for problem, own in left_out.drop_duplicates("path").groupby("problem")["path"]:
        more = f" and {len(own) - LISTED:,} more" if len(own) > LISTED else ""
        unit = "photo" if len(own) == 1 else "photos"
        notes.append(f"{len(own):,} {unit} left out, {problem}: {', '.join(own.head(LISTED))}{more}")
    if settings.test_fraction > 0 and "test" not in photos:
        parts = 2 + (settings.val_fraction > 0)
        notes.append(why_all_overlap(rows) if by == "time" else why_no_test(rows, by, parts=parts))
    return notes


def _by(manifest: Manifest, settings: Split) -> By:
    return settings.by or ("sequence" if manifest.rows["sequence"].notna().any() else "photo")


def imbalance_line(counts: Mapping[str, int], unit: str = "photos") -> str:
    """Return the long-tail measures of training regions per class in a line; `unit` is what they are called."""
    measured = measures(counts)
    shown = [f"as varied as {measured['effective_classes']:.1f} classes of equal size (of {len(counts)})"]
    if measured["imbalance_ratio"] is not None:
        shown.insert(0, f"largest : smallest class = {measured['imbalance_ratio']:.3g} : 1")
    counted = "" if unit == "photos" else f" ({unit})"
    return f"imbalance in training{counted}: {', '.join(shown)}"


def balance_table(manifest: Manifest, by: By | None = None) -> Table:
    """Return photos per class and split, and what is wrong with a class, as a table for the terminal.

    Where photos have several regions, these stand beside the photos.

    Args:
        manifest: the photos, divided.
        by: what they were divided by, where that is known.
    """
    report = balance_report(manifest.rows)
    unit = unit_of(manifest.usable)
    counts = dict(zip(report["label"], report["train_regions"], strict=True))
    caption = "\n".join(
        [imbalance_line(counts, unit), *_crossing_sites(manifest.rows, by), *_single_sites(manifest.usable)]
    )
    title = "photos" if unit == "photos" else f"photos ({unit})"
    table = Table("class", title=title, title_justify="left", caption=caption, caption_justify="left")
    for column in ("train", "val", "test", "sites", "sequences"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in report.to_dict("records"):
        regions = [f" ({row[f'{part}_regions']})" if unit == "regions" else "" for part in SPLITS]
        figures = [f"{row[part]}{boxes}" for part, boxes in zip(SPLITS, regions, strict=True)]
        figures += [str(row[column]) for column in ("sites", "sequences")]
        table.add_row(Text(str(row["label"])), *figures, "" if pd.isna(row["trouble"]) else Text(str(row["trouble"])))
    return table


def _crossing_sites(rows: pd.DataFrame, by: By | None) -> list[str]:
    """Say how many sites both training and test photos come from, if any; a split by time means the same cameras."""
    sites = {part: set(rows.loc[rows["split"] == part, "site"].dropna()) for part in ("train", "test")}
    crossing, tested = len(sites["train"] & sites["test"]), len(sites["test"])
    if not crossing or by == "time":
        return []
    return [
        f"{crossing} of {tested} test sites are in training, too: figures of places seen before. Keep sites apart by",
        "fscl split PHOTOS --by site --redraw",
    ]


def _single_sites(usable: pd.DataFrame) -> list[str]:
    """Name the classes that are at one site alone, if any."""
    single = at_single_site(usable)
    if not single:
        return []
    places = [f"{label} (only at {site})" for label, site in single.items()]
    listed = ", ".join(places[:TIED_LISTED]) + (", …" if len(places) > TIED_LISTED else "")
    return [f"{number_of(len(places), 'class', 'classes')} at a single site: a model may learn the place: {listed}"]


def subset(manifest: Manifest, config: Config) -> Subset:
    """Split and thin the photos as the configuration says.

    Args:
        manifest: all photos.
        config: `split`, `imbalance` and `seed` of it are used.

    Raises:
        PhotosError: fewer than two classes, an unknown class, or a class without training photos.
        ConfigurationError: a minority that is not among the classes, or all of them; none given, several classes that
            have the fewest training photos, and settings that need a minority.
    """
    chosen = _chosen(manifest, config.classes, config.imbalance.minority)
    divided = split_photos(manifest, config.split)
    rows = divided.rows[divided.rows["label"].isin(chosen) & divided.rows["split"].notna()]
    counts = Counter(rows.loc[rows["split"] == "train", "label"])
    untrained = [name for name in chosen if not counts[name]]
    if untrained:
        why = "check the split column of the source"
        if config.split.by == "time":
            why = "all are later than training; leave out by --classes what is new, or split by sequence"
        raise PhotosError(f"no training photo of {', '.join(untrained)}; {why}")
    wanted = config.imbalance
    minority = tuple(dict.fromkeys(wanted.minority)) or rarest(counts)
    draw: dict[str, Any] = {"base": wanted.base, "seed": config.seed, "thin_validation": wanted.thin_validation}
    if wanted.ratio is not None:
        _check_rare(minority, counts, "a ratio")
        rows = thin(rows, minority=minority, ratio=wanted.ratio, **draw)
    elif wanted.imbalance is not None:
        order = tuple(dict.fromkeys(config.classes)) or chosen
        rows = profile(rows, classes=order, imbalance=wanted.imbalance, **draw)
        left = Counter(rows.loc[rows["split"] == "train", "label"])
        if not wanted.minority:
            minority = tail({name: left[name] for name in order})
    if config.augmentation.classes == "minority":
        _check_rare(minority, counts, 'augmentation.classes = "minority"')
    source = source_record(manifest, divided, config.split)
    return Subset(Manifest(rows.reset_index(drop=True), manifest.root), chosen, minority, source)


def rarest(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return the class with the fewest photos; of several that have the fewest none is rarer than the others.

    >>> rarest({"bear": 500, "boar": 20}), rarest({"bear": 500, "boar": 20, "deer": 20})
    (('boar',), ())
    """
    least = min(counts.values(), default=0)
    fewest = tuple(name for name, photos in counts.items() if photos == least)
    return fewest if len(fewest) == 1 else ()


def tie(counts: Mapping[str, int]) -> str:
    """Say which classes have the fewest photos.

    >>> tie({"bear": 500, "boar": 20, "deer": 20})
    '2 classes have the fewest photos (20 each: boar, deer), so that none is the rare one'
    """
    least = min(counts.values())
    names = sorted(name for name, photos in counts.items() if photos == least)
    listed = ", ".join(names[:TIED_LISTED]) + (", …" if len(names) > TIED_LISTED else "")
    return f"{len(names)} classes have the fewest photos ({least} each: {listed}), so that none is the rare one"


def tail(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return the rare classes of a long tail: the few-shot ones, or else the rarer half.

    Also where all are few-shot it is the half, so that there are common classes to compare with.

    Args:
        counts: class → training regions; among equal ones the later is the rarer.

    >>> tail({"bear": 500, "boar": 100, "deer": 19})
    ('deer',)
    >>> tail({"bear": 5000, "boar": 1077, "deer": 232, "wolf": 50})
    ('deer', 'wolf')
    """
    few = tuple(name for name, photos in counts.items() if photos < SHOTS["medium"][0])
    if 0 < len(few) < len(counts):
        return few
    rarest_last = sorted(counts, key=lambda name: counts[name], reverse=True)
    return tuple(rarest_last[-(len(counts) // 2) :])


def _check_rare(minority: Sequence[str], counts: Mapping[str, int], what: str) -> None:
    if not minority:
        raise ConfigurationError(f"{what} needs rare classes, and {tie(counts)}; name some with --minority")


def _chosen(manifest: Manifest, classes: Sequence[str], minority: Sequence[str]) -> tuple[str, ...]:
    """Return the classes to tell apart, sorted, where they are there and some but not all of them rare."""
    known = sorted(manifest.usable["label"].unique())
    for name in [*classes, *minority]:
        if name not in known:
            raise PhotosError(f"no usable photo of class '{name}'{did_you_mean(name, known)}")
    chosen = tuple(sorted(set(classes or known)))
    if len(chosen) < 2:
        raise PhotosError(f"training needs at least 2 classes, got {len(chosen)}: {', '.join(chosen) or 'none'}")
    for name in minority:
        if name not in chosen:
            raise ConfigurationError(
                f"the rare class '{name}' is not among the classes to tell apart{did_you_mean(name, chosen)}"
            )
    if set(minority) == set(chosen):
        raise ConfigurationError(
            f"all {len(chosen)} classes are called rare: {', '.join(chosen)}; leave at least one out of the minority"
        )
    return chosen

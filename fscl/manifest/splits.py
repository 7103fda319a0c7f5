"""Training, validation and test photos that share no photo, video, byte copy, sequence or site."""

from collections import defaultdict
from math import inf

import numpy as np
import pandas as pd

from fscl.errors import ConfigurationError, PhotosError, did_you_mean
from fscl.manifest.balance import balance_report
from fscl.manifest.forward import NO_TIME, check_order, leave_out_untimed, parts_by_time
from fscl.manifest.groups import COPIED, KEPT_WHOLE, By, called, groups, kept_whole
from fscl.manifest.table import is_usable

FINER = {
    "photo": "",
    "sequence": ", or keep it with --by photo",
    "site": ", or keep it with --by sequence or photo",
    "time": ", or keep it with --by photo",
}
LONG_NAME = {"train": "training", "val": "validation", "test": "test"}
BYTE_COPY, HELD_OUT = "byte copy", "held out"
LEFT_OUT = (BYTE_COPY, HELD_OUT, NO_TIME)  # the problems that a split gives begin with these
SURPLUS = {
    "sequence": f"{BYTE_COPY} of a photo in another sequence",
    "site": f"{BYTE_COPY} of a photo at another site",
}
DEALS = 20  # the best of these counts
MANY_GROUPS = 1000  # from here on, one deal comes close to the shares
Holdings = dict[int, dict[str, float]]  # group → class → fraction of the photos of the class


def assign_splits(
    rows: pd.DataFrame,
    *,
    by: By,
    val_fraction: float = 0.15,
    test_fraction: float = 0.15,
    seed: int = 0,
    strict: bool = False,
    redraw: bool = False,
) -> pd.DataFrame:
    """Return a copy of the manifest with `split` filled in, stratified as far as groups allow.

    A group is a site, a sequence or a photo; a row without site goes by its sequence, one without sequence
    by its photo. Groups that share a sequence, video or photo are one, and so are photos that are byte copies, and
    frames of copies of one video. A byte copy of a photo does not make sites one, nor more than two sequences: it
    stays in one of them, and the other copies are left out, with a `problem`.

    - A class in enough groups (three, or two where only one part is carved) gets at least one validation
      and one test photo; where groups hold several classes, as far as they allow. A class in fewer stays in
      training. If a common class can only be tested in a group with photos of such a rare one, these photos
      are left out, with a `problem`.
    - Splits of the source are kept, and missing parts are carved out of training. If the source has
      validation but no test, its validation becomes the test. A row without split follows its group, or
      joins training. Training rows that are byte copies of held-out photos are left out, with a `problem`.
    - Rows with a `problem` or without label get no split.
    - By time one date is for all classes: the last photos are the test, those before them validation. Sequences stay
      whole, and all of training is before all of the test; a class may miss a part. What has no time, nor another
      photo of its sequence, is left out, with a `problem`.

    Args:
        rows: manifest rows.
        by: what is kept whole; "site" keeps sequences whole, too.
        val_fraction: validation photos of each class, as a fraction of those they are carved from, ≥ 0.
        test_fraction: the same for test; together below 1.
        seed: of the draw; row order plays no part, and by time there is none. Where groups are few, seeds may agree.
        strict: refuse a table in which a class misses a part.
        redraw: drop the split that the rows have, and the problems that it gave them, instead of keeping it.

    Raises:
        ConfigurationError: unknown `by`, or fractions out of range.
        PhotosError: no usable row, no training photo, no site, sequence or time to split by, splits of the source
            that part a group or are not in the order of time, or, with `strict`, classes that miss a part.

    >>> rows = pd.DataFrame({"photo_id": list("abcdefgh"), "label": "roe deer", "sequence": list("11223344")})
    >>> rows["region_id"] = rows["photo_id"] + "#0"
    >>> rows[["site", "content_hash", "split", "problem"]] = None
    >>> assign_splits(rows, by="sequence").groupby("split")["sequence"].nunique().to_dict()
    {'test': 1, 'train': 2, 'val': 1}
    """
    _check_settings(by, val_fraction, test_fraction)
    table = _with_splits_of_the_source(rows, by, test_fraction, redraw=redraw)
    wanted = {"test": test_fraction, "val": val_fraction}
    shares = {part: share for part, share in wanted.items() if share > 0 and not (table["split"] == part).any()}
    if shares and by == "time":
        pool = table[table["split"] == "train"]
        table.loc[pool.index, "split"] = parts_by_time(pool, shares)
        _leave_out_copies(table)
    elif shares:
        _carve(table, by, shares, np.random.default_rng(seed))
    result = rows.copy()
    for column in ("split", "problem"):
        result[column] = table[column].reindex(rows["region_id"]).array
    if strict:
        _refuse_trouble(result, by)
    return result


def has_split(rows: pd.DataFrame) -> bool:
    """Tell whether the rows hold out photos already, which `assign_splits` keeps, whatever its fractions.

    >>> rows = pd.DataFrame({"label": ["boar", "boar"], "split": ["train", None], "problem": None})
    >>> has_split(rows), has_split(rows.assign(split=["train", "test"]))
    (False, True)
    """
    return bool(rows.loc[is_usable(rows), "split"].isin(["val", "test"]).any())


def tests_on_val(rows: pd.DataFrame, test_fraction: float) -> bool:
    """Tell whether `assign_splits` makes the validation of the source the test, for there is none.

    >>> rows = pd.DataFrame({"label": "boar", "split": ["train", "val"], "problem": None})
    >>> tests_on_val(rows, 0.15), tests_on_val(rows, 0)
    (True, False)
    """
    held_out = set(rows.loc[is_usable(rows), "split"].dropna()) - {"train"}
    return test_fraction > 0 and held_out == {"val"}


def check_disjoint(rows: pd.DataFrame, by: By) -> None:
    """Raise PhotosError naming the first site, sequence, photo or byte copy that two splits share.

    Rows without split take no part; `by` says which columns of `KEPT_WHOLE` are looked at.
    """
    placed = rows[rows["split"].notna()]
    for column in kept_whole(rows, by):
        pairs = placed[[column, "split"]].dropna().drop_duplicates()
        shared = pairs.loc[pairs[column].duplicated(), column].drop_duplicates().sort_values()
        if len(shared):
            splits = set(pairs.loc[pairs[column] == shared.iloc[0], "split"])
            parts = " and ".join(name for part, name in LONG_NAME.items() if part in splits)
            what = f"copies of a {COPIED[column]}" if column in COPIED else column
            raise PhotosError(
                f"expected splits that share no {what}, but {called(placed, column, shared.iloc[0])} is in {parts}"
                f" ({len(shared)} such); draw the split anew (fscl split --redraw){FINER[by]}"
            )


def _with_splits_of_the_source(rows: pd.DataFrame, by: By, test_fraction: float, *, redraw: bool) -> pd.DataFrame:
    """Return the rows by region, each usable one in the part that the source gives it, or in training."""
    table = rows.set_index("region_id", drop=False).sort_index()
    table = table.astype({"split": "str", "problem": "str"})
    if redraw:
        table.loc[:, "split"] = None
        table.loc[table["problem"].str.startswith(LEFT_OUT, na=False), "problem"] = None
    table["split"] = table["split"].where(is_usable(table))
    if tests_on_val(table, test_fraction):
        table["split"] = table["split"].replace("val", "test")
    _leave_out_copies(table)
    _check_usable(table[is_usable(table)], by)
    if by == "time":
        leave_out_untimed(table)
    _fill(table, by)
    _leave_out_copies(table)
    if not (table["split"] == "train").any():
        raise PhotosError(
            "expected photos to train on, but the source's `split` holds all out; draw it anew: fscl split --redraw"
        )
    check_disjoint(table, by)
    if by == "time":
        check_order(table)
    return table


def _refuse_trouble(rows: pd.DataFrame, by: By) -> None:
    report = balance_report(rows)
    troubles = [
        f"{label}: {why}" for label, why in zip(report["label"], report["trouble"], strict=True) if pd.notna(why)
    ]
    if troubles:
        raise PhotosError(
            f"expected every class in every part, but {len(troubles)} cannot be split: {'; '.join(troubles)};"
            f" add photos {'of other dates' if by == 'time' else 'from other places'}, drop these classes, or split"
            " without strict"
        )


def _leave_out_copies(table: pd.DataFrame) -> None:
    """Where the source has byte copies on both sides, keep the one that is held out furthest; videos with all frames.

    A single video that is on both sides stays so: `check_disjoint` refuses it.
    """
    for column, what in COPIED.items():
        if column not in table or not table[column].dropna().duplicated().any():
            continue
        for part, held_out in (("val", "test"), ("train", "test"), ("train", "val")):
            held = table[table["split"] == held_out]
            copies = (table["split"] == part) & table[column].isin(held[column].dropna())
            if column == "video_hash":
                copies &= ~table["video_id"].isin(held["video_id"])
            table.loc[copies, "problem"] = f"{BYTE_COPY} of a {LONG_NAME[held_out]} {what}"
            table.loc[copies, "split"] = None


def _fill(table: pd.DataFrame, by: By) -> None:
    """Put usable rows without split where their group is held out, the others into training."""
    usable = table[is_usable(table)]
    group = groups(usable, by).number
    held_out = usable["split"].where(usable["split"] != "train")
    follows = group.map(held_out.groupby(group).first())
    table.loc[usable.index, "split"] = usable["split"].fillna(follows).fillna("train")


def _carve(table: pd.DataFrame, by: By, shares: dict[str, float], generator: np.random.Generator) -> None:
    """Hold out shares of training; leave out, with a problem, surplus copies and classes too rare to test."""
    pool = table[table["split"] == "train"]
    group, surplus = groups(pool, by)
    table.loc[surplus, "problem"] = SURPLUS.get(by)
    rows = pool.drop(index=surplus)
    photos = rows[["photo_id", "label"]].assign(group=group[rows.index]).drop_duplicates()
    counts = photos.groupby(["group", "label"]).size()
    fractions = counts / counts.groupby("label").transform("sum")
    holdings: Holdings = defaultdict(dict)
    for number, label, fraction in fractions.reset_index().itertuples(index=False):
        holdings[number][label] = fraction

    part_of, too_rare = _deal(holdings, {"train": 1 - sum(shares.values()), **shares}, generator)
    split = group[rows.index].map(part_of)
    left_out = rows.index[rows["label"].isin(too_rare) & (split != "train")]
    table.loc[left_out, "problem"] = f"{HELD_OUT} for other classes, but its class has too few groups by {by} to test"
    table.loc[pool.index, "split"] = split.drop(left_out).reindex(pool.index)


def _deal(
    holdings: Holdings, shares: dict[str, float], generator: np.random.Generator
) -> tuple[dict[int, str], set[str]]:
    """Return the part of each group, and the classes too rare: in fewer groups than there are parts.

    Where groups hold several classes, an unlucky deal can keep a class out of a part or fill the parts
    unevenly, hence the best of several.
    """
    groups_of: dict[str, list[int]] = defaultdict(list)
    for group, held in holdings.items():
        for label in held:
            groups_of[label].append(group)
    too_rare = {label for label, groups in groups_of.items() if len(groups) < len(shares)}
    dealt = {label: groups for label, groups in groups_of.items() if label not in too_rare}

    best: dict[int, str] = {}
    least = (inf, inf, inf)
    for _ in range(DEALS):
        part_of, lacking = _deal_once(holdings, dealt, shares, generator)
        missing = sum(len(shares) - len({part_of[group] for group in groups}) for groups in dealt.values())
        left_out = sum(holdings[g].get(label, 0) for g in holdings if part_of[g] != "train" for label in too_rare)
        unevenness = sum(lack**2 for lacks in lacking.values() for lack in lacks.values())
        if (missing, left_out, unevenness) < least:
            best, least = part_of, (missing, left_out, unevenness)
        if missing == 0 and len(holdings) > MANY_GROUPS:
            break
    return best, too_rare


def _deal_once(
    holdings: Holdings,
    groups_of: dict[str, list[int]],
    shares: dict[str, float],
    generator: np.random.Generator,
) -> tuple[dict[int, str], dict[str, dict[str, float]]]:
    """Rarest class first, its larger groups first, each to the part that lacks most of what it holds.

    The last groups of a class go to the parts that have none of it. A group with photos of a class too rare
    to test (not in `groups_of`) goes to training unless it is needed so. Returns the part of each group, and
    what each part still lacks, as a fraction of the photos of each class.
    """
    lacking = {part: dict.fromkeys(groups_of, share) for part, share in shares.items()}
    reached: dict[str, set[str]] = {part: set() for part in shares}
    rare = {g: sum(f for label, f in held.items() if label not in groups_of) for g, held in holdings.items()}
    part_of: dict[int, str] = {}

    def jitter() -> float:
        # Numbers within a factor of two may change places, so that deals and seeds differ.
        return float(generator.uniform(1, 2))

    for label in sorted(groups_of, key=lambda label: len(groups_of[label]) * jitter()):
        waiting = [
            (-rare[group], -holdings[group][label] * jitter(), group)
            for group in groups_of[label]
            if group not in part_of
        ]
        for left, (_, _, group) in zip(range(len(waiting), 0, -1), sorted(waiting), strict=True):
            held = {k: fraction for k, fraction in holdings[group].items() if k in groups_of}
            options = [part for part in shares if label not in reached[part]]
            if len(options) < left:
                options = ["train"] if rare[group] else list(shares)
            need = [sum(lacking[part][k] * fraction for k, fraction in held.items()) for part in options]
            part = part_of[group] = options[need.index(max(need))]
            reached[part].update(held)
            for k, fraction in held.items():
                lacking[part][k] -= fraction
    return {group: part_of.get(group, "train") for group in holdings}, lacking


def _check_settings(by: str, val_fraction: float, test_fraction: float) -> None:
    if by not in KEPT_WHOLE:
        raise ConfigurationError(f"cannot split by '{by}'{did_you_mean(by, KEPT_WHOLE)}")
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
        raise ConfigurationError(
            "expected val_fraction and test_fraction of at least 0 that add up to less than 1,"
            f" got {val_fraction} and {test_fraction}; 0.15 and 0.15 are usual"
        )


def _check_usable(usable: pd.DataFrame, by: By) -> None:
    if usable.empty:
        raise PhotosError("expected labelled photos without problems, got none; see the summary of `fscl scan`")
    if by == "site" and usable["site"].isna().all():
        raise PhotosError(
            "expected sites to split by, but no photo has one; fill the column `site` with the camera or"
            " place of each photo, or split by sequence or photo"
        )
    if by == "sequence" and usable["sequence"].isna().all():
        raise PhotosError(
            "expected sequences to split by, but no photo has one; fill the column `sequence` with the burst of each"
            " photo, or `datetime` and `site`, of which `fscl scan` makes them, or split by site or photo"
        )

"""Bursts: photos of one camera, each shortly after the one before, are one sequence, which a split keeps together."""

from collections.abc import Iterator
from math import inf
from pathlib import PurePosixPath

import pandas as pd

from fscl.errors import ConfigurationError, PhotosError
from fscl.formats.class_folders.layouts import NO_NAME, split_of
from fscl.manifest import reasons
from fscl.manifest.names import tidy
from fscl.printable import number_of

GAP_S = 30.0
"""Photos of one camera at most so far apart are of one sequence."""

# Photos of one camera with the same time; where there are more, the time is of a copy or an import, not of photos.
MOST_A_SECOND = 10
MOST_A_MINUTE = 30
LEAST_TIMES = 3  # different ones, all on whole minutes, before a clock is taken for one that tells minutes only
MINUTE_S = 60.0
SHARED_TIME = "time shared by more photos than a camera takes at once: its burst is not known"
DATE_ALONE = "a date without time of day: its burst is not known"
LARGE, LARGE_SHARE = 50, 0.2  # photos of a sequence, and its share of all, from which on it is worth a look
LISTED = 3


def clocks(rows: pd.DataFrame, cameras: pd.DataFrame) -> pd.Series:
    """Return whose clock the time of each photo is of; missing where the source has sequences itself.

    The site, where it is known; else the camera by its serial number in EXIF, or by the station in a file name of
    camtrapR; else the folder with the model of the camera. Of the folders, those of the class, the split and the
    system (DCIM, dates) do not count: a burst is often sorted into several classes.

    Args:
        rows: `path`, `label`, `site`, `sequence`, `split`, as the source has them.
        cameras: `camera` and `model`, by the index of the rows.
    """
    inner: dict[tuple[str, object, object], str] = {}
    keys = [
        (path.rpartition("/")[0], *of) for path, *of in zip(rows["path"], rows["label"], rows["split"], strict=True)
    ]
    for key in dict.fromkeys(keys):
        inner[key] = _inner_folders(*key)
    folder = pd.Series([inner[key] for key in keys], index=rows.index, dtype="str")
    of_folder = folder.str.cat(cameras["model"], sep=" ", na_rep="").str.strip()
    clock = rows["site"].fillna(cameras["camera"]).fillna(of_folder)
    return clock.mask(rows["sequence"].notna()).astype("str")


def _inner_folders(folder: str, label: object, split: object) -> str:
    """The folders that may tell one camera from another."""
    names = [name for name in PurePosixPath(folder).parts if tidy(name) != label and not NO_NAME.fullmatch(name)]
    return "/".join(name for name in names if not isinstance(split, str) or split_of(name) != split)


def with_sequences(rows: pd.DataFrame, gap_s: float) -> pd.DataFrame:
    """Return the rows with the sequences that their times make, where the source has none of its own.

    Of a clock that tells whole minutes, photos of a minute and the next may be of one burst: they are joined, too.

    Args:
        rows: manifest rows with the column `clock`; `sequence` is filled where that is known.
        gap_s: seconds between two photos up to which they are of one sequence; 0 makes no sequences.

    Raises:
        ConfigurationError: a negative gap.
    """
    check_gap(gap_s)
    ours = rows["clock"].notna()
    rows = rows.assign(sequence=rows["sequence"].mask(ours))
    photos = rows.loc[ours & rows["datetime"].notna(), ["path", "clock", "datetime"]].drop_duplicates("path")
    if gap_s == 0 or photos.empty:
        return rows
    in_minutes = photos["clock"].isin(minute_clocks(photos))
    photos["why"] = _why_no_use(photos, in_minutes)
    photos = photos.sort_values(["clock", "datetime", "path"])
    useful = photos[photos["why"].isna()]
    allowed_s = gap_s + in_minutes[useful.index] * MINUTE_S
    far = useful["datetime"].diff().dt.total_seconds() > allowed_s
    first = useful["datetime"].where(far | (useful["clock"] != useful["clock"].shift())).ffill()
    names = (useful["clock"] + " " + first.dt.strftime("%Y-%m-%d %H:%M:%S")).str.strip()
    of_path = dict(zip(useful["path"], names, strict=True))
    rows["sequence"] = rows["sequence"].fillna(rows["path"].map(of_path).where(ours).astype("str"))
    why = dict(photos[["path", "why"]].dropna().itertuples(index=False, name=None))
    rows["note"] = reasons.added(rows["note"], rows["path"].map(why).where(ours).astype("str"))
    return rows


def _why_no_use(photos: pd.DataFrame, in_minutes: pd.Series) -> pd.Series:
    """Why a time does not tell a burst, where it does not."""
    times = photos["datetime"]
    dates = (times == times.dt.floor("D")).groupby(photos["clock"])
    date_alone = dates.transform("all") & (dates.transform("size") > 1)
    at_once = photos.groupby(["clock", "datetime"])["path"].transform("size")
    shared = at_once > in_minutes.map({True: MOST_A_MINUTE, False: MOST_A_SECOND})
    return reasons.where(shared, SHARED_TIME).mask(date_alone, DATE_ALONE)


def minute_clocks(photos: pd.DataFrame) -> list[str]:
    """Return the clocks whose times all are on whole minutes."""
    times = photos["datetime"]
    by_clock = photos.assign(whole=times == times.dt.floor("min")).groupby("clock")
    told = by_clock["whole"].all() & (by_clock["datetime"].nunique() >= LEAST_TIMES)
    return [str(clock) for clock in told.index[told]]


def regrouped(rows: pd.DataFrame, gap_s: float) -> pd.DataFrame:
    """Return the rows of a manifest with the sequences that another gap makes of their times.

    Raises:
        PhotosError: its sequences are not made of times.
        ConfigurationError: a negative gap.
    """
    if "clock" not in rows or rows.loc[rows["clock"].notna(), "datetime"].isna().all():
        raise PhotosError(
            "expected photos whose sequences are made of their times, got none: they have no times, the source names"
            " the sequences, or it was scanned before times were read; leave out --gap, or scan the photos again"
        )
    return with_sequences(rows.assign(clock=rows["clock"].astype("str"), note=rows.get("note")), gap_s)


def check_gap(gap_s: float) -> None:
    """Raise ConfigurationError unless a gap is a number of seconds, 0 or more."""
    if not 0 <= gap_s < inf:
        raise ConfigurationError(f"--gap: expected a number of seconds, 0 or more, got {gap_s:g}; {GAP_S:g} is usual")


def remarks(rows: pd.DataFrame, gap_s: float) -> Iterator[str]:
    """Say which bursts were found, and what was assumed."""
    ours = rows[rows["clock"].notna()].drop_duplicates("path")
    timed = ours[ours["datetime"].notna()]
    if gap_s == 0 and len(timed):
        yield "bursts are not looked for (--gap 0)"
    elif timed["sequence"].notna().any():
        sizes = timed["sequence"].value_counts()
        yield (
            f"bursts: {number_of(sizes.sum(), 'photo')} with a time are {number_of(len(sizes), 'sequence')} "
            f"(photos of one camera, each at most {gap_s:g} s after another: --gap)"
        )
        if sizes.iloc[0] > max(LARGE, LARGE_SHARE * len(ours)):
            yield (
                f"one sequence holds {sizes.iloc[0]:,} of {len(ours):,} photos: if these are of several cameras, give"
                " their sites (--layout, or a table with the column site), or a smaller --gap"
            )
        crossing = (timed.groupby("sequence")["split"].nunique() > 1).sum()
        if crossing:
            yield (
                f"the split of the source parts {crossing:,} of these sequences: draw it anew (fscl split --redraw)"
                ", or keep it with --by photo"
            )
        told = minute_clocks(timed)
        if told:
            names = ", ".join(name or "the photos" for name in told[:LISTED]) + (", …" if len(told) > LISTED else "")
            yield f"the times of {names} are whole minutes: photos of a minute and the next are one sequence, too"


def untimed(rows: pd.DataFrame) -> str | None:
    """Say how many photos have neither a sequence nor a time to make one of, so that a split may part their bursts.

    >>> rows = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "label": "fox", "problem": None, "sequence": ["1", None]})
    >>> untimed(rows)
    '1 photo has no time and no sequence: bursts among such photos may cross from training to test'
    """
    usable = rows[rows["label"].notna() & rows["problem"].isna()]
    count = usable.loc[usable["sequence"].isna(), "path"].nunique()
    if not count:
        return None
    has = "has" if count == 1 else "have"
    photos = number_of(count, "photo")
    return f"{photos} {has} no time and no sequence: bursts among such photos may cross from training to test"

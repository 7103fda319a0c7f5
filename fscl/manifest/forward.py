"""The split by time: train on the earlier photos, test on the later ones, as a model is used on next month's."""

import pandas as pd

from fscl.errors import PhotosError
from fscl.manifest.groups import groups
from fscl.manifest.table import SPLITS, is_usable

NO_TIME = "no time to split by"  # the problem of a photo that a split by time leaves out
LATER = ("test", "val")  # the parts after training, from the last


def leave_out_untimed(table: pd.DataFrame) -> None:
    """Give rows a problem, and no split, where neither they nor another photo of their sequence has a time.

    Raises:
        PhotosError: no usable row has a time.
    """
    usable = table[is_usable(table)]
    timed = usable["datetime"].notna()
    if not timed.any():
        raise PhotosError(
            "expected times to split by, but no photo has one; fill the column `datetime` with the time of each"
            " photo, or split by site, sequence or photo"
        )
    known = timed.groupby(groups(usable, "time").number).transform("any")
    untimed = usable.index[~known]
    table.loc[untimed, "problem"] = NO_TIME
    table.loc[untimed, "split"] = None


def parts_by_time(rows: pd.DataFrame, shares: dict[str, float]) -> pd.Series:
    """Return the part of each row: the last photos are the test, those before them the validation, for all classes.

    Photos, and sequences, whose times overlap stay together, so that all of a part is before all of the next. What
    is on a border is in the earlier part, unless the later one would be empty. The first photos are always training.

    Args:
        rows: training rows under their region_id, each of a group that has a time.
        shares: part, `val` or `test` → fraction of the photos.

    >>> rows = pd.DataFrame({"photo_id": list("abcdef"), "sequence": [None, "1", "1", None, None, None]})
    >>> rows["datetime"] = pd.date_range("2023-05-01", periods=6)
    >>> parts_by_time(rows, {"test": 0.25, "val": 0.25}).tolist()
    ['train', 'train', 'train', 'val', 'test', 'test']
    """
    group = groups(rows, "time").number
    spans = rows["datetime"].groupby(group).agg(["min", "max"]).sort_values(["min", "max"])
    block = (spans["min"] > spans["max"].cummax().shift()).cumsum()  # the times of one block overlap
    block_of = group.map(block)
    photos = rows["photo_id"].groupby(block_of).nunique().sort_index()
    before, total = photos.cumsum() - photos, int(photos.sum())

    part_of = pd.Series("train", index=photos.index)
    wanted = [part for part in LATER if part in shares]
    share, end = 0.0, len(photos)
    for left, part in zip(range(len(wanted), 0, -1), wanted, strict=True):
        share += shares[part]
        first = int(before.searchsorted(round(total * (1 - share))))
        first = min(max(first, left), end - 1)  # the parts before it have a block each
        if first > 0:
            part_of.iloc[first:end] = part
            end = first
    return block_of.map(part_of)


def check_order(rows: pd.DataFrame) -> None:
    """Raise PhotosError unless all of training is before validation, and that before the test."""
    times = rows.groupby("split")["datetime"].agg(["min", "max"]).reindex(SPLITS).dropna()
    for earlier, later in zip(times.index[:-1], times.index[1:], strict=True):
        last, first = times["max"][earlier], times["min"][later]
        if last > first:
            raise PhotosError(
                f"expected all of {earlier} before {later}, but {earlier} goes on to {_date(last)}, and {later}"
                f" begins at {_date(first)}; draw the split anew (fscl split --redraw), or keep it with --by photo"
            )


def times_line(rows: pd.DataFrame) -> str:
    """Say which time each part is of.

    >>> rows = pd.DataFrame({"split": ["train", "train", "test"], "datetime": pd.date_range("2023-05-01", periods=3)})
    >>> times_line(rows)
    'by time, one date for all classes: train 2023-05-01 00:00 to 2023-05-02 00:00, test from 2023-05-03 00:00'
    """
    times = rows.groupby("split")["datetime"].agg(["min", "max"]).reindex(SPLITS).dropna()
    said = [f"{part} {_date(first)} to {_date(last)}" for part, first, last in times.itertuples()]
    if "test" in times.index:
        said[-1] = f"test from {_date(times['min']['test'])}"
    return f"by time, one date for all classes: {', '.join(said)}"


def why_all_overlap(rows: pd.DataFrame) -> str:
    """Say why no date parts the photos."""
    reason = "all photos are of one time"
    spans = rows.groupby("sequence")["datetime"].agg(["min", "max"]).dropna()
    if len(spans) and rows["datetime"].nunique() > 1:
        longest = str((spans["max"] - spans["min"]).idxmax())
        first, last = spans["min"][longest], spans["max"][longest]
        reason = f"the times of sequences overlap, '{longest}' is from {_date(first)} to {_date(last)}"
    return f"no test photos: no date parts the photos, for {reason}; correct the times or sequences, or split by site"


def _date(time: pd.Timestamp) -> str:
    return f"{time:%Y-%m-%d %H:%M}"

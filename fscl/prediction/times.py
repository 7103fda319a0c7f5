"""When photos were taken, where their source does not say it: EXIF or the file name does."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pandas as pd

from fscl.images import UnreadableError, read_facts
from fscl.prediction.photos import Listing
from fscl.progress import Listener
from fscl.scanning.photo_times import taken

TOGETHER = 1024  # photos between two words of progress


def with_times(listing: Listing, listener: Listener) -> Listing:
    """Return the photos with their times: of the source, else of EXIF or the file name; else none.

    Args:
        listing: the photos.
        listener: hears how many are read.
    """
    photos = listing.photos
    given = pd.to_datetime(photos["datetime"]).astype("datetime64[us]")
    lacking = photos.index[given.isna() & photos["problem"].isna()]
    if lacking.empty:
        return replace(listing, photos=photos.assign(datetime=given))
    read = list(_times(photos.loc[lacking, "path"].tolist(), listener))
    given.loc[lacking] = pd.Series(read, index=lacking, dtype="datetime64[us]")
    return replace(listing, photos=photos.assign(datetime=given))


def _times(paths: list[str], listener: Listener) -> Iterator[datetime | None]:
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(paths), TOGETHER):
            some = paths[start : start + TOGETHER]
            yield from threads.map(_time, some)
            listener.prepare(start + len(some), len(paths), "times of photos read")


def _time(path: str) -> datetime | None:
    try:
        exif = read_facts(Path(path)).exif
    except UnreadableError:
        exif = {}
    return taken(exif, Path(path).name).time

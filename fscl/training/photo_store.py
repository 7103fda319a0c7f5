"""Whether the photos of a run or study are decoded once, and where they are kept then."""

from pathlib import Path

import pandas as pd

from fscl.config import Preprocessing
from fscl.loading.loader import Regions
from fscl.loading.store import NoRoomError, PhotoStore
from fscl.progress import Listener
from fscl.runtime import cores


def photo_store(
    rows: pd.DataFrame, root: Path, preprocessing: Preprocessing, folder: Path, listener: Listener
) -> PhotoStore | None:
    """Return the store of these manifest rows in a folder; None where that has no room, once that is said."""
    regions = Regions.of(rows, root, classes=())
    try:
        return PhotoStore.build(regions, preprocessing, folder, threads=cores(), progress=listener.prepare)
    except NoRoomError as error:
        listener.note(f"{error}: photos are decoded each time they are drawn")
        return None

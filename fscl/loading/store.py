"""The photo store: each region decoded, cropped and resized once, then kept as uint8 in a memory-mapped file.

Decoding a photo of three megapixels takes longer than augmenting it. A store does it once for all epochs, all cells
of a comparison and all resumed runs, and gives bit for bit what decoding gives.
"""

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from fscl.config import Preprocessing
from fscl.errors import OutputError
from fscl.images import UnreadableError
from fscl.loading.regions import Pixels, Regions
from fscl.loading.store_files import (
    INDEX,
    PIXELS,
    IntArray,
    NoRoomError,
    Progress,
    has,
    keys,
    mapped,
    read_keys,
    read_record,
    write_store,
)
from fscl.progress import Listener
from fscl.runtime import cores


class PhotoStore:
    """Resized photos in a memory-mapped file; made by `build`, travels to other processes as its path.

    Args:
        folder: of one store, with what `build` has left there.

    Raises:
        OutputError: no finished store of this version, or one of which a part is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        record, stored = read_record(folder), read_keys(folder / INDEX)
        if record is None or stored is None:
            raise OutputError(f"{folder}: expected a finished photo store, found none; run the command again")
        self.image_size, self.crop_margin, self.problems = record.image_size, record.crop_margin, record.problems
        self.resampling = record.interpolation or "bilinear"
        self._places = {key: place for place, key in enumerate(stored)}
        shape = (len(stored), self.image_size, self.image_size, 3)
        if not has(folder / PIXELS, prod(shape)):
            raise OutputError(f"{folder / PIXELS}: expected {prod(shape)} bytes, found fewer; run the command again")
        self.pixels = mapped(folder / PIXELS, shape, mode="r")

    def __reduce__(self) -> tuple[type["PhotoStore"], tuple[Path]]:
        return PhotoStore, (self.folder,)  # the map itself would be copied

    def __len__(self) -> int:
        return len(self._places)

    @classmethod
    def build(
        cls,
        regions: Regions,
        preprocessing: Preprocessing,
        folder: Path,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> "PhotoStore":
        """Decode what is not there yet and return the store.

        A store goes by the hash of its regions, their files' sizes and times, and the preprocessing. Where another
        manifest or a changed photo gives another hash, what was stored under the same preprocessing is dropped.
        What an interrupted call has decoded is used. Photos that cannot be read are tried again by the next call.

        Args:
            regions: to store, at least one; several of one path and box are stored once.
            preprocessing: image size, crop margin and interpolation decide, the normalisation does not.
            folder: of stores, one for each of these. No other process may be building in it.
            threads: that decode at once; by default a few more than there are cores.
            progress: called with (photos done, photos) as it goes on.

        Raises:
            NoRoomError: the disk is too full, or takes no file so large.
            OSError: the folder cannot be written.
        """
        return cls(write_store(regions, preprocessing, folder, threads=threads, progress=progress))

    def serves(self, preprocessing: Preprocessing) -> bool:
        """Whether photos under this preprocessing are those that are stored."""
        own = (self.image_size, self.crop_margin, self.resampling)
        return own == (preprocessing.image_size, preprocessing.crop_margin, preprocessing.resampling)

    def view(self, regions: Regions) -> "StoredRegions":
        """Return the same regions, read from the store where it has them."""
        places = np.array([self._places.get(key, -1) for key in keys(regions)], dtype=np.int64)
        return StoredRegions(regions.photos, regions.boxes, regions.labels, self, places)

    def __getitem__(self, place: int) -> Pixels:
        """Return a photo: (image_size, image_size, 3) uint8, not to be written to.

        Raises:
            UnreadableError: it could not be read.
        """
        if place in self.problems:
            raise UnreadableError(self.problems[place])
        photo: Pixels = self.pixels[place]
        return photo


@dataclass(frozen=True)
class StoredRegions(Regions):
    """Regions that are read from a store; `places` says where in it they are, −1: not there, so decoded."""

    store: PhotoStore
    places: IntArray

    def at(self, rows: IntArray) -> Self:
        """Return some of the regions."""
        return replace(super().at(rows), places=self.places[rows])

    def resized(self, row: int, preprocessing: Preprocessing) -> Pixels:
        """Return the region as `Regions.resized` does, from the store where it is there.

        Raises:
            UnreadableError: as `read_region`.
        """
        place = int(self.places[row])
        if place >= 0 and self.store.serves(preprocessing):
            return self.store[place]
        return super().resized(row, preprocessing)

    def all_stored(self, preprocessing: Preprocessing) -> bool:
        """Whether nothing is left to decode."""
        return self.store.serves(preprocessing) and bool((self.places >= 0).all())


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

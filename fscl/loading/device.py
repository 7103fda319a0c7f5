"""Training batches put together on an accelerator from the photo store: no decoding, no process that reads ahead."""

from collections.abc import Iterator
from contextlib import suppress
from math import prod

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from fscl.images import UnreadableError
from fscl.loading.batches import Batches
from fscl.loading.loader import Batch, TrainingPhotos
from fscl.loading.store import StoredRegions

SHARE_OF_MEMORY = 0.5  # of what is free on the device before training, at most, for the photos


class DevicePhotos:
    """Stored training photos, augmented on a device: what `training_loader` gives, without going through the host.

    They stay in the device's memory as a whole where they fit, else each batch is copied there.

    Args:
        photos: all of them in a store, see `possible`.
        device: where batches are put together.
        resident: whether they stay there; None: where they fit.
    """

    def __init__(self, photos: TrainingPhotos, device: torch.device, *, resident: bool | None = None) -> None:
        self.photos = photos
        self.device = device
        size = photos.preprocessing.image_size
        self.shape = (len(photos.regions), size, size, 3)
        stay = self._fit() if resident is None else resident
        self.resident = self._copied() if stay else None

    @staticmethod
    def possible(photos: TrainingPhotos, device: torch.device) -> bool:
        """Whether the device is of the kind that this was written for, and every photo is stored."""
        regions = photos.regions
        stored = isinstance(regions, StoredRegions) and regions.all_stored(photos.preprocessing)
        return device.type == "cuda" and stored

    def batches(self, batches: Batches) -> Iterator[Batch]:
        """Yield the batches of a run; the host does not wait for the device."""
        for samples in batches:
            results = [self.photos.readable(sample.row, self._checked) for sample in samples]
            rows = [row for row, _ in results if row is not None]
            yield self.photos.batch(samples, results, self._gathered(rows).permute(0, 3, 1, 2))

    def _checked(self, row: int) -> int:
        """The row, if it can be read."""
        self.photos.regions.resized(row, self.photos.preprocessing)
        return row

    def _gathered(self, rows: list[int]) -> UInt8[Tensor, "rows height width 3"]:
        if self.resident is not None:
            return self.resident.index_select(0, torch.tensor(rows, dtype=torch.int64).to(self.device))
        batch = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        for place, row in enumerate(rows):
            batch[place] = self._on_host(row)
        return batch.to(self.device, non_blocking=True)

    def _on_host(self, row: int) -> UInt8[Tensor, "height width 3"]:
        return torch.from_numpy(np.array(self.photos.regions.resized(row, self.photos.preprocessing)))

    def _fit(self) -> bool:
        if self.device.type != "cuda":
            return True
        free, _ = torch.cuda.mem_get_info(self.device)
        return prod(self.shape) <= SHARE_OF_MEMORY * free

    def _copied(self) -> UInt8[Tensor, "photos height width 3"]:
        resident = torch.zeros(self.shape, dtype=torch.uint8, device=self.device)
        for row in range(len(resident)):
            with suppress(UnreadableError):  # which `_checked` keeps from being drawn
                resident[row] = self._on_host(row)
        return resident

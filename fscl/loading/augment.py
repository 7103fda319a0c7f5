"""Training photos augmented at random, in batches, on the device where they are."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from fscl.config import Augmentation
from fscl.loading.augment_parameters import AugmentParameters, IntArray
from fscl.loading.operations import OPERATIONS, Operation, Photos

CACHED_PIXELS = 200_000  # of a piece of a batch on a CPU: its temporary planes then stay in the second-level cache


class RandomAugmentation:
    """Flip, RandAugment and colour jitter of square photos; what a photo gets follows from its seed alone.

    Args:
        settings: what is done, how likely and how strongly.
        image_size: px, both sides.

    >>> photos = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    >>> augment = RandomAugmentation(Augmentation(), image_size=32)
    >>> torch.equal(augment(photos, [3, 7])[1:], augment(photos[1:], [7]))
    True
    """

    def __init__(self, settings: Augmentation, image_size: int) -> None:
        self.parameters = AugmentParameters(settings, image_size)

    def __call__(self, photos: Photos, seeds: Sequence[int]) -> Photos:
        """Return the augmented photos; one seed each, ≥ 0.

        Each phase sorts the photos by what is done to them. Where they lie then is worked out here beforehand, so
        that the device is never waited for.
        """
        phases = self.parameters(seeds)
        places, rows, strengths = np.arange(len(photos)), [], []
        for phase in phases:
            order = phase.codes.argsort(kind="stable")
            rows.append(places[order])
            strengths.append(phase.strengths[order])
            places[order] = np.arange(len(photos))
        on_device = torch.from_numpy(np.stack([*rows, places])).to(photos.device)
        strength = torch.from_numpy(np.stack(strengths).astype(np.float32)).to(photos.device)

        most = max(1, CACHED_PIXELS // photos[0, 0].numel()) if photos.device.type == "cpu" else len(photos)
        for number, phase in enumerate(phases):
            photos = torch.cat(
                [
                    operation(photos.index_select(0, on_device[number, part]), strength[number, part])
                    for operation, part in _parts(phase.codes, most)
                ]
            )
        return photos.index_select(0, on_device[-1])


def _parts(codes: IntArray, most: int) -> Iterator[tuple[Operation, slice]]:
    """Yield the operations and which of the sorted photos get them, `most` at a time."""
    start = 0
    for operation, count in zip(OPERATIONS.values(), np.bincount(codes, minlength=len(OPERATIONS)), strict=True):
        stop = start + int(count)
        for first in range(start, stop, most):
            yield operation, slice(first, min(first + most, stop))
        start = stop

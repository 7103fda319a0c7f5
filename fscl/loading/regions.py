"""Photo → model input: regions of photos read, cropped, resized, stacked and normalised."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from fscl.config import Preprocessing
from fscl.decoding import Photo
from fscl.images import read_image, read_region
from fscl.loading.operations import Photos

UNLABELLED = -1
Pixels = np.ndarray[Any, np.dtype[np.uint8]]
AnyPhoto = Photo | Image.Image
"""A file, its bytes, or an image that is open already."""


class Failure(NamedTuple):
    """A photo that could not be read, and why."""

    row: int
    reason: str


@dataclass(frozen=True)
class Regions:
    """The labelled regions of a table, as arrays that travel cheaply to worker processes.

    `photos` has the file of each, the bytes of it, or the image. `boxes` is (n, 4): x, y, w, h in pixels after EXIF
    rotation, NaN for the whole photo; with `fractions` they are fractions of the upright photo's width and height.
    """

    photos: Sequence[AnyPhoto]
    boxes: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    labels: np.ndarray[tuple[int], np.dtype[np.int64]]
    fractions: bool = field(default=False, kw_only=True)

    @staticmethod
    def of(rows: pd.DataFrame, root: Path, classes: Sequence[str]) -> "Regions":
        """Take the regions from manifest rows; a label that is not among `classes` becomes −1."""
        code = {name: i for i, name in enumerate(classes)}
        labels = [code.get(label, UNLABELLED) for label in rows["label"]]
        boxes = rows[["x", "y", "w", "h"]].to_numpy(dtype=np.float64, na_value=np.nan)
        return Regions([root / path for path in rows["path"]], boxes, np.array(labels, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.photos)

    def at(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Self:
        """Return some of the regions."""
        photos = [self.photos[row] for row in rows.tolist()]
        return replace(self, photos=photos, boxes=self.boxes[rows], labels=self.labels[rows])

    def read(self, row: int, preprocessing: Preprocessing) -> Image.Image:
        """Return the region as an RGB image, cropped, its short side at least `image_size` where it can be.

        Raises:
            UnreadableError: as `read_region`.
        """
        photo = self.photos[row]
        box = None if np.isnan(self.boxes[row]).any() else tuple(self.boxes[row])
        margin, side = preprocessing.crop_margin, preprocessing.image_size
        if isinstance(photo, Image.Image):
            return read_image(photo, box, margin=margin)
        return read_region(photo, box, margin=margin, min_side=side, fractions=self.fractions)

    def name(self, row: int) -> str:
        """Return what a message calls the photo of a row: its path, or its place where it has none."""
        photo = self.photos[row]
        return str(photo) if isinstance(photo, Path) else f"photo {row + 1}"

    def resized(self, row: int, preprocessing: Preprocessing) -> Pixels:
        """Return the region as the model sees it before augmentation: (image_size, image_size, 3) uint8.

        Raises:
            UnreadableError: as `read_region`.
        """
        size = (preprocessing.image_size, preprocessing.image_size)
        resampling = Image.Resampling[preprocessing.resampling.upper()]
        pixels: Pixels = np.asarray(self.read(row, preprocessing).resize(size, resampling))
        return pixels


def stacked(photos: Sequence[Pixels], preprocessing: Preprocessing) -> Photos:
    """Return resized photos, any number of them, as a batch."""
    size = preprocessing.image_size
    together = np.stack(photos) if photos else np.empty((0, size, size, 3), dtype=np.uint8)
    return torch.from_numpy(together).permute(0, 3, 1, 2)


def model_input(photos: Photos, preprocessing: Preprocessing) -> Float[Tensor, "batch 3 height width"]:
    """Return photos as the model wants them: normalised float32 in channels-last memory, faster for convolutions."""
    scaled = functional.to_dtype(photos.contiguous(memory_format=torch.channels_last), torch.float32, scale=True)
    normalised: Tensor = functional.normalize(scaled, list(preprocessing.mean), list(preprocessing.std), inplace=True)
    return normalised

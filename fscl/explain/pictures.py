"""The pictures of an explanation: photos as the model saw them, heat drawn over them, and thumbnails."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fscl.config import Preprocessing
from fscl.errors import UnreadableError
from fscl.loading.regions import Pixels, Regions
from fscl.saliency import drawn

SIDE, THUMBNAIL = 224, 112  # px
QUALITY = 85


def as_seen(pixels: Pixels) -> bytes:
    """Return a photo as the model saw it, (side, side, 3) uint8, as JPEG of at most `SIDE` px."""
    return jpeg(_small(Image.fromarray(pixels)))


def heated(pixels: Pixels, heat: NDArray[np.float32]) -> bytes:
    """Return that photo in grey with heat over it, as JPEG.

    Args:
        pixels: (side, side, 3) uint8.
        heat: (side, side), in [0, 1].
    """
    return jpeg(_small(drawn(Image.fromarray(pixels), heat)))


def thumbnail(regions: Regions, row: int, preprocessing: Preprocessing) -> bytes:
    """Return a region, cropped but not squeezed, as a small JPEG.

    Raises:
        UnreadableError: the photo cannot be read.
    """
    image = regions.read(row, preprocessing)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    return jpeg(image)


def jpeg(image: Image.Image, quality: int = QUALITY) -> bytes:
    """Return a picture as JPEG, without what the photo says of itself.

    >>> photo = Image.new("RGB", (8, 8))
    >>> photo.info["comment"] = b"taken by me"
    >>> b"taken by me" in jpeg(photo)
    False
    """
    written = BytesIO()
    image.save(written, "JPEG", quality=quality, comment=b"")  # a comment of the photo would be copied
    return written.getvalue()


class Pictures:
    """The folder of an explanation; each picture is made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, str | None] = {}

    def write(self, name: str, make: Callable[[], bytes]) -> str | None:
        """Write a picture; return its file, or None where the photo cannot be read."""
        if name not in self._made:
            try:
                (self._folder / f"{name}.jpg").write_bytes(make())
                self._made[name] = f"{name}.jpg"
            except UnreadableError:
                self._made[name] = None
        return self._made[name]


def _small(image: Image.Image) -> Image.Image:
    side = min(SIDE, image.width)
    return image if side == image.width else image.resize((side, side), Image.Resampling.LANCZOS)

"""Read a photo: upright, RGB, cropped to a box; or say in a few words why it cannot be read."""

import math
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from fscl import archives
from fscl.errors import PhotosError

Box = tuple[float, float, float, float]
"""x, y, w, h in pixels, origin top left."""

BACKGROUND = "white"  # what shows through transparent pixels

# Photos only: without this list Pillow would also start Ghostscript on an EPS that is named .jpg.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP")  # JPEG includes MPO

# EXIF orientation → how the stored pixels become upright (EXIF 2.32, tag 0x0112).
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
INVERSE = {6: 8, 8: 6}  # the other orientations undo themselves


class UnreadableError(PhotosError):
    """A photo that cannot be read; the message is a short reason, such as `truncated file`."""


class Header(NamedTuple):
    """What the first bytes of a photo tell: its size in pixels after EXIF rotation, and that rotation."""

    width: int
    height: int
    orientation: int
    """EXIF orientation, 1 (as stored) to 8."""


def read_header(path: Path) -> Header:
    """Read size and orientation of a photo without decoding its pixels.

    Raises:
        UnreadableError: no photo, or none that Pillow knows.
    """
    with _QUIET, _open(path) as image:
        return _header(image)


def read_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of a photo in pixels after EXIF rotation, from its header.

    Raises:
        UnreadableError: no photo, or none that Pillow knows.

    >>> import tempfile
    >>> photo = Path(tempfile.mkdtemp()) / "fox.png"
    >>> Image.new("RGB", (40, 30)).save(photo)
    >>> read_size(photo)
    (40, 30)
    """
    header = read_header(path)
    return header.width, header.height


def read_region(
    path: Path, box: Box | None = None, *, margin: float = 0.0, min_side: int | None = None
) -> Image.Image:
    """Read a photo, or the part of it inside a box, upright and in RGB.

    Args:
        path: the photo, a file or in a zip archive (photos.zip/fox/1.jpg); of an animation the first frame is
            read.
        box: x, y, w, h in pixels after EXIF rotation; None is the whole photo.
        margin: how far the box grows on each side, as a fraction ≥ 0 of its longer side; clipped to
            the photo.
        min_side: the pixels that the short side needs. A JPEG may then be decoded at 1/2, 1/4 or 1/8
            of its size, which is up to three times faster; the result is at least this large where
            the region is. None decodes at full size.

    Raises:
        UnreadableError: no photo, a damaged one, or a box that lies outside it.

    >>> import tempfile
    >>> photo = Path(tempfile.mkdtemp()) / "fox.png"
    >>> Image.new("L", (40, 30)).save(photo)
    >>> region = read_region(photo, (10, 10, 20, 10), margin=0.1)
    >>> region.mode, region.size
    ('RGB', (24, 14))
    """
    with _QUIET, _open(path) as image:
        header = _header(image)
        # Pillow turns a TIFF itself while loading it.
        orientation = 1 if image.format == "TIFF" else header.orientation
        region = _grown(box, margin, header)
        stored = turn_box(region, INVERSE.get(orientation, orientation), header.width, header.height)
        full_width, full_height = image.size
        if min_side is not None:
            fraction = min_side / min(region[2:])
            image.draft(None, (math.ceil(full_width * fraction), math.ceil(full_height * fraction)))
        scale_x, scale_y = image.width / full_width, image.height / full_height
        with _named_failures(path):
            image.load()
        edges = _pixel_edges(stored, scale_x, scale_y, image.size)
        upright = _rgb(image if edges == (0, 0, *image.size) else image.crop(edges))
    return upright.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else upright


def turn_box(box: Box, orientation: int, width: int, height: int) -> Box:
    """Turn a box of the stored pixels into one of the upright photo.

    Args:
        box: x, y, w, h in pixels of the stored photo.
        orientation: EXIF orientation, 1 to 8.
        width: of the stored photo, in pixels.
        height: of the stored photo, in pixels.

    >>> turn_box((0, 0, 10, 5), 6, 100, 50)  # top left, turned a quarter clockwise, is top right
    (45, 0, 5, 10)
    """
    x, y, w, h = box
    if orientation in (2, 3, 7, 8):
        x = width - x - w
    if orientation in (3, 4, 6, 7):
        y = height - y - h
    return (y, x, h, w) if orientation >= 5 else (x, y, w, h)


@contextmanager
def _named_failures(path: Path) -> Iterator[None]:
    """Turn whatever Pillow raises into a short reason."""
    try:
        yield
    except FileNotFoundError:
        raise UnreadableError("missing file") from None
    except PermissionError:
        raise UnreadableError("permission denied") from None
    except IsADirectoryError:
        raise UnreadableError("a folder, not a file") from None
    except archives.ArchiveError as error:
        raise UnreadableError(str(error)) from None
    except UnidentifiedImageError:
        raise UnreadableError(_reason_unidentified(path)) from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise UnreadableError(f"more than {limit} megapixels (decompression bomb?)") from None
    except MemoryError:
        raise UnreadableError("larger than the memory") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, …
        reason = "truncated file" if "truncated" in str(error).lower() else f"damaged file ({error})"
        raise UnreadableError(reason) from error


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    with _named_failures(path):
        file = archives.open_binary(path)
    with file:
        with _named_failures(path):
            image = Image.open(file, formats=FORMATS)
        yield image


def _reason_unidentified(path: Path) -> str:
    if archives.size(path) == 0:
        return "empty file"
    if path.suffix.lower() in (".heic", ".heif"):
        return "HEIC is not supported, convert it to JPEG"
    return "not an image"


def _header(image: Image.Image) -> Header:
    try:
        # Not image.getexif(): that of a PNG decodes all pixels to look for EXIF behind them.
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # corrupt EXIF raises almost anything, and is no reason to lose the photo
        orientation = 1
    if orientation not in UPRIGHT:
        orientation = 1
    width, height = image.size
    if orientation >= 5 and image.format != "TIFF":
        width, height = height, width
    return Header(width, height, orientation)


def _grown(box: Box | None, margin: float, header: Header) -> Box:
    """The box with its margin, clipped to the photo."""
    if box is None:
        return 0, 0, header.width, header.height
    x, y, w, h = box
    grow = margin * max(w, h)
    left, top = max(x - grow, 0), max(y - grow, 0)
    right, bottom = min(x + w + grow, header.width), min(y + h + grow, header.height)
    if not (left < right and top < bottom):
        raise UnreadableError("box outside the photo")
    return left, top, right - left, bottom - top


def _pixel_edges(box: Box, scale_x: float, scale_y: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Whole pixels that hold the box: left, top, right, bottom. A thousandth of a pixel is rounding."""
    x, y, w, h = box
    left, top = math.floor(round(x * scale_x, 3)), math.floor(round(y * scale_y, 3))
    right, bottom = math.ceil(round((x + w) * scale_x, 3)), math.ceil(round((y + h) * scale_y, 3))
    left, top = min(left, size[0] - 1), min(top, size[1] - 1)
    return left, top, min(max(right, left + 1), size[0]), min(max(bottom, top + 1), size[1])


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16 bits a pixel: Pillow's own conversion clips everything above 255 to white.
        eight_bits = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(eight_bits).convert("RGB")
    if image.mode in ("F", "LAB"):
        raise UnreadableError(f"pixels of kind {image.mode} are not supported")
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        background = Image.new("RGBA", image.size, BACKGROUND)
        return Image.alpha_composite(background, with_alpha).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


class _Quiet:
    """While any thread is inside, Pillow's warnings (corrupt EXIF, large photos) are not shown.

    `warnings.catch_warnings` alone is not safe in threads: it restores the filters that it met, which
    may be those of another thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


_QUIET = _Quiet()

"""Read a photo: upright, RGB, cropped to a box; or say in a few words why it cannot be read."""

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import ExifTags, Image
from PIL.ImageFile import ImageFile

from fscl import pixels
from fscl.decoding import PIXELS, QUIET, Photo, messages, named_failures, opened
from fscl.errors import UnreadableError

__all__ = ["UnreadableError", "read_facts", "read_header", "read_image", "read_region", "read_size", "turn_box"]

Box = tuple[float, float, float, float]
"""x, y, w, h in pixels, origin top left."""

BACKGROUND = "white"  # what shows through transparent pixels

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

OF_EXIF = re.compile(r"\bEXIF\b|\btag\b", re.IGNORECASE)  # what Pillow says of damaged EXIF
END_BYTES = 1024  # of a file, where its format's end mark is looked for
Exif = dict[int, Any]
"""Tag → value, of the first directory and the EXIF directory."""


class Header(NamedTuple):
    """What the first bytes of a photo tell: its size in pixels after EXIF rotation, and that rotation."""

    width: int
    height: int
    orientation: int
    """EXIF orientation, 1 (as stored) to 8."""


class Facts(NamedTuple):
    """What a look at a photo finds."""

    header: Header
    exif: Exif
    problem: str | None
    """Why its pixels cannot be read, where they were looked at."""
    notes: tuple[str, ...]
    """What is strange about it, such as `12 bits in a 16-bit file`."""
    decoded: bool
    """Whether its pixels were looked at."""


def read_header(path: Path) -> Header:
    """Read size and orientation of a photo without decoding its pixels.

    Raises:
        UnreadableError: no photo, or none that Pillow knows.
    """
    with QUIET, opened(path) as (image, *_):
        return _header(image, _exif(image, whole=False)[0])


def read_facts(path: Path, *, decode: bool = False) -> Facts:
    """Read all that a photo tells of itself, in one opening.

    Args:
        path: the photo, a file or in a zip archive.
        decode: look at all pixels, too; else only at those of a photo whose file seems cut off (its format's end
            mark is missing) or has more than 8 bits a band.

    Raises:
        UnreadableError: no photo, or none that Pillow knows.

    >>> import tempfile
    >>> photo = Path(tempfile.mkdtemp()) / "fox.png"
    >>> Image.new("L", (40, 30)).save(photo)
    >>> read_facts(photo)
    Facts(header=Header(width=40, height=30, orientation=1), exif={}, problem=None, notes=(), decoded=False)
    """
    with QUIET, opened(path) as (image, file, complaints):
        exif, damage = _exif(image, whole=True, complaints=complaints)
        header = _header(image, exif)
        decode = decode or pixels.is_deep(image) or not _ends(image, file)
        problem, notes = _looked_at(image, file, path) if decode else (None, [])
    return Facts(header, exif, problem, tuple(filter(None, [*damage, *notes])), decode)


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
    photo: Photo,
    box: Box | None = None,
    *,
    margin: float = 0.0,
    min_side: int | None = None,
    fractions: bool = False,
) -> Image.Image:
    """Read a photo, or the part of it inside a box, upright and in RGB.

    Args:
        photo: its file, also in a zip archive (photos.zip/fox/1.jpg), or the bytes of it; of an animation the first
            frame is read.
        box: x, y, w, h in pixels after EXIF rotation; None is the whole photo.
        margin: how far the box grows on each side, as a fraction ≥ 0 of its longer side; clipped to
            the photo.
        min_side: the pixels that the short side needs. A JPEG may then be decoded at 1/2, 1/4 or 1/8
            of its size, which is up to three times faster; the result is at least this large where
            the region is. None decodes at full size.
        fractions: the box is in fractions of the upright photo's width and height, not in pixels.

    Raises:
        UnreadableError: no photo, a damaged one, or a box that lies outside it.

    >>> import tempfile
    >>> photo = Path(tempfile.mkdtemp()) / "fox.png"
    >>> Image.new("L", (40, 30)).save(photo)
    >>> region = read_region(photo, (10, 10, 20, 10), margin=0.1)
    >>> region.mode, region.size
    ('RGB', (24, 14))
    >>> read_region(photo.read_bytes()).size
    (40, 30)
    """
    with QUIET, opened(photo) as (image, file, _):
        header = _header(image, _exif(image, whole=False)[0])
        # Pillow turns a TIFF itself while loading it.
        orientation = 1 if image.format == "TIFF" else header.orientation
        region = _grown(in_pixels(box, header) if box and fractions else box, margin, header)
        stored = turn_box(region, INVERSE.get(orientation, orientation), header.width, header.height)
        full_width, full_height = image.size
        if min_side is not None:
            fraction = min_side / min(region[2:])
            image.draft(None, (math.ceil(full_width * fraction), math.ceil(full_height * fraction)))
        scale_x, scale_y = image.width / full_width, image.height / full_height
        with PIXELS.of(_pixels(image, full_width * full_height)):
            with named_failures(photo):
                decoded, _ = pixels.decode(image, file)
            edges = _pixel_edges(stored, scale_x, scale_y, decoded.size)
            upright = _rgb(decoded if edges == (0, 0, *decoded.size) else decoded.crop(edges))
            return upright.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else upright


def read_image(image: Image.Image, box: Box | None = None, *, margin: float = 0.0) -> Image.Image:
    """Return an image that is open already as `read_region` returns a photo; the image stays as it is.

    Args:
        image: of Pillow, turned as its EXIF says.
        box: as of `read_region`.
        margin: as of `read_region`.

    Raises:
        UnreadableError: an image without pixels, a damaged one, or a box that lies outside it.

    >>> read_image(Image.new("L", (40, 30)), (10, 10, 20, 10), margin=0.1).size
    (24, 14)
    """
    with QUIET, named_failures(image):
        if 0 in image.size:
            raise UnreadableError("an image without pixels")
        image.load()
        exif = {} if image.format == "TIFF" else _exif(image, whole=False)[0]  # Pillow has turned a TIFF itself
        turned = UPRIGHT.get(exif.get(ExifTags.Base.Orientation, 1))
        decoded, _ = pixels.decode(image.copy(), io.BytesIO())
        upright = _rgb(decoded)
    upright = upright if turned is None else upright.transpose(turned)
    region = _grown(box, margin, Header(*upright.size, 1))
    return upright.crop(_pixel_edges(region, 1, 1, upright.size))


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


def in_pixels(box: Box, header: Header) -> Box:
    """Return a box in fractions of the upright photo in its pixels.

    >>> in_pixels((0.1, 0.5, 0.2, 0.5), Header(width=400, height=200, orientation=1))
    (40.0, 100.0, 80.0, 100.0)
    """
    x, y, w, h = box
    return x * header.width, y * header.height, w * header.width, h * header.height


def _exif(image: Image.Image, *, whole: bool, complaints: Sequence[str] = ()) -> tuple[Exif, list[str]]:
    """What EXIF says, with its second directory or not; and a note where it is damaged: no reason to lose a photo."""
    exif: Exif = {}
    with messages() as more:
        try:
            # Not image.getexif(): that of a PNG decodes all pixels to look for EXIF behind them.
            tags = Image.Image.getexif(image)
            exif |= tags
            exif |= tags.get_ifd(ExifTags.IFD.Exif) if whole else {}
        except Exception as error:  # corrupt EXIF raises almost anything
            more.append(f"EXIF: {error}")
    damaged = any(OF_EXIF.search(complaint) for complaint in [*complaints, *more])
    return exif, ["EXIF is damaged: its time may be missing, and how the photo is turned"] if damaged else []


def _header(image: ImageFile, exif: Exif) -> Header:
    orientation = exif.get(ExifTags.Base.Orientation, 1)
    if orientation not in UPRIGHT:
        orientation = 1
    width, height = image.size
    if orientation >= 5 and image.format != "TIFF":
        width, height = height, width
    return Header(width, height, orientation)


def _ends(image: ImageFile, file: io.BufferedReader) -> bool:
    """Tell whether a file ends as its format does, where that can be seen; what a camera adds behind is no matter.

    Not of a member of an archive: all of it would have to be unpacked.
    """
    if not isinstance(file.raw, io.FileIO):
        return True
    size = file.seek(0, io.SEEK_END)
    file.seek(max(size - END_BYTES, 0))
    end = file.read().rstrip(b"\0")
    if image.format in ("JPEG", "MPO"):
        return b"\xff\xd9" in end
    if image.format == "PNG":
        return b"IEND" in end
    if image.format == "GIF":
        return end.endswith(b";")
    if image.format == "WEBP":
        file.seek(4)
        return size >= int.from_bytes(file.read(4), "little") + 8
    return True


def _looked_at(image: ImageFile, file: io.BufferedReader, path: Path) -> tuple[str | None, list[str]]:
    """Decode a photo, a JPEG as small as can be: why that fails, and what is strange."""
    full = image.width * image.height
    image.draft(None, (1, 1))
    try:
        with PIXELS.of(_pixels(image, full)), named_failures(path) as complaints:
            _, note = pixels.decode(image, file)
    except UnreadableError as error:
        return str(error), []
    return None, [*filter(None, [note]), *(f"damaged in part: {complaint}" for complaint in complaints[:1])]


def _pixels(image: ImageFile, full: int) -> int:
    """How many pixels are decoded at once: of a progressive JPEG all, also where few of them are asked for."""
    return full if image.info.get("progressive") else image.width * image.height


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
    if image.has_transparency_data:
        return pixels.by_strips(image, "RGB", _on_background)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_background(image: Image.Image) -> Image.Image:
    background = Image.new("RGBA", image.size, BACKGROUND)
    return Image.alpha_composite(background, image.convert("RGBA")).convert("RGB")

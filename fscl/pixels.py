"""Pixels of any depth become 8 bits a band: 12-bit greys in 16-bit files, floats, colours of 16 bits, CIE L*a*b*."""

import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from fscl.errors import UnreadableError

DEPTHS = (8, 10, 12, 14, 16, 20, 24, 32)
"""Bits that sensors and programs give: a file that does not say its depth has the smallest that holds its values."""

MOST_OF_PHOTO = 178_956_970
"""Pixels of a photo: what claims more is refused before it is decoded. Pillow's own limit, 512 MiB in RGB."""

STRIP_PIXELS = 4_000_000  # converted at once, so that no second copy of a large photo is needed
BRIGHT = 128  # floats up to here may be degrees or distances, those above, up to 255, are brightness
OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}  # ends of raw modes of 16 bits
BITS_PER_SAMPLE, MAX_SAMPLE_VALUE, S_MAX_SAMPLE_VALUE = 258, 281, 341  # tags of TIFF 6.0

Values = np.ndarray[tuple[int, ...], np.dtype[Any]]


def is_deep(image: ImageFile) -> bool:
    """Tell whether an open photo has more than 8 bits a band, so that `decode` may have a note on it."""
    return image.mode.startswith(("I", "F", "LAB")) or bool(_sixteen_bits(image))


def decode(image: Image.Image, file: BinaryIO) -> tuple[Image.Image, str | None]:
    """Decode an open photo into bands of 8 bits.

    Greys and colours of more bits are scaled by the depth that the file says (of a TIFF BitsPerSample,
    MaxSampleValue or SMaxSampleValue, of a PNG sBIT), else by the smallest of `DEPTHS` that holds all values of the
    photo; where that is less than the file could hold, a note says it. It follows from the file alone: the same in
    training and in use.

    Args:
        image: as `Image.open` returns it, perhaps with a `draft`; or one without a file.
        file: that it was opened from.

    Raises:
        UnreadableError: floats that are neither 0 to 1 nor 0 to 255.
        Exception: whatever Pillow raises of damaged files.
    """
    raw_modes = _sixteen_bits(image)
    image.load()
    if image.mode.startswith("I"):
        return _of_integers(image, file)
    if image.mode == "F":
        return _of_floats(image)
    if image.mode == "LAB":
        return _of_lab(image), None
    return _of_deep_colours(image, raw_modes[0], file) if raw_modes else (image, None)


def by_strips(image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert an image a few rows at a time, so that what is needed in between stays small."""
    converted = Image.new(mode, image.size)
    for top, strip in _strips(image):
        converted.paste(convert(strip), (0, top))
    return converted


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    rows = max(STRIP_PIXELS // image.width, 1)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _of_integers(image: Image.Image, file: BinaryIO) -> tuple[Image.Image, str | None]:
    tags = getattr(image, "tag_v2", {})
    holds = 32 if image.mode == "I" and _first(tags.get(BITS_PER_SAMPLE, 32)) > 16 else 16
    union = 0
    for _, strip in _strips(image):
        union |= int(np.bitwise_or.reduce(_positive(strip), axis=None))
    said = _said_bits(image, file, union, holds) if union else holds
    depth = said or _depth_of(union)
    grey = by_strips(image, "L", lambda strip: Image.fromarray(_eight_bits(_positive(strip), depth)))
    return grey, _note(depth, holds) if said is None else None


def _positive(strip: Image.Image) -> Values:
    values = np.asarray(strip)
    return values if values.dtype.kind == "u" else np.maximum(values, 0)


def _eight_bits(values: Values, depth: int) -> Values:
    eight: Values = np.minimum(values >> (depth - 8), 255).astype(np.uint8)
    return eight


def _said_bits(image: Image.Image, file: BinaryIO, union: int, holds: int) -> int | None:
    """The depth that the file says, where its values agree."""
    if image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        bits = _first(tags.get(BITS_PER_SAMPLE, holds))
        highest = max(_first(tags.get(MAX_SAMPLE_VALUE, 0)), _first(tags.get(S_MAX_SAMPLE_VALUE, 0)))
        said = _depth_of(highest) if 0 < highest < 2**holds - 1 else bits
        return said if said < holds and union < 2**said else None
    significant = _significant_bits(file) if image.format == "PNG" else None
    if significant is None or not 8 <= significant < holds:
        return None
    # By the specification the significant bits are the upper ones. A writer that left the values as they were is
    # known by lower bits that are set.
    return significant if union < 2**significant and union & (2 ** (holds - significant) - 1) else holds


def _significant_bits(file: BinaryIO) -> int | None:
    """What the chunk sBIT of a PNG says, of its first band."""
    file.seek(8)
    while len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind == b"sBIT":
            return next(iter(file.read(1)), None)
        if kind == b"IDAT":
            return None
        file.seek(length + 4, 1)
    return None


def _depth_of(highest: int) -> int:
    return next(depth for depth in DEPTHS if highest < 2**depth)


def _first(value: Any) -> int:
    first = value[0] if isinstance(value, tuple) and value else value
    return int(first) if isinstance(first, int | float) else 0


def _note(depth: int, holds: int) -> str | None:
    return f"{depth} bits in a {holds}-bit file" if depth < holds else None


def _of_floats(image: Image.Image) -> tuple[Image.Image, str]:
    least, most, whole = np.inf, -np.inf, True
    for _, strip in _strips(image):
        values = np.asarray(strip)
        least, most = np.minimum(least, values.min()), np.maximum(most, values.max())  # NaN stays NaN
        whole = whole and bool((values == np.rint(values)).all())
    if least >= 0 and most <= 1:
        scale, note = 255, "floats of 0 to 1"
    elif least >= 0 and most <= 255 and (whole or most >= BRIGHT):
        scale, note = 1, "floats of 0 to 255"
    else:
        raise UnreadableError(
            f"pixels of kind F are not supported (expected floats of 0 to 1 or 0 to 255, got {least:g} to {most:g})"
        )
    grey = by_strips(image, "L", lambda strip: Image.fromarray(np.rint(np.asarray(strip) * scale).astype(np.uint8)))
    return grey, note


def _of_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    to_rgb = ImageCms.buildTransform(*profiles, "LAB", "RGB")
    return by_strips(image, "RGB", lambda strip: ImageCms.applyTransform(strip, to_rgb) or strip)


def _sixteen_bits(image: Image.Image) -> list[str]:
    """The raw modes of colours of 16 bits, of which Pillow keeps the upper 8 only."""
    if image.mode not in ("RGB", "RGBA"):
        return []
    modes = [_raw_mode(tile.args) for tile in getattr(image, "tile", [])]  # of a file alone
    return [mode for mode in modes if ";16" in mode]


def _raw_mode(arguments: Any) -> str:
    mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return mode if isinstance(mode, str) else ""


def _of_deep_colours(image: Image.Image, raw_mode: str, file: BinaryIO) -> tuple[Image.Image, str | None]:
    """Colours whose upper bytes are nearly empty: the lower ones are decoded, too."""
    highest = [int(band.getextrema()[1]) for band in image.split()]  # type: ignore[arg-type] # of one band, a pair
    if _depth_of(max(highest[:3]) << 8 | 255) == 16:
        return image, None
    if not raw_mode.startswith("RGB"):
        return image, "colours of fewer bits in a 16-bit file, darker than meant"
    file.seek(0)
    lower = Image.open(file, formats=[str(image.format)])
    lower.tile = [tile._replace(args=_lower(tile.args)) for tile in lower.tile]
    lower.load()

    def values(top: int, strip: Image.Image) -> Values:
        low = np.asarray(lower.crop((0, top, image.width, top + strip.height)))
        both: Values = np.asarray(strip).astype(np.uint16) << 8 | low
        return both

    union = 0
    for top, strip in _strips(image):
        union |= int(np.bitwise_or.reduce(values(top, strip)[..., :3], axis=None))
    said = _said_bits(image, file, union, 16) if union else 16
    depth = said or _depth_of(union)
    scaled = Image.new(image.mode, image.size)
    for top, strip in _strips(image):
        bands = _eight_bits(values(top, strip), depth)
        if highest[-1] >= 1 << (depth - 8):  # alpha has a depth of its own
            bands[..., 3:] = np.asarray(strip)[..., 3:]
        scaled.paste(Image.fromarray(bands), (0, top))
    return scaled, _note(depth, 16) if said is None else None


def _lower(arguments: Any) -> Any:
    """The arguments of a decoder, so that it takes the other byte of two."""
    mode = _raw_mode(arguments)
    other = mode[:-1] + OTHER_BYTE[mode[-1]] if ";16" in mode else mode
    return (other, *arguments[1:]) if isinstance(arguments, tuple) else other

"""What surrounds a decoder: failures get short reasons, warnings are caught, the pixels at once are bounded."""

import ctypes
import io
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError, _imaging
from PIL import ImageFile as pillow_files
from PIL.ImageFile import ImageFile

from fscl import archives, video_frames
from fscl.errors import UnreadableError
from fscl.frames import OTHER_VIDEO_SUFFIXES, is_video
from fscl.pixels import MOST_OF_PHOTO

# Photos only: without this list Pillow would also start Ghostscript on an EPS that is named .jpg.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP")  # JPEG includes MPO
HEIC = (b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1")  # how a file begins after its first four bytes

Photo = Path | bytes
"""A file, perhaps in a zip archive (photos.zip/fox/1.jpg), a frame of a video, or what is in a file."""

MOST_PIXELS = 100_000_000
"""Decoded at once in one process: 400 MB at Pillow's four bytes a pixel. A larger photo is decoded alone."""

LONGEST = 200  # bytes of a message of libtiff
PILLOWS_NAME = "tempfile.tif"  # of every file that libtiff reads for it

_caught = threading.local()


@contextmanager
def messages() -> Iterator[list[str]]:
    """Catch what Pillow warns of and libtiff complains of in this thread; without it, both are dropped.

    Only inside `QUIET` are Pillow's warnings caught at all.
    """
    outer = getattr(_caught, "messages", None)
    caught: list[str] = []
    _caught.messages = caught
    try:
        yield caught
    finally:
        _caught.messages = outer


def _is_of_pillow(filename: str) -> bool:
    return Path(filename).parent.name == "PIL"


def _catch(message: str) -> None:
    caught = getattr(_caught, "messages", None)
    if caught is not None and message not in caught:
        caught.append(message)


BYTES = re.compile(r"\bb'([^']*)'")  # as Python writes the names of chunks in messages


@contextmanager
def named_failures(photo: Photo | Image.Image) -> Iterator[list[str]]:
    """Turn whatever Pillow raises into a short reason, and give what it only complained of."""
    try:
        with messages() as complaints:
            yield complaints
    except UnreadableError:
        raise
    except FileNotFoundError:
        raise UnreadableError("missing file") from None
    except PermissionError:
        raise UnreadableError("permission denied") from None
    except IsADirectoryError:
        raise UnreadableError("a folder, not a file") from None
    except archives.ArchiveError as error:
        raise UnreadableError(str(error)) from None
    except UnidentifiedImageError:
        raise UnreadableError(_reason_unidentified(photo)) from None
    except Image.DecompressionBombError:
        raise UnreadableError(f"more than {MOST_OF_PHOTO // 1_000_000} megapixels (decompression bomb?)") from None
    except MemoryError:
        raise UnreadableError("larger than the memory") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, …
        if isinstance(error, OSError) and error.errno is not None:  # of the system, not of a decoder
            raise UnreadableError((error.strerror or "the system cannot read it").lower()) from None
        damage = complaints[0] if complaints and "decoder error" in str(error) else error
        said = BYTES.sub(r"\1", str(damage))
        reason = "truncated file" if "truncated" in str(error).lower() else f"damaged file ({said})"
        raise UnreadableError(reason) from error


@contextmanager
def opened(photo: Photo) -> Iterator[tuple[ImageFile, "io.BufferedReader[Any]", list[str]]]:
    """Open a photo: what Pillow makes of it, the file, and what Pillow complained of.

    Raises:
        UnreadableError: no photo, or none that Pillow knows.
    """
    with named_failures(photo):
        file = _binary(photo)
    with file:
        with named_failures(photo) as complaints:
            image = Image.open(file, formats=FORMATS)
        yield image, file, complaints


def _binary(photo: Photo) -> "io.BufferedReader[Any]":
    if isinstance(photo, bytes):
        return io.BufferedReader(io.BytesIO(photo))
    frame = (photo, 0) if is_video(photo.name) else archives.frame_of(photo)  # a video itself looks as it begins
    return archives.open_binary(photo) if frame is None else video_frames.open_frame(*frame)


def _reason_unidentified(photo: Photo | Image.Image) -> str:
    if isinstance(photo, Image.Image):
        return "not an image"
    if (len(photo) if isinstance(photo, bytes) else archives.size(photo)) == 0:
        return "empty file"
    if photo[4:12].startswith(HEIC) if isinstance(photo, bytes) else photo.suffix.lower() in (".heic", ".heif"):
        return "HEIC is not supported, convert it to JPEG"
    if isinstance(photo, Path) and photo.suffix.lower() in OTHER_VIDEO_SUFFIXES:
        return f"{photo.suffix.lower()} videos are not read, convert it to .mp4"
    return "not an image"


class _Quiet:
    """While any thread is inside, Pillow's warnings (corrupt EXIF, large photos) are not shown.

    Nor do settings of Pillow count that other libraries change in the whole process: half a photo is refused, not
    filled with grey, and so is one of too many pixels.

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
                show = warnings.showwarning
                warnings.filterwarnings("always", module=r"PIL\.")
                warnings.showwarning = lambda message, category, filename, *more: (
                    _catch(str(message)) if _is_of_pillow(filename) else show(message, category, filename, *more)
                )
                _catch_libtiff()
                self._settings = pillow_files.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
                pillow_files.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, MOST_OF_PHOTO // 2

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                pillow_files.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = self._settings
                self._filters.__exit__(None, None, None)


QUIET = _Quiet()
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its errors go to a terminal where nothing is set up


class Budget:
    """A number of pixels that threads share. Who comes first is served first, so that large photos get their turn.

    >>> budget = Budget(100)
    >>> with budget.of(70), budget.of(30):
    ...     budget.taken
    100
    >>> with budget.of(1000):  # alone
    ...     budget.taken
    1000
    """

    def __init__(self, most: int) -> None:
        self.taken = 0
        self._most = most
        self._turn = threading.Lock()
        self._freed = threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """Wait until the pixels fit, or until nothing else is decoded; they are free again afterwards."""
        with self._turn, self._freed:
            self._freed.wait_for(lambda: self.taken == 0 or self.taken + pixels <= self._most)
            self.taken += pixels
        try:
            yield
        finally:
            with self._freed:
                self.taken -= pixels
                self._freed.notify_all()


PIXELS = Budget(MOST_PIXELS)


_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)


def _tell_libtiff_error(module: bytes | None, template: bytes, values: Any) -> None:
    """Called by libtiff in the thread that decodes. `values` is a va_list, which only C can fill in."""
    text = ctypes.create_string_buffer(LONGEST)
    ctypes.CDLL(None).vsnprintf(text, ctypes.c_size_t(LONGEST), template, ctypes.c_void_p(values))
    where = (module or b"").decode(errors="replace")
    said = text.value.decode(errors="replace").strip()
    _catch(said if where == PILLOWS_NAME else f"{where}: {said}")


_on_libtiff_error = _Handler(_tell_libtiff_error)  # libtiff holds no reference to it
_libtiff_is_caught = False


def _catch_libtiff() -> None:
    """Take the place of libtiff's error handler, which prints from C, in every process once.

    A Pillow without libtiff, or one with it built in (Windows), has no such function; there it goes on as it was.
    """
    global _libtiff_is_caught
    if not _libtiff_is_caught:
        _libtiff_is_caught = True
        try:
            ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(_on_libtiff_error)
        except (AttributeError, OSError):
            return

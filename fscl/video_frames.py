"""A frame of a video as if it were a photo in a file: a bitmap in memory, upright, decoded when its pixels are read.

It is decoded from the keyframe before it, so that it is the same picture whichever frame was read before; who reads
the frames of a video in order decodes it once.
"""

import io
import os
import struct
import threading
import weakref
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fscl.archives import Version, photo_version
from fscl.errors import UnreadableError
from fscl.video import Times, opened, pyav_failures, read_times

# The signs of a, b, c, d of a display matrix, which shows the pixel x, y at a x + c y, b x + d y.
UPRIGHT = {
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
BITMAP = struct.Struct("<2sI4xI IiiHHI4x4x4x4x4x")  # the header of BMP, of 24 bits, the first line on top

_Decoded = tuple[int, Any, bool]
"""A frame: its place in the order, what PyAV has of it, and whether it, or one that it is made of, is damaged."""


def times_of(video: Path) -> Times:
    """Read when the frames of a video are shown; all of it is read, nothing is decoded but the first frame.

    Raises:
        UnreadableError: no video, one that is damaged from the start, or PyAV is not installed.
    """
    with pyav_failures():
        times = read_times(video, photo_version(video))
        _ = _reader(video).size
    return times


def open_frame(video: Path, number: int) -> io.BufferedReader:
    """Open a frame as if it were a file, a bitmap. It is decoded when its pixels are read.

    Raises:
        UnreadableError: as `times_of`, also while reading; a frame that is damaged, or is not there.
    """
    with pyav_failures():
        return io.BufferedReader(_Bitmap(video, number))


class _Reader:
    """An open video: frames that are asked for in order are decoded in one go."""

    def __init__(self, video: Path, version: Version) -> None:
        self._video, self._times = video, read_times(video, version)
        self._keys: list[int] = self._times.keys[:, 0].tolist()
        self._latest: tuple[int, Image.Image] | None = None
        self._open = ExitStack()
        weakref.finalize(self, self._open.close)  # with the thread
        self._at: int | None = None
        self._frames: Iterator[_Decoded] = iter(())
        self._restart()
        first = next(self._frames, None)
        if first is None:
            raise UnreadableError("damaged video (no frame can be decoded)")
        self.size = _upright(first[1]).size
        self._restart()

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def picture(self, number: int) -> Image.Image:
        """Return a frame, upright.

        Raises:
            UnreadableError: a frame that is damaged, or is not there.
        """
        if self._latest is not None and self._latest[0] == number:  # another box of it
            return self._latest[1]
        order = self._times.order
        if number >= len(order):
            raise UnreadableError(f"no such frame, the video has {len(order):,}")
        key = bisect_right(self._keys, number) - 1
        wanted = int(order[number])
        # Not where the next keyframe is near: what is sought may begin with the one before.
        sought = self._at is None or self._at >= wanted or self._at < int(order[self._keys[max(key - 1, 0)]])
        if sought:
            self._start(key)
        found = self._next(wanted)
        if found is None:
            raise UnreadableError("damaged video (it ends before this frame)")
        at, frame, damaged = found
        if at > wanted and sought and key > 0:  # in this file nothing can be sought: it is read from its start
            self._keys = self._keys[:1]
            return self.picture(number)
        if at != wanted or damaged:
            raise UnreadableError("damaged video (this frame)")
        picture = _upright(frame)
        if picture.size != self.size:
            raise UnreadableError("a frame of another size than the first of its video")
        self._latest = number, picture
        return picture

    def _next(self, wanted: int) -> _Decoded | None:
        for decoded in self._frames:
            self._at = decoded[0]
            if self._at >= wanted:
                return decoded
        return None

    def _start(self, key: int) -> None:
        """Go on from a keyframe."""
        import av

        if key == 0 and self._at is None:
            return
        try:
            if key == 0:
                self._restart()
            else:
                self._container.seek(int(self._times.keys[key, 1]), stream=self._stream, backward=True)
        except av.FFmpegError:
            self._restart()
        self._frames = _decode(self._container, self._stream, self._times)

    def _restart(self) -> None:
        self._open.close()
        self._container, self._stream = self._open.enter_context(opened(self._video))
        self._at = None
        self._frames = _decode(self._container, self._stream, self._times)


def _decode(container: Any, stream: Any, times: Times) -> Iterator[_Decoded]:
    """The frames from here on. What follows a damaged one is made of it, up to the next keyframe."""
    import av

    starts = times.order[times.keys[:, 0]]
    broken: set[int] = set()
    count = -1
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            frames = []
            broken.add(_group(starts, packet.pts, times))
        for frame in frames:
            count += 1
            at = count if times.by_number else frame.pts
            if at is None:
                continue
            group = _group(starts, at, times)
            if frame.is_corrupt:
                broken.add(group)
            yield at, frame, group in broken


def _group(starts: NDArray[np.int64], at: int | None, times: Times) -> int:
    """Which keyframe a frame is decoded from."""
    return 0 if at is None or times.by_number else int(np.searchsorted(starts, at, side="right"))


def _upright(frame: Any) -> Image.Image:
    picture: Image.Image = frame.to_image(threads=1)  # others hang where a forked process frees them
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return picture
    signs = np.sign(np.frombuffer(matrix, dtype=np.int32)[[0, 1, 3, 4]]).tolist()
    turned = UPRIGHT.get(tuple(signs))
    return picture if turned is None else picture.transpose(turned)


_of_thread = threading.local()


def _reader(video: Path) -> _Reader:
    """The video that this thread reads. A forked process has its own: it shares the place in files with the other."""
    key = video, photo_version(video), os.getpid()
    kept: tuple[Any, _Reader] | None = getattr(_of_thread, "kept", None)
    if kept is None or kept[0] != key:
        if kept is not None:
            kept[1].close()
        _of_thread.kept = None  # also where the next one cannot be opened
        kept = _of_thread.kept = key, _Reader(*key[:2])
    return kept[1]


class _Bitmap(io.RawIOBase):
    """A frame as a file: a header, and pixels that are decoded when they are read."""

    def __init__(self, video: Path, number: int) -> None:
        width, height = _reader(video).size
        self._video, self._number, self._stride = video, number, (3 * width + 3) // 4 * 4
        self._size = BITMAP.size + self._stride * height
        self._header = BITMAP.pack(b"BM", self._size, BITMAP.size, 40, width, -height, 1, 24, 0)
        self._content: bytes | None = None
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"expected a place in the file, got {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        if self._position < BITMAP.size:
            some = self._header[self._position :][: len(buffer)]
        else:
            if self._content is None:
                with pyav_failures():
                    picture = _reader(self._video).picture(self._number)
                self._content = picture.tobytes("raw", "BGR", self._stride, 1)
            start = self._position - BITMAP.size
            some = self._content[start : start + len(buffer)]
        buffer[: len(some)] = some
        self._position += len(some)
        return len(some)

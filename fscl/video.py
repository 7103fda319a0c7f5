"""Videos, opened by PyAV (the extra [video]): which frames there are, and when each is shown; nothing is decoded.

A frame has the number that its time has among the times of all frames, counted from 0.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fscl import archives
from fscl.archives import VIDEOS_KNOWN, Version
from fscl.errors import UnreadableError
from fscl.pixels import MOST_OF_PHOTO

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi,asf,matroska,webm"  # others of FFmpeg may be lists that name further files
MOST_PACKETS = 2_000_000  # of a video: 18 hours at 30 a second
LONGEST_S = 24 * 3600.0  # times that are further apart are damaged
USUAL_RATE = 25.0  # frames a second, where a video does not say it
FASTEST = 1000.0
MICROSECONDS = 1e6  # of which the duration of a container is in FFmpeg
ALL_THERE = 0.95  # of the frames that a video declares: cameras count a little differently
IN_WORDS = {
    "invalid data found when processing input": "cut off, or no video",
    "end of file": "it ends at its beginning",
}
"""What FFmpeg says of a damaged file → what that means."""
CREATED = ("com.apple.quicktime.creationdate", "creation_time", "date")
"""What a video says of when it was made: Apple's has local time, the next is what other cameras write."""


class Times(NamedTuple):
    """When the frames of a video are shown.

    Attributes:
        order: of each frame its time in the unit of the stream, ascending; or its number, where times are damaged.
        keys: (keyframes, 2): of those that can be decoded alone the number, and the time to seek for it.
        offsets_s: seconds after the first.
        rate: frames a second.
        by_number: `order` is numbers.
        created: when the video was made, as it writes it.
        damage: what is wrong where not all frames are there.
    """

    order: NDArray[np.int64]
    keys: NDArray[np.int64]
    offsets_s: NDArray[np.float64]
    rate: float
    by_number: bool
    created: str | None
    damage: str | None

    def sampled(self, per_second: float, among: Sequence[int] | None = None) -> list[int]:
        """Return the numbers of the frames to take: the first in each 1/`per_second` seconds that has any.

        Args:
            per_second: frames a second at most.
            among: the frames to choose from, ascending; None: all.
        """
        frames = np.arange(len(self.order)) if among is None else np.array(among, dtype=np.int64)
        frames = frames[frames < len(self.order)]
        slots = np.floor(self.offsets_s[frames] * per_second + 1e-6)  # 0.9999999 s counts as 1 s
        numbers: list[int] = frames[np.diff(slots, prepend=-1.0) > 0].tolist()
        return numbers


@contextmanager
def pyav_failures() -> Iterator[None]:
    """Turn an error of PyAV into a short reason; an error of the system stays as it is."""
    try:
        import av
    except ImportError:
        raise UnreadableError("videos need PyAV, which is not installed: pip install 'fscl[video]'") from None
    try:
        yield
    except UnreadableError:
        raise
    except (av.FFmpegError, ValueError, OverflowError) as error:
        said = str(getattr(error, "strerror", None) or error).lower()
        raise UnreadableError(f"damaged video ({IN_WORDS.get(said, said)})") from error


@contextmanager
def opened(video: Path) -> Iterator[tuple[Any, Any]]:
    """Open a video: PyAV's container, and its stream of pictures.

    Raises:
        UnreadableError: no video, or one that is larger than any photo.
    """
    import av

    with archives.open_binary(video) as file:
        if not file.read(1):
            raise UnreadableError("empty file")
        file.seek(0)
        with av.open(file, options={"format_whitelist": CONTAINERS}, metadata_errors="replace") as container:
            covers = av.stream.Disposition.attached_pic  # of music
            stream = next((each for each in container.streams.video if not each.disposition & covers), None)
            if stream is None:
                raise UnreadableError("a video without pictures")
            codec = stream.codec_context
            if codec is None:
                raise UnreadableError("a video of an unknown codec")
            if codec.width * codec.height > MOST_OF_PHOTO:
                raise UnreadableError(f"more than {MOST_OF_PHOTO // 1_000_000} megapixels (decompression bomb?)")
            codec.options = {"max_pixels": str(MOST_OF_PHOTO)}
            codec.thread_count = 1  # videos are read side by side; threads of its own would not survive a fork
            yield container, stream


@lru_cache(maxsize=VIDEOS_KNOWN)
def read_times(video: Path, version: Version) -> Times:
    """Read when the frames of a video are shown: all of the file is read.

    Raises:
        UnreadableError: no video, or one without a frame.
    """
    with opened(video) as (container, stream):
        packets, number, damage = _packets(container, stream)
        is_avi, declared, rate = container.format.name == "avi", stream.frames, _rate(stream)
        lasts_s = (container.duration or 0) / MICROSECONDS
        said = {**stream.metadata, **container.metadata}
        unit = float(stream.time_base or 0)
    if not packets:
        raise UnreadableError("a video without pictures")
    shown = np.array(sorted(-1 if pts is None else pts for pts, *_ in packets), dtype=np.int64)
    offsets_s = (shown - shown[0]) * unit
    by_number = bool(
        any(pts is None for pts, *_ in packets)
        or (is_avi and not all(key for *_, key in packets))  # AVI has no times: FFmpeg's are not in order of B-frames
        or (np.diff(shown) <= 0).any()
        or not np.isfinite(offsets_s).all()
        or not 0 <= offsets_s[-1] <= LONGEST_S
        or (len(shown) > 1 and unit <= 0)
    )
    keys = {0: 0}
    if by_number:
        shown = np.arange(len(packets), dtype=np.int64)
        offsets_s = shown / rate
    else:
        of_keys = [(pts, dts) for pts, dts, key in packets if key and pts is not None]
        keys |= {int(np.searchsorted(shown, pts)): pts if dts is None else min(pts, dts) for pts, dts in of_keys}
    ends_s = float(offsets_s[-1]) + 1 / rate
    if damage is None and number < ALL_THERE * declared - 1:
        damage = f"the video ends after {number:,} of {declared:,} frames"
    elif damage is None and not declared and ends_s < ALL_THERE * lasts_s - 1 / rate:
        damage = f"the video ends after {ends_s:.1f} of {lasts_s:.1f} s"
    created = next((said[key] for key in CREATED if key in said), None)
    return Times(shown, np.array(sorted(keys.items()), dtype=np.int64), offsets_s, rate, by_number, created, damage)


def _packets(container: Any, stream: Any) -> tuple[list[tuple[int | None, int | None, bool]], int, str | None]:
    """When each frame is shown and decoded, and whether that needs no other; how many; what is wrong."""
    import av

    packets: list[tuple[int | None, int | None, bool]] = []
    number = 0
    try:
        for packet in container.demux(stream):
            if packet.size == 0:  # the last, or a frame that the camera left out
                continue
            number += 1
            if not packet.is_discard:
                packets.append((packet.pts, packet.dts, packet.is_keyframe))
            if number == MOST_PACKETS:
                return packets, number, f"only the first {MOST_PACKETS:,} frames of the video are read"
    except av.FFmpegError as error:
        return packets, number, f"the video is damaged after {number:,} frames ({error.strerror})"
    return packets, number, None


def _rate(stream: Any) -> float:
    given = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    return next((float(rate) for rate in given if rate and 0 < rate <= FASTEST), USUAL_RATE)

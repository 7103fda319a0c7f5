"""How frames of videos are called: frame 25 of C1/clip.mp4 is C1/clip.mp4/frame000025.jpg, as MegaDetector has it.

No file can have such a path, for it goes through a file; where the frames lie in a folder clip.mp4, they are photos.
"""

import re
from pathlib import PurePath

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".asf", ".mkv")
"""What camera traps write, and what their videos are usually converted to."""

OTHER_VIDEO_SUFFIXES = (".mpg", ".mpeg", ".wmv", ".mts", ".m2ts", ".ts", ".3gp", ".webm", ".flv", ".vob")
"""Videos that are not read."""

_FRAME = re.compile(
    rf"(?P<video>.+(?:{'|'.join(map(re.escape, VIDEO_SUFFIXES))}))[/\\]frame(?P<number>\d{{6,9}})\.jpg",
    re.IGNORECASE | re.DOTALL,
)


def is_video(path: str) -> bool:
    """Tell a video by its name.

    >>> is_video("C1/CLIP.AVI"), is_video("C1/clip.mp4/frame000025.jpg")
    (True, False)
    """
    return path.lower().endswith(VIDEO_SUFFIXES) and not PurePath(path).name.startswith(".")


def frame_name(video: str, number: int) -> str:
    """Return the path of a frame, counted from 0 in the order in which they are shown."""
    return f"{video}/frame{number:06d}.jpg"


def split_frame(path: str) -> tuple[str, int] | None:
    """Return the video and the number that the path of a frame names; None of any other path.

    >>> split_frame("C1/clip.mp4/frame000025.jpg"), split_frame("C1/frame000025.jpg")
    (('C1/clip.mp4', 25), None)
    """
    match = _FRAME.fullmatch(path)
    return None if match is None else (match["video"], int(match["number"]))


def video_of(path: str) -> str:
    """Return the video that a frame is of; any other path is its own.

    >>> video_of("C1/clip.mp4/frame000025.jpg"), video_of("C1/1.jpg")
    ('C1/clip.mp4', 'C1/1.jpg')
    """
    frame = split_frame(path)
    return path if frame is None else frame[0]

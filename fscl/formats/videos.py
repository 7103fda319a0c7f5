"""Videos among photos become their frames: a row for each that is taken; the video is their sequence."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import ExifTags

from fscl import archives
from fscl.decoding import named_failures
from fscl.errors import UnreadableError
from fscl.formats.photo_times import taken
from fscl.formats.walk import NOT_UTF8
from fscl.frames import frame_name, is_video, split_frame, video_of
from fscl.manifest import reasons
from fscl.manifest.table import Manifest
from fscl.printable import number_of
from fscl.video import Times
from fscl.video_frames import times_of

PER_SECOND = 1.0
"""Frames of a video that are taken each second: most animals stay longer than that."""
NAMED = "those that the source names, whatever --fps says"
MOST_FRAMES = 10_000  # of a video: almost three hours at one a second

LookedAt = Mapping[str, Sequence[int]]
"""Video → the frames, ascending, that a detector looked at."""


class Expanded(NamedTuple):
    """Rows in which frames stand in place of videos, and what is to be said of them."""

    rows: pd.DataFrame
    remarks: list[str]


class _Seen(NamedTuple):
    """What a look at a video finds; without times, why it cannot be read."""

    times: Times | None = None
    problem: str | None = None
    start: datetime | None = None
    note: str | None = None


class _Made(NamedTuple):
    """A row that becomes of another: of a frame, or, without a number, of what it was of."""

    place: int
    number: int | None = None
    problem: str | None = None
    renamed: bool = True  # from the video to the frame


def with_frames(photos: Manifest, per_second: float | None, looked_at: LookedAt | None = None) -> Manifest:
    """Return photos with the frames of their videos, as `expanded` has them.

    Args:
        photos: of any source but a manifest, which has the frames already.
        per_second: as of `expanded`.
        looked_at: as of `expanded`.
    """
    rows = photos.rows.drop(columns="region_id")
    files = [photos.root / path for path in rows["path"]]
    made, remarks = expanded(rows, files, ("path",), per_second, looked_at)
    if made is rows:
        return replace(photos, remarks=(*photos.remarks, *remarks))
    made["photo_id"] = made["photo_id"].mask(made["frame_rate"].notna(), made["path"])
    return replace(Manifest.build(made, photos.root), remarks=(*photos.remarks, *remarks))


def expanded(
    rows: pd.DataFrame,
    files: Sequence[Path],
    named: Sequence[str],
    per_second: float | None,
    looked_at: LookedAt | None = None,
) -> Expanded:
    """Return rows with a row for each frame in place of each row of a video; without videos the rows as they are.

    `sequence` becomes the video where the source has none, `datetime` that of the video and the seconds since,
    `frame_rate` the frames a second of the video, `video_id` its name. A video that cannot be read stays a row, with
    the reason as its `problem`; of one that is damaged further on there are the frames, and such a row. Rows that are
    of frames already get the same columns.

    Args:
        rows: `problem`, `sequence`, `datetime` and the columns `named`.
        files: of the rows.
        named: the columns that name the photo; those of a video come to name the frame.
        per_second: frames that are taken each second (1, or all that a detector looked at).
        looked_at: by names in the first of `named`; no other frames are taken.
    """
    places = _places(rows, files, named[0])
    if not places:
        return Expanded(
            rows, [] if per_second is None else [f"there are no videos: --fps {per_second:g} changes nothing"]
        )
    videos = list(dict.fromkeys(places.values()))
    with ThreadPoolExecutor() as threads:
        seen = dict(zip(videos, threads.map(_seen, videos), strict=True))
    of_place = {place: seen[path] for place, path in places.items()}
    made: list[_Made] = []
    for place, name in enumerate(rows[named[0]].tolist()):
        if place not in of_place:
            made.append(_Made(place))
        elif (frame := split_frame(name)) is not None:
            made.append(_Made(place, frame[1], of_place[place].problem, renamed=False))
        else:
            made += _frames(
                place, of_place[place], per_second, None if looked_at is None else looked_at.get(name, ())
            )
    count = len({(places[row.place], row.number) for row in made if row.number is not None})
    said = f"{number_of(len(videos), 'video')}, {number_of(count, 'frame')}: "
    said += _how(per_second, looked_at) if any(row.renamed for row in made if row.place in places) else NAMED
    return Expanded(_columns(rows, made, named, of_place), [said])


def _how(per_second: float | None, looked_at: LookedAt | None) -> str:
    """Say which frames of videos are taken."""
    if per_second is not None:
        return f"{per_second:g} a second at most (--fps)"
    return (
        "those that the detector looked at (--fps)" if looked_at is not None else f"{PER_SECOND:g} a second (--fps)"
    )


def _places(rows: pd.DataFrame, files: Sequence[Path], name: str) -> dict[int, Path]:
    """Place → the video of rows that are of a video or of a frame of one."""
    names = rows[name].tolist()
    ruled_out = rows["problem"].astype("str").str.startswith(("unreadable", NOT_UTF8), na=False).tolist()
    places: dict[int, Path] = {}
    for place, (path, out) in enumerate(zip(names, ruled_out, strict=True)):
        if not out and is_video(path):
            places[place] = files[place]
        elif not out and split_frame(path) is not None:
            file = archives.file_of(files[place])
            if file != files[place]:  # else it is a photo that is called so
                places[place] = file
    return places


def _seen(path: Path) -> _Seen:
    try:
        with named_failures(path):
            times = times_of(path)
    except UnreadableError as error:
        return _Seen(problem=reasons.of_unreadable(error))
    start, note, *_ = taken({ExifTags.Base.DateTimeOriginal: times.created or ""}, path.name)
    return _Seen(times, None, start, note)


def _frames(place: int, seen: _Seen, per_second: float | None, looked_at: Sequence[int] | None) -> list[_Made]:
    """The rows that become of a video."""
    times = seen.times
    if times is None or (looked_at is not None and not looked_at):
        return [_Made(place, problem=seen.problem)]
    if looked_at is not None and per_second is None:
        chosen = list(looked_at)
    else:
        chosen = times.sampled(PER_SECOND if per_second is None else per_second, looked_at)
    frames = [_Made(place, number) for number in chosen[:MOST_FRAMES]]
    most = f"only its first {MOST_FRAMES:,} frames are taken: give a lower --fps"
    damage = [times.damage, most if len(chosen) > MOST_FRAMES else None]
    return frames + [_Made(place, problem=f"{reasons.UNREADABLE}{why}") for why in damage if why is not None]


def _columns(
    rows: pd.DataFrame, made: Sequence[_Made], named: Sequence[str], seen: Mapping[int, _Seen]
) -> pd.DataFrame:
    table = rows.iloc[[row.place for row in made]].reset_index(drop=True)
    facts = [seen.get(row.place, _Seen()) for row in made]
    both = list(zip(made, facts, strict=True))
    videos = [
        video_of(name) if row.number is not None else None for name, row in zip(table[named[0]], made, strict=True)
    ]
    rates = [None if row.number is None or fact.times is None else fact.times.rate for row, fact in both]
    times = [_time(*each, given) for each, given in zip(both, pd.to_datetime(table["datetime"]), strict=True)]
    for column in named:
        names = zip(table[column], made, strict=True)
        table[column] = [
            frame_name(name, row.number) if row.number is not None and row.renamed else name for name, row in names
        ]
    note = table.get("note", pd.Series([None] * len(made))).astype("str")
    return table.assign(
        sequence=table["sequence"].astype("str").fillna(pd.Series(videos, dtype="str")),
        datetime=pd.Series(times, dtype="datetime64[us]"),
        frame_rate=pd.Series(rates, dtype="float64"),
        video_id=pd.Series(videos, dtype="str"),
        problem=reasons.added(table["problem"].astype("str"), pd.Series([row.problem for row in made], dtype="str")),
        note=reasons.added(note, pd.Series([fact.note for fact in facts], dtype="str")),
    )


def _time(row: _Made, seen: _Seen, given: datetime | None) -> datetime | None:
    """The time of a frame: that of the source, for a video the seconds since; else what the video says itself."""
    start = seen.start if pd.isna(given) else given
    times, of_frame = seen.times, not (pd.isna(given) or row.renamed)
    if start is None or of_frame or times is None or row.number is None or row.number >= len(times.offsets_s):
        return start
    return start + timedelta(seconds=float(times.offsets_s[row.number]))


def frames_of_file(path: Path) -> list[tuple[Path, str | None]]:
    """Return the frames of a video, one each second; of a photo, or a video that cannot be read, its own path.

    Of a video that is damaged further on its own path comes last, with what is wrong with it.
    """
    seen = _seen(path) if is_video(path.name) else _Seen()
    if seen.times is None:
        return [(path, None)]
    made = _frames(0, seen, None, None)
    frames: list[tuple[Path, str | None]] = [
        (Path(frame_name(str(path), row.number)), None) for row in made if row.number is not None
    ]
    return frames + [(path, row.problem.removeprefix(reasons.UNREADABLE)) for row in made if row.problem is not None]

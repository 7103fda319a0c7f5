"""When a photo was taken and by which camera: EXIF says it, or a file name that a camera or program gave."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd
from PIL import ExifTags

EARLIEST = datetime(2000, 1, 2)  # a clock that was reset starts in 1970, 1980 or at 2000-01-01
CLOCKS_AHEAD = timedelta(days=1)  # of ours, by time zones

ORIGINAL = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.SubsecTimeOriginal)
DIGITIZED = (ExifTags.Base.DateTimeDigitized, ExifTags.Base.SubsecTimeDigitized)
CHANGED = (ExifTags.Base.DateTime, ExifTags.Base.SubsecTime)  # programs that edit photos set it, too

EXIF_TIME = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d+))?")
# 20210531_082538 (Android, Bushnell), 2021-05-31 08.25.38 (Dropbox), 20210531082538-RCNX0031 (Reconyx, renamed),
# STATION__2009-04-10__05-07-00(1) (camtrapR), PXL_20210531_082538123 (Pixel)
NAME_TIME = re.compile(
    r"(?<!\d)(20\d\d)([-_.:]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])[-_ T.]{0,3}"
    r"([01]\d|2[0-3])([-_.:]?)([0-5]\d)\6([0-5]\d)(\d{3})?(?!\d)"
)
STATION = re.compile(r"(.+?)__\d{4}-\d\d-\d\d__\d\d-\d\d-\d\d\(\d+\)")  # of camtrapR
NO_SERIAL = re.compile(r"(\w)\1*|n/?a|none|unknown", re.IGNORECASE)


class Taken(NamedTuple):
    """What is known of when and by which camera a photo was taken."""

    time: datetime | None = None
    """Local time of the camera, without zone."""
    note: str | None = None
    """Why there is none, where there was one to be had."""
    model: str | None = None
    """Maker and model of the camera."""
    camera: str | None = None
    """The camera alone, by its serial number or by a station in the file name."""


def taken(exif: Mapping[int, Any], name: str) -> Taken:
    """Return when and by which camera a photo was taken.

    In this order: EXIF's DateTimeOriginal, DateTimeDigitized, the file name, EXIF's DateTime where it names a camera.
    A time before 2000-01-02 or after tomorrow is none: the clock was never set.

    Args:
        exif: tag → value.
        name: of the file.

    >>> taken({0x9003: "2021:05:31 08:25:38", 0x9291: "25", 0x0110: "HC500"}, "IMG_0001.JPG")[:3]
    (datetime.datetime(2021, 5, 31, 8, 25, 38, 250000), None, 'HC500')
    >>> taken({}, "StationA__2009-04-10__05-07-00(1).JPG")
    Taken(time=datetime.datetime(2009, 4, 10, 5, 7), note=None, model=None, camera='StationA')
    """
    notes: list[str] = []
    time = None
    model = _model(exif)
    for source in (ORIGINAL, DIGITIZED, None, *([CHANGED] if model else [])):
        time = _of_name(name, notes) if source is None else _of_exif(exif, *source, notes)
        if time is not None:
            break
    station = STATION.match(name)
    serial = _text(exif.get(ExifTags.Base.BodySerialNumber) or exif.get(ExifTags.Base.CameraSerialNumber))
    known = serial and not NO_SERIAL.fullmatch(serial)
    camera = " ".join(filter(None, [model, serial])) if known else station and station[1]
    return Taken(time, None if time or not notes else notes[0], model, camera or None)


def times_of_source(times: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the times that a source gives, without those of a clock that was never set, and a note on each of these.

    >>> times, notes = times_of_source(pd.to_datetime(pd.Series(["1970-01-01 00:00:05", "2021-05-31 08:25:38"])))
    >>> times.isna().tolist(), notes[0]
    ([True, False], 'time left out, the clock was not set: 1970-01-01 00:00:05')
    """
    said: dict[datetime, str] = {}
    for time in times.dropna().unique():
        notes: list[str] = []
        if _plausible(time, notes) is None:
            said[time] = notes[0]
    return times.mask(times.isin(list(said))), times.map(said.get).astype("str")


def _of_exif(exif: Mapping[int, Any], tag: int, subsecond: int, notes: list[str]) -> datetime | None:
    text = _text(exif.get(tag))
    if not re.search("[1-9]", text):  # blank, or 0000:00:00 00:00:00
        return None
    match = EXIF_TIME.match(text)
    fraction = match and (match[7] or re.sub(r"\D.*", "", _text(exif.get(subsecond))))
    time = match and _time(match.groups()[:6], fraction or "0")
    if time is None:
        notes.append(f"EXIF time not understood: {text[:30]}")
    return _plausible(time, notes)


def _of_name(name: str, notes: list[str]) -> datetime | None:
    match = NAME_TIME.search(name)
    return _plausible(match and _time(match.group(1, 3, 4, 5, 7, 8), match[9] or "0"), notes)


def _time(parts: Sequence[str], fraction: str) -> datetime | None:
    year, month, day, hour, minute, second = map(int, parts)
    try:
        whole = datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    return whole + timedelta(microseconds=int(f"{fraction:0<6}"[:6]))


def _plausible(time: datetime | None, notes: list[str]) -> datetime | None:
    if time is None or EARLIEST <= time <= datetime.now() + CLOCKS_AHEAD:
        return time
    notes.append(f"time left out, the clock was not set: {time:%Y-%m-%d %H:%M:%S}")
    return None


def _model(exif: Mapping[int, Any]) -> str | None:
    """Maker and model, without a maker that the model repeats."""
    make, model = _text(exif.get(ExifTags.Base.Make)), _text(exif.get(ExifTags.Base.Model))
    return (model if model.lower().startswith(make.lower()) else f"{make} {model}").strip() or None


def _text(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value) if value is not None else ""
    return " ".join(re.sub(r"[\x00-\x1f\x7f\ufffd]", " ", text).split())

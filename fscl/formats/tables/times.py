"""Times as tables write them become the local time of a photo, without zone; a doubtful one is left out and said."""

import re
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import pandas as pd

from fscl.formats.tables.cells import as_text, is_missing_word
from fscl.manifest import reasons

DateOrder = Literal["dmy", "mdy", "ymd"]
"""The order of day, month and year in dates that do not begin with a year of four digits."""

NOT_UNDERSTOOD = "time not understood (expected 2021-05-31 08:25:38)"
NUMBER = "a number is no time (days of Excel? seconds since 1970?), expected 2021-05-31 08:25:38"
WHICH_FIRST = "day or month first? say so with --date-order dmy or mdy"
NO_CLOCK = "a date without time of day, taken for midnight"

# 2021-05-31 and 20210531 of ISO 8601, 2021:05:31 of EXIF, 2021/5/31 and 2021. 5. 31. of spreadsheets
YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})(?P<sign>[-:/.]) ?(?P<month>\d{1,2})(?P=sign) ?(?P<day>\d{1,2})(?!\d)\.?"
    r"|(?P<year2>\d{4})(?P<month2>\d\d)(?P<day2>\d\d)(?!\d)"
    r"|(?P<year3>\d{4})[년年] ?(?P<month3>\d{1,2})[월月] ?(?P<day3>\d{1,2})[일日]"
)
MONTH_NAMED = re.compile(
    r"(?P<day>\d{1,2})[-/. ]{1,2}(?P<month>[a-z]{3,9})[-/., ]{1,2}(?P<year>\d{4})"
    r"|(?P<month2>[a-z]{3,9})[. ]{1,2}(?P<day2>\d{1,2}),? (?P<year2>\d{4})",
    re.IGNORECASE,
)
THREE_NUMBERS = re.compile(r"(\d{1,2})(?P<sign>[-/.]) ?(\d{1,2})(?P=sign) ?(\d{4}|\d\d)(?!\d)\.?")
CLOCK = re.compile(
    r"""(?P<lead>t|_|,?\s)\s*
    (?P<before>am|pm|오전|오후)?\s*
    (?:(?P<hour>\d{1,2})(?::(?P<minute>\d\d)(?::(?P<second>\d\d))?)?
      |(?P<hour2>\d\d)(?P<minute2>\d\d)(?P<second2>\d\d)?)
    (?:[.,](?P<fraction>\d+))?
    \s*(?P<after>[ap]\.?m\.?)?
    \s*(?P<zone>z | (?:utc|gmt)?[-+−]\d{1,2}(?::?\d\d)? | utc | gmt | [a-z]{2,4}t)?
    (?:\s*\[[\w/+-]+\])?""",
    re.IGNORECASE | re.VERBOSE,
)
BARE_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)?(?:e[-+]?\d+)?", re.IGNORECASE)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
OFFSET = re.compile(r"([-+−])(\d{1,2}):?(\d\d)?$")
LARGEST_OFFSET = 14 * 60  # minutes, on Kiritimati
FIRST_YEAR = 69  # of two digits that is in the last century, as in POSIX


class Times(NamedTuple):
    """Times, a note where one was left out or in doubt, and what is to be said of all."""

    times: pd.Series
    notes: pd.Series
    remarks: list[str]


class _Time(NamedTuple):
    """What a text says: a time, its zone as it is written, and why there is no time or what was assumed."""

    time: datetime | None = None
    zone: str | None = None
    note: str | None = None


def read_times(column: pd.Series, order: DateOrder | None = None) -> Times:
    """Read local times: as ISO 8601, EXIF and spreadsheets write them, with the year first.

    A zone is dropped and the time on the clock kept. Left out, with a note: dates with the day or the month first
    unless `order` says which, numbers, and what is no time.

    >>> read = read_times(pd.Series(["2021-05-31T08:25:38+02", "31.05.2021 08:25"]))
    >>> read.times.tolist()
    [Timestamp('2021-05-31 08:25:38'), NaT]
    >>> read.notes[1]
    'day or month first? say so with --date-order dmy or mdy: 31.05.2021 08:25'
    >>> read.remarks
    ['times with a zone (+02:00): the time on the clock is kept, the zone is not']
    """
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        zone = str(column.dt.tz) if isinstance(column.dtype, pd.DatetimeTZDtype) else None
        times = column if zone is None else column.dt.tz_localize(None)
        return Times(times, pd.Series(None, index=times.index, dtype="str"), _of_zones([zone]))
    text = as_text(column)
    text = text.mask(is_missing_word(text))
    said = {each: _read(each, order) for each in text.dropna().unique()}
    read = [said.get(each, _Time()) for each in text]
    notes = [f"{time.note}: {each}" if time.note else None for time, each in zip(read, text, strict=True)]
    return Times(
        pd.Series([time.time for time in read], index=text.index, dtype="datetime64[us]"),
        pd.Series(notes, index=text.index, dtype="str").str.replace(reasons.SEPARATOR, ", "),
        _of_zones([time.zone for time in said.values() if time.time is not None]),
    )


def _of_zones(zones: list[str | None]) -> list[str]:
    """What is to be said once of the zones of all times, None for one without."""
    named = sorted({zone for zone in zones if zone is not None})
    if not named:
        return []
    shown = ", ".join(named[:3]) + (", …" if len(named) > 3 else "") + (" and none" if None in zones else "")
    what = "several zones" if len(named) > 1 or None in zones else "a zone"
    return [f"times with {what} ({shown}): the time on the clock is kept, the zone is not"]


def _read(text: str, order: DateOrder | None) -> _Time:
    digits = text.isascii() and text.isdigit()
    if digits and len(text) == 14:
        text = f"{text[:8]}t{text[8:]}"
    elif BARE_NUMBER.fullmatch(text) and not (digits and len(text) == 8):
        return _Time(note=NUMBER)
    date = _year_first(text) or _month_named(text) or _in_order(text, order)
    if date is None:
        numbers = THREE_NUMBERS.match(text) is not None and order is None
        return _Time(note=WHICH_FIRST if numbers else NOT_UNDERSTOOD)
    try:
        midnight = datetime(date.year, date.month, date.day)
        if not date.rest.strip():
            return _Time(midnight, note=NO_CLOCK)
        clock, zone = _on_clock(date.rest)
        return _Time(midnight + clock, zone)
    except (ValueError, OverflowError):  # no such day, no such time, or beyond the calendar
        return _Time(note=NUMBER if digits else NOT_UNDERSTOOD)


class _Date(NamedTuple):
    """A day as it is written, maybe one that is not there, and what follows it."""

    year: int
    month: int
    day: int
    rest: str


def _year_first(text: str) -> _Date | None:
    match = YEAR_FIRST.match(text)
    if match is None:
        return None
    year, month, day = (int(_either(match, name)) for name in ("year", "month", "day"))
    return _Date(year, month, day, text[match.end() :])


def _month_named(text: str) -> _Date | None:
    match = MONTH_NAMED.match(text)
    month = _either(match, "month")[:3].lower() if match else ""
    if match is None or month not in MONTHS:
        return None
    year, day = int(_either(match, "year")), int(_either(match, "day"))
    return _Date(year, MONTHS.index(month) + 1, day, text[match.end() :])


def _in_order(text: str, order: DateOrder | None) -> _Date | None:
    match = THREE_NUMBERS.match(text)
    if match is None or order is None:
        return None
    parts = dict(zip(order, (match[1], match[3], match[4]), strict=True))
    if len(parts["d"]) > 2:  # the year is not where it was said to be
        return None
    year = int(parts["y"])
    if year < 100:
        year += 1900 if year >= FIRST_YEAR else 2000
    return _Date(year, int(parts["m"]), int(parts["d"]), text[match.end() :])


def _on_clock(text: str) -> tuple[timedelta, str | None]:
    """The time since midnight, and the zone as it is written.

    Raises:
        ValueError: no time of day.
    """
    match = CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(text)
    hour, minute, second = (int(_either(match, name) or 0) for name in ("hour", "minute", "second"))
    half = (match["before"] or match["after"] or "").lower().replace(".", "")
    alone = not _either(match, "minute") and not half and match["lead"].lower() != "t"
    if alone or minute > 59 or second > 59 or hour > 24 or (hour == 24 and minute + second > 0):
        raise ValueError(text)
    if half:
        afternoon = half in ("pm", "오후")
        if hour > 12 or (hour == 0 and afternoon):
            raise ValueError(text)
        hour = hour % 12 + 12 * afternoon
    if match["fraction"] and not _either(match, "second"):  # of a minute, as ISO 8601 has it, or 8.25 for 8:25
        raise ValueError(text)
    microseconds = int((match["fraction"] or "").ljust(6, "0")[:6])
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=microseconds), _zone(match["zone"])


def _zone(text: str | None) -> str | None:
    """A zone in one form: UTC, +02:00, or by its name.

    Raises:
        ValueError: a distance from UTC that no place has.
    """
    if text is None:
        return None
    if text.lower() in ("z", "utc", "gmt"):
        return "UTC"
    offset = OFFSET.search(text)
    if offset is None:
        return text.upper()
    minutes = int(offset[2]) * 60 + int(offset[3] or 0)
    if minutes > LARGEST_OFFSET:
        raise ValueError(text)
    return f"{'+' if offset[1] == '+' else '-'}{minutes // 60:02}:{minutes % 60:02}"


def _either(match: re.Match[str], name: str) -> str:
    """What a part of the pattern holds, in whichever of its forms it matched."""
    return next((text for key, text in match.groupdict().items() if key.rstrip("23") == name and text), "")

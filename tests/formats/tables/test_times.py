import datetime
import re

import pandas as pd
import pytest

from fscl.formats.tables import times
from fscl.formats.tables.times import read_times

SECOND, MINUTE = pd.Timestamp("2021-05-31 08:25:38"), pd.Timestamp("2021-05-31 08:25")


def one(text, order=None):
    read = read_times(pd.Series([text]), order)
    return (None if pd.isna(read.times[0]) else read.times[0]), (None if pd.isna(read.notes[0]) else read.notes[0])


@pytest.mark.parametrize(
    "text",
    [
        # ISO 8601, extended and basic
        *("2021-05-31T08:25:38", "2021-05-31 08:25:38", "2021-05-31  08:25:38", "2021-05-31t08:25:38"),
        *("20210531T082538", "20210531 082538", "20210531082538", "20210531_082538", "2021-05-31T082538"),
        # with a zone
        *("2021-05-31T08:25:38Z", "2021-05-31 08:25:38 UTC", "20210531T082538Z", "2021-05-31 08:25:38 GMT"),
        *("2021-05-31T08:25:38+02", "2021-05-31T08:25:38+0200", "2021-05-31T08:25:38+02:00", "20210531T082538+02"),
        *("2021-05-31T08:25:38-07", "2021-05-31T08:25:38−07:00", "2021-05-31 08:25:38 UTC+9"),
        *("2021-05-31 08:25:38 KST", "2021-05-31 08:25:38 +09", "2021-05-31 08:25:38 CEST"),
        "2021-05-31T08:25:38+09:00[Asia/Seoul]",
        # cameras and spreadsheets
        *("2021:05:31 08:25:38", "2021/05/31 08:25:38", "2021/5/31 8:25:38", "2021.05.31 08:25:38"),
        *("2021-05-31 8:25:38 AM", "2021-05-31 08:25:38am", "2021-05-31 8:25:38 a.m.", "2021. 5. 31. 오전 8:25:38"),
        *("2021년 5월 31일 08:25:38", "2021年5月31日 8:25:38", "31 May 2021 08:25:38", "31-May-2021 08:25:38"),
        *("May 31, 2021 8:25:38 AM", "31. May 2021, 08:25:38", " 2021-05-31 08:25:38 "),
    ],
)  # fmt: skip
def test_the_time_on_the_clock(text):
    assert one(text) == (SECOND, None)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2021-05-31T08:25", MINUTE),
        ("20210531T0825", MINUTE),
        ("2021-05-31T08:25+02", MINUTE),
        ("2021-05-31T0825-0700", MINUTE),
        ("2021-05-31T08", MINUTE.floor("h")),
        ("2021-05-31T08Z", MINUTE.floor("h")),
        ("2021-05-31 8 AM", MINUTE.floor("h")),
        ("2021-05-31T08:25:38.5", SECOND + pd.Timedelta(milliseconds=500)),
        ("2021-05-31T08:25:38,123+02:00", SECOND + pd.Timedelta(milliseconds=123)),
        ("20210531T082538,123Z", SECOND + pd.Timedelta(milliseconds=123)),
        ("2021:05:31 08:25:38.123456789", SECOND + pd.Timedelta(microseconds=123456)),
        ("2021-05-31T24:00", pd.Timestamp("2021-06-01")),
        ("2021-12-31 24:00:00", pd.Timestamp("2022-01-01")),
        ("20210531T240000Z", pd.Timestamp("2021-06-01")),
        ("2021-05-31 12:05 AM", pd.Timestamp("2021-05-31 00:05")),
        ("2021-05-31 00:05 AM", pd.Timestamp("2021-05-31 00:05")),
        ("2021-05-31 12:05 PM", pd.Timestamp("2021-05-31 12:05")),
        ("2021-05-31 08:25 pm", pd.Timestamp("2021-05-31 20:25")),
        ("2021-05-31 오후 8:25", pd.Timestamp("2021-05-31 20:25")),
        ("9999-12-31 23:59:59", pd.Timestamp(datetime.datetime(9999, 12, 31, 23, 59, 59))),
    ],
)
def test_parts_of_a_second_noon_and_midnight(text, time):
    assert one(text) == (time, None)


@pytest.mark.parametrize("text", ["2021-05-31", "20210531", "2021:05:31", "2021/5/31", "31 May 2021"])
def test_a_date_alone_is_midnight_and_said(text):
    assert one(text) == (pd.Timestamp("2021-05-31"), f"{times.NO_CLOCK}: {text}")


@pytest.mark.parametrize(
    "text",
    [
        # other forms of ISO 8601
        *("2021-W22-1", "2021W221T0825", "2021-151", "2021-151T08:25", "2021-05", "--05-31", "2021-05-31/P1D"),
        *("2021-05-31T08:25.5", "2021-05-31T08.5", "+002021-05-31T08:25", "08:25:38"),
        # what is not in the calendar or on the clock
        *("2021-13-31 08:25", "2021-02-30 08:25", "0000:00:00 00:00:00", "2021-05-31 25:00", "2021-05-31 24:01"),
        *("2021-05-31 08:60", "2021-05-31 08:25:60", "2021-05-31 13:05 PM", "2021-05-31 0:05 PM", "9999-12-31 24:00"),
        *("2021-05-31 08:25+15", "2021-05-31 08:25+99:00", "2021-05-31 8", "2021-05-31 08.25", "2021-31-05 08:25"),
        *("noon", "2021-05-31 noon", "Mon May 31 08:25:38 2021", "31 Brumaire 2021 08:25"),
        *("2021-05:31 08:25", "2021-05-310 08:25", ":", "…", "2021-05-31 08:25 whatever"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_left_out_and_said(text):
    assert one(text) == (None, f"time not understood (expected 2021-05-31 08:25:38): {text}")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "44347.35",
            "44347,35",
            "44347",
            "1622449538",
            "1622449538123",
            "1.622449538e9",
            "2021",
            "202105",
            "2021151",
        ),
        *("12", "-5", "20211331", "99999999", "20210531082599", "202105310825"),
    ],
)
def test_numbers_are_not_guessed(text):
    assert one(text) == (None, f"{times.NUMBER}: {text}")


class TestOrder:
    @pytest.mark.parametrize(
        "text", ["31.05.2021 08:25", "05/31/2021 8:25 AM", "05-06-2021", "31.05.21 08:25", "5/6/21"]
    )
    def test_is_asked_for_even_where_one_alone_would_do(self, text):
        assert one(text) == (None, f"day or month first? say so with --date-order dmy or mdy: {text}")

    @pytest.mark.parametrize(
        ("order", "text"),
        [
            *[("dmy", text) for text in ("31.05.2021 08:25", "31/5/2021 8:25", "31-05-21 08:25", "31. 5. 21 8:25")],
            *[("mdy", text) for text in ("05/31/2021 08:25", "5-31-2021 8:25 am", "05/31/21 08:25")],
            *[("ymd", text) for text in ("21-05-31 08:25", "21/5/31 8:25", "2021-05-31 08:25")],
            ("dmy", "2021-05-31 08:25"),
        ],
    )  # fmt: skip
    def test_as_asked_for(self, order, text):
        assert one(text, order) == (MINUTE, None)

    def test_is_not_guessed_against_what_was_asked_for(self):
        assert one("05/06/2021 08:25", "dmy")[0] == pd.Timestamp("2021-06-05 08:25")
        assert one("05/06/2021 08:25", "mdy")[0] == pd.Timestamp("2021-05-06 08:25")
        assert one("31.05.99 08:25", "dmy")[0] == pd.Timestamp("1999-05-31 08:25")
        for order, text in (("mdy", "31/05/2021 08:25"), ("dmy", "05/31/2021 08:25"), ("ymd", "31.05.2021 08:25")):
            assert one(text, order) == (None, f"{times.NOT_UNDERSTOOD}: {text}")


class TestZones:
    def remarks(self, *texts):
        return read_times(pd.Series(texts)).remarks

    def test_none(self):
        assert self.remarks("2021-05-31 08:25", "whatever", None) == []

    def test_one_however_it_is_written(self):
        said = "times with a zone ({}): the time on the clock is kept, the zone is not"
        assert self.remarks("2021-05-31T08:25+02", "2021-05-31T08:25+0200", "2021-05-31T08:25 UTC+2") == [
            said.format("+02:00")
        ]
        assert self.remarks("2021-05-31T08:25Z", "2021-05-31 08:25 GMT") == [said.format("UTC")]

    def test_several(self):
        said = "times with several zones ({}): the time on the clock is kept, the zone is not"
        assert self.remarks("2021-05-31T08:25+02", "2021-10-31T08:25+01") == [said.format("+01:00, +02:00")]
        assert self.remarks("2021-05-31T08:25+02", "2021-10-31T08:25") == [said.format("+02:00 and none")]
        assert self.remarks(*(f"2021-05-31T08:25+0{hour}" for hour in range(6))) == [
            said.format("+00:00, +01:00, +02:00, …")
        ]


class TestTypedColumns:
    def test_with_a_zone(self):
        column = pd.Series(pd.to_datetime(["2021-03-28T01:30", None]).tz_localize("UTC").tz_convert("Europe/Berlin"))
        read = read_times(column)
        assert read.times.tolist() == [pd.Timestamp("2021-03-28 03:30"), pd.NaT]
        assert read.notes.isna().all()
        [remark] = read.remarks
        assert re.match(r"times with a zone \(Europe/Berlin\)", remark)

    def test_without(self):
        column = pd.Series(pd.to_datetime(["2021-05-31 08:25:38", None]))
        assert read_times(column).times.equals(column)
        assert read_times(column).remarks == []

    def test_dates_and_numbers(self):
        dates = read_times(pd.Series([datetime.date(2021, 5, 31), None]))
        assert dates.times.tolist() == [pd.Timestamp("2021-05-31"), pd.NaT]
        assert dates.notes.tolist()[0] == f"{times.NO_CLOCK}: 2021-05-31"
        numbers = read_times(pd.Series([1622449538, 44347.5, None]))
        assert numbers.times.isna().all()
        assert numbers.notes.tolist()[:2] == [f"{times.NUMBER}: 1622449538", f"{times.NUMBER}: 44347.5"]

    def test_aware_ones_of_several_zones(self):
        zones = [datetime.timezone(datetime.timedelta(hours=hour)) for hour in (1, 2)]
        read = read_times(
            pd.Series([datetime.datetime(2021, 5, 31, 8, 25, tzinfo=zone) for zone in zones], dtype=object)
        )
        assert read.times.tolist() == [MINUTE, MINUTE]
        assert "several zones (+01:00, +02:00)" in read.remarks[0]


def test_words_for_nothing_are_missing():
    read = read_times(pd.Series(["NA", "nan", "-", "", None, "NaT", "None"]))
    assert read.times.isna().all()
    assert read.notes.isna().all()


def test_a_note_is_one_reason():
    assert read_times(pd.Series(["noon; or later"])).notes[0].endswith(": noon, or later")


@pytest.mark.parametrize(("short", "year"), [("68", 2068), ("69", 1969), ("99", 1999), ("00", 2000)])
def test_years_of_two_digits_as_posix_has_them(short, year):
    assert one(f"31/05/{short} 08:25", "dmy")[0].year == year

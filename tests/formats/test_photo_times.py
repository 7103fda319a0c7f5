from datetime import datetime, timedelta

import pytest

from fscl.formats.photo_times import taken

ORIGINAL, DIGITIZED, CHANGED = 0x9003, 0x9004, 0x0132
SUBSECOND = 0x9291
MAKE, MODEL, SERIAL = 0x010F, 0x0110, 0xA431
TIME = datetime(2021, 5, 31, 8, 25, 38)


def told(exif, name="a.jpg"):
    return taken(exif, name)[:2]


@pytest.mark.parametrize(
    "text",
    [
        "2021:05:31 08:25:38",
        "2021:05:31 08:25:38\0",
        "2021-05-31 08:25:38",
        "2021/05/31 08:25:38",
        "2021:05:31T08:25:38",
        "2021:05:31 08:25:38+09:00",
        b"2021:05:31 08:25:38\0",
        " 2021:05:31 08:25:38",
    ],
)
def test_exif_times_as_cameras_write_them(text):
    assert told({ORIGINAL: text}) == (TIME, None)


@pytest.mark.parametrize(
    ("subsecond", "microseconds"),
    [("25", 250_000), ("007 ", 7_000), ("1234567", 123_456), ("", 0), ("x", 0), (3, 300_000)],
)
def test_parts_of_seconds(subsecond, microseconds):
    assert told({ORIGINAL: "2021:05:31 08:25:38", SUBSECOND: subsecond})[0] == TIME.replace(microsecond=microseconds)
    assert told({ORIGINAL: "2021:05:31 08:25:38.5"})[0] == TIME.replace(microsecond=500_000)


def test_the_first_time_that_there_is():
    earlier, later = "2021:05:31 08:25:38", "2023:01:01 12:00:00"
    assert told({ORIGINAL: earlier, DIGITIZED: later, CHANGED: later})[0] == TIME
    assert told({ORIGINAL: "0000:00:00 00:00:00", DIGITIZED: earlier, CHANGED: later})[0] == TIME
    assert told({CHANGED: earlier, MODEL: "HC500"})[0] == TIME
    assert told({CHANGED: earlier}) == (None, None), "a program's, not a camera's"
    assert told({CHANGED: later, MODEL: "HC500"}, "IMG_20210531_082538.jpg")[0] == TIME
    assert told({ORIGINAL: earlier}, "20230101_120000.jpg")[0] == TIME
    assert told({ORIGINAL: "2000:01:01 00:00:09"}, "20210531_082538.jpg") == (TIME, None)


@pytest.mark.parametrize("text", ["", "    :  :     :  :  ", "0000:00:00 00:00:00", "\0\0\0", None, b"\xff\xff"])
def test_no_time_is_no_note(text):
    assert told({ORIGINAL: text}) == (None, None)


@pytest.mark.parametrize("text", ["2017:08:21 15:08:70", "31.05.2021 08:25", "2021:13:01 00:00:00", "yesterday at 9"])
def test_a_time_that_is_not_understood_is_noted(text):
    assert told({ORIGINAL: text}) == (None, f"EXIF time not understood: {text}")


@pytest.mark.parametrize(
    "time", ["1970:01:01 00:00:10", "1980:01:01 00:00:00", "2000:01:01 17:05:01", "2099:05:31 08:25:38"]
)
def test_the_time_of_a_clock_that_was_not_set_is_left_out(time):
    shown = time.replace(":", "-", 2)
    assert told({ORIGINAL: time}) == (None, f"time left out, the clock was not set: {shown}")


def test_a_time_zone_ahead_is_no_future():
    soon = (datetime.now() + timedelta(hours=14)).replace(microsecond=0)
    assert told({ORIGINAL: f"{soon:%Y:%m:%d %H:%M:%S}"}) == (soon, None)


@pytest.mark.parametrize(
    "name",
    [
        "20210531_082538.jpg",
        "IMG_20210531_082538.jpg",
        "IMG_20210531_082538_123.jpg",
        "20210531082538-RCNX0031.JPG",
        "StationA__2021-05-31__08-25-38(1).JPG",
        "2021-05-31 08.25.38.jpg",
        "2021-05-31T08-25-38.jpg",
        "cam3_2021-05-31_08-25-38_0007.jpg",
        "Screenshot_20210531-082538.png",
        "PICT0007_2021.05.31_08.25.38.JPG",
    ],
)
def test_times_in_file_names(name):
    assert told({}, name) == (TIME, None)
    assert taken({}, "PXL_20210531_082538123.jpg").time == TIME.replace(microsecond=123_000)


@pytest.mark.parametrize(
    "name",
    [
        "IMG_0001.JPG",
        "20210531.jpg",
        "IMG-20210531-WA0001.jpg",
        "2021-05-31 0825.jpg",
        "31-05-2021_08-25-38.jpg",
        "20211331_082538.jpg",
        "20210230_082538.jpg",
        "120210531082538.jpg",
        "2021053108253899.jpg",
        "A01_F03_C074_C_200114_3001_20S_000001.061.jpg",
        "00000000_000000.jpg",
    ],
)
def test_other_names_tell_no_time(name):
    assert told({}, name) == (None, None)


def test_the_camera_is_its_serial_number_or_station():
    exif = {MAKE: "RECONYX\0", MODEL: "HC600 \0\0", SERIAL: "H600HG0104"}
    assert taken(exif, "a.jpg")[2:] == ("RECONYX HC600", "RECONYX HC600 H600HG0104")
    assert taken({MAKE: "Canon", MODEL: "Canon EOS R"}, "a.jpg")[2:] == ("Canon EOS R", None)
    for serial in ("", "0", "0000000", "N/A", "unknown", None):
        assert taken({MODEL: "X", SERIAL: serial}, "a.jpg").camera is None
    assert taken({MODEL: "X"}, "Station 7__2009-04-10__05-07-00(2).JPG").camera == "Station 7"


@pytest.mark.parametrize("value", [(1, 2), 5, 1.5, b"\x80", "\udc80", {}, []])
def test_values_of_any_kind_are_no_end(value):
    taken(dict.fromkeys([ORIGINAL, SUBSECOND, MAKE, MODEL, SERIAL], value), "a.jpg")

"""The table of Timelapse that is written: our reader finds the same rows in it."""

import csv

from hypothesis import HealthCheck, given, settings

from fscl import formats
from fscl.formats import timelapse_writer
from fscl.formats.answers import PhotoAnswer
from fscl.formats.reading import Reading
from tests.formats.writing import TIME, about, animal, answered

SAME = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
CLASSES = ["deer", "boar"]


def test_a_row_per_photo_in_the_columns_of_timelapse(tmp_path):
    photos = [
        PhotoAnswer("C1/100/1.jpg", [animal(0, CLASSES), animal(1, CLASSES, 0.9, confidence=0.8)], time=TIME),
        PhotoAnswer("2.jpg", found="person"),
        PhotoAnswer("3.jpg", [animal(0, CLASSES, 0.5)]),
        PhotoAnswer("4.jpg", failure="empty file"),
    ]
    timelapse_writer.write(tmp_path / "t.csv", photos, about(CLASSES))
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:4] == ["File", "RelativePath", "DateTime", "DeleteFlag"]
    assert rows[0] == ["1.jpg", "C1\\100", "2021-05-31 08:25:38", "false", "boar", "0.9", "false", "2", "deer", ""]
    assert rows[1] == ["2.jpg", "", "", "false", "person", "", "false", "0", "", ""]
    assert rows[2] == ["3.jpg", "", "", "false", "deer", "0.5", "true", "1", "", ""]
    assert rows[3] == ["4.jpg", "", "", "false", "", "", "false", "0", "", "empty file"]


@SAME
@given(given=answered())
def test_our_reader_finds_the_same_rows(tmp_path, given):
    classes, photos = given
    timelapse_writer.write(tmp_path / "t.csv", photos, about(classes))
    read = formats.read(tmp_path / "t.csv", Reading(labels=frozenset(classes)))
    assert "a table of Timelapse" in read.remarks
    rows = read.rows
    assert [str(read.root / path) for path in rows["path"]] == [str(tmp_path / photo.file) for photo in photos]
    labels = [None if photo.main is None else classes[photo.main.answer] for photo in photos]
    assert rows["label"].astype(object).where(rows["label"].notna(), None).tolist() == labels
    assert rows["datetime"].dropna().tolist() == [photo.time for photo in photos if photo.time]
    sure = [photo.main.probability for photo in photos if photo.main]
    assert [float(each) for each in rows["Probability"].dropna() if each != ""] == sure

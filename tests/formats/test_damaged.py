"""Whatever is in a file, each reader of JSON gives rows or one error of ours; other readers, for any bytes."""

import json
from contextlib import suppress
from zipfile import ZipFile

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fscl import formats
from fscl.errors import FsclError
from fscl.formats import FORMATS
from fscl.formats.reading import Reading
from fscl.prediction.photos import list_photos
from tests.formats import test_camtrap_dp, test_coco, test_megadetector, test_speciesnet
from tests.formats.damage import damaged, rows_or_one_error, written
from tests.fuzz.valid import AIHUB_NAME, LABEL_FILE

SAME = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
JSON = {
    "coco": test_coco.WHOLE,
    "megadetector": test_megadetector.WHOLE,
    "speciesnet": test_speciesnet.WHOLE,
    "speciesnet, instances": test_speciesnet.INSTANCES,
    "camtrap_dp": test_camtrap_dp.described(),
    "aihub": LABEL_FILE,
}
LABELS = f"set/라벨링데이터/TL_01.고라니/{AIHUB_NAME}.json"


@pytest.fixture
def ground(draw):
    """Return a folder with the photos that the documents name."""
    names = ("C1/1.jpg", "C1/2.jpg", "fox/1.jpg", f"set/원천데이터/TS_01.고라니/{AIHUB_NAME}.jpg")
    return draw(*names)


def place(ground, name):
    """Return the file that a document is written to, and the source that is read, of a reader."""
    if name == "aihub":
        (ground / LABELS).parent.mkdir(parents=True, exist_ok=True)
        return ground / LABELS, ground / "set"
    file = ground / ("datapackage.json" if name == "camtrap_dp" else "a.json")
    return file, file


@pytest.mark.parametrize("name", JSON)
@given(data=st.data())
@SAME
def test_any_value_in_place_of_any_field_gives_rows_or_one_error(ground, name, data):
    file, source = place(ground, name)
    written(data.draw(damaged(JSON[name])), file)
    reading = Reading(source_format=name.partition(",")[0])
    rows_or_one_error(source, reading)
    with suppress(FsclError):
        assert len(list_photos(source, reading).photos) > 0


@pytest.mark.parametrize("name", JSON)
@given(content=st.binary(max_size=50))
@SAME
def test_any_bytes_in_json_give_rows_or_one_error(ground, name, content):
    file, source = place(ground, name)
    whole = json.dumps(JSON[name]).encode()
    for changed in (content, whole[: 9 * len(content)] + content + whole[9 * len(content) :]):
        file.write_bytes(changed)
        rows_or_one_error(source, Reading(source_format=name.partition(",")[0]))


def binary(ground):
    """Return a valid file of each reader that reads no JSON, and its name."""
    table = pd.DataFrame({"filepath": ["fox/1.jpg"], "label": ["fox"], "x": [1.0]})
    table.to_csv(ground / "t.csv", index=False)
    table.to_parquet(ground / "t.parquet")
    formats.read(ground / "t.csv").write(ground / "m.parquet")
    with ZipFile(ground / "z.zip", "w") as packed:
        packed.write(ground / "fox/1.jpg", "fox/1.jpg")
    names = {"table": "t.csv", "table, parquet": "t.parquet", "manifest": "m.parquet", "zip": "z.zip"}
    return {name: ground / file for name, file in names.items()}


@pytest.mark.parametrize("name", ["table", "table, parquet", "manifest", "zip"])
@given(content=st.binary(max_size=50), at=st.floats(0, 1), kept=st.booleans())
@SAME
def test_any_bytes_give_rows_or_one_error(ground, name, content, at, kept):
    file = binary(ground)[name]
    whole = file.read_bytes()
    place = int(at * len(whole))
    file.write_bytes(whole[:place] + content + whole[place if kept else place + len(content) :])
    rows_or_one_error(file, Reading(source_format=name.partition(",")[0]))
    with suppress(FsclError):
        list_photos(file, Reading())


@given(content=st.binary(max_size=50))
@SAME
def test_any_bytes_as_a_list_give_photos_or_one_error(ground, content):
    (ground / "a.txt").write_bytes(content)
    with suppress(FsclError):
        photos = list_photos(ground / "a.txt", Reading())
        assert photos.fingerprint()


def test_each_reader_of_files_is_held_to_it():
    readers = {*(name.partition(",")[0] for name in JSON), "table", "manifest", "zip"}
    assert set(FORMATS) - readers == {"class_folders"}, "which reads names alone"

import json

import pytest

from fscl import formats
from fscl.errors import PhotosError
from fscl.formats.class_folders.labels_beside import remarks


@pytest.fixture
def root(draw):
    return draw("mine/fox/1.jpg", "mine/hare/1.jpg") / "mine"


def test_a_table_of_photos_and_labels_is_mentioned(root):
    (root / "images.csv").write_text("\ufefffile_name;Common Name;time\r\n" + "fox/1.jpg;fox;1\r\n" * 12, newline="")
    [remark] = formats.read(root).remarks
    assert remark == (
        f"there is also images.csv, which names photos and labels in 12 rows: fscl scan {root / 'images.csv'}"
    )


@pytest.mark.parametrize(
    "header", ["time,temperature", "file,width,height", "species,count", "", "label,class", "filepathx,labels"]
)
def test_other_tables_are_not(root, header):
    (root / "weather.csv").write_text(header + "\n1,2\n")
    assert remarks(root) == []


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("annotations/a.json", {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}, "COCO"),
        ("a.json", {"info": {}, "detection_categories": {}, "images": [{"file": "a.jpg"}]}, "MegaDetector"),
        ("a.json", {"predictions": [{"filepath": "a.jpg"}]}, "SpeciesNet"),
        ("datapackage.json", {"resources": []}, "Camtrap DP"),
    ],
)
def test_the_json_of_other_programs(root, name, content, kind):
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(json.dumps(content))
    [remark] = remarks(root)
    command = f"scan {root} --detections {root / name}" if kind == "MegaDetector" else f"scan {root / name}"
    assert remark == f"there is also {name}, in the format of {kind}: fscl {command}"


def test_other_json_is_not(root):
    (root / "settings.json").write_text('{"version": 1}')
    (root / "broken.json").write_bytes(b"\xff\xfe")
    assert remarks(root) == []


def test_spreadsheets(root):
    (root / "labels.xlsx").touch()
    (root / "budget.xlsx").touch()
    assert remarks(root) == ["there is also labels.xlsx, a spreadsheet, which is not read: save it as CSV"]


def test_many_are_counted(root):
    for number in range(9):
        (root / f"{number}.csv").write_text("file,label\na.jpg,fox\n")
    assert remarks(root)[3:] == ["and 6 more files with labels"]


def test_in_archives(root, pack):
    (root / "labels.csv").write_text("file,label\nfox/1.jpg,fox\n")
    [remark] = formats.read(pack(root)).remarks
    assert remark == (
        "there is also labels.csv, which names photos and labels in 1 row: unpack it and give it to fscl scan"
    )


def test_where_there_are_no_class_folders_they_are_the_way_out(draw):
    root = draw("1.jpg", "2.jpg")
    (root / "labels.csv").write_text("file,label\n1.jpg,fox\n")
    with pytest.raises(PhotosError, match=r"without a class folder(?s:.*)\n  there is also labels.csv"):
        formats.read(root)


def test_an_empty_folder_and_a_damaged_zip(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK")
    assert remarks(tmp_path) == remarks(tmp_path / "a.zip") == []


def test_real_sets(shared_data):
    assert "coco_annotations.json, in the format of COCO" in "".join(
        remarks(shared_data / "formats" / "coco" / "zamba-ena24-small")
    )
    assert "metadata.csv, which names photos and labels in 600 rows" in "".join(remarks(shared_data / "pets3"))

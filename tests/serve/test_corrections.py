"""Corrected labels: kept in the browser, or added to a table in which nothing else changes."""

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from fscl import formats
from fscl.errors import OutputError, PhotosError
from fscl.serve.corrections import FORMULA, ChangedError, Corrections, checked_label
from fscl.serve.folder import checked_name
from tests.serve.conftest import serving


def test_a_table_that_is_there_is_kept_and_continued(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_bytes('\ufefflabel,note,filepath\r\nfox,"mine, own",a.jpg\r\n,,b.jpg\r\nhare\r\n'.encode())
    table = Corrections(file)
    assert table.labels() == {"a.jpg": "fox"}
    table.correct("c.jpg", "노루", None)
    table.correct("b.jpg", "hare", None)
    expected = '\ufefflabel,note,filepath\r\nfox,"mine, own",a.jpg\r\nhare,,b.jpg\r\nhare\r\n노루,,c.jpg\r\n'
    assert file.read_bytes().decode() == expected
    table.correct("c.jpg", None, "노루")
    assert Corrections(file).labels() == {"a.jpg": "fox", "b.jpg": "hare"}


def test_what_somebody_else_has_said_is_not_overwritten(tmp_path):
    file = tmp_path / "labels.csv"
    one, other = Corrections(file), Corrections(file)
    one.correct("a.jpg", "fox", None)
    with pytest.raises(ChangedError, match="somebody has labelled this photo as fox"):
        other.correct("a.jpg", "hare", None)
    assert one.labels() == {"a.jpg": "fox"}
    other.correct("a.jpg", "hare", "fox")
    assert one.labels() == {"a.jpg": "hare"}


def test_threads_of_one_server_lose_no_label(tmp_path):
    table = Corrections(tmp_path / "labels.csv")
    start = threading.Barrier(4)

    def person(number):
        start.wait()
        for photo in range(15):
            table.correct(f"{number}/{photo}.jpg", "fox", None)

    with ThreadPoolExecutor(4) as people:
        list(people.map(person, range(4)))
    assert len(table.labels()) == 60


@pytest.mark.parametrize("content", [b"", b"path,label\n", b"\xff\xfe", b'filepath,label\n"a'])
def test_a_file_that_is_no_such_table_is_left_alone(tmp_path, content):
    file = tmp_path / "labels.csv"
    file.write_bytes(content)
    with pytest.raises(OutputError, match=r"expected a (table|CSV)"):
        Corrections(file)
    assert file.read_bytes() == content


@pytest.mark.parametrize("label", ["", "  ", "NA", "none", "x" * 201])
def test_a_label_that_is_none_is_refused(label):
    with pytest.raises(ValueError, match="expected a label"):
        checked_label(label, ["fox"])
    assert checked_label("None", ["None"]) == "None"


FORMULAS = ["=cmd()", "+1", "-1", "@x", " =1", "\u200b=1", '"=1', "fox;=1", "fox; -1", "＝1", "＠x"]


@pytest.mark.parametrize("text", [*FORMULAS, "\0fox", "\x1b[2J", "\x07"])
def test_no_label_or_name_that_excel_would_run_comes_into_the_table(text):
    with pytest.raises(ValueError, match="Excel would run"):
        checked_label(text, ["fox"])
    with pytest.raises(ValueError, match=r"Excel would run|expected the name of a photo"):
        checked_name(text.strip().lstrip("\u200b") + ".jpg")


@pytest.mark.parametrize("text", ["fox-like", "red + grey", "a@b", "fox; hare", "노루"])
def test_signs_within_a_label_are_no_formula(text):
    assert checked_label(text, ["fox"]) == text
    assert checked_label("-", ["-"]) == "-"
    assert checked_name(f"{text}.jpg") == f"{text}.jpg"


def test_a_photo_of_the_folder_that_excel_would_run_has_its_whole_path(tmp_path):
    table = Corrections(tmp_path / "labels.csv")
    for name in ("=1.jpg", "fox.jpg"):
        table.correct(table.filepath(tmp_path.resolve() / name), "fox", None)
    assert pd.read_csv(table.file)["filepath"].tolist() == [f"{tmp_path.resolve().as_posix()}/=1.jpg", "fox.jpg"]
    assert table.below(tmp_path.resolve()) == {"=1.jpg": "fox", "fox.jpg": "fox"}


NAMES = [
    *("photos/é.jpg", "./photos/é.jpg", "other/../photos/é.jpg", "photos\\é.jpg", "photos//é.jpg"),
    "photos/e\u0301.jpg",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("again", NAMES)
def test_all_names_of_a_photo_are_one_photo(tmp_path, name, again):
    file = tmp_path / "labels.csv"
    file.write_text(f"filepath,label\n{name},fox\n", encoding="utf-8")
    table = Corrections(file)
    assert table.labels() == {NAMES[0]: "fox"}
    assert table.below(tmp_path / "photos") == {"é.jpg": "fox"}
    with pytest.raises(ChangedError, match="fox"):
        table.correct(again, "deer", None)
    table.correct(again, "hare", "fox")
    table.correct(str(tmp_path / again) if "\\" not in again else again, "boar", "hare")
    assert file.read_text(encoding="utf-8") == f"filepath,label\n{name},boar\n"


def test_several_labels_for_a_photo_are_refused_by_name(tmp_path, fscl, run):
    file = tmp_path / "labels.csv"
    said = r"expected one label for each photo, got fox and hare for \./a\.jpg; keep one of them"
    table = Corrections(file)
    file.write_text("filepath,label\na.jpg,fox\n./a.jpg, fox \n./a.jpg,\n", encoding="utf-8")
    assert table.labels() == {"a.jpg": "fox"}
    file.write_text("filepath,label\na.jpg,fox\n./a.jpg,hare\nb.jpg,hare\n", encoding="utf-8")
    for use in (lambda: Corrections(file), table.labels, lambda: table.correct("b.jpg", "fox", "hare")):
        with pytest.raises(PhotosError, match=said):
            use()
    code, _, err = fscl("serve", run, "--corrections", file)
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no text")
def test_a_photo_whose_name_is_no_text_is_refused_by_reason(tmp_path):
    with pytest.raises(PhotosError, match="file name is not UTF-8, rename it"):
        Corrections(tmp_path / "labels.csv").filepath(tmp_path / os.fsdecode(b"\xff.jpg"))


def test_a_whole_path_that_excel_would_run_is_written_as_an_address_and_read_back(tmp_path, draw):
    draw("set;=1/fox 노루.jpg", "set;=1/+2.jpg")
    folder = tmp_path.resolve() / "set;=1"
    table = Corrections(folder / "labels.csv")
    for name, label in (("fox 노루.jpg", "fox"), ("+2.jpg", "hare")):
        table.correct(table.filepath(folder / name), label, None)
    assert not FORMULA.search((folder / "labels.csv").read_text(encoding="utf-8"))
    assert table.below(folder) == {"fox 노루.jpg": "fox", "+2.jpg": "hare"}
    rows = formats.read(folder / "labels.csv").rows
    assert dict(zip(rows["path"], rows["label"], strict=True)) == {"fox 노루.jpg": "fox", "+2.jpg": "hare"}
    assert rows["problem"].isna().all()


def test_the_page_adds_to_the_table_and_finds_its_labels_again(run, draw, tmp_path):
    draw("photos/a/1.jpg", "photos/2.jpg")
    file = tmp_path / "labels.csv"
    with serving(run, folder=tmp_path / "photos", corrections=file) as page:
        page.get("/api/photos")

        def correct(photo, where, label, was=None):
            return page.post("/api/corrections", json={"photo": photo, "where": where, "label": label, "was": was})

        assert not file.exists()
        assert correct("a/1.jpg", "folder", " red  fox ").json() == {"label": "red fox"}
        assert correct("camera/3.jpg", "browser", "deer").status_code == 200
        assert correct("a/1.jpg", "folder", "deer").status_code == 409
        for photo, where in (("../x.jpg", "folder"), ("gone.jpg", "folder"), ("../x.jpg", "browser")):
            assert correct(photo, where, "deer").status_code == 422
        assert correct("2.jpg", "folder", "NA").status_code == 422
        assert page.get("/api/corrections").json()["folder"] == {"a/1.jpg": "red fox"}
    table = pd.read_csv(file)
    assert table.to_dict("list") == {"filepath": ["photos/a/1.jpg", "camera/3.jpg"], "label": ["red fox", "deer"]}
    with serving(run, folder=tmp_path / "photos", corrections=file) as page:
        assert page.get("/api/corrections").json()["browser"]["camera/3.jpg"] == "deer"
        assert page.get("/api/about").json()["corrections"] == str(file)


@pytest.mark.parametrize(
    ("photo", "code"),
    [("x" * 5000, 422), ("x" * 2**17, 413), (["x" * 5000], 422), (None, 422), ("\ud800", 422)],
)
def test_what_is_no_label_is_bounded_and_not_said_again(run, tmp_path, photo, code):
    with serving(run, corrections=tmp_path / "labels.csv") as page:
        said = {"photo": photo, "where": "browser", "label": "deer", "was": None}
        for content in (json.dumps(said), json.dumps(said)[:-1]):
            told = page.post("/api/corrections", content=content)
            assert told.status_code == code
            assert len(told.content) < 200
        assert page.post("/api/corrections", content=iter([b"{}"])).status_code == 411
    assert not (tmp_path / "labels.csv").exists()


def test_without_a_table_the_server_takes_no_labels(page):
    told = page.post("/api/corrections", json={"photo": "a.jpg", "where": "browser", "label": "fox", "was": None})
    assert told.status_code == 404

import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from fscl.errors import PhotosError
from fscl.formats.reading import Reading
from fscl.formats.tables import reader


@pytest.fixture
def csv(tmp_path):
    def write(text, name="photos.csv", encoding="utf-8"):
        (tmp_path / name).write_text(text, encoding=encoding)
        return tmp_path / name

    return write


def column(table, name):
    return [None if pd.isna(value) else value for value in reader.read(table).rows[name]]


def test_the_two_columns_of_zamba(csv):
    table = csv("filepath,label\na.jpg,fox\nsub/b.jpg,hare\n")
    assert column(table, "path") == ["a.jpg", "sub/b.jpg"]
    assert column(table, "label") == ["fox", "hare"]
    assert column(table, "region_id") == ["a.jpg#0", "sub/b.jpg#0"]
    assert reader.read(table).root == table.parent.resolve()


@pytest.mark.parametrize("path", ["filepath", "File_Path", "path", "FileName", "file", "Image"])
@pytest.mark.parametrize("label", ["label", "Species", "class", "CATEGORY", "common name"])
@pytest.mark.parametrize("site", ["site", "Location", "camera"])
def test_synonyms_in_any_case(csv, path, label, site):
    rows = reader.read(csv(f"{path},{label},{site}\na.jpg,fox,C1\n")).rows
    assert rows[["path", "label", "site"]].iloc[0].tolist() == ["a.jpg", "fox", "C1"]


def test_the_first_synonym_wins_and_the_others_stay(csv):
    rows = reader.read(csv("file,filepath,category,species\na.jpg,x/a.jpg,animal,fox\n")).rows
    assert rows[["path", "label", "file", "category"]].iloc[0].tolist() == ["x/a.jpg", "fox", "a.jpg", "animal"]


def test_columns_that_are_not_ours_stay_as_they_came(csv):
    rows = reader.read(csv("file,label,trap,note,w,problem\na.jpg,fox,007,nice,320,none\n")).rows
    assert rows["trap"].tolist() == ["007"]
    assert rows["source_note"].tolist() == ["nice"]
    assert rows["source_w"].tolist() == ["320"]  # w without x, y and h is no box
    assert rows["source_problem"].tolist() == ["none"]
    assert rows[["w", "problem", "note"]].isna().all(axis=None)


def test_another_encoding_is_said(csv):
    table = csv("file,label\na.jpg,고라니\n", encoding="cp949")
    assert column(table, "label") == ["고라니"]
    assert reader.read(table).remarks == ("photos.csv is not UTF-8: read as cp949",)


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8")])
def test_what_spreadsheets_write(csv, separator, encoding):
    text = "file,label,site\na.jpg, Füchsin ,\n,,\n".replace(",", separator)
    table = csv(text, encoding=encoding)
    assert column(table, "label") == ["Füchsin"]
    assert column(table, "site") == [None]


class TestWordsForNothing:
    WORDS = ("NA", "N/A", "NaN", "nan", "None", "null", "NULL", "-", "?", "#N/A", "<NA>")

    def test_are_no_label_and_counted(self, csv):
        rows = "".join(f"{number}.jpg,{word}\n" for number, word in enumerate(self.WORDS))
        table = csv(f"file,label\n{rows}a.jpg,0\nb.jpg,Nana\n")
        assert column(table, "label") == [None] * len(self.WORDS) + ["0", "Nana"]
        assert column(table, "problem") == [f"no label ({word})" for word in self.WORDS] + [None, None]

    def test_are_labels_where_a_class_map_says_so(self, csv):
        table = csv("file,label\na.jpg,None\nb.jpg,none\nc.jpg,NA\n")
        rows = reader.read(table, Reading(labels=frozenset({"None"}))).rows
        assert rows["label"].fillna("").tolist() == ["None", "", ""]

    def test_are_empty_cells_of_sites_sequences_and_splits(self, csv):
        table = csv("file,label,site,sequence,split\na.jpg,fox,NA,null,-\nb.jpg,fox,NA,1,test\nc.jpg,fox,C1,1,\n")
        assert [column(table, name) for name in ("site", "sequence", "split")] == [
            [None, None, "C1"],
            [None, "1", "1"],
            [None, "test", None],
        ]
        assert reader.read(table).remarks == (
            "site: 2 cells of NA taken for empty",
            "sequence: 1 cell of null taken for empty",
            "split: 1 cell of - taken for empty",
        )

    def test_in_columns_of_kind(self, tmp_path):
        table = pd.DataFrame({"file": ["a.jpg", "b.jpg", "c.jpg"], "label": [1.0, None, 2.0], "site": [None] * 3})
        table.to_parquet(tmp_path / "t.parquet")
        assert column(tmp_path / "t.parquet", "label") == ["1", None, "2"]
        assert column(tmp_path / "t.parquet", "problem") == [None, "no label", None]


class TestOneForm:
    def test_spaces_and_letters(self, csv):
        labels = [
            "roe deer",
            "roe deer ",
            "roe  deer",
            "roe\u00a0deer",
            "roe deer\u200b",
            "roe\u3000deer",
            "\ufeffroe deer",
        ]
        rows = "".join(f"{number}.jpg,{label},{label}\n" for number, label in enumerate(labels))
        table = csv(f"file,label,site\n{rows}")
        assert set(column(table, "label")) == set(column(table, "site")) == {"roe deer"}
        assert set(column(csv("file,label\na,Füchse\nb,Fu\u0308chse\n"), "label")) == {"Füchse"}

    def test_numbers_of_text_stay_as_they_are_written(self, csv):
        labels = ["001", "01", "1", "1.0", "3.0", "3", "1e3", "0x1"]
        table = csv("file,label,site\n" + "".join(f"{n}.jpg,{label},{label}\n" for n, label in enumerate(labels)))
        assert column(table, "label") == column(table, "site") == labels

    def test_numbers_of_a_typed_column_have_one_form(self, tmp_path):
        typed = pd.DataFrame(
            {"file": ["a", "b", "c"], "label": [3.0, 3, 10.5], "site": [1, 2, 3], "seq": [True, False, True]}
        )
        typed.to_parquet(tmp_path / "t.parquet")
        assert column(tmp_path / "t.parquet", "label") == ["3", "3", "10.5"]
        assert column(tmp_path / "t.parquet", "site") == ["1", "2", "3"]

    def test_text_as_bytes_and_categories(self, tmp_path):
        typed = pd.DataFrame({"file": [b"a.jpg", b"b.jpg"], "label": pd.Categorical([2.0, 1.0])})
        typed.to_parquet(tmp_path / "t.parquet")
        assert column(tmp_path / "t.parquet", "path") == ["a.jpg", "b.jpg"]
        assert column(tmp_path / "t.parquet", "label") == ["2", "1"]

    def test_lists_are_no_labels(self, tmp_path):
        pd.DataFrame({"file": ["a.jpg"], "label": [["fox", "hare"]]}).to_parquet(tmp_path / "t.parquet")
        with pytest.raises(PhotosError, match=r"column label: expected one text or number in a cell, got \['fox'"):
            reader.read(tmp_path / "t.parquet")


def test_parquet_is_read_like_csv(csv, tmp_path):
    table = csv("file,label,datetime,x,y,w,h\na.jpg,7,2021-05-31 08:25:38,,,,\nb.jpg,,,,,,\n")
    typed = pd.DataFrame(
        {
            "file": ["a.jpg", "b.jpg"],
            "label": [7.0, None],
            "datetime": pd.to_datetime(["2021-05-31T08:25:38+02:00", None]),
        }
    )
    typed.set_index("file").to_parquet(tmp_path / "t.parquet")
    assert_frame_equal(reader.read(table).rows, reader.read(tmp_path / "t.parquet").rows)


class TestPaths:
    def test_backslashes_and_dots(self, csv):
        assert column(csv("file,label\n.\\fox\\a.jpg,fox\n"), "path") == ["fox/a.jpg"]

    def test_absolute_ones_within_the_folder_of_the_table(self, csv, tmp_path):
        table = csv(f"file,label\n{tmp_path.resolve()}/fox/a.jpg,fox\n")
        assert column(table, "path") == ["fox/a.jpg"]
        assert reader.read(table).root == tmp_path.resolve()

    def test_spaces_around_a_heading_and_a_path(self, csv):
        assert column(csv("filepath , label\n a  b.jpg , fox\n"), "path") == ["a  b.jpg"]

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("D:\\cams\\b.jpg", "a path of Windows"),
            ("D:/cams/b.jpg", "a path of Windows"),
            ("\\\\nas\\cams\\b.jpg", "a path of Windows"),
            ("https://example.org/b.jpg", "a web address, not a file"),
            ("gs://bucket/b.jpg", "a web address, not a file"),
        ],
    )
    @pytest.mark.skipif(os.name == "nt", reason="paths of Windows are files there")
    def test_ones_of_no_file_here(self, csv, tmp_path, path, why):
        table = csv(f"file,label\nfox/a.jpg,fox\n{path},fox\n")
        assert column(table, "path") == ["fox/a.jpg", path.replace("\\", "/")]
        assert column(table, "problem") == [None, f"unreadable: {why}"]
        assert reader.read(table).root == tmp_path.resolve()
        with pytest.raises(PhotosError, match=rf"expected files of this machine, got .*b\.jpg: {why}; "):
            reader.read(csv(f"file,label\n{path},fox\n"))

    @pytest.mark.parametrize("start", ["file://", "file://localhost", "FILE:"])
    def test_an_address_of_a_file_is_its_path(self, csv, tmp_path, start):
        place = (tmp_path.resolve() / "red fox" / "a.jpg").as_posix().replace(" ", "%20")
        table = csv(f"file,label\n{start}{place},fox\n")
        assert (column(table, "path"), column(table, "problem")) == (["red fox/a.jpg"], [None])

    @pytest.mark.skipif(os.name == "nt", reason="paths of Windows are files there")
    def test_an_address_of_a_file_of_windows_is_one_of_windows(self, csv):
        table = csv("file,label\na.jpg,fox\nfile:///C:/cams/b.jpg,fox\n")
        assert column(table, "path") == ["a.jpg", "C:/cams/b.jpg"]
        assert column(table, "problem") == [None, "unreadable: a path of Windows"]

    @pytest.mark.skipif(os.name == "nt", reason="a path of a network there")
    def test_two_slashes_begin_a_path(self, csv, tmp_path):
        assert column(csv(f"file,label\n/{tmp_path.resolve()}/a.jpg,fox\n"), "path") == ["a.jpg"]

    def test_a_zero_byte(self, tmp_path):
        pd.DataFrame({"file": ["a.jpg", "b\0.jpg"], "label": "fox"}).to_parquet(tmp_path / "t.parquet")
        assert column(tmp_path / "t.parquet", "problem") == [None, "unreadable: a zero byte in its name"]

    def test_ones_outside_share_another_root(self, csv, tmp_path):
        manifest = reader.read(csv("file,label\n../p/fox/a.jpg,fox\n../p/hare/a.jpg,hare\n"))
        assert manifest.rows["path"].tolist() == ["fox/a.jpg", "hare/a.jpg"]
        assert manifest.root == tmp_path.resolve().parent / "p"


class TestProblems:
    def test_blank_labels(self, csv):
        assert column(csv("file,label\na.jpg,fox\nb.jpg,\nc.jpg,  \n"), "problem") == [
            None,
            "no label",
            "no label",
        ]

    def test_a_row_said_twice(self, csv):
        table = csv("file,label\na.jpg,fox\nb.jpg,fox\na.jpg,fox\n")
        assert column(table, "problem") == [None, None, "duplicate row"]

    def test_two_labels_for_one_photo(self, csv):
        table = csv("file,label\na.jpg,fox\na.jpg,hare\nb.jpg,fox\n")
        assert column(table, "problem") == ["several labels for one photo"] * 2 + [None]

    def test_two_labels_for_two_boxes_are_none(self, csv, draw):
        draw("a.jpg")
        table = csv("file,label,x,y,w,h\na.jpg,fox,0,0,5,5\na.jpg,hare,5,0,5,5\n")
        assert column(table, "problem") == [None, None]
        assert column(table, "region_id") == ["a.jpg#0", "a.jpg#1"]

    @pytest.mark.parametrize(
        ("box", "problem"),
        [
            ("1,2,3,", "box needs four numbers: x, y, w, h"),
            ("1,2,3,tall", "box needs four numbers: x, y, w, h"),
            ("1,2,0,4", "box without area"),
            (",,,", None),
        ],
    )
    def test_boxes_that_are_none(self, csv, draw, box, problem):
        draw("a.jpg", "b.jpg")
        table = csv(f"file,label,x,y,w,h\na.jpg,fox,{box}\nb.jpg,fox,1,1,3,3\n")
        assert column(table, "problem") == [problem, None]
        assert column(table, "x") == [None, 1]

    def test_several_are_all_named(self, csv):
        table = csv("file,label,x,y,w,h\na.jpg,,1,1,1,z\na.jpg,,1,1,1,z\n")
        assert column(table, "problem")[1] == "no label; box needs four numbers: x, y, w, h; duplicate row"


def test_splits(csv):
    table = csv("file,label,split\na,fox,TRAIN\nb,fox,val\nc,fox,valid\nd,fox,validation\ne,fox,test\nf,fox,\n")
    assert column(table, "split") == ["train", "val", "val", "val", "test", None]


def test_sequences_counted_by_each_camera_become_unique(csv):
    table = csv("file,label,site,seq_id\na.jpg,fox,C1,1\nb.jpg,fox,C2,1\nc.jpg,fox,,2\n")
    assert column(table, "sequence") == ["C1/1", "C2/1", "2"]
    table = csv("file,label,site,seq_id\na.jpg,fox,C1,1\nb.jpg,fox,C2,2\n")
    assert column(table, "sequence") == ["1", "2"]


@pytest.mark.parametrize(
    "text", ["2021-05-31 08:25:38", "2021:05:31 08:25:38", "2021-05-31T08:25:38Z", "2021-05-31T08:25:38+0200"]
)
def test_times_are_local_without_zone(csv, text):
    assert column(csv(f"file,label,DateTime\na.jpg,fox,{text}\n"), "datetime") == [
        pd.Timestamp("2021-05-31 08:25:38")
    ]


def test_a_time_in_doubt_is_left_out_and_said(csv):
    table = csv("file,label,datetime\na.jpg,fox,05/06/2021 08:25\nb.jpg,fox,\n")
    assert column(table, "datetime") == [None, None]
    assert column(table, "note") == [
        "day or month first? say so with --date-order dmy or mdy: 05/06/2021 08:25",
        None,
    ]
    asked = reader.read(table, Reading(date_order="dmy")).rows
    assert asked["datetime"].tolist() == [pd.Timestamp("2021-06-05 08:25"), pd.NaT]
    assert asked["note"].isna().all()


def test_an_hour_alone_is_a_zone(csv):
    table = csv(
        "file,label,datetime\n"
        + "".join(f"{n}.jpg,fox,2021-05-31T08:25:38{'+02' if n == 7 else ''}\n" for n in range(20))
    )
    assert set(column(table, "datetime")) == {pd.Timestamp("2021-05-31 08:25:38")}
    assert reader.read(table).remarks == (
        "times with several zones (+02:00 and none): the time on the clock is kept, the zone is not",
    )


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a,b\n1,2\n", r"a column for path \(file path, path.*\) and one for label \(.*\); got a, b"),
            ("file,b\n1,2\n", r"expected a column for label \(label, species, .*\); got file, b"),
            (
                "0.jpg,fox\n1.jpg,hare\n",
                r"its first row names a photo \(0\.jpg, fox\); add a row of headings, such as",
            ),
            ("file,label\na.jpg,fox\n,hare\n", "no photo is named in 1 row: row 2"),
            ("file,label\n", "expected a row per photo, got none"),
            ("", "is empty; expected a header"),
            ("file,label\na.jpg,fox,1\nb.jpg,fox,1\n", r"more than the 2 fields of the header \(line 2, 3\)"),
            (
                "file,label\na.jpg,fox\nb.jpg,fox,1\n",
                r"more than the 2 fields of the header \(line 3\); name every column",
            ),
        ],
    )
    def test_tables_that_cannot_be_read(self, csv, text, message):
        with pytest.raises(PhotosError, match=message):
            reader.read(csv(text))

    @pytest.mark.parametrize("headings", ["file,label,label", "file,label,Label", "file,label,label.1"])
    def test_a_column_that_is_there_twice(self, csv, headings):
        one, other = headings.split(",")[1], "label.1" if headings.endswith(",label") else headings.split(",")[2]
        said = (
            rf"expected one column {one}, got two \({one}, {other}\) that differ, in row 2 'fox' and 'hare'; rename"
        )
        with pytest.raises(PhotosError, match=said):
            reader.read(csv(f"{headings}\na.jpg,fox,fox\nb.jpg,fox,hare\n"))
        assert column(csv(f"{headings}\na.jpg,fox,fox\nb.jpg,hare,hare\n"), "label") == ["fox", "hare"]

    def test_all_is_said_at_once(self, csv):
        with pytest.raises(
            PhotosError, match=r"(?s)no photo is named in 1 row.*split: expected train.*got 'maybe' \(2 rows\)"
        ):
            reader.read(csv("file,label,split\na.jpg,fox,maybe\n,fox,maybe\n"))

    def test_a_missing_table(self, tmp_path):
        with pytest.raises(PhotosError, match="does not exist"):
            reader.read(tmp_path / "photos.csv")

    def test_a_broken_parquet(self, csv):
        with pytest.raises(PhotosError, match="cannot be read as parquet"):
            reader.read(csv("file,label", name="t.parquet"))


class TestRealTables:
    def test_pets3(self, shared_data):
        rows = reader.read(shared_data / "pets3" / "metadata.csv").rows
        assert rows["label"].value_counts().to_dict() == dict.fromkeys(
            ["abyssinian", "american_bulldog", "bengal"], 200
        )
        assert rows[["x", "w", "problem", "split"]].isna().all(axis=None)
        assert {"source_w", "head_x0", "official_split"} <= set(rows.columns)

    @pytest.mark.slow
    def test_tinyimagenet(self, shared_data):
        rows = reader.read(shared_data / "tinyimagenet-mammals" / "metadata.csv").rows
        assert rows["split"].value_counts().to_dict() == {"train": 12000, "val": 1200}
        assert rows["label"].nunique() == 24
        assert rows[["x", "y", "w", "h"]].iloc[0].tolist() == [6, 6, 53 - 6, 63 - 6]

    def test_zamba(self, shared_data):
        rows = reader.read(shared_data / "formats" / "coco" / "zamba-ena24-small" / "labels.csv").rows
        assert set(rows["label"].value_counts()) == {3}


@pytest.mark.parametrize("description", [b"{", b"\xff", b'{"columns": [{"name": "file"}], "index_columns": [{}]}'])
def test_a_parquet_with_a_damaged_description_of_pandas_is_rows_or_one_error(tmp_path, description):
    rows = pa.table({"file": ["1.jpg"], "label": ["fox"]}).replace_schema_metadata({b"pandas": description})
    pq.write_table(rows, tmp_path / "t.parquet")
    with pytest.raises(PhotosError, match=r"t.parquet cannot be read as parquet"):
        reader.read(tmp_path / "t.parquet")


@pytest.mark.parametrize("content", [b'\n""\n\n', b'"",""\n', "a,b\n1,\ufffd\n".encode() + bytes(40)])
def test_quotes_around_nothing_and_zeros_are_one_error(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(PhotosError, match=r"t\.csv"):
        reader.read(tmp_path / "t.csv")

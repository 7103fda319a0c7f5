import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from fscl.errors import PhotosError
from fscl.formats import tabular


@pytest.fixture
def csv(tmp_path):
    def write(text, name="photos.csv", encoding="utf-8"):
        (tmp_path / name).write_text(text, encoding=encoding)
        return tmp_path / name

    return write


def column(table, name):
    return [None if pd.isna(value) else value for value in tabular.read(table).rows[name]]


def test_the_two_columns_of_zamba(csv):
    table = csv("filepath,label\na.jpg,fox\nsub/b.jpg,hare\n")
    assert column(table, "path") == ["a.jpg", "sub/b.jpg"]
    assert column(table, "label") == ["fox", "hare"]
    assert column(table, "region_id") == ["a.jpg#0", "sub/b.jpg#0"]
    assert tabular.read(table).root == table.parent.resolve()


@pytest.mark.parametrize("path", ["filepath", "File_Path", "path", "FileName", "file", "Image"])
@pytest.mark.parametrize("label", ["label", "Species", "class", "CATEGORY", "common name"])
@pytest.mark.parametrize("site", ["site", "Location", "camera"])
def test_synonyms_in_any_case(csv, path, label, site):
    rows = tabular.read(csv(f"{path},{label},{site}\na.jpg,fox,C1\n")).rows
    assert rows[["path", "label", "site"]].iloc[0].tolist() == ["a.jpg", "fox", "C1"]


def test_the_first_synonym_wins_and_the_others_stay(csv):
    rows = tabular.read(csv("file,filepath,category,species\na.jpg,x/a.jpg,animal,fox\n")).rows
    assert rows[["path", "label", "file", "category"]].iloc[0].tolist() == ["x/a.jpg", "fox", "a.jpg", "animal"]


def test_columns_that_are_not_ours_stay_as_they_came(csv):
    rows = tabular.read(csv("file,label,trap,note,w,problem\na.jpg,fox,007,nice,320,none\n")).rows
    assert rows["trap"].tolist() == ["007"]
    assert rows["source_note"].tolist() == ["nice"]
    assert rows["source_w"].tolist() == ["320"]  # w without x, y and h is no box
    assert rows["source_problem"].tolist() == ["none"]
    assert rows[["w", "problem", "note"]].isna().all(axis=None)


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8")])
def test_what_spreadsheets_write(csv, separator, encoding):
    text = "file,label,site\na.jpg, Füchsin ,\n,,\n".replace(",", separator)
    table = csv(text, encoding=encoding)
    assert column(table, "label") == ["Füchsin"]
    assert column(table, "site") == [None]


def test_only_empty_cells_are_missing(csv):
    assert column(csv("file,label\na.jpg,NA\nb.jpg,None\nc.jpg,0\n"), "label") == ["NA", "None", "0"]


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
    assert_frame_equal(tabular.read(table).rows, tabular.read(tmp_path / "t.parquet").rows)


class TestPaths:
    def test_backslashes_and_dots(self, csv):
        assert column(csv("file,label\n.\\fox\\a.jpg,fox\n"), "path") == ["fox/a.jpg"]

    def test_absolute_ones_within_the_folder_of_the_table(self, csv, tmp_path):
        table = csv(f"file,label\n{tmp_path.resolve()}/fox/a.jpg,fox\n")
        assert column(table, "path") == ["fox/a.jpg"]
        assert tabular.read(table).root == tmp_path.resolve()

    def test_ones_outside_share_another_root(self, csv, tmp_path):
        manifest = tabular.read(csv("file,label\n../p/fox/a.jpg,fox\n../p/hare/a.jpg,hare\n"))
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


class TestBoxes:
    TABLE = "file,label,x,y,width,height\na.jpg,fox,{}\nb.jpg,fox,{}\n"

    def boxes(self, table):
        return tabular.read(table).rows[["x", "y", "w", "h"]].to_numpy().tolist()

    def test_pixels(self, csv, draw):
        draw("a.jpg", "b.jpg")
        assert self.boxes(csv(self.TABLE.format("1,2,3,4", "0,0,1,1"))) == [[1, 2, 3, 4], [0, 0, 1, 1]]

    def test_fractions_where_no_value_is_above_1(self, csv, draw):
        draw("a.jpg", "b.jpg", size=(200, 100))
        table = csv(self.TABLE.format("0.1,0.2,0.3,0.4", "0,0,1,1"))
        assert self.boxes(table) == [pytest.approx([20, 20, 60, 40]), [0, 0, 200, 100]]

    @pytest.mark.parametrize("first", ["10,20,30,10", "0.05,0.2,0.15,0.1"])
    def test_boxes_of_stored_pixels_are_turned(self, csv, draw, first):
        draw(
            "a.jpg",
            "b.jpg",
            size=(200, 100),
            exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0",
        )
        table = csv(self.TABLE.format(first, first).replace("b.jpg", "c.jpg"))
        [turned, _] = self.boxes(table)
        assert turned == pytest.approx([100 - 20 - 10, 10, 10, 30])  # a quarter clockwise

    def test_a_box_on_a_photo_that_cannot_be_read(self, csv, draw):
        draw("a.jpg")
        table = csv(self.TABLE.format("1,2,3,4", "0,0,1,1"))
        assert column(table, "problem") == [None, "missing file"]
        assert column(table, "x") == [1, None]


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
    assert column(table, "note") == ["time not understood (expected 2021-05-31 08:25:38): 05/06/2021 08:25", None]


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a,b\n1,2\n", r"a column for path \(file path, path.*\) and one for label \(.*\); got a, b"),
            ("file,b\n1,2\n", r"expected a column for label \(label, species, .*\); got file, b"),
            ("file,label\na.jpg,fox\n,hare\n", "1 rows name no photo: row 2"),
            ("file,label\n", "expected a row per photo, got none"),
            ("", "is empty; expected a header"),
            ("file,label\na.jpg,fox,1\nb.jpg,fox,1\n", "more fields than its header"),
            ("file,label\na.jpg,fox\nb.jpg,fox,1\n", "rows differ in length: .* line 3"),
        ],
    )
    def test_tables_that_cannot_be_read(self, csv, text, message):
        with pytest.raises(PhotosError, match=message):
            tabular.read(csv(text))

    def test_all_is_said_at_once(self, csv):
        with pytest.raises(
            PhotosError, match=r"(?s)1 rows name no photo.*split: expected train.*got 'maybe' \(2 rows\)"
        ):
            tabular.read(csv("file,label,split\na.jpg,fox,maybe\n,fox,maybe\n"))

    def test_another_encoding(self, csv):
        with pytest.raises(PhotosError, match="expected UTF-8; in Excel"):
            tabular.read(csv("file,label\na.jpg,고라니\n", encoding="cp949"))

    def test_a_missing_table(self, tmp_path):
        with pytest.raises(PhotosError, match="does not exist"):
            tabular.read_csv(tmp_path / "photos.csv")

    def test_a_broken_parquet(self, csv):
        with pytest.raises(PhotosError, match="cannot be read as parquet"):
            tabular.read(csv("file,label", name="t.parquet"))


class TestRealTables:
    def test_pets3(self, shared_data):
        rows = tabular.read(shared_data / "pets3" / "metadata.csv").rows
        assert rows["label"].value_counts().to_dict() == dict.fromkeys(
            ["abyssinian", "american_bulldog", "bengal"], 200
        )
        assert rows[["x", "w", "problem", "split"]].isna().all(axis=None)
        assert {"source_w", "head_x0", "official_split"} <= set(rows.columns)

    def test_tinyimagenet(self, shared_data):
        rows = tabular.read(shared_data / "tinyimagenet-mammals" / "metadata.csv").rows
        assert rows["split"].value_counts().to_dict() == {"train": 12000, "val": 1200}
        assert rows["label"].nunique() == 24
        assert "x0" in rows

    def test_zamba(self, shared_data):
        rows = tabular.read(shared_data / "formats" / "coco" / "zamba-ena24-small" / "labels.csv").rows
        assert set(rows["label"].value_counts()) == {3}

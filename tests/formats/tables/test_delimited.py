import codecs

import pandas as pd
import pytest

from fscl.errors import PhotosError
from fscl.formats.tables import delimited

ROWS = [["a.jpg", "Füchse"], ["b.jpg", "Füchse"], ["c.jpg", "hare"]]
TABLE = "filepath,label\na.jpg,Füchse\nb.jpg,Füchse\nc.jpg,hare\n"


@pytest.fixture
def written(tmp_path):
    def write(content, encoding="utf-8"):
        path = tmp_path / "t.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def cells(path):
    return delimited.read(path).rows.astype(object).where(lambda rows: rows.notna(), None).to_numpy().tolist()


class TestSeparators:
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    def test_each(self, written, separator):
        assert cells(written(TABLE.replace(",", separator))) == ROWS

    def test_a_line_that_names_another_is_passed_over_and_said(self, written):
        path = written(f"sep=;\n{TABLE}")
        assert cells(path) == ROWS
        assert delimited.read(path).remarks == [f"{path.name}: its line sep=; does not fit, read with commas"]
        assert not delimited.read(written("sep=;\nfile\na.jpg\n")).remarks

    @pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;", "sep=;;"])
    def test_a_line_that_says_it(self, written, line):
        assert cells(written(f"{line}\r\n{TABLE.replace(',', ';')}")) == ROWS

    def test_the_rows_count_more_than_the_header(self, written):
        path = written("filepath,label,seen;by;whom;when\na.jpg,fox,x\nb.jpg,fox,y\n")
        assert cells(path) == [["a.jpg", "fox", "x"], ["b.jpg", "fox", "y"]]

    def test_decimal_commas_do_not_separate(self, written):
        path = written("file;label;x\na.jpg;fox;0,1\nb.jpg;fox;0,2\n")
        assert cells(path) == [["a.jpg", "fox", "0,1"], ["b.jpg", "fox", "0,2"]]

    def test_those_within_quotation_marks_are_text(self, written):
        assert cells(written('file,label\na.jpg,"deer, roe"\n"b;c;d.jpg",fox\n')) == [
            ["a.jpg", "deer, roe"],
            ["b;c;d.jpg", "fox"],
        ]


class TestLines:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_ends_of_all_systems(self, written, end):
        assert cells(written(TABLE.replace("\n", end))) == ROWS
        assert cells(written(TABLE.replace("\n", end).rstrip())) == ROWS

    def test_blank_lines_are_passed_over(self, written):
        assert cells(written("\n\n" + TABLE.replace("b.jpg", "\n , \n,\nb.jpg"))) == ROWS

    def test_comments_before_the_header(self, written):
        assert cells(written(f"# exported 2024-01-01\n# by me, for you\n{TABLE}")) == ROWS
        assert cells(written(f"# exported\nsep=,\n# by me\n{TABLE}")) == ROWS

    def test_a_header_that_looks_like_a_comment(self, written):
        path = written(f"# exported\n#{TABLE}")
        assert delimited.read(path).rows.columns.tolist() == ["filepath", "label"]
        assert cells(path) == ROWS

    def test_a_cell_of_several_lines(self, written):
        path = written('label,note,file\nfox,"seen at night,\nnear, the, road",a.jpg\nhare,,b.jpg\n')
        assert cells(path) == [["fox", "seen at night,\nnear, the, road", "a.jpg"], ["hare", None, "b.jpg"]]
        path = written('file,label,note\na.jpg,fox,"seen\nat night, in rain, alone"\nb.jpg,hare,\n')
        assert cells(path) == [["a.jpg", "fox", "seen\nat night, in rain, alone"], ["b.jpg", "hare", None]]


class TestQuotationMarks:
    def rows(self, count=40):
        return [f"{number}.jpg,fox" for number in range(count)]

    @pytest.mark.parametrize("closes", [None, 9, 39])
    def test_one_that_is_not_closed_swallows_no_row(self, written, closes):
        rows = self.rows()
        rows[3] = '3.jpg,"fox'
        if closes is not None:
            rows[closes] += '"'
        found = delimited.read(written("\n".join(["file,label", *rows])))
        assert found.rows["file"].tolist() == [f"{number}.jpg" for number in range(40)]
        assert set(found.rows["label"]) == {"fox"}
        assert found.remarks == ["t.csv: a quotation mark is not closed, read without it (line 5)"]

    def test_many_and_more_than_a_cell_may_hold(self, written):
        rows = self.rows(20_000)
        rows[::1000] = [row.replace(",", ',"') for row in rows[::1000]]
        found = delimited.read(written("\n".join(["file,label", *rows])))
        assert len(found.rows) == 20_000
        assert set(found.rows["label"]) == {"fox"}
        rows[1:] = self.rows(20_000)[1:]
        assert len(delimited.read(written("\n".join(["file,label", *rows]))).rows) == 20_000

    def test_one_before_rows_that_hold_some(self, written):
        rows = self.rows()
        rows[3], rows[20] = '3.jpg,"fox', '20.jpg,"deer, roe"'
        found = delimited.read(written("\n".join(["file,label", *rows])))
        assert found.rows["label"].value_counts().to_dict() == {"fox": 39, "deer, roe": 1}

    def test_doubled_ones_are_one(self, written):
        assert cells(written('file,label\na.jpg,"the ""red"" fox"\n')) == [["a.jpg", 'the "red" fox']]

    def test_a_cell_beyond_all_measure(self, written):
        with pytest.raises(PhotosError, match=r"t\.csv: field larger than field limit"):
            delimited.read(written(f'file,label\na.jpg,"{"fox " * 40_000}"\n'))


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
    @pytest.mark.parametrize("separator", [",", "\t"])
    def test_of_unicode(self, written, encoding, separator):
        found = delimited.read(written(TABLE.replace(",", separator), encoding))
        assert found.rows["label"].tolist() == ["Füchse", "Füchse", "hare"]
        assert found.remarks == []

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
    def test_of_unicode_without_a_mark(self, written, encoding):
        assert cells(written(TABLE, encoding)) == ROWS

    @pytest.mark.parametrize(
        ("encoding", "labels"),
        [
            ("cp1252", ["Füchse", "Rehe", "Störche"]),
            ("cp1252", ["hérisson", "écureuil", "lièvre"]),
            ("cp1252", ["jabalí", "águila", "tejón"]),
            ("cp1250", ["łoś", "żubr", "niedźwiedź"]),
            ("cp949", ["고라니", "노루", "멧돼지"]),
            ("cp932", ["鹿", "狐", "イノシシ"]),
            ("cp1251", ["лиса", "волк", "Медведь"]),
        ],
    )
    def test_of_windows_are_said(self, written, encoding, labels):
        table = "file,label\n" + "".join(f"{number}.jpg,{label}\n" for number, label in enumerate(labels))
        found = delimited.read(written(table, encoding))
        assert found.rows["label"].tolist() == labels
        assert found.remarks == [f"t.csv is not UTF-8: read as {encoding}"]

    def test_signs_are_no_words(self, written):
        with pytest.raises(PhotosError, match=r"expected UTF-8; in Excel, save it as 'CSV UTF-8'"):
            delimited.read(written(b"file,label\na.jpg," + bytes(range(128, 256)) + b"\n"))

    def test_utf8_with_a_damaged_line_is_not_another_encoding(self, written):
        with pytest.raises(PhotosError, match="expected UTF-8, which line 4 is not while others are"):
            delimited.read(written(f"{TABLE}d.jpg,Füchse\n".encode().replace(b"hare", b"h\xe4se")))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"PK\x03\x04 and more", "got an Excel workbook or a zip; in Excel, save it as 'CSV UTF-8'"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1", "got an Excel workbook"),
            (b"file,label\na.jpg,fo\0x\n", "a file with zero bytes"),
            (codecs.BOM_UTF16_LE + b"\x00\xd8f", "it says that it is utf-16 and is not"),
        ],
    )
    def test_what_is_no_text(self, written, content, message):
        with pytest.raises(PhotosError, match=message):
            delimited.read(written(content))


class TestColumns:
    def test_names_are_stripped_and_each_is_there_once(self, written):
        path = written(' file , "label",label,,x\na.jpg,fox,hare,1,2\n')
        assert delimited.read(path).rows.columns.tolist() == ["file", "label", "label.1", "column 4", "x"]

    def test_commas_at_the_end(self, written):
        path = written("file,label,,\na.jpg,fox,,\nb.jpg,fox,,,,\nc.jpg\n")
        assert delimited.read(path).rows.columns.tolist() == ["file", "label"]
        assert cells(path) == [["a.jpg", "fox"], ["b.jpg", "fox"], ["c.jpg", None]]

    def test_more_fields_than_the_header(self, written):
        with pytest.raises(
            PhotosError, match=r"more than the 2 fields of the header \(line 3, 4\).*that hold ',' in quotation marks"
        ):
            delimited.read(written("file,label\na.jpg,fox\nb.jpg,deer,roe\nc.jpg,fox,,1\n"))


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n", "sep=;\n"])
def test_nothing(written, content):
    with pytest.raises(PhotosError, match="is empty; expected a header"):
        delimited.read(written(content))


def test_only_a_header(written):
    found = delimited.read(written("file,label\n")).rows
    assert found.empty
    assert found.columns.tolist() == ["file", "label"]


def test_only_empty_cells_are_missing(written):
    found = delimited.read(written("file,label,n\nNA,None,\n0,nan,null\n")).rows
    assert found.isna().to_numpy().tolist() == [[False, False, True], [False, False, False]]
    assert all(isinstance(dtype, pd.StringDtype) for dtype in found.dtypes)

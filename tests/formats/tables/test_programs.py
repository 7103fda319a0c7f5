import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fscl import formats
from fscl.errors import ConfigurationError, PhotosError
from fscl.formats.reading import Reading
from fscl.scanning.scan import scan
from tests.formats.damage import rows_or_one_error

BLANK = "blank, left out (--blanks makes blank photos a class)"
TIMELAPSE = "RootFolder,File,RelativePath,DateTime,DeleteFlag,Species\n"
CAMTRAP_R = "Station,Species,DateTimeOriginal,Date,Time,delta.time.secs,Directory,FileName\n"
ANIML = "filepath,file,max_detection_conf,category,conf,bbox1,bbox2,bbox3,bbox4,prediction,confidence\n"
BOX = "0.25,0.25,0.5,0.5"


@pytest.fixture
def read(draw, tmp_path):
    """Return a function that reads a table beside photos of 12 × 8 px in C1/."""
    draw("C1/1.jpg", "C1/2.jpg")

    def of(text, **said):
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        photos = formats.read(tmp_path / "t.csv", Reading(**said))
        return photos.rows.astype(object).where(photos.rows.notna(), None).to_dict("records")

    return of


class TestTimelapse:
    @pytest.mark.parametrize("folder", ["C1", "C1/", "C1\\"])
    def test_photos_lie_below_the_table(self, read, folder):
        [row] = read(f"{TIMELAPSE}photos,1.jpg,{folder},2021-05-31 08:25:38,false,fox\n")
        assert (row["path"], row["label"], str(row["datetime"]), row["problem"]) == (
            "C1/1.jpg",
            "fox",
            "2021-05-31 08:25:38",
            None,
        )

    def test_what_is_to_be_deleted_is_a_row_with_its_reason(self, read):
        rows = read(f"{TIMELAPSE}p,1.jpg,C1,,true,fox\np,2.jpg,C1,,TRUE,fox\np,3.jpg,,,false,fox\n")
        assert [row["problem"] for row in rows] == ["marked for deletion (DeleteFlag)"] * 2 + [None]
        assert [row["path"] for row in rows] == ["C1/1.jpg", "C1/2.jpg", "3.jpg"]

    def test_older_tables(self, read):
        header = "File,RelativePath,Folder,Date,Time,ImageQuality,DeleteFlag,Species\n"
        rows = read(f"{header}1.jpg,C1,x,27-Apr-2015,07:12:00,Ok,false,fox\n2.jpg,C1,x,,,Corrupted,false,fox\n")
        assert str(rows[0]["datetime"]) == "2015-04-27 07:12:00"
        assert [row["problem"] for row in rows] == [None, "unreadable: Timelapse calls it corrupted"]

    def test_without_a_column_of_labels_the_own_columns_are_named(self, read):
        with pytest.raises(PhotosError, match=r"expected a column for label .* got RootFolder, .* Animal"):
            read(TIMELAPSE.replace("Species", "Animal") + "p,1.jpg,C1,,false,fox\n")


class TestCamtrapR:
    ROW = "C1,PBE,2009-04-21 00:40:00,2009-04-21,00:40:00,0,C1,1.jpg\n"

    def test_a_record_table(self, read):
        [row] = read(CAMTRAP_R + self.ROW)
        assert (row["path"], row["label"], row["site"], str(row["datetime"])) == (
            "C1/1.jpg",
            "PBE",
            "C1",
            "2009-04-21 00:40:00",
        )

    def test_two_species_in_a_photo(self, read):
        rows = read(CAMTRAP_R + self.ROW + self.ROW.replace("PBE", "VTA"))
        assert [row["problem"] for row in rows] == ["several labels for one photo"] * 2

    def test_folders_of_another_machine(self, read):
        with pytest.raises(PhotosError, match="a path of Windows"):
            read(CAMTRAP_R + self.ROW.replace(",C1,1", ",C:\\photos\\C1,1"))


class TestAniml:
    def row(self, category="1", conf="0.9", prediction="cougar", box=BOX):
        return f"C1/1.jpg,C1/1.jpg,0.9,{category},{conf},{box},{prediction},0.97\n"

    @pytest.mark.parametrize("category", ["1", "1.0"])
    def test_a_row_is_a_box_with_its_prediction(self, read, category):
        [row] = read(ANIML + self.row(category))
        assert (row["label"], row["x"], row["w"], row["problem"]) == ("cougar", 3, 6, None)

    @pytest.mark.parametrize(
        ("row", "label", "problem"),
        [
            ({"category": "2"}, "cougar", "no animal: a person"),
            ({"category": "3"}, "cougar", "no animal: a vehicle"),
            ({"category": "0", "conf": "", "box": ",,,", "prediction": ""}, "blank", BLANK),
            ({"prediction": "empty"}, "blank", BLANK),
            ({"conf": "0.29"}, "cougar", "a box of less confidence than 0.3"),
            ({"conf": "sure"}, "cougar", "a box of less confidence than 0.3"),
        ],
    )
    def test_what_is_no_animal_is_a_row_with_its_reason(self, read, row, label, problem):
        [found] = read(ANIML + self.row(**row))
        assert (found["label"], found["problem"]) == (label, problem)

    def test_the_user_says_which_boxes_count_and_what_becomes_of_blanks(self, read):
        [row] = read(ANIML + self.row(conf="0.2"), detection_confidence=0.1)
        assert row["problem"] is None
        [row] = read(ANIML + self.row(prediction="empty"), blanks=True)
        assert (row["label"], row["problem"]) == ("blank", None)

    def test_without_predictions_rows_are_without_labels(self, read):
        header, row = (",".join(text.split(",")[:9]) + "\n" for text in (ANIML, self.row()))
        [found] = read(header + row)
        assert (found["label"], found["w"], found["problem"]) == (None, 6, "no label")


def test_confidence_says_nothing_of_a_table_without_boxes_of_a_detector(read):
    with pytest.raises(ConfigurationError, match="--detection-confidence says which boxes of a detector count"):
        read("file,label\nC1/1.jpg,fox\n", detection_confidence=0.5)


CELLS = st.sampled_from(("", "x", "-1", "nan", "1e999", "..", "C:\\1.jpg", "\x01", '"', "고", "9" * 400, ";", "true"))
TABLES = (
    TIMELAPSE + "p,1.jpg,C1,2021-05-31 08:25:38,false,fox\n",
    CAMTRAP_R + TestCamtrapR.ROW,
    ANIML + TestAniml().row(),
)


@given(table=st.sampled_from(TABLES), place=st.integers(0, 60), cell=CELLS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_any_cell_gives_rows_or_one_error(read, tmp_path, table, place, cell):
    lines = [line.split(",") for line in table.splitlines()]
    line = lines[place % len(lines)]
    line[place % len(line)] = cell
    (tmp_path / "t.csv").write_text("\n".join(map(",".join, lines)) + "\n", encoding="utf-8")
    rows_or_one_error(tmp_path / "t.csv")


def test_real_tables(shared_data):
    folder = shared_data / "formats"
    zamba = scan(folder / "coco/zamba-ena24-small/labels.csv")
    assert sorted(zamba.usable["label"].value_counts()) == [3] * 7
    results = formats.read(folder / "animl-csv/Results.csv").rows
    assert set(results["label"]) >= {"cougar", "blank"}
    boxes = formats.read(folder / "animl-csv/Detections.csv").rows
    assert boxes["label"].dropna().isin(["blank"]).all()
    with pytest.raises(PhotosError, match="--layout site/class: classes such as PBE, VTA, at the sites StationA"):
        formats.read(folder / "station-species-folders-camtrapR")
    stations = scan(folder / "station-species-folders-camtrapR", reading=Reading(layout="site/class"))
    assert set(stations.usable["site"]) == {"StationA", "StationB", "StationC"}
    assert set(stations.usable["label"]) == {"PBE", "VTA", "MNE", "EGY", "TRA", "UNID"}

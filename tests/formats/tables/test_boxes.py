import pandas as pd
import pytest

from fscl.errors import ConfigurationError, PhotosError
from fscl.formats.reading import Reading
from fscl.formats.tables import reader


@pytest.fixture
def csv(tmp_path):
    def write(text):
        (tmp_path / "photos.csv").write_text(text, encoding="utf-8")
        return tmp_path / "photos.csv"

    return write


def column(table, name):
    return [None if pd.isna(value) else value for value in reader.read(table).rows[name]]


TABLE = "file,label,x,y,width,height\na.jpg,fox,{}\nb.jpg,fox,{}\n"
QUARTER = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"


def boxes(table, **said):
    return reader.read(table, Reading(**said)).rows[["x", "y", "w", "h"]].to_numpy().tolist()


def tabled(draw, csv, given, headings="x,y,w,h", size=(200, 160), **options):
    """A table of photos, a box each."""
    draw(*(f"{number}.jpg" for number in range(len(given))), size=size, **options)
    rows = "".join(f"{number}.jpg,fox,{box}\n" for number, box in enumerate(given))
    return csv(f"file,label,{headings}\n{rows}")


def test_pixels(csv, draw):
    draw("a.jpg", "b.jpg")
    table = csv(TABLE.format("1,2,3,4", "0,0,1,1"))
    assert boxes(table) == [[1, 2, 3, 4], [0, 0, 1, 1]]
    assert column(table, "note") == [None, "box smaller than 2 px"]


def test_fractions_where_no_value_is_above_1(csv, draw):
    draw("a.jpg", "b.jpg", size=(200, 100))
    table = csv(TABLE.format("0.1,0.2,0.3,0.4", "0,0,1,1"))
    assert boxes(table) == [pytest.approx([20, 20, 60, 40]), [0, 0, 200, 100]]


def test_a_fraction_a_hair_above_1_stays_one(csv, draw):
    table = tabled(draw, csv, ["0.1,0.2,0.5,0.5"] * 14 + ["0.2,0.1,0.5,1.003125"])
    found = boxes(table)
    assert found[:14] == [[20, 32, 100, 80]] * 14
    assert found[14] == pytest.approx([40, 16, 100, 160.5])
    assert reader.read(table).remarks == ("boxes are read from x, y, w, h, in fractions",)


def test_a_few_in_another_unit_are_named_and_left_out(csv, draw):
    fractions, pixels = "0.1,0.2,0.5,0.5", "20,32,100,80"
    table = tabled(draw, csv, [fractions] * 18 + [pixels] * 2)
    assert column(table, "problem") == [None] * 18 + ["box in pixels, the table's are in fractions"] * 2
    assert boxes(table)[:18] == [[20, 32, 100, 80]] * 18
    table = tabled(draw, csv, [pixels] * 18 + [fractions] * 2)
    assert column(table, "problem") == [None] * 18 + ["box in fractions, the table's are in pixels"] * 2
    assert column(table, "x") == [20] * 18 + [None] * 2


def test_a_mixture_is_refused_unless_one_is_asked_for(csv, draw):
    table = tabled(draw, csv, ["0.1,0.2,0.5,0.5"] * 10 + ["20,32,100,80"] * 10)
    with pytest.raises(
        PhotosError,
        match=r"got 10 in fractions, as of 0\.jpg, and 10 in larger numbers, as of 10\.jpg; .*--box-unit",
    ):
        reader.read(table)
    rows = reader.read(table, Reading(box_unit="fraction")).rows
    assert rows["problem"].isna().tolist() == [True] * 10 + [False] * 10
    rows = reader.read(table, Reading(box_unit="pixel")).rows
    assert rows["problem"].isna().all()
    assert set(rows["note"][:10]) == {"box smaller than 2 px"}


def test_percent_is_asked_for(csv, draw):
    table = tabled(draw, csv, ["10,20,50,50"] * 12)
    assert boxes(table) == [[10, 20, 50, 50]] * 12
    assert reader.read(table).remarks == (
        "boxes are read from x, y, w, h, in pixels",
        "no box goes beyond 100: if they are percent, say so with --box-unit percent",
    )
    assert boxes(table, box_unit="percent") == [[20, 32, 100, 80]] * 12
    table = tabled(draw, csv, ["10,20,50,50", "20,32,100,120"])
    rows = reader.read(table, Reading(box_unit="percent")).rows
    assert rows["problem"].fillna("").tolist() == ["", "box in pixels, the table's are in percent"]


@pytest.mark.parametrize(
    ("headings", "box"),
    [
        *[(names, "20,32,120,112") for names in ("xmin,ymin,xmax,ymax", "x1,y1,x2,y2", "x0,y0,x1,y1")],
        *[(names, "20,32,120,112") for names in ("left,top,right,bottom", "bbox_xmin,ymin,xmax,ymax")],
        *[(names, "20,32,100,80") for names in ("left,top,width,height", "bboxX,bboxY,bboxWidth,bboxHeight")],
        *[(names, "20,32,100,80") for names in ("bbox_x,bbox_y,width,height", "box x,box y,box w,box h")],
        *[(names, "70,72,100,80") for names in ("center x,center y,w,h", "cx,cy,w,h", "XCentre,YCentre,W,H")],
        *[(names, "0.35,0.45,0.5,0.5") for names in ("x_center,y_center,width,height", "xc,yc,w,h")],
        *[(names, "20,32,120,112") for names in ("xtl,ytl,xbr,ybr", "x_left,y_top,x_right,y_bottom")],
        *[(names, "20,32,120,112") for names in ("tl_x,tl_y,br_x,br_y", "startX,startY,endX,endY")],
        *[(f"bbox_{a},bbox_{b},bbox_{c},bbox_{d}", "20,32,120,112") for a, b, c, d in (
            ("left", "top", "right", "bottom"), ("x1", "y1", "x2", "y2"), ("xtl", "ytl", "xbr", "ybr"))],
        ("x_top_left,y_top_left,x_bottom_right,y_bottom_right", "20,32,120,112"),
        *[(names, "20,32,100,80") for names in ("bb_x,bb_y,bb_w,bb_h", "roi_x,roi_y,roi_width,roi_height")],
        *[(names, "20,32,100,80") for names in ("rel_x,rel_y,rel_w,rel_h", "top_left_x,top_left_y,width,height")],
        ("xtl,ytl,w,h", "20,32,100,80"),
        ("bbox1,bbox2,bbox3,bbox4", "0.1,0.2,0.5,0.5"),
        ("xmin,ymin,xmax,ymax", "0.1,0.2,0.6,0.7"),
        *[("bbox", f'"{box}"') for box in ("[20, 32, 100, 80]", "20,32,100,80", "(20.0, 32., 1e2, 80)")],
        ("bbox", '"[0.1, 0.2, 0.5, 0.5]"'),
        ("Bounding Box", "20 32 100 80"),
        ("bbox_xyxy", '"[20, 32, 120, 112]"'),
    ],
)  # fmt: skip
def test_all_usual_headings(csv, draw, headings, box):
    table = tabled(draw, csv, [box] * 12, headings)
    assert boxes(table) == [pytest.approx([20, 32, 100, 80])] * 12
    unit = "fractions" if "0.5" in box or "0.6" in box else "pixels"
    assert reader.read(table).remarks[0] == f"boxes are read from {headings.replace(',', ', ')}, in {unit}"


def test_lists_of_parquet(draw, tmp_path):
    draw("a.jpg", "b.jpg", size=(200, 160))
    typed = pd.DataFrame({"file": ["a.jpg", "b.jpg"], "label": "fox", "bbox": [[20, 32, 100, 80], None]})
    typed.to_parquet(tmp_path / "t.parquet")
    assert boxes(tmp_path / "t.parquet")[0] == [20, 32, 100, 80]
    assert column(tmp_path / "t.parquet", "problem") == [None, None]


@pytest.mark.parametrize(
    "box", ["[1, 2, 3]", "[[20, 32], [120, 112]]", '{""x"": 1}', "[1, 2, 3, tall]", "[1, 2, 3, 1e999]"]
)
def test_lists_that_are_no_boxes(csv, draw, box):
    table = tabled(draw, csv, [f'"{box}"', '"[20, 32, 100, 80]"', "NA"], "bbox")
    assert column(table, "problem") == ["box needs four numbers: x, y, w, h", None, None]


def test_decimal_commas(csv, draw):
    draw("a.jpg", "b.jpg", size=(200, 160))
    table = csv("file;label;x;y;w;h\na.jpg;fox;0,1;0,2;0,5;0,5\nb.jpg;fox;0,1;0;1;0,25\n")
    assert boxes(table) == [[20, 32, 100, 80], [20, 0, 200, 40]]
    assert reader.read(table).remarks[0] == "decimal commas of the boxes are read as points"
    table = csv("file;label;x;y;w;h\na.jpg;fox;10;20;1,200;800\nb.jpg;fox;1;1;8;9\n")
    assert column(table, "problem") == ["box needs four numbers: x, y, w, h", None]
    assert reader.read(table).remarks[0].startswith("1,200 of the boxes may be thousands or decimals")


@pytest.mark.parametrize("corners", ["100,60,180,140", "0.5,0.4,0.9,0.9"])
def test_corners_under_another_heading_are_said(csv, draw, corners):
    for headings in ("bbox", "bbox_x,bbox_y,bbox_w,bbox_h"):
        given = [f'"{corners}"' if headings == "bbox" else corners] * 12
        assert reader.read(tabled(draw, csv, given, headings)).remarks[1:] == (
            "12 of 12 boxes leave their photo, and would not as two corners: if they are, call the columns x1, y1, "
            "x2, y2, or one bbox_xyxy",
        )
    assert len(reader.read(tabled(draw, csv, [corners] * 12, "x1,y1,x2,y2")).remarks) == 1


@pytest.mark.parametrize("place", ["127.123,37.456", "7.1,51.4", "-75.2,-3.1", "0,12.5"])
@pytest.mark.parametrize("size", ["200,160", "4000,3000"])
def test_a_place_and_the_size_of_the_photo_are_no_box(csv, draw, place, size):
    table = tabled(draw, csv, [f"{place},{size}"] * 12, "x,y,width,height")
    rows = reader.read(table)
    assert rows.rows[["x", "w", "problem"]].isna().all(axis=None)
    assert rows.rows["source_x"].tolist() == [place.split(",")[0]] * 12
    [remark] = rows.remarks
    assert remark.startswith("x, y, width, height were not read as boxes: ")


def test_a_size_beside_an_empty_place_is_no_half_box(csv, draw):
    table = tabled(draw, csv, [",,200,160"] * 4, "x,y,width,height")
    found = reader.read(table)
    assert found.rows[["x", "problem"]].isna().all(axis=None)
    assert found.remarks == ()
    table = tabled(draw, csv, [",,200,160"] * 4 + ["20,32,100,80"] * 4, "x,y,width,height")
    assert column(table, "problem") == [None] * 8
    assert column(table, "x") == [None] * 4 + [20] * 4


def test_columns_of_boxes_without_any(csv, draw):
    found = reader.read(tabled(draw, csv, [",,,"] * 4))
    assert found.rows[["x", "problem"]].isna().all(axis=None)
    assert found.remarks == ()
    assert column(tabled(draw, csv, ["1,2,3,wide"]), "problem") == ["box needs four numbers: x, y, w, h"]


def test_what_is_said_of_boxes_that_are_not_there_is_refused(csv, draw):
    table = tabled(draw, csv, ["1,2"], "x,y")
    for said in ({"box_unit": "pixel"}, {"box_frame": "upright"}):
        with pytest.raises(ConfigurationError, match=r"--box-unit and --box-frame .* has no columns of any"):
            reader.read(table, Reading(**said))
    with pytest.raises(
        ConfigurationError, match=r"--date-order says how times are read, .* no column of any: datetime"
    ):
        reader.read(table, Reading(date_order="dmy"))


def test_the_whole_photo_is_a_box(csv, draw):
    table = tabled(draw, csv, ["0,0,200,160"] * 12, "x,y,width,height")
    assert boxes(table) == [[0, 0, 200, 160]] * 12


@pytest.mark.parametrize(
    ("headings", "remark"),
    [
        ("xmin,ymin,xmax", "no boxes were read: beside xmin, ymin, xmax there is no ymax"),
        ("x,y,w", "no boxes were read: beside x, y, w there is no h"),
        ("1,bbox2,bbox3,bbox4", "no boxes were read: beside bbox2, bbox3, bbox4 there is no 1"),
        (
            "bbox_a,bbox_b",
            "no boxes were read from bbox_a, bbox_b: expected x, y, w, h or xmin, ymin, xmax, ymax",
        ),
        *(
            (
                names,
                f"no boxes were read from {names.replace(',', ', ')}: expected x, y, w, h or xmin, ymin, xmax, ymax",
            )
            for names in (
                "x_a,y_a,x_b,y_b",
                "animal_x,animal_y,animal_width,animal_height",
                "px_left,px_top,px_right,px_bottom",
                "BndBox",
            )
        ),
    ],
)
def test_columns_that_are_almost_boxes_are_said(csv, draw, headings, remark):
    table = tabled(draw, csv, [",".join("1" for _ in headings.split(","))] * 2, headings)
    assert reader.read(table).remarks == (remark,)


def test_a_place_or_a_size_alone_is_none(csv, draw):
    for headings in ("x,y", "width,height", "w,h", "lon,lat", "sex,age", "utm_x,utm_y,width,height", "left,right"):
        assert reader.read(tabled(draw, csv, ["1,2"] * 2, headings)).remarks == ()


@pytest.mark.parametrize("first", ["10,20,30,10", "0.05,0.2,0.15,0.1"])
def test_boxes_of_stored_pixels_are_turned(csv, draw, first):
    draw("a.jpg", "b.jpg", size=(200, 100), exif=QUARTER)
    table = csv(TABLE.format(first, first).replace("b.jpg", "c.jpg"))
    [turned, _] = boxes(table)
    assert turned == pytest.approx([100 - 20 - 10, 10, 10, 30])  # a quarter clockwise


def test_boxes_of_upright_photos_are_not(csv, draw):
    table = tabled(draw, csv, ["90,150,60,45"] * 12, exif=QUARTER)
    assert boxes(table, box_frame="upright") == [[90, 150, 60, 45]] * 12
    assert reader.read(table, Reading(box_frame="upright")).remarks == (
        "boxes are read from x, y, w, h, in pixels of the upright photos",
    )
    assert reader.read(table).remarks == (
        "boxes are read from x, y, w, h, in pixels of the stored photos",
        "12 of 12 boxes on photos that EXIF turns lie within the upright photo only: if they were drawn on it, "
        "say so with --box-frame upright",
    )
    table = tabled(draw, csv, ["0.5,0.75,0.5,0.25"] * 12, exif=QUARTER)
    assert boxes(table, box_frame="upright") == [[80, 150, 80, 50]] * 12


def test_boxes_of_a_photo_that_is_not_there_are_no_repeats(csv, draw):
    draw("a.jpg")
    table = csv("file,label,x,y,w,h\na.jpg,fox,1,1,3,3\nb.jpg,fox,1,1,3,3\nb.jpg,fox,4,4,3,3\nb.jpg,hare,4,4,4,4\n")
    assert column(table, "problem") == [None, "missing file", "missing file", "missing file"]


def test_a_box_on_a_photo_that_cannot_be_read(csv, draw):
    draw("a.jpg")
    table = csv(TABLE.format("1,2,3,4", "0,0,1,1"))
    assert column(table, "problem") == [None, "missing file"]
    assert column(table, "x") == [1, None]

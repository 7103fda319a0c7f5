import json
import unicodedata

import pytest
from PIL import Image

from fscl import formats
from fscl.errors import PhotosError
from fscl.formats import coco
from fscl.formats.reading import Reading
from fscl.scanning.scan import scan
from tests.formats.damage import check_bad_files, written

FOX, EMPTY = {"id": 1, "name": "fox"}, {"id": 0, "name": "empty"}
BOX = [3, 2, 6, 4]


def photo(number=1, **changes):
    return {"id": number, "file_name": f"C1/{number}.jpg", "width": 12, "height": 8} | changes


def labelled(image=1, category=1, **changes):
    return {"id": f"a{image}", "image_id": image, "category_id": category} | changes


def document(images=None, annotations=None, categories=(EMPTY, FOX), **changes):
    return {
        "info": {"version": "1.0"},
        "images": [photo()] if images is None else images,
        "annotations": [labelled(bbox=BOX)] if annotations is None else annotations,
        "categories": list(categories),
    } | changes


WHOLE = document(
    [
        photo(1, location="C1", seq_id="s1", datetime="2021-05-31 08:25:38", frame_num=1, seq_num_frames=2),
        photo(2, location=1, seq_id=2, corrupt=True),
    ],
    [labelled(1, bbox=BOX), labelled(2, 0, sequence_level_annotation=True), labelled(1, bbox_relative=[0, 0, 1, 1])],
)


@pytest.fixture
def read(draw, tmp_path):
    """Return a function that reads a document of photos of 12 × 8 px in C1/."""
    draw(*(f"C1/{number}.jpg" for number in range(1, 5)))

    def of(document, name="coco.json", **said):
        return formats.read(written(document, tmp_path / name), Reading(**said))

    return of


def rows(manifest):
    return manifest.rows.astype(object).where(manifest.rows.notna(), None).to_dict("records")


def test_an_annotation_is_a_row(read):
    [row, other, _] = sorted(rows(read(WHOLE)), key=lambda row: row["region_id"])
    assert (row["path"], row["label"], row["site"], row["sequence"]) == ("C1/1.jpg", "fox", "C1", "s1")
    assert (row["x"], row["y"], row["w"], row["h"], str(row["datetime"])) == (3, 2, 6, 4, "2021-05-31 08:25:38")
    assert row["coco_image_frame_num"] == 1
    assert (other["w"], other["h"], other["region_id"]) == (12, 8, "C1/1.jpg#1")


def test_a_photo_without_an_annotation_is_a_row_without_label(read):
    assert [(row["label"], row["problem"]) for row in rows(read(document([photo(1), photo(2)])))] == [
        ("fox", None),
        (None, None),
    ]


def test_no_annotations_at_all_are_photos_to_predict(read):
    photos = read({"images": [photo(1), photo(2)]})
    assert [row["label"] for row in rows(photos)] == [None, None]
    assert photos.remarks == ("coco.json has no annotations: its photos are without labels",)


class TestBlanks:
    @pytest.mark.parametrize("category", [EMPTY, {"id": 30, "name": "Empty"}, {"id": "0", "name": "blank"}])
    def test_they_are_left_out_or_a_class(self, read, category):
        empty = document(annotations=[labelled(category=category["id"])], categories=[category])
        [row] = rows(read(empty))
        assert (row["label"], row["problem"]) == ("blank", "blank, left out (--blanks makes blank photos a class)")
        [row] = rows(read(empty, blanks=True))
        assert (row["label"], row["problem"]) == ("blank", None)

    def test_number_0_is_blank_where_nothing_else_says_what_it_is(self, read):
        [row] = rows(read(document(annotations=[labelled(category=0)], categories=[FOX])))
        assert row["label"] == "blank"
        [row] = rows(read(document(annotations=[labelled(category=0)], categories=[FOX | {"id": 0}])))
        assert (row["label"], row["problem"]) == ("fox", None)


class TestBoxes:
    @pytest.mark.parametrize(
        ("bbox", "problem"),
        [
            ([3, 2, 0, 4], "box without area"),
            ([9, 6, -6, -4], "box without area"),
            ([3, 2, 6], "box needs four numbers: x, y, w, h"),
            ([3, 2, float("nan"), 4], "box needs four numbers: x, y, w, h"),
            ([3, 2, "6", 4], "box needs four numbers: x, y, w, h"),
            ([3, 2, 1e300, 4], "box outside the photo"),
            ([30, 20, 6, 4], "box outside the photo"),
        ],
    )
    def test_one_that_is_none_is_a_row_with_its_reason(self, read, tmp_path, bbox, problem):
        source = written(document(annotations=[labelled(bbox=bbox)]), tmp_path / "coco.json")
        [row] = rows(scan(source))
        assert (row["label"], row["problem"]) == ("fox", problem)

    def test_it_is_clipped_to_its_photo(self, read, tmp_path):
        [row] = rows(scan(written(document(annotations=[labelled(bbox=[-3, 2, 30, 4])]), tmp_path / "coco.json")))
        assert (row["x"], row["w"], row["note"]) == (0, 12, "box clipped to the photo")

    def test_it_fits_a_photo_that_was_made_smaller(self, read):
        [row] = rows(read(document([photo(1, width=120, height=80)], [labelled(bbox=[30, 20, 60, 40])])))
        assert (row["x"], row["y"], row["w"], row["h"]) == (3, 2, 6, 4)
        assert row["note"] == "its record says 120 × 80 px, the photo has another size: box scaled"

    def test_a_photo_of_another_shape_is_refused(self, read):
        [row] = rows(read(document([photo(1, width=100, height=80)])))
        assert row["problem"] == "its record says 100 × 80 px, the photo has another shape: its box may lie anywhere"

    @pytest.mark.parametrize(
        ("size", "said", "expected"),
        [
            ({"width": 12, "height": 8}, {}, (2, 3, 4, 6)),  # as stored: turned with the photo
            ({"width": 8, "height": 12}, {}, (3, 2, 6, 4)),
            ({"width": 80, "height": 120}, {}, (0.3, 0.2, 0.6, 0.4)),
            ({"width": None, "height": None}, {}, (2, 3, 4, 6)),
            ({"width": None, "height": None}, {"box_frame": "upright"}, (3, 2, 6, 4)),
        ],
    )
    def test_the_size_of_the_photo_tells_whether_it_was_turned(self, draw, tmp_path, size, said, expected):
        exif = Image.Exif()
        exif[0x0112] = 6  # 12 × 8 px stored, shown as 8 × 12
        draw("C1/1.jpg", exif=exif)
        source = written(document([photo(1, **size)]), tmp_path / "coco.json")
        [row] = rows(formats.read(source, Reading(**said)))
        assert [row[name] for name in "xywh"] == pytest.approx(expected)

    @pytest.mark.parametrize(("said", "expected"), [({}, (8, 6, 4, 2)), ({"box_frame": "upright"}, (0, 0, 4, 2))])
    def test_where_the_size_does_not_tell_they_are_of_the_stored_photo(self, draw, tmp_path, said, expected):
        exif = Image.Exif()
        exif[0x0112] = 3  # upside down
        draw("C1/1.jpg", exif=exif)
        source = written(document(annotations=[labelled(bbox=[0, 0, 4, 2])]), tmp_path / "coco.json")
        [row] = rows(formats.read(source, Reading(**said)))
        assert tuple(row[name] for name in "xywh") == expected

    def test_labels_without_a_box_beside_boxes_are_no_second_region(self, read):
        both = rows(read(document(annotations=[labelled(bbox=BOX), labelled()])))
        assert [row["problem"] for row in both] == [None, "no box, beside others of its photo with one"]


class TestRecordsThatDoNotFit:
    @pytest.mark.parametrize(
        ("images", "annotations", "problem"),
        [
            ([photo(id=None)], None, "unreadable record images[0]: id: Input should be a valid string, got None"),
            (
                [photo(location=["C1"])],
                None,
                "unreadable record images[0]: location: Input should be a valid string, got",
            ),
            ([photo(file_name=" ")], None, "unreadable record images[0]: file_name: expected a path, got ''"),
            ([photo(corrupt=True)], None, "unreadable: the source calls it corrupt"),
            (None, [labelled(category=7)], "unreadable record annotations[0]: no category '7'"),
            (None, [labelled(category=None)], "unreadable record annotations[0]: category_id: Input should be"),
            (None, [labelled(bbox=3)], "unreadable record annotations[0]: bbox: Input should be a valid list, got 3"),
        ],
    )
    def test_is_a_row_with_its_reason(self, read, images, annotations, problem):
        [row] = rows(read(document(images, annotations)))
        assert row["problem"].startswith(problem)

    def test_images_of_one_id_are_told_apart_by_nothing(self, read):
        both = rows(read(document([photo(1), photo(2, id=1)])))
        assert [row["problem"] for row in both] == ["2 images have its id"] * 2

    def test_one_photo_in_two_images_is_one(self, read):
        images = [photo(1), photo(2, file_name="C1/1.jpg")]
        again = rows(read(document(images, [labelled(1, bbox=BOX), labelled(2, bbox=BOX)])))
        assert [row["problem"] for row in again] == [None, "duplicate row"]
        assert [row["region_id"] for row in again] == ["C1/1.jpg#0", "C1/1.jpg#1"]

    def test_two_species_without_boxes_are_refused(self, read):
        categories = [FOX, {"id": 2, "name": "hare"}]
        both = rows(
            read(document(annotations=[labelled(1, 1), labelled(1, 2), labelled(1, 1)], categories=categories))
        )
        assert [row["problem"] for row in both] == ["several labels for one photo"] * 2

    def test_annotations_of_no_image_are_said(self, read):
        photos = read(document(annotations=[labelled(bbox=BOX), labelled(77), labelled(image=[1])]))
        assert any(
            remark.startswith("1 annotation of images that are not there, such as of '77'")
            for remark in photos.remarks
        )
        assert any(
            remark.startswith("1 annotation of no image: unreadable record annotations[2]")
            for remark in photos.remarks
        )

    def test_two_names_of_one_category_are_said(self, read):
        photos = read(document(categories=[FOX, FOX | {"name": "hare"}]))
        assert any("category '1' is called fox and hare" in remark for remark in photos.remarks)
        assert rows(photos)[0]["label"] is None

    def test_ids_may_be_numbers_here_and_texts_there(self, read):
        images, annotations = (
            [photo(id="1")],
            [labelled(image=1, category="1", bbox=BOX), labelled(1.0, 1.0, bbox=[1, 1, 2, 2])],
        )
        assert [row["label"] for row in rows(read(document(images, annotations)))] == ["fox", "fox"]

    def test_a_label_of_the_whole_sequence_is_noted(self, read):
        [row] = rows(read(document(annotations=[labelled(sequence_level_annotation=True)])))
        assert (row["problem"], row["note"]) == (None, "the label is that of its sequence")


@pytest.mark.parametrize("missing", ["images", "categories"])
def test_a_part_that_is_missing(read, missing):
    whole = {key: value for key, value in document().items() if key != missing}
    with pytest.raises(PhotosError, match=rf"coco.json: expected a list {missing}, got the keys"):
        read(whole)


def test_it_is_recognised_by_how_it_begins(tmp_path):
    head = json.dumps(document([photo(number) for number in range(9999)]))
    (tmp_path / "labels.txt").write_text(head[:90_000])
    assert coco.recognises(tmp_path / "labels.txt")
    (tmp_path / "md.json").write_text('{"images": [{"file": "a.jpg", "detections": []}]}')
    assert not coco.recognises(tmp_path / "md.json")


def test_the_user_may_name_the_format(tmp_path):
    strange = written({"x": [{"y": 1}] * 9000} | document(), tmp_path / "coco.json")
    with pytest.raises(PhotosError, match=r"or JSON of COCO, .* got JSON with the keys \['x'\]; .*--source-format"):
        formats.read(strange)
    assert len(formats.read(strange, Reading(source_format="coco")).rows) == 1
    with pytest.raises(
        formats.ConfigurationError, match="--source-format cocoa: no such format; did you mean 'coco'"
    ):
        formats.read(strange, Reading(source_format="cocoa"))


@pytest.mark.parametrize("here", ["NFC", "NFD"])
@pytest.mark.parametrize("there", ["NFC", "NFD"])
def test_names_are_found_whether_their_letters_are_composed_or_not(draw, tmp_path, here, there):
    name = "고라니 Füchse/á.jpg"
    draw(unicodedata.normalize(here, name))
    images = [photo(1, file_name=unicodedata.normalize(there, name))]
    [row] = rows(scan(written(document(images), tmp_path / "coco.json")))
    assert (row["path"], row["problem"]) == (unicodedata.normalize(here, name), None)


def test_halves_of_characters_anywhere(read):
    images = [photo(1, file_name="C1/\ud800.jpg", location="\udc00"), photo(2)]
    found = rows(read(document(images, categories=[FOX | {"name": "\ud800"}])))
    assert [row["path"] for row in found] == ["C1/ud800.jpg", "C1/2.jpg"]


def test_bad_files(tmp_path):
    check_bad_files(
        document(), tmp_path / "a.json", lambda source: formats.read(source, Reading(source_format="coco"))
    )


def test_real_coco(shared_data):
    photos = scan(shared_data / "formats/coco/zamba-ena24-small/coco_annotations.json")
    assert sorted(photos.usable["label"].value_counts()) == [3] * 7
    assert photos.usable["w"].notna().all()
    cct = formats.read(shared_data / "formats/coco-camera-traps/cis_val_annotations.json").rows
    assert (cct["site"].nunique(), cct["sequence"].nunique()) == (10, 1421)
    assert cct["label"].nunique() == 15
    assert (cct["path"].nunique(), cct["datetime"].isna().sum()) == (3484, 0)
    assert cct.loc[cct["label"] == "blank", "problem"].str.startswith("blank, left out").all()
    with pytest.raises(PhotosError, match=r"deers.json: expected JSON, which ends at line 1, column"):
        formats.read(shared_data / "formats/coco-camera-traps/deers.json", Reading(source_format="coco"))

import json

import pandas as pd
import pytest

from fscl import formats
from fscl.errors import PhotosError
from fscl.formats import megadetector
from fscl.formats.reading import Reading
from fscl.manifest import Manifest
from fscl.scanning.scan import scan
from tests.formats.damage import check_bad_files, written

BOX = [0.25, 0.25, 0.5, 0.5]


def animal(**changes):
    return {"category": "1", "conf": 0.9, "bbox": BOX} | changes


def results(*images, **changes):
    document = {
        "info": {"format_version": "1.6", "classifier_metadata": {"typical_classification_threshold": 0.75}},
        "detection_categories": {"1": "animal", "2": "person", "3": "vehicle"},
        "classification_categories": {"0": "fox", "1": "hare"},
        "images": list(images),
    } | changes
    return {key: value for key, value in document.items() if value is not ...}


def image(file="C1/1.jpg", *detections, **changes):
    return {"file": file, "detections": list(detections)} | changes


FOX = animal(classifications=[["0", 0.9], ["1", 0.05]])
WHOLE = results(image("C1/1.jpg", FOX, animal(category="2")), image("C1/2.jpg"), image("C1/3.jpg", failure="no"))


@pytest.fixture
def read(draw, tmp_path):
    """Return a function that reads results of photos of 12 × 8 px in C1/."""
    draw("C1/1.jpg", "C1/2.jpg", "C1/3.jpg")

    def of(document, name="md.json", **said):
        return formats.read(written(document, tmp_path / name), Reading(**said))

    return of


def only(manifest):
    [row] = manifest.rows.astype(object).where(manifest.rows.notna(), None).to_dict("records")
    return row


def test_an_animal_is_a_row_with_its_box_in_pixels_and_the_label_of_the_classifier(read):
    row = only(read(results(image("C1/1.jpg", FOX))))
    assert (row["path"], row["label"], row["detection_conf"], row["problem"]) == ("C1/1.jpg", "fox", 0.9, None)
    assert (row["x"], row["y"], row["w"], row["h"]) == (3, 2, 6, 4)


def test_boxes_are_of_the_photo_as_exif_turns_it(draw, tmp_path):
    draw("C1/1.jpg", exif=_turned())
    row = only(
        formats.read(written(results(image("C1/1.jpg", animal(bbox=[0, 0, 0.5, 0.25]))), tmp_path / "md.json"))
    )
    assert (row["w"], row["h"]) == (4, 3)


def _turned():
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize(
    "changes",
    [
        {"info": ...},
        {"info": {}},
        {"info": None},
        {"info": {"format_version": 1.3}},
        {"detection_categories": ...},
        {"detection_categories": {"1": "Animal"}},
    ],
)
@pytest.mark.parametrize("category", ["1", 1, 1.0])
def test_sloppy_variants(read, changes, category):
    row = only(read(results(image("C1/1.jpg", animal(category=category)), **changes)))
    assert (row["w"], row["problem"]) == (6, None)


def test_classifications_with_whole_numbers_and_below_the_threshold_of_the_file(read):
    sure, unsure = animal(classifications=[[0, 0.8]]), animal(classifications=[["0", 0.7]])
    labels = read(results(image("C1/1.jpg", sure), image("C1/2.jpg", unsure))).rows["label"]
    assert labels.tolist()[0] == "fox"
    assert pd.isna(labels[1])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"failure": "Failure image access", "detections": None}, "the detector failed: Failure image access"),
        ({"failure": "Failure image access"}, "the detector failed: Failure image access"),
        ({"detections": None}, "the detector gave no boxes"),
        (
            {"detections": None, "max_detection_conf": 0.97},
            "the detector gave no boxes, only max_detection_conf 0.97",
        ),
        ({"detections": [animal(bbox=[0.5, 0.5, -0.1, 0.2])]}, "detections: box without area"),
        ({"detections": [animal(bbox=[float("nan"), 0, 1, 1])]}, "detections: box needs four numbers: x, y, w, h"),
        (
            {"detections": [animal(bbox=[100, 50, 300, 200])]},
            "detections: box in pixels, expected a fraction of the photo",
        ),
        ({"detections": [animal(category="9")]}, "unreadable record images[0]: category '9' is none of the file"),
        (
            {"detections": [animal(conf="sure")]},
            "unreadable record images[0]: detections.0.conf: Input should be a valid number, unable to parse string "
            "as a number, got 'sure'",
        ),
        ({"detections": [animal(category="2")]}, "no animal was found, a person"),
        ({"detections": [animal(category="3"), animal(category="2")]}, "no animal was found, a person and a vehicle"),
        ({"detections": [animal(conf=0.29)]}, "blank, left out (--blanks makes blank photos a class)"),
        ({"detections": []}, "blank, left out (--blanks makes blank photos a class)"),
    ],
)
def test_what_cannot_be_used_is_a_row_with_its_reason(read, changes, problem):
    row = only(read(results(image() | changes)))
    assert (row["path"], row["problem"], row["x"]) == ("C1/1.jpg", problem, None)


def test_confidence_and_blanks_are_the_users_choice(read):
    document = results(image("C1/1.jpg", animal(conf=0.2)), image("C1/2.jpg"))
    rows = read(document, detection_confidence=0.1, blanks=True).rows
    assert rows["w"].tolist()[0] == 6
    assert (rows["label"].tolist()[1], rows["problem"].isna().all()) == ("blank", True)


def test_records_without_a_path_and_of_one_photo_twice(read):
    document = results(
        {"detections": []}, {"file": 3, "detections": []}, "x", image("C1/1.jpg", FOX), image("C1/1.jpg")
    )
    rows = read(document).rows
    assert rows["path"].tolist() == ["(images[0])", "(images[1])", "(images[2])", "C1/1.jpg"]
    assert rows["problem"].str.startswith("unreadable record images[").tolist()[:3] == [True, True, True]
    assert rows["problem"].tolist()[3] == "several records of one photo that differ"


@pytest.mark.parametrize("name", ["고라니 1.jpg", "a b.jpg"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_names_and_encodings(draw, tmp_path, name, encoding):
    draw(f"C1/{name}")
    source = tmp_path / "md.json"
    source.write_bytes(json.dumps(results(image(f"C1\\{name}", FOX)), ensure_ascii=False).encode(encoding))
    assert only(scan(source))["problem"] is None


def test_paths_that_lead_to_no_file_here_are_rows(read):
    files = ["C1/1.jpg", "D:\\photos\\1.jpg", "https://a.org/1.jpg", "../elsewhere/1.jpg"]
    problems = scan_rows(read, results(*(image(file, FOX) for file in files)))
    assert problems[:1] == [None]
    assert problems[1:] == ["unreadable: a path of Windows", "unreadable: a web address, not a file", "missing file"]


def scan_rows(read, document):
    rows = read(document).rows
    return rows["problem"].astype(object).where(rows["problem"].notna(), None).tolist()


def test_it_is_recognised_by_how_it_begins(tmp_path):
    head = json.dumps(results(*(image(f"{i}.jpg") for i in range(9999)), info=...))
    (tmp_path / "a.txt").write_text(head[: len(head) // 2])  # the end is not looked at
    assert megadetector.recognises(tmp_path / "a.txt")
    (tmp_path / "md.json").write_text('{"images": [{"file_name": "a.jpg"}], "annotations": []}')
    assert not megadetector.recognises(tmp_path / "md.json")


def test_bad_files(tmp_path):
    check_bad_files(
        WHOLE, tmp_path / "md.json", lambda source: formats.read(source, Reading(source_format="megadetector"))
    )


class TestJoin:
    @pytest.fixture
    def joined(self, draw, tmp_path):
        """Return a function that gives photos of class folders with detections; by default of photos/fox/1.jpg."""

        def of(*images, paths=("fox/1.jpg",), **said):
            root = draw(*(f"photos/{path}" for path in paths)) / "photos"
            source = written(results(*images), tmp_path / "md.json")
            return formats.read(root, Reading(detections=source, **said))

        return of

    def test_a_label_goes_to_the_animal_and_never_to_people_or_vehicles(self, joined):
        people = [animal(category=category, bbox=[0, 0, 1, 1], conf=0.99) for category in "23"]
        row = only(joined(image("fox/1.jpg", *people, animal())))
        assert (row["label"], row["w"], row["detection_conf"], row["problem"]) == ("fox", 6, 0.9, None)

    def test_several_animals_of_one_label_are_refused_and_counted(self, joined):
        photos = joined(image("fox/1.jpg", animal(), animal(bbox=[0, 0, 0.1, 0.1])))
        assert only(photos)["problem"] == "several animals, and nothing says which of them is the label's"
        assert only(photos)["x"] is None
        assert "1 photo with several animals and one label cannot be used: box them by hand" in photos.remarks

    def test_several_animals_that_are_each_called_as_their_photo_are_rows(self, joined):
        both = [animal(classifications=[["0", 0.9]], bbox=bbox) for bbox in (BOX, [0, 0, 0.1, 0.1])]
        assert joined(image("fox/1.jpg", *both)).rows["label"].tolist() == ["fox", "fox"]
        assert joined(image("fox/1.jpg", *both)).rows["region_id"].tolist() == ["fox/1.jpg#0", "fox/1.jpg#1"]
        other = animal(classifications=[["1", 0.9]])
        assert only(joined(image("fox/1.jpg", both[0], other)))["problem"].startswith("several animals")

    def test_the_label_of_the_photo_counts_not_that_of_a_classifier(self, joined):
        row = only(joined(image("fox/1.jpg", animal(classifications=[["1", 0.99]]))))
        assert (row["label"], row["problem"]) == ("fox", None)

    @pytest.mark.parametrize(
        ("found", "problem"),
        [
            (image("fox/1.jpg"), "no animal was found"),
            (image("fox/1.jpg", animal(conf=0.1)), "no animal was found, or none so surely"),
            (image("fox/1.jpg", animal(category="2")), "no animal was found, a person"),
            (image("fox/2.jpg", animal()), "the detections do not name this photo"),
        ],
    )
    @pytest.mark.parametrize("blanks", [False, True])
    def test_a_labelled_photo_without_an_animal_box_is_refused(self, joined, found, problem, blanks):
        photos = joined(found, image("hare/1.jpg", animal()), paths=("fox/1.jpg", "hare/1.jpg"), blanks=blanks)
        assert photos.rows["problem"].tolist()[0] == problem

    @pytest.mark.parametrize(
        "file",
        ["fox/1.jpg", "photos/fox/1.jpg", "D:\\a\\photos\\fox\\1.JPG", "/mnt/a/fox/1.jpg", "1.jpg", "./fox/1.jpg"],
    )
    def test_a_photo_is_found_wherever_the_detector_ran(self, joined, file):
        assert only(joined(image(file, animal())))["w"] == 6

    def test_doubtful_names_are_not_joined(self, joined):
        photos = joined(
            image("1.jpg", animal()), image("b/2.jpg", animal()), paths=("fox/1.jpg", "hare/1.jpg", "b/2.jpg")
        )
        assert photos.rows["w"].notna().tolist() == [True, False, False]
        twice = joined(
            image("a/fox/3.jpg", animal()),
            image("b/fox/3.jpg", animal()),
            image("b/2.jpg", animal()),
            paths=("fox/3.jpg",),
        )
        assert twice.rows.loc[twice.rows["path"] == "fox/3.jpg", "problem"].tolist() == [
            "the detections do not name this photo"
        ]

    def test_detections_of_other_photos_are_an_error(self, joined):
        with pytest.raises(
            PhotosError, match=r"md.json: expected detections of these photos, such as fox/1.jpg, got"
        ):
            joined(image("C7/IMG_0001.JPG", animal()))

    def test_boxes_that_photos_have_stay_and_scanning_and_manifests_go_on_with_them(self, joined, tmp_path):
        photos = joined(image("fox/1.jpg", animal()))
        photos.write(tmp_path / "photos.parquet")
        again = written(results(image("fox/1.jpg", animal(bbox=[0, 0, 0.1, 0.1], conf=0.5))), tmp_path / "2.json")
        row = only(scan(tmp_path / "photos.parquet", reading=Reading(detections=again)))
        assert (row["w"], row["detection_conf"], row["problem"]) == (6, 0.9, None)
        assert len(Manifest.read(tmp_path / "photos.parquet").usable) == 1

    def test_a_photo_with_a_box_takes_no_other(self, draw, tmp_path):
        draw("1.jpg")
        (tmp_path / "t.csv").write_text("file,label,x,y,w,h\n1.jpg,fox,1,1,2,3\n1.jpg,hare,,,,\n")
        source = written(results(image("1.jpg", animal())), tmp_path / "md.json")
        rows = formats.read(tmp_path / "t.csv", Reading(detections=source)).rows
        assert rows["w"].fillna(0).tolist() == [2, 0]

    def test_boxes_are_of_the_upright_photo_whatever_those_of_the_table_are(self, draw, tmp_path):
        draw("1.jpg", "2.jpg", exif=_turned())
        (tmp_path / "t.csv").write_text("file,label,x,y,w,h\n1.jpg,fox,0,0,6,2\n2.jpg,hare,,,,\n")
        source = written(results(image("2.jpg", animal(bbox=[0, 0, 0.5, 0.25]))), tmp_path / "md.json")
        rows = formats.read(tmp_path / "t.csv", Reading(detections=source, box_frame="stored")).rows
        assert rows[["w", "h"]].to_numpy().tolist() == [[2, 6], [4, 3]]

    def test_a_photo_that_is_not_there_is_a_row_with_its_reason(self, draw, tmp_path):
        draw("1.jpg")
        pd.DataFrame({"file": ["1.jpg", "2.jpg"], "label": ["fox", "fox"]}).to_csv(tmp_path / "t.csv")
        source = written(results(image("1.jpg", animal()), image("2.jpg", animal())), tmp_path / "md.json")
        rows = formats.read(tmp_path / "t.csv", Reading(detections=source)).rows
        assert rows["problem"].isna().tolist() == [True, False]
        assert rows["problem"].tolist()[1] == "missing file"


def test_real_results_join_real_photos(shared_data):
    folder = shared_data / "formats"
    boxes = folder / "megadetector-json/md_annotations.json"
    labels = folder / "coco/zamba-ena24-small/labels.csv"
    photos = scan(labels, reading=Reading(detections=boxes))
    assert len(photos.usable) == 21
    assert photos.usable["w"].notna().all()
    assert sorted(photos.usable["label"].value_counts()) == [3] * 7
    own = scan(boxes, reading=Reading(root=labels.parent))
    assert set(own.usable["label"]) >= {"chicken", "grey_fox"}
    sloppy = formats.read(folder / "megadetector-json/megadetector_output.json").rows
    assert sloppy["problem"].tolist()[:3] == [
        "missing file",
        "missing file",
        "blank, left out (--blanks makes blank photos a class)",
    ]
    assert sloppy["problem"].str.startswith("the detector failed").tolist()[3:] == [True, True]

"""What is written in MegaDetector's format: its own validator takes it, and our reader finds the same."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ImageFile

from fscl.errors import PhotosError
from fscl.formats import json_document, megadetector, megadetector_writer
from fscl.formats.answers import Animal, PhotoAnswer
from fscl.frames import frame_name
from tests.formats.damage import damaged, written
from tests.formats.writing import about, animal, answered

SAME = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
CLASSES = ["deer", "person", "멧돼지"]
BOX = (0.25, 0.25, 0.5, 0.5)


@pytest.fixture
def validated(tmp_path, monkeypatch):
    """Return what writes answers, holds them against the format's validator, and reads the JSON."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)  # megadetector sets it for the whole process
    pytest.importorskip("cv2", reason="the format's validator needs opencv-python-headless")
    validator = pytest.importorskip(
        "megadetector.postprocessing.validate_batch_results", reason="megadetector is not installed"
    )

    def of(photos, classes=CLASSES, document=None):
        path = tmp_path / "answers.json"
        megadetector_writer.write(path, photos, about(classes, document=document))
        document = json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)
        found = validator.validate_batch_results(json.loads(path.read_text("utf-8")))["validation_results"]
        assert found["errors"] == []
        return document

    return of


def boxed(place, conf=0.9, answer=0, box=BOX):
    return animal(answer, CLASSES, box=box, confidence=conf, place=place)


def test_the_validator_takes_videos(validated):
    clip = {"sequence": "a/1.mp4", "frame_rate": 29.97}
    photos = [
        PhotoAnswer(frame_name("a/1.mp4", 0), [boxed(0), boxed(1, 0.5)], **clip),
        PhotoAnswer(frame_name("a/1.mp4", 30), [animal(0, CLASSES)], **clip),
        PhotoAnswer("a/2.mov", failure="damaged video"),
        PhotoAnswer("a/3.jpg", [animal(0, CLASSES)]),
    ]
    images = validated(photos)["images"]
    assert [image["file"] for image in images] == ["a/1.mp4", "a/2.mov", "a/3.jpg"]
    assert [image.get("frame_rate") for image in images] == [29.97, 0.0, None]


def test_the_validator_takes_whole_photos_boxes_and_failures(validated):
    photos = [
        PhotoAnswer("a/1.jpg", [animal(0, CLASSES)]),
        PhotoAnswer("a/2.jpg", failure="empty file"),
        PhotoAnswer("a/3.jpg", found="blank"),
        PhotoAnswer("a/4.jpg", [boxed(0, 0.5), boxed(1, 0.9)]),
        PhotoAnswer("a/5.jpg", [boxed(0), Animal(box=BOX, confidence=0.4)], failure="box outside"),
    ]
    images = validated(photos)["images"]
    assert [image["file"] for image in images] == [photo.file for photo in photos]
    assert [detection["conf"] for detection in images[3]["detections"]] == [0.9, 0.5]
    assert (images[1]["detections"], images[1]["failure"]) == (None, "empty file")
    assert images[2]["detections"] == []
    assert images[4]["classification_failure"] == "box outside"
    assert "classifications" in images[4]["detections"][0]


def test_sloppy_files_become_strict_and_lose_nothing(validated):
    box = list(BOX)
    document = {
        "detection_categories": {"1": "animal", "2": "person", "fox": "fox", "9": ""},
        "classification_categories": {"deer": "deer"},
        "info": "none",
        "images": [
            {"file": "a/1.jpg", "detections": [{"category": 1, "conf": 1, "bbox": box, "mine": 1}]},
            {"file": "a/2.jpg", "detections": None},
            {"file": "a/3.jpg", "detections": [], "failure": "no memory"},
            {"file": "a/4.jpg", "max_detection_conf": 0.3},
            {"file": "a/5.jpg", "detections": [{"category": 1.0, "conf": "0.5", "bbox": box}], "failure": "late"},
            {
                "file": "other/6.jpg",
                "detections": [
                    {"category": 2, "conf": 0.1, "bbox": box},
                    {"category": "fox", "conf": 1, "bbox": box, "classifications": [["deer", 0.2], [7, 1]]},
                    {"category": 9, "conf": 1, "bbox": box},
                    {"category": 1, "bbox": box},
                    {"category": 1, "conf": float("nan"), "bbox": box},
                    {"category": 1, "conf": 1, "bbox": box[1:]},
                    "none",
                ],
            },
            {"detections": [], "mine": float("inf")},
            "no record",
            {"file": "a/1.jpg", "detections": []},
        ],
    }
    before = json.dumps(document)
    photos = [
        PhotoAnswer("a/1.jpg", [boxed(0)]),
        *(PhotoAnswer(f"a/{number}.jpg", failure="why") for number in (2, 3, 4, 5)),
    ]
    made = validated(photos, document=document)
    assert json.dumps(document) == before
    names = made["classification_categories"]
    assert sorted(names.values()) == sorted(["deer", "category 7", "deer (class)", "person (class)", "멧돼지"])
    assert made["detection_categories"] == {"1": "animal", "2": "person", "3": "fox"}
    images = made["images"]
    first = images[0]["detections"][0]
    assert (first["category"], first["conf"], first["mine"]) == ("1", 1.0, 1)
    assert names[first["classifications"][0][0]] == "deer (class)"
    assert images[1] == {"file": "a/1.jpg", "detections": []}, "the second record of a photo"
    assert [image["failure"] for image in images[2:5]] == ["no detections", "no memory", "no detections"]
    assert images[4]["max_detection_conf"] == 0.3
    assert images[5]["classification_failure"] == "why"
    assert [detection["conf"] for detection in images[5]["detections"]] == [0.5]
    other = images[6]
    assert [(each["category"], each["conf"]) for each in other["detections"]] == [("3", 1.0), ("2", 0.1)]
    fox = [(names[number], score) for number, score in other["detections"][0]["classifications"]]
    assert fox == [("category 7", 1.0), ("deer", 0.2)]
    assert len(other["unreadable_detections"]) == 5
    assert [image["file"] for image in images[7:]] == ["(images[6])", "(images[7])"]
    assert images[8]["record"] == "no record"


VALID = {
    "info": {"format_version": "1.6", "classifier_metadata": {}},
    "detection_categories": {"1": "animal"},
    "classification_categories": {"0": "deer"},
    "images": [
        {
            "file": "a/1.jpg",
            "detections": [
                {"category": "1", "conf": 0.9, "bbox": list(BOX), "classifications": [["0", 0.7]]},
                {"category": "1", "conf": 0.5, "bbox": list(BOX)},
            ],
        }
    ],
}


@SAME
@given(document=damaged(VALID))
def test_whatever_a_file_of_detections_is_like_the_validator_takes_ours(validated, tmp_path, document):
    source = written(document, tmp_path / "md.json")
    try:
        megadetector.read_results(source)
    except PhotosError:
        return
    validated([PhotoAnswer("a/1.jpg", [boxed(0)])], document=json_document.load(source))


@SAME
@given(given=answered(), boxes=st.booleans())
def test_our_reader_finds_the_same_photos_boxes_and_answers(validated, tmp_path, given, boxes):
    classes, photos = given
    if boxes:
        one = animal(0, classes, box=BOX, confidence=0.9, place=0)
        photos = [*photos, PhotoAnswer("z.jpg", [one, animal(1, classes, box=BOX, confidence=0.8, place=1)])]
    made = validated(photos, classes)
    results = megadetector.read_results(tmp_path / "answers.json").by_file
    assert list(results) == [photo.file for photo in photos]
    names = dict(zip(classes, made["classification_categories"].values(), strict=True))
    assert len(set(names.values())) == len(classes)
    for photo in photos:
        found = results[photo.file]
        assert (found.problem is None) == (photo.failure is None)
        assert [each.box for each in found.found] == [each.box or (0, 0, 1, 1) for each in photo.animals]
        labels = [names[classes[each.answer]] if each.probability >= 0.6 else None for each in photo.animals]
        assert [each.label for each in found.found] == labels

"""Predictions of SpeciesNet that are written: our reader finds the same photos, boxes and answers in them."""

import json

import pytest
from hypothesis import HealthCheck, given, settings

from fscl import formats
from fscl.formats import speciesnet_writer
from fscl.formats.answers import PhotoAnswer
from fscl.formats.blanks import is_blank
from fscl.formats.reading import Reading
from fscl.formats.speciesnet import NO_ANSWERS
from fscl.species import scientific_names
from tests.formats.writing import about, animal, answered

SAME = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
CLASSES = ["water_deer", "fox", "a", "b", "c", "d"]
BOX = [0.25, 0.25, 0.5, 0.5]


@pytest.fixture
def written(tmp_path):
    def of(photos, classes=CLASSES, **more):
        path = tmp_path / "s.json"
        speciesnet_writer.write(path, photos, about(classes, latin=scientific_names(classes), **more))
        return json.loads(path.read_text("utf-8"))["predictions"]

    return of


def test_a_photo_has_five_classes_and_its_failures(written):
    photos = [PhotoAnswer("1.jpg", [animal(0, CLASSES)]), PhotoAnswer("2.jpg", failure="empty file")]
    whole, failed = written(photos)
    assert whole["prediction"] == ";;;;hydropotes;inermis;water_deer"
    assert (whole["prediction_score"], whole["prediction_source"]) == (0.7, "classifier")
    assert whole["classifications"]["classes"][:2] == [";;;;hydropotes;inermis;water_deer", ";;;;;;fox"]
    assert len(whole["classifications"]["classes"]) == len(whole["classifications"]["scores"]) == 5
    assert "detections" not in whole
    assert failed == {
        "filepath": "2.jpg",
        "failures": ["CLASSIFIER"],
        "failure_reason": "empty file",
        "model_version": whole["model_version"],
    }


def test_all_boxes_of_the_detector_are_kept_also_people(written):
    boxes = [("2", 0.3), ("1", 0.9), ("3", 0.95)]
    document = {
        "images": [
            {"file": "P/1.jpg", "detections": [{"category": c, "conf": s, "bbox": BOX} for c, s in boxes]},
            {"file": "P/2.jpg", "detections": [{"category": "2", "conf": 0.9, "bbox": BOX}]},
            {"file": "P/3.jpg", "detections": None},
            {"file": "P/4.jpg", "detections": []},
        ]
    }
    one = animal(1, CLASSES, box=tuple(BOX), confidence=0.9, place=1)
    photos = [
        PhotoAnswer("1.jpg", [one], detected_as="P/1.jpg"),
        PhotoAnswer("2.jpg", found="person and vehicle", detected_as="P/2.jpg"),
        PhotoAnswer("3.jpg", failure="the detector gave no boxes", detected_as="P/3.jpg"),
        PhotoAnswer("4.jpg", found="blank", detected_as="P/4.jpg"),
        PhotoAnswer("5.jpg", failure="the detections do not name this photo"),
    ]
    first, person, failed, blank, unknown = written(photos, document=document)
    assert [(each["category"], each["label"], each["conf"]) for each in first["detections"]] == [
        ("3", "vehicle", 0.95),
        ("1", "animal", 0.9),
        ("2", "human", 0.3),
    ]
    assert first["prediction"] == ";;;;;;fox"
    assert (person["prediction"].split(";")[-1], person["prediction_source"]) == ("human", "detector")
    assert failed["failures"] == unknown["failures"] == ["DETECTOR"]
    assert (blank["prediction"].split(";")[-1], blank["detections"]) == ("blank", [])


@SAME
@given(given=answered())
def test_our_reader_finds_the_same_rows(written, tmp_path, given):
    classes, photos = given
    written(photos, classes)
    read = formats.read(tmp_path / "s.json", Reading(labels=frozenset(classes)))
    rows = read.rows.astype(object).where(read.rows.notna(), None).to_dict("records")
    assert [str(read.root / path) for path in (row["path"] for row in rows)] == [
        str(tmp_path / photo.file) for photo in photos
    ]
    for row, photo in zip(rows, photos, strict=True):
        if photo.main is None:
            assert (row["label"], row["problem"]) == (None, "SpeciesNet failed: CLASSIFIER")
            assert row["speciesnet_failure_reason"] == photo.failure
            continue
        name = classes[photo.main.answer].replace(";", ",")
        assert not is_blank(name)
        assert row["label"] == (None if name.strip().lower() in NO_ANSWERS else name.strip())
        assert row["speciesnet_prediction_score"] == photo.main.probability

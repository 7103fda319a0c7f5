"""The Camtrap DP package that is written: frictionless takes it, and our reader finds the same rows."""

import json
import warnings
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zipfile import ZipFile

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from fscl import formats
from fscl.errors import ConfigurationError, PhotosError
from fscl.formats.answers import PhotoAnswer
from fscl.formats.camtrap_dp import writer
from fscl.formats.camtrap_dp.deployments import deployments_of, read_deployments
from fscl.formats.reading import Reading
from fscl.frames import frame_name
from fscl.species import scientific_names
from tests.formats.writing import TIME, about, animal, answered

SCHEMAS = Path(__file__).parents[3] / "shared/data/formats/camtrap-dp/schema-1.0.2"
CLASSES = ["water_deer", '여우, "fox"', "species", "blank"]
DEPLOYMENTS = (
    "deploymentID,latitude,longitude,deploymentStart,deploymentEnd,locationID,cameraTilt,baitUse,own\n"
    "D1,37.5,127,2021-05-01 10:00:00+0900,2021-06-30T10:00:00+09:00,L1,-15.0,TRUE,x\n"
    "D2,37.6,127.1,2021-05-01T10:00:00+09:00,2021-06-30T10:00:00+09:00,L2,,no,\n"
)
BOX = (0.25, -0.1, 0.5, 0.5)


def photos():
    boxes = [animal(0, CLASSES, box=BOX, confidence=0.9), animal(1, CLASSES, 0.5, box=BOX, confidence=0.8)]
    facts = {"time": TIME, "deployment": "D1", "sequence": "s1"}
    return [
        PhotoAnswer('D1/a "1", 고라니.jpg', boxes, **facts),
        PhotoAnswer("D1/2.jpg", [animal(1, CLASSES)], **facts),
        PhotoAnswer("D1/3.JPG", found="person and vehicle", **facts),
        PhotoAnswer("D1/4.png", [animal(3, CLASSES)], **facts),
        PhotoAnswer("D2/5.jpg", failure="truncated file", **facts | {"deployment": "D2", "sequence": "s2"}),
        PhotoAnswer("D2/6.jpg", failure="empty file", deployment="D2"),
    ]


def clip():
    """Answers of three frames of a video, the second the surest; the third could not be read."""
    facts = {"deployment": "D1", "sequence": "D1/clip.mp4", "frame_rate": 30.0}
    said = [animal(0, CLASSES, 0.7), animal(0, CLASSES, 0.9), None]
    return [
        PhotoAnswer(
            frame_name("D1/clip.mp4", 30 * second),
            [] if one is None else [one],
            None if one else "damaged",
            time=TIME + timedelta(seconds=second),
            **facts,
        )
        for second, one in enumerate(said)
    ]


@pytest.fixture
def package(tmp_path):
    (tmp_path / "deployments.csv").write_text(DEPLOYMENTS, encoding="utf-8")
    facts = read_deployments(tmp_path / "deployments.csv", None)

    def of(answers, name="package", description=None):
        path = tmp_path / name
        if not path.suffix:
            path.mkdir()
        stamp = datetime.fromisoformat("2026-11-26T10:00:00+00:00")
        writer.write(
            path,
            answers,
            about(
                CLASSES,
                packaging=replace(facts, description=description or {}),
                latin=scientific_names(CLASSES),
                stamp=stamp,
            ),
        )
        return path

    return of


@pytest.mark.parametrize("answers", [photos(), clip()], ids=["photos", "a video"])
def test_frictionless_takes_the_tables_as_they_are(package, answers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frictionless = pytest.importorskip("frictionless", reason="frictionless is not installed")
        if not SCHEMAS.exists():
            pytest.skip("the schemas of Camtrap DP 1.0.2 are not at hand")
        folder = package(answers)
        document = json.loads((folder / "datapackage.json").read_text("utf-8"))
        document.pop("profile")  # on the web, as the schemas: they are read from the disk here
        for resource in document["resources"]:
            if "schema" in resource:
                name = resource["schema"].rpartition("/")[2]
                resource["schema"] = json.loads((SCHEMAS / name).read_text("utf-8"))
        made = frictionless.Package.from_descriptor(document, basepath=str(folder))
        report = made.validate()
    assert report.valid, report.flatten(["rowNumber", "fieldName", "message"])
    for name in ("deployments", "media", "observations"):
        fields = json.loads((SCHEMAS / f"{name}-table-schema.json").read_text("utf-8"))["fields"]
        assert list(pd.read_csv(folder / f"{name}.csv")) == [field["name"] for field in fields]


def test_the_damage_of_a_video_is_its_comment(package):
    media = pd.read_csv(package(clip()) / "media.csv")
    assert media["mediaComments"].tolist() == ["1 frame: damaged"]


def test_a_video_is_one_medium_and_its_answer_an_event(package):
    folder = package(clip())
    [medium] = pd.read_csv(folder / "media.csv").to_dict("records")
    assert (medium["filePath"], medium["fileMediatype"]) == ("D1/clip.mp4", "video/mp4")
    assert medium["timestamp"] == "2021-05-31T08:25:38+09:00"
    [seen] = pd.read_csv(folder / "observations.csv").to_dict("records")
    assert (seen["observationLevel"], seen["eventID"]) == ("event", "D1/clip.mp4")
    assert (seen["eventStart"], seen["eventEnd"]) == ("2021-05-31T08:25:38+09:00", "2021-05-31T08:25:40+09:00")
    assert (seen["scientificName"], seen["classificationProbability"]) == ("Hydropotes inermis", 0.9)


@pytest.mark.parametrize("name", ["package", "package.zip"])
def test_our_reader_finds_the_same_rows(package, name):
    read = formats.read(package(photos(), name), Reading(blanks=True))
    rows = read.rows.astype(object).where(read.rows.notna(), None).to_dict("records")
    found = [(row["path"].rpartition("package/")[2].removeprefix("package.zip/"), row["label"]) for row in rows]
    assert found == [
        ('D1/a "1", 고라니.jpg', "Hydropotes inermis"),
        ('D1/a "1", 고라니.jpg', '여우, "fox"'),
        ("D1/2.jpg", '여우, "fox"'),
        ("D1/3.JPG", "human"),
        ("D1/3.JPG", "vehicle"),
        ("D1/4.png", "blank"),
        ("D2/5.jpg", None),
    ]
    assert [row["sequence"] for row in rows] == ["s1"] * 6 + ["s2"]
    assert [row["site"] for row in rows] == ["L1"] * 6 + ["L2"]
    assert {row["datetime"] for row in rows} == {pd.Timestamp(TIME)}


def test_the_same_answers_are_the_same_bytes_and_what_is_unknown_is_empty(package, tmp_path):
    assert package(photos(), "a.zip").read_bytes() == package(photos(), "b.zip").read_bytes()
    with ZipFile(tmp_path / "a.zip") as packed, packed.open("observations.csv") as file:
        rows = pd.read_csv(file, dtype="str", keep_default_na=False)
    assert rows["scientificName"].tolist() == ["Hydropotes inermis", *[""] * 6]
    assert rows["observationType"].tolist() == [
        *("animal", "animal", "animal", "human", "vehicle", "blank", "unclassified")
    ]
    assert rows["count"].tolist() == ["1", "1", *[""] * 5]
    assert rows.loc[0, ["bboxX", "bboxY", "bboxWidth", "bboxHeight"]].tolist() == ["0.25", "0.0", "0.5", "0.4"]
    assert rows["observationTags"][1] == 'class:여우, "fox" | unsure'
    assert set(rows["eventStart"]) == {"2021-05-31T08:25:38+09:00"}
    with ZipFile(tmp_path / "a.zip") as packed:
        assert b"D2/6.jpg,D2,empty file" in packed.read("left_out.csv")


def test_deployments_are_mended_or_refused(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text(DEPLOYMENTS)
    table = read_deployments(path, None).deployments
    first = ["deploymentStart", "cameraTilt", "baitUse"]
    assert table.loc[0, first].tolist() == ["2021-05-01T10:00:00+09:00", "-15", "true"]
    wrong = {
        ("+0900", ""): "expected a time with its zone",
        ("37.5", "97.5"): "row 1: latitude: expected a number from -90 to 90, got 97.5",
        ("D2", "D1"): "row 2: deploymentID D1: is there twice",
        ("-15.0", "-15.5"): "cameraTilt: expected a whole number",
        ("TRUE", "maybe"): "expected true or false, got maybe",
        ("2021-06-30", "2020-06-30"): "expected a deploymentEnd after deploymentStart",
        ("latitude", "lat"): "expected the column latitude",
    }
    for (old, new), message in wrong.items():
        path.write_text(DEPLOYMENTS.replace(old, new))
        with pytest.raises(PhotosError, match=message):
            read_deployments(path, None)
    path.write_text(DEPLOYMENTS.replace("+0900", ""))
    assert read_deployments(path, "+02:00").deployments["deploymentStart"][0] == "2021-05-01T10:00:00+02:00"
    with pytest.raises(ConfigurationError, match="--timezone"):
        read_deployments(path, "Seoul")


def test_photos_find_their_deployment_or_are_refused(tmp_path):
    (tmp_path / "d.csv").write_text(DEPLOYMENTS)
    facts = read_deployments(tmp_path / "d.csv", None)

    def of(file, site=None, time=TIME, problem=None):
        row = {"file": file, "path": f"/photos/{file}", "site": site, "datetime": time, "problem": problem}
        return deployments_of(pd.DataFrame([row]).astype({"datetime": "datetime64[us]"}), facts).tolist()

    assert of("D1/1.jpg") == of("x/1.jpg", "D1") == of("x/L1/1.jpg") == of("D2/1.jpg", "L1") == ["D1"]
    for photo, message in {
        ("x/1.jpg",): "1 photo without a deployment.*: x/1.jpg",
        ("D1/D2/1.jpg",): "several possible deployments",
        ("D1/1.jpg", None, None): "without a time",
        ("D1/1..jpg",): "a path that Camtrap DP refuses",
    }.items():
        with pytest.raises(PhotosError, match=message):
            of(*photo)
    assert of("D1/1.jpg", None, None, "empty file") == ["D1"]


PROJECT = {
    "title": "ours",
    "samplingDesign": "opportunistic",
    "captureMethod": ["activityDetection"],
    "individualAnimals": False,
    "observationLevel": ["media"],
}


def test_with_what_only_its_maker_knows_a_package_has_all_that_its_profile_asks_for(package):
    if not SCHEMAS.exists():
        pytest.skip("the profile of Camtrap DP 1.0.2 is not at hand")
    said = {"contributors": [{"title": "A", "role": "contact"}], "project": PROJECT, "resources": [], "profile": ""}
    document = json.loads((package(photos(), description=said) / "datapackage.json").read_text("utf-8"))
    profile = json.loads((SCHEMAS / "camtrap-dp-profile.json").read_text("utf-8"))["allOf"][1]
    assert set(profile["required"]) <= set(document)
    assert set(profile["properties"]["project"]["required"]) <= set(document["project"])
    assert len(document["resources"]) == 4
    assert document["profile"].endswith("/1.0.2/camtrap-dp-profile.json")
    assert document["temporal"] == {"start": "2021-05-01", "end": "2021-06-30"}
    assert document["created"] == "2026-11-26T10:00:00Z"
    assert document["taxonomic"] == [{"scientificName": "Hydropotes inermis"}]


@pytest.mark.parametrize("folder", ["package", "package.zip"])
def test_the_description_passes_the_profile(package, folder):
    """Camtrap DP's own part of the profile, and that of GeoJSON; that of data packages frictionless holds in code."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    referencing = pytest.importorskip("referencing", reason="referencing is not installed")
    frictionless = pytest.importorskip("frictionless", reason="frictionless is not installed")
    if not SCHEMAS.exists():
        pytest.skip("the profile of Camtrap DP 1.0.2 is not at hand")
    profile = json.loads((SCHEMAS / "camtrap-dp-profile.json").read_text("utf-8"))
    geojson = Path(frictionless.__file__).parent / "assets/profiles/geojson.json"
    known = {
        "https://specs.frictionlessdata.io/schemas/data-package.json": {},
        "http://json.schemastore.org/geojson.json": json.loads(geojson.read_text("utf-8")),
    }
    draft = referencing.jsonschema.DRAFT4
    registry = referencing.Registry().with_resources([(at, draft.create_resource(it)) for at, it in known.items()])
    checker = jsonschema.FormatChecker()
    validator = jsonschema.Draft4Validator(profile, registry=registry, format_checker=checker)
    contributors = [{"title": "A", "role": "contact", "email": "a@b.org"}]
    said = {"contributors": contributors, "project": PROJECT, "sources": [{"title": "Agouti", "version": "1"}]}
    made = package(photos(), folder, description=said)
    if made.is_dir():
        text = (made / "datapackage.json").read_text("utf-8")
    else:
        with ZipFile(made) as packed:
            text = packed.read("datapackage.json").decode()
    wrong = [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(json.loads(text))]
    assert not wrong
    assert list(validator.iter_errors({**json.loads(text), "spatial": {"type": "Nowhere"}})), "the check can fail"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(given=answered())
def test_any_names_are_read_back_to_the_same_rows(tmp_path, given):
    classes, answers = given
    (tmp_path / "deployments.csv").write_text(DEPLOYMENTS, encoding="utf-8")
    facts = read_deployments(tmp_path / "deployments.csv", None)
    answers = [replace(photo, time=TIME, deployment="D1") for photo in answers]
    writer.write(tmp_path / "p.zip", answers, about(classes, packaging=facts))
    read = formats.read(tmp_path / "p.zip", Reading(labels=frozenset(classes)))
    rows = read.rows.astype(object).where(read.rows.notna(), None).to_dict("records")
    assert [row["path"] for row in rows] == [photo.file for photo in answers]
    assert [row["label"] for row in rows] == [photo.main and classes[photo.main.answer] for photo in answers]
    said = [row["observation_classificationProbability"] for row in rows]
    assert [each and float(each) for each in said] == [photo.main and photo.main.probability for photo in answers]

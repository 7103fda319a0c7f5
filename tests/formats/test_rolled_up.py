"""Unsure answers that became a genus or family, in each format that has a field for them."""

import csv
import json

import pandas as pd
import pytest

from fscl.formats import ANSWER_FORMATS, speciesnet, timelapse_writer
from fscl.formats.answers import Group, PhotoAnswer
from fscl.formats.camtrap_dp.deployments import read_deployments
from fscl.scoring.taxonomy import Taxonomy
from tests.formats.writing import TIME, about, animal

CLASSES = ("fox", "wolf", "blank")
TAXONOMY = Taxonomy.of(
    ("genus", "family", "order", "class_name"),
    [("Vulpes", "Canidae", "Carnivora", "Mammalia"), ("Canis", "Canidae", "Carnivora", "Mammalia"), [None] * 4],
)
CANIDAE = Group(level=2, rank="family", name="Canidae", probability=0.95)
PHOTOS = [
    PhotoAnswer("a.jpg", [animal(0, CLASSES, 0.5, group=CANIDAE)], time=TIME, deployment="d"),
    PhotoAnswer("b.jpg", [animal(1, CLASSES, 0.9)], time=TIME, deployment="d"),
    PhotoAnswer("c.jpg", [animal(1, CLASSES, 0.4)], time=TIME, deployment="d"),
    PhotoAnswer("d.jpg", failure="empty", time=TIME, deployment="d"),
]


def written(path, format, **more):
    ANSWER_FORMATS[format].write(path, PHOTOS, about(CLASSES, taxonomy=TAXONOMY, **more))
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_have_its_name_and_rank(tmp_path, suffix):
    path = written(tmp_path / f"a.{suffix}", suffix, accepting=True)
    table = pd.read_csv(path) if suffix == "csv" else pd.read_parquet(path)
    assert table["prediction"].fillna("").tolist() == ["Canidae", "wolf", "wolf", ""]
    assert table["answer_rank"].fillna("").tolist() == ["family", "class", "class", ""]
    assert table["probability"].tolist()[:3] == [0.95, 0.9, 0.4]
    assert table["abstained"].tolist()[:3] == [False, False, True]
    assert table["fox"].tolist()[:3] == [0.5, 0.05, 0.3]
    assert list(table)[-7:] == ["answer_rank", "accepted", "set", "unknown", *CLASSES]


def test_speciesnet_has_the_ranks_from_it_on(tmp_path):
    path = written(tmp_path / "a.json", "speciesnet", latin={"wolf": "Canis lupus"})
    rolled_up, sure, unsure, _ = json.loads(path.read_text())["predictions"]
    assert rolled_up["prediction"] == ";mammalia;carnivora;canidae;;;Canidae"
    assert (rolled_up["prediction_score"], rolled_up["prediction_source"]) == (0.95, "classifier+rollup_to_family")
    assert sure["prediction"] == unsure["prediction"] == ";mammalia;carnivora;canidae;canis;lupus;wolf"
    assert sure["prediction_source"] == "classifier"
    assert rolled_up["classifications"]["classes"][0] == ";mammalia;carnivora;canidae;vulpes;;fox"
    assert speciesnet.read(path).rows["label"].fillna("").tolist() == ["Canidae", "wolf", "wolf", ""]


def test_timelapse_has_its_name_as_species(tmp_path):
    with written(tmp_path / "a.csv", "timelapse").open(newline="") as file:
        rows = list(csv.DictReader(file))
    said = [(row["Species"], row["Probability"], row["Unsure"]) for row in rows]
    assert said == [
        ("Canidae", "0.95", "false"),
        ("wolf", "0.9", "false"),
        ("wolf", "0.4", "true"),
        ("", "", "false"),
    ]


def test_timelapse_has_its_name_among_other_species(tmp_path):
    animals = [
        *(animal(0, CLASSES, 0.5, group=CANIDAE, confidence=0.9), animal(1, CLASSES, 0.55, group=CANIDAE)),
        *(animal(1, CLASSES, 0.8, confidence=0.5), animal(0, CLASSES, 0.7, confidence=0.4)),
    ]
    timelapse_writer.write(tmp_path / "a.csv", [PhotoAnswer("a.jpg", animals)], about(CLASSES, taxonomy=TAXONOMY))
    with (tmp_path / "a.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["Species"], row["Animals"], row["OtherSpecies"]) == ("Canidae", "4", "fox; wolf")


def test_camtrap_dp_has_its_name_as_scientific_name(tmp_path):
    (tmp_path / "deployments.csv").write_text(
        "deploymentID,latitude,longitude,deploymentStart,deploymentEnd\nd,1,2,2021-05-01T00:00:00Z,2021-06-01T00:00:00Z\n"
    )
    (tmp_path / "package").mkdir()
    packaging = read_deployments(tmp_path / "deployments.csv", None)
    written(tmp_path / "package", "camtrap-dp", packaging=packaging, latin={"wolf": "Canis lupus"})
    table = pd.read_csv(tmp_path / "package" / "observations.csv", keep_default_na=False)
    assert table["scientificName"].tolist() == ["Canidae", "Canis lupus", "Canis lupus", ""]
    tags = ["class:fox | rank:family", "class:wolf", "class:wolf | unsure", ""]
    assert table["observationTags"].tolist() == tags
    assert table["classificationProbability"].tolist()[:3] == ["0.95", "0.9", "0.4"]
    package = json.loads((tmp_path / "package" / "datapackage.json").read_text())
    assert package["taxonomic"] == [{"scientificName": "Canidae"}, {"scientificName": "Canis lupus"}]


def test_megadetector_keeps_the_classes(tmp_path):
    images = json.loads(written(tmp_path / "a.json", "megadetector").read_text())["images"]
    assert images[0]["detections"][0]["classifications"] == [["0", 0.5], ["1", 0.25], ["2", 0.25]]

"""Files of other programs: COCO, Camtrap DP, MegaDetector, SpeciesNet; tables of Timelapse, camtrapR and animl."""

import json
import random
from pathlib import Path

from tests.fuzz import mutations
from tests.fuzz.attacks import Attack, Kind, change_json

NAMES = ("photos/boar/0.jpg", "photos/boar/1.jpg", "photos/deer/0.jpg")
BOX = [0.1, 0.1, 0.5, 0.5]
COCO = {
    "info": {"version": "1"},
    "images": [
        {"id": n, "file_name": name, "width": 24, "height": 20, "location": f"C{n}", "seq_id": n, "corrupt": False}
        | {"datetime": "2021-05-31 08:25:38"}
        for n, name in enumerate(NAMES)
    ],
    "annotations": [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [2, 2, 9, 8]},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox_relative": BOX},
        {"id": 3, "image_id": 2, "category_id": 0, "sequence_level_annotation": True},
    ],
    "categories": [{"id": 0, "name": "empty"}, {"id": 1, "name": "boar"}, {"id": 2, "name": "deer"}],
}
MEGADETECTOR = {
    "info": {"format_version": "1.6", "classifier_metadata": {"typical_classification_threshold": 0.5}},
    "detection_categories": {"1": "animal", "2": "person", "3": "vehicle"},
    "classification_categories": {"0": "boar", "1": "deer"},
    "images": [
        {
            "file": name,
            "detections": [{"category": "1", "conf": 0.9, "bbox": BOX, "classifications": [["0", 0.9], ["1", 0.1]]}],
        }
        for name in NAMES
    ]
    + [{"file": "photos/deer/1.jpg", "failure": "no", "detections": None}],
}
SPECIESNET = {
    "predictions": [
        {
            "filepath": name,
            "failures": [],
            "detections": [{"category": "1", "label": "animal", "conf": 0.9, "bbox": BOX}],
            "prediction": f"1;mammalia;;;sus;scrofa;{name[7:11]}",
            "prediction_score": 0.9,
        }
        for name in NAMES
    ]
}
INSTANCES = {"instances": [{"filepath": name, "country": "KOR"} for name in NAMES]}
PACKAGE = {
    "profile": "camtrap-dp/1.0.2",
    "resources": [{"name": name, "path": f"{name}.csv"} for name in ("deployments", "media", "observations")],
}
TABLES = {
    "deployments": [["deploymentID", "locationID"], ["d1", "C1"]],
    "media": [
        ["mediaID", "deploymentID", "timestamp", "filePath"],
        *([f"m{n}", "d1", f"2021-05-31T08:25:3{n}Z", name] for n, name in enumerate(NAMES)),
    ],
    "observations": [
        ["deploymentID", "mediaID", "eventID", "eventStart", "eventEnd", "observationType", "scientificName"],
        ["d1", "m0", "e1", "", "", "animal", "Sus scrofa"],
        ["d1", "", "e2", "2021-05-31T08:25:31Z", "2021-05-31T08:25:32Z", "animal", "Capreolus pygargus"],
    ],
}
OF_PROGRAMS = (
    [
        ["RootFolder", "File", "RelativePath", "DateTime", "DeleteFlag", "Species"],
        *(["x", name[12:], name[:11], "2021-05-31 08:25:38", "false", name[7:11]] for name in NAMES),
    ],
    [
        ["Station", "Species", "DateTimeOriginal", "Directory", "FileName"],
        *(["C1", name[7:11], "2021-05-31 08:25:38", name[:11], name[12:]] for name in NAMES),
    ],
    [
        ["file", "max_detection_conf", "category", "conf", "bbox1", "bbox2", "bbox3", "bbox4", "prediction"],
        *([name, "0.9", "1", "0.9", "0.1", "0.1", "0.5", "0.5", name[7:11]] for name in NAMES),
    ],
)


def _json(rng: random.Random, folder: Path) -> Attack:
    valid = {"coco": COCO, "megadetector": MEGADETECTOR, "speciesnet": rng.choice((SPECIESNET, INSTANCES))}
    name = rng.choice(list(valid))
    path = folder / f"{name}.json"
    path.write_text(json.dumps(valid[name]), encoding="utf-8")
    change_json(rng, path)
    said = ["--source-format", name] if rng.random() < 0.8 else []
    said += ["--blanks"] if rng.random() < 0.5 else []
    return Attack(["scan", path.name, "--out", "x.parquet", *said], [path.name])


def _detections(rng: random.Random, folder: Path) -> Attack:
    (folder / "md.json").write_text(json.dumps(MEGADETECTOR), encoding="utf-8")
    change_json(rng, folder / "md.json")
    source = rng.choice(("photos", "photos.parquet"))
    return Attack(["scan", source, "--detections", "md.json", "--out", "x.parquet"], ["md.json"])


def _package(rng: random.Random, folder: Path) -> Attack:
    (folder / "datapackage.json").write_text(json.dumps(PACKAGE), encoding="utf-8")
    for name, rows in TABLES.items():
        (folder / f"{name}.csv").write_text("\n".join(map(",".join, rows)) + "\n", encoding="utf-8")
    if rng.random() < 0.3:
        change_json(rng, folder / "datapackage.json")
    else:
        name = rng.choice(list(TABLES))
        content = mutations.text_cells(rng, TABLES[name]).encode("utf-8", "replace")
        (folder / f"{name}.csv").write_bytes(mutations.raw(rng, content) if rng.random() < 0.3 else content)
    words = ["scan", "datapackage.json", "--source-format", "camtrap_dp", "--out", "x.parquet"]
    return Attack(words, ["datapackage.json", *(f"{name}.csv" for name in TABLES)])


def _table(rng: random.Random, folder: Path) -> Attack:
    text = mutations.text_cells(rng, rng.choice(OF_PROGRAMS)).encode("utf-8", "replace")
    (folder / "t.csv").write_bytes(mutations.raw(rng, text) if rng.random() < 0.2 else text)
    return Attack(["scan", "t.csv", "--out", "x.parquet"], ["t.csv"])


KINDS = [
    Kind("json of programs", ("photos",), _json, 60),
    Kind("detections", ("photos", "photos.parquet"), _detections, 20),
    Kind("package", ("photos",), _package, 40),
    Kind("table of a program", ("photos",), _table, 30),
]

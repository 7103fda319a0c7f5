"""JSON of SpeciesNet: instances, which are photos to predict, and predictions, with their boxes and answers.

{"instances": [{"filepath": "C1/1.jpg", "country": "KOR"}]}
{"predictions": [{"filepath": "C1/1.jpg", "prediction": "uuid;class;order;family;genus;species;common name",
                  "detections": [{"category": "1", "label": "animal", "conf": 0.9, "bbox": [x, y, w, h]}]}]}
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from fscl.errors import shown
from fscl.formats import boxes, json_document
from fscl.formats.detections import Detected, Detection, kind_of, with_detections
from fscl.formats.json_document import Record
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.formats.records import manifest_of, scalars, unreadable
from fscl.manifest import reasons
from fscl.manifest.table import Manifest

CATEGORIES = {"1": "animal", "2": "human", "3": "vehicle"}
PARTS = 7  # of a label: uuid, class, order, family, genus, species, common name
NO_ANSWERS = ("no cv result", "unknown", "")


class _Detection(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    category: str | None = None
    label: str | None = None
    conf: float
    bbox: list[Any] | None = None


class _Photo(BaseModel):
    model_config = ConfigDict(extra="allow")
    filepath: str


class _Prediction(_Photo):
    failures: list[str] | None = None
    detections: list[_Detection] | None = None
    prediction: str | None = None
    prediction_score: float | None = None
    prediction_source: str | None = None


def recognises(source: Path) -> bool:
    """Tell the format by the keys that a file begins with."""
    keys = json_document.keys_of(source) if source.is_file() else {}
    return any(key in keys and (not keys[key] or "filepath" in keys[key]) for key in ("instances", "predictions"))


def read(source: Path, reading: Reading = NOTHING_SAID) -> Manifest:
    """Read photos: of instances without labels, of predictions with the predicted label, on the box of the animal.

    The label is the common name of the prediction, else its scientific name; `detections.joined` says what becomes of
    the boxes. A photo with failures is a row with a `problem`. What else the records say is kept as `speciesnet_…`.

    Paths are relative to the folder of the file, or to the root that the user gives.

    Raises:
        PhotosError: no JSON of this format.
    """
    document = json_document.load(source)
    if "instances" in document and "predictions" not in document:
        given = json_document.records(document, "instances", source)
        rows = [_of_instance(record, f"instances[{place}]") for place, record in enumerate(given)]
        return manifest_of(rows, source, reading, remarks=["photos without labels, to predict"])
    rows, detected = [], {}
    for place, record in enumerate(json_document.records(document, "predictions", source)):
        row, found = _of_prediction(record, f"predictions[{place}]")
        rows.append(row | {"place": place})
        detected[place] = found
    remarks = ["labels are predictions of SpeciesNet"]
    photos = manifest_of(rows, source, reading, remarks=remarks)
    by_path = {
        path: detected[place] for path, place in zip(photos.rows["path"], photos.rows.pop("place"), strict=True)
    }
    return with_detections(
        photos,
        by_path,
        confidence=reading.detection_confidence,
        blanks=reading.blanks,
        frame=reading.box_frame,
    )


def label_of(prediction: str) -> str | None:
    """Return the name in a label of SpeciesNet: the common one, else genus and species, else the narrowest rank.

    >>> label_of("5f8b;mammalia;carnivora;felidae;lynx;rufus;bobcat"), label_of("f185;;;;;;blank")
    ('bobcat', 'blank')
    >>> label_of("12;aves;passeriformes;corvidae;corvus;;"), label_of("f2e7;;;;;;no cv result")
    ('corvus', None)
    """
    parts = [part.strip() for part in prediction.split(";")]
    if len(parts) != PARTS:
        return prediction.strip() or None
    *ranks, genus, species, common = parts[1:]
    name = common or " ".join(filter(None, [genus, species])) or next(filter(None, reversed(ranks)), "")
    return None if name.lower() in NO_ANSWERS else name


def _of_instance(record: object, where: str) -> Record:
    try:
        photo = _Photo.model_validate(record)
    except ValidationError as error:
        return _pathless(record, where) | {"problem": unreadable(error, where)}
    return _of_photo(photo, where)


def _of_photo(photo: _Photo, where: str) -> Record:
    about = scalars(photo.model_extra or {}, "speciesnet_")
    if photo.filepath.strip():
        return about | {"path": photo.filepath}
    problem = f"unreadable record {where}: filepath: expected a path, got {shown(photo.filepath)}"
    return about | {"path": f"({where})", "problem": problem}


def _of_prediction(record: object, where: str) -> tuple[Record, Detected]:
    """The row of a photo, and its boxes."""
    try:
        given = _Prediction.model_validate(record)
    except ValidationError as error:
        return _pathless(record, where) | {"problem": unreadable(error, where)}, Detected()
    row = _of_photo(given, where)
    if given.prediction is not None:
        row |= {"label": label_of(given.prediction), "speciesnet_prediction_score": given.prediction_score}
    if given.failures:
        failed = f"SpeciesNet failed: {', '.join(given.failures)}".replace(reasons.SEPARATOR, ", ")
        row |= {"problem": reasons.joined([row.get("problem"), failed])}
    looked = given.detections is not None
    return row, Detected(tuple(map(_detection, given.detections or ())), looked=looked)


def _detection(given: _Detection) -> Detection:
    name = given.label or CATEGORIES.get((given.category or "").strip().removesuffix(".0"), "animal")
    return Detection(kind_of(name)[0], given.conf, boxes.read_box(given.bbox, "fraction"))


def _pathless(record: object, where: str) -> Record:
    path = record.get("filepath") if isinstance(record, dict) else None
    return {"path": path if isinstance(path, str) and path.strip() else f"({where})"}

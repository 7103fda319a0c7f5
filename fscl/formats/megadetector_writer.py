"""Answers in MegaDetector's batch format 1.6, which Timelapse and AddaxAI read; detections that were given stay."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fscl.formats.answers import About, Animal, PhotoAnswer
from fscl.formats.megadetector import CATEGORIES
from fscl.species import plain

VERSION = "1.6"
WHOLE = (0.0, 0.0, 1.0, 1.0)  # the box of a photo without a detector
ANIMAL = "1"
PLACES = 4  # of a box, as the detector writes it


def write(path: Path, answers: Iterable[PhotoAnswer], about: About) -> None:
    """Write answers, an image a line, so that memory does not grow with their number.

    A photo without a detector has one detection: an animal as large as the photo. A photo that failed has a `failure`
    and no detections. Of a file of detections every field is kept, also of images that are not among the photos; a
    classifier's answers that it has are kept beside ours, and a photo of it that could not be read keeps its
    detections and gets a `classification_failure`.
    """
    document = dict(about.document or {})
    images = {image["file"]: image for image in document.pop("images", []) if isinstance(image, dict)}
    ids, categories = _classes(about, document)
    head = {
        **document,
        "info": _info(about, document),
        "detection_categories": document.get("detection_categories") or dict(CATEGORIES),
        "classification_categories": categories,
    }
    with path.open("w", encoding="utf-8", newline="\n") as file:
        text = json.dumps(head, ensure_ascii=False, indent=1)
        file.write(text.removesuffix("\n}") + ',\n "images": [')
        separator = "\n  "
        for image in _images(answers, images, ids):
            file.write(separator + json.dumps(image, ensure_ascii=False, allow_nan=False))
            separator = ",\n  "
        file.write("\n ]\n}\n")


def class_names(classes: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """Return class → its name in the file: no class is called as a detection category, which Timelapse refuses.

    >>> class_names(["deer", "person"], ["animal", "person", "vehicle"])
    {'deer': 'deer', 'person': 'person (class)'}
    """
    known = {plain(name) for name in taken}
    return {name: f"{name} (class)" if plain(name) in known else name for name in classes}


def _classes(about: About, document: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """The id of each class in the file, and all categories: those of the file, then ours."""
    theirs: dict[str, str] = dict(document.get("classification_categories") or {})
    detected = (document.get("detection_categories") or CATEGORIES).values()
    names = class_names(about.classes, [*detected, *theirs.values()])
    first = max((int(key) for key in theirs if key.isdecimal()), default=-1) + 1
    ids = [str(first + place) for place in range(len(about.classes))]
    return ids, theirs | dict(zip(ids, (names[name] for name in about.classes), strict=True))


def _info(about: About, document: Mapping[str, Any]) -> dict[str, Any]:
    info = dict(document.get("info") or {})
    earlier = info.get("classifier")
    info |= {
        "format_version": VERSION,
        "detector": info.get("detector") or "none: each photo is one box",
        "classifier": f"{earlier}; {about.model}" if earlier else about.model,
        "classifier_metadata": {
            **(info.get("classifier_metadata") or {}),
            "typical_classification_threshold": about.unsure_below,
        },
    }
    if about.stamp is not None:
        info["classification_completion_time"] = about.stamp.strftime("%Y-%m-%d %H:%M:%S")
    return info


def _images(
    answers: Iterable[PhotoAnswer], given: dict[str, dict[str, Any]], ids: list[str]
) -> Iterator[dict[str, Any]]:
    for photo in answers:
        image = given.pop(photo.detected_as or photo.file, None)
        yield _anew(photo, ids) if image is None else _added(photo, image, ids)
    yield from given.values()


def _anew(photo: PhotoAnswer, ids: list[str]) -> dict[str, Any]:
    if photo.failure is not None:
        return {"file": photo.file, "detections": None, "failure": photo.failure}
    detections = [
        {
            "category": ANIMAL,
            "conf": 1.0 if animal.confidence is None else animal.confidence,
            "bbox": [round(side, PLACES) for side in animal.box or WHOLE],
            "classifications": _classifications(animal, ids),
        }
        for animal in photo.animals
    ]
    return {"file": photo.file, "detections": detections}


def _added(photo: PhotoAnswer, image: dict[str, Any], ids: list[str]) -> dict[str, Any]:
    detections = image.get("detections")
    if not isinstance(detections, list):
        return {**image, "detections": None, "failure": image.get("failure") or photo.failure or "no detections"}
    classified = {animal.place: _classifications(animal, ids) for animal in photo.animals if animal.scores}
    kept = [_with_ours(each, classified.get(place, [])) for place, each in enumerate(detections)]
    image = {**image, "detections": sorted(kept, key=lambda detection: -detection["conf"])}
    return image if photo.failure is None else {**image, "classification_failure": photo.failure}


def _with_ours(detection: Mapping[str, Any], ours: list[list[Any]]) -> dict[str, Any]:
    """A detection as the format wants it, which not all programs write, with our answers beside those that it has."""
    strict = {**detection, "category": str(detection["category"]), "conf": float(detection["conf"])}
    theirs = [[str(number), float(score)] for number, score in detection.get("classifications") or []]
    both = sorted([*theirs, *ours], key=lambda pair: -pair[1])
    return {**strict, "classifications": both} if both else strict


def _classifications(animal: Animal, ids: list[str]) -> list[list[Any]]:
    scored = zip(ids, animal.scores or (), strict=False)
    return sorted(([number, score] for number, score in scored), key=lambda pair: -pair[1])

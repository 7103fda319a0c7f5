"""Answers in MegaDetector's batch format 1.6, which Timelapse and AddaxAI read; detections that were given stay."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from fscl.formats import megadetector_strict as theirs
from fscl.formats.answers import About, Animal, PhotoAnswer
from fscl.formats.megadetector import CATEGORIES
from fscl.formats.megadetector_strict import Categories
from fscl.species import plain

VERSION = "1.6"
WHOLE = (0.0, 0.0, 1.0, 1.0)  # the box of a photo without a detector
ANIMAL = "1"
PLACES = 4  # of a box, as the detector writes it


def write(path: Path, answers: Iterable[PhotoAnswer], about: About) -> None:
    """Write answers, an image a line, so that memory does not grow with their number.

    A photo without a detector has one detection: an animal as large as the photo; a video has one for each frame,
    which says its number. A photo that failed has a `failure` and no detections. Of a file of detections every field
    is kept, also of images that are not among the photos; a classifier's answers that it has are kept beside ours,
    and a photo of it that could not be read keeps its detections and gets a `classification_failure`. What the format
    does not allow there is mended, as `megadetector_strict` says.
    """
    document = dict(about.document or {})
    names = _Names.of(about, document)
    given: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, image in theirs.images(document):
        given[name].append(image)
    document.pop("images", None)
    head = {
        **document,
        "info": _info(about, document),
        "detection_categories": names.kinds.names,
        "classification_categories": names.classes.names,
    }
    with path.open("w", encoding="utf-8", newline="\n") as file:
        text = json.dumps(theirs.finite(head), ensure_ascii=False, indent=1)
        file.write(text.removesuffix("\n}") + ',\n "images": [')
        separator = "\n  "
        for image in _images(answers, given, names):
            file.write(separator + json.dumps(theirs.finite(image), ensure_ascii=False, allow_nan=False))
            separator = ",\n  "
        file.write("\n ]\n}\n")


def class_names(classes: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """Return class → its name in the file: no class is called as a detection category, which Timelapse refuses.

    >>> class_names(["deer", "person"], ["animal", "person", "vehicle"])
    {'deer': 'deer', 'person': 'person (class)'}
    """
    known = {plain(name) for name in taken}
    named: dict[str, str] = {}
    for name in classes:
        own = name
        while plain(own) in known or own in named.values():
            own += " (class)"
        named[name] = own
    return named


class _Names(NamedTuple):
    """The categories of the file, and the id of each class in it."""

    kinds: Categories
    classes: Categories
    ids: list[str]

    @classmethod
    def of(cls, about: About, document: Mapping[str, Any]) -> "_Names":
        kinds = Categories(document.get("detection_categories"), CATEGORIES)
        classes = theirs.classifications(document)
        names = class_names(about.classes, [*kinds.names.values(), *classes.names.values()])
        return cls(kinds, classes, [classes.added(names[name]) for name in about.classes])


def _info(about: About, document: Mapping[str, Any]) -> dict[str, Any]:
    info = theirs.mapping(document.get("info"))
    earlier = info.get("classifier")
    info |= {
        "format_version": VERSION,
        "detector": info.get("detector") or ("unknown" if document else "none: each photo is one box"),
        "classifier": f"{earlier}; {about.model}" if earlier else about.model,
        "classifier_metadata": {
            **theirs.mapping(info.get("classifier_metadata")),
            "typical_classification_threshold": about.unsure_below,
        },
    }
    if about.stamp is not None:
        info["classification_completion_time"] = about.stamp.strftime("%Y-%m-%d %H:%M:%S")
    return info


def _images(
    answers: Iterable[PhotoAnswer], given: dict[str, list[dict[str, Any]]], names: _Names
) -> Iterator[dict[str, Any]]:
    for file, group in groupby(answers, key=lambda photo: photo.detected_as or photo.media):
        frames = list(group)  # of a video; of a photo it is one
        images = given.pop(file, None)
        if images is None:
            yield _anew(frames, names.ids)
        for image in images or ():
            yield _added(frames, theirs.strict(image, names.kinds, names.classes), names.ids)
    for images in given.values():
        for image in images:
            yield _sorted(theirs.strict(image, names.kinds, names.classes))


def _anew(frames: Sequence[PhotoAnswer], ids: Sequence[str]) -> dict[str, Any]:
    image: dict[str, Any] = {"file": frames[0].media}
    rate = next((frame.frame_rate for frame in frames if frame.frame_rate is not None), None)
    if rate is not None:
        read = [frame.frame for frame in frames if frame.failure is None]
        image |= {"frame_rate": rate, "frames_processed": read}
    failed = _failed(frames)
    if failed and not any(frame.animals for frame in frames):
        return theirs.of_video({**image, "detections": None, "failure": failed["classification_failure"]})
    detections = [
        {
            "category": ANIMAL,
            "conf": 1.0 if animal.confidence is None else animal.confidence,
            "bbox": [round(side, PLACES) for side in animal.box or WHOLE],
            **({} if frame.frame is None else {"frame_number": frame.frame}),
            **({"classifications": _classifications(animal, ids)} if animal.scores else {}),
        }
        for frame in frames
        for animal in frame.animals
    ]
    return _sorted({**image, "detections": detections, **failed})


def _added(frames: Sequence[PhotoAnswer], image: dict[str, Any], ids: Sequence[str]) -> dict[str, Any]:
    """An image of the file of detections, whose detections are in the order of that, with our answers."""
    if image["detections"] is None:
        return image
    animals = [animal for frame in frames for animal in frame.animals if animal.scores]
    classified = {animal.place: _classifications(animal, ids) for animal in animals}
    for place, detection in enumerate(image["detections"]):
        if detection is not None and place in classified:
            detection["classifications"] = [*detection.get("classifications", ()), *classified[place]]
    return _sorted({**image, **_failed(frames)})


def _failed(frames: Sequence[PhotoAnswer]) -> dict[str, str]:
    """Why a photo with boxes, or one of them, is without an answer; of a video why the first that has none."""
    failure = next((frame.failure for frame in frames if frame.failure is not None), None)
    return {} if failure is None else {"classification_failure": failure}


def _sorted(image: dict[str, Any]) -> dict[str, Any]:
    """Detections and their classifications, the surest first."""
    if image["detections"] is None:
        return image
    kept = [detection for detection in image["detections"] if detection is not None]
    for detection in kept:
        if "classifications" in detection:
            detection["classifications"].sort(key=lambda pair: -pair[1])
    return {**image, "detections": sorted(kept, key=lambda detection: -detection["conf"])}


def _classifications(animal: Animal, ids: Sequence[str]) -> list[list[Any]]:
    return [[number, score] for number, score in zip(ids, animal.scores or (), strict=True)]

"""Answers as predictions of SpeciesNet: one per photo, its five likeliest classes, and the boxes of a detector."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fscl.formats import megadetector
from fscl.formats.answers import PLACES, About, Animal, PhotoAnswer
from fscl.formats.detections import ANIMAL, Detected, Detection
from fscl.formats.speciesnet import CATEGORIES
from fscl.images import Box

MOST = 5  # classes of a photo
FOUND = {
    "blank": "f1856211-cfb7-4a5b-9158-c0f72fd09ee6;;;;;;blank",
    "person": "990ae9dd-7a59-4344-afcb-1b7b21368000;mammalia;primates;hominidae;homo;sapiens;human",
    "vehicle": "e2895ed5-780b-48f6-8a11-9e27cb594511;;;;;;vehicle",
}
"""What a detector found → the label that SpeciesNet has for it."""
RANKS = ("class_name", "order", "family", "genus")  # of a label, as a taxonomy calls them
NUMBERS = {"person": "2", "vehicle": "3"}  # of `CATEGORIES`, of what is no animal


def write(path: Path, answers: Iterable[PhotoAnswer], about: About) -> None:
    """Write answers, a photo a line. The prediction of a photo is that of its main animal, or what a detector found.

    An answer that was rolled up is a label without the ranks below, and its source says the rank, as SpeciesNet has
    it. A photo that failed says in `failures` whether the detector or the classifier did, in `failure_reason` why.
    """
    document = about.document
    given = {} if document is None else megadetector.results_of(dict(document), path).by_file
    labels = [label(name, about.latin.get(name), _lineage(about, place)) for place, name in enumerate(about.classes)]
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"predictions": [')
        separator = "\n"
        for photo in answers:
            record = _record(photo, about, labels, given if document is not None else None)
            file.write(separator + json.dumps(record, ensure_ascii=False, allow_nan=False))
            separator = ",\n"
        file.write("\n]}\n")


def label(name: str, scientific: str | None, lineage: Mapping[str, str] | None = None) -> str:
    """Return a class as SpeciesNet writes it: `uuid;class;order;family;genus;species;common name`.

    What is not known stays empty. A class has no `;` in its name there: it becomes a comma.

    Args:
        name: of the class, or of the group that it was rolled up to.
        scientific: genus and species; None: not known.
        lineage: rank → name of the groups that it is in.

    >>> label("roe_deer", "Capreolus pygargus"), label("fox", None)
    (';;;;capreolus;pygargus;roe_deer', ';;;;;;fox')
    >>> label("Cervidae", None, {"family": "Cervidae", "order": "Artiodactyla"})
    ';;artiodactyla;cervidae;;;Cervidae'
    """
    known = lineage or {}
    *above, genus = [known.get(rank, "").lower() for rank in RANKS]
    named, _, species = (scientific or "").lower().partition(" ")
    return ";".join(["", *(part.replace(";", ",") for part in (*above, named or genus, species, name))])


def _lineage(about: About, place: int, level: int = 0) -> dict[str, str]:
    named = {} if about.taxonomy is None else about.taxonomy.lineage(place, level)
    return {rank.lower(): name for rank, name in named.items()}


def _record(
    photo: PhotoAnswer, about: About, labels: list[str], given: Mapping[str, Detected] | None
) -> dict[str, Any]:
    record: dict[str, Any] = {"filepath": photo.file}
    detected = None if given is None else given.get(photo.detected_as or photo.file, Detected(problem="none"))
    if photo.failure is not None:
        by_detector = detected is not None and detected.problem is not None
        record |= {"failures": ["DETECTOR" if by_detector else "CLASSIFIER"], "failure_reason": photo.failure}
    main = photo.main
    if main is not None and main.scores is not None and main.answer is not None:
        likeliest = sorted(zip(main.scores, labels, strict=True), key=lambda pair: -pair[0])[:MOST]
        record["classifications"] = {
            "classes": [name for _, name in likeliest],
            "scores": [score for score, _ in likeliest],
        }
    boxes = _boxes(photo, detected)
    if detected is not None or boxes:
        record["detections"] = boxes
    if main is not None and main.answer is not None:
        record |= {"prediction": labels[main.answer], "prediction_score": main.probability}
        record["prediction_source"] = "classifier"
        if main.group is not None:
            named = label(main.group.name, None, _lineage(about, main.answer, main.group.level))
            rank = main.group.rank.lower().removesuffix("_name")
            record |= {"prediction": named, "prediction_score": main.group.probability}
            record["prediction_source"] = f"classifier+rollup_to_{rank}"
    elif photo.found is not None and photo.failure is None:
        record |= {"prediction": _of_found(photo.found), "prediction_source": "detector"}
    return record | {"model_version": about.model}


def _of_found(found: str) -> str:
    """A person comes before a vehicle, as SpeciesNet has it."""
    return next(text for name, text in FOUND.items() if name in found)


def _boxes(photo: PhotoAnswer, detected: Detected | None) -> list[dict[str, Any]]:
    """All that a detector found, the surest first; without one the boxes of the source."""
    if detected is not None:
        found = [(each, each.box) for each in detected.found if not isinstance(each.box, str)]
        boxes = [_box(each, box) for each, box in found]
    else:
        boxes = [_box(_drawn(animal, animal.box), animal.box) for animal in photo.animals if animal.box is not None]
    return sorted(boxes, key=lambda box: -box["conf"])


def _drawn(animal: Animal, box: Box) -> Detection:
    """A box of the source is as sure as its detector says, or drawn by hand."""
    return Detection(ANIMAL, 1.0 if animal.confidence is None else animal.confidence, box)


def _box(detection: Detection, box: Box) -> dict[str, Any]:
    number = NUMBERS.get(detection.kind, "1")
    sides = [round(side, PLACES) for side in box]
    return {"category": number, "label": CATEGORIES[number], "conf": detection.confidence, "bbox": sides}

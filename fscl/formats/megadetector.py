"""Results of MegaDetector, of any version of its batch format, as a source of photos or of boxes for other photos.

{"images": [{"file": "C1/1.jpg", "detections": [{"category": "1", "conf": 0.9, "bbox": [x, y, w, h]}]}]}
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from fscl.errors import PhotosError, shown
from fscl.formats import boxes, json_document, videos
from fscl.formats.detections import Detected, Detection, kind_of, matched, of_paths, with_detections
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.formats.records import manifest_of, unreadable
from fscl.frames import is_video
from fscl.manifest import reasons
from fscl.manifest.table import Manifest

CATEGORIES = {"1": "animal", "2": "person", "3": "vehicle"}  # of every release of the detector
MOST_NUMBER = 999_999_999  # of a frame: nine digits
CLASSIFIED = 0.5  # where a file names no threshold of its own: surer than of all other classes together


class GivenBox(BaseModel):
    """A detection as a file has it."""

    model_config = ConfigDict(coerce_numbers_to_str=True)
    category: str
    conf: float
    bbox: list[Any] | None = None
    classifications: list[tuple[str, float]] | None = None
    frame_number: int | None = None


class _Image(BaseModel):
    file: str
    detections: list[GivenBox] | None = None
    failure: str | None = None
    max_detection_conf: float | None = None
    frames_processed: list[int] | None = None


class Results(NamedTuple):
    """What a file says of each photo.

    Attributes:
        by_file: by the name that the photo has there.
        remarks: on all.
        of_labels: remarks on its own labels.
        document: the file as it was read.
    """

    by_file: dict[str, Detected]
    remarks: list[str]
    of_labels: list[str]
    document: Mapping[str, Any]


def recognises(source: Path) -> bool:
    """Tell the format by the keys that a file begins with."""
    keys = json_document.keys_of(source) if source.is_file() else {}
    of_images = keys.get("images", frozenset())
    return "file" in of_images or any("detection_categories" in name or "classification_cat" in name for name in keys)


def read(source: Path, reading: Reading = NOTHING_SAID) -> Manifest:
    """Read photos with a row per animal, labelled where the file has classifications; see `detections.joined`.

    Paths are relative to the folder of the file, or to the root that the user gives. Of videos the frames that the
    detector looked at are photos, thinned as the user says.

    Raises:
        PhotosError: no JSON of this format.
    """
    results = read_results(source)
    rows = [{"path": file, "file": file} for file in results.by_file]
    photos = manifest_of(rows, source, reading, remarks=[*results.remarks, *results.of_labels])
    files = dict(zip(photos.rows["path"], photos.rows["file"], strict=True))
    looked_at = {path: results.by_file[file].frames or () for path, file in files.items() if is_video(path)}
    photos = videos.with_frames(photos, reading.frames_per_second, looked_at)
    files = dict(zip(photos.rows["path"], photos.rows.pop("file"), strict=True))
    return with_detections(
        photos,
        {path: results.by_file[file].of(path) for path, file in files.items()},
        confidence=reading.detection_confidence,
        blanks=reading.blanks,
        frame=reading.box_frame,
    )


def join(photos: Manifest, results: Results, source: Path, reading: Reading) -> Manifest:
    """Return photos with the boxes of their animals that a file of MegaDetector has; see `detections.joined`.

    Args:
        photos: those of any source.
        results: of the detector.
        source: the file that they are from, for messages.
        reading: `detection_confidence` and `blanks` of it.

    Raises:
        PhotosError: they are of none of these photos.
    """
    return with_detections(
        photos,
        of_paths(photos, results.by_file, source),
        confidence=reading.detection_confidence,
        blanks=reading.blanks,
    )


def frames_looked_at(paths: Iterable[str], by_file: Mapping[str, Detected]) -> dict[str, tuple[int, ...]]:
    """Return of each video among the paths the frames that the detector looked at; without those that it lacks."""
    of_videos = [path for path in dict.fromkeys(paths) if is_video(path)]
    same = matched(of_videos, by_file) if of_videos else {}
    return {path: by_file[file].frames or () for path, file in same.items() if file is not None}


def read_results(source: Path) -> Results:
    """Read what a detector says of each photo. A record that is not as it should be is the problem of its photo.

    Raises:
        PhotosError: no JSON, or JSON without a list `images`.
    """
    return results_of(json_document.load(source), source)


def results_of(document: json_document.Record, source: Path) -> Results:
    """Return the results of a file that is read: `read_results`.

    Args:
        document: the file.
        source: for messages.
    """
    names = _Names.of(document)
    by_file: dict[str, Detected] = {}
    remarks = []
    for place, record in enumerate(json_document.records(document, "images", source)):
        where = f"images[{place}]"
        file = record.get("file") if isinstance(record, dict) else None
        name = file if isinstance(file, str) and file.strip() else f"({where})"
        detected = _detected(record, names, where)
        if name in by_file and by_file[name] != detected:
            detected = Detected(problem="several records of one photo that differ")
        by_file[name] = detected
    if not by_file:
        raise PhotosError(f"{source}: expected records of photos in images, got none")
    if "detection_categories" not in document:
        remarks.append(f"{source.name} does not say what its categories are: 1 animal, 2 person, 3 vehicle")
    labels = any(each.label for detected in by_file.values() for each in detected.found)
    surely = f"labels are the answers of a classifier that is sure of them by {names.threshold:g} or more"
    return Results(by_file, remarks, [surely] if labels else [], document)


class _Names(NamedTuple):
    """What the ids of a file mean, and from which probability on a classification counts."""

    kinds: Mapping[str, str]
    classes: Mapping[str, str]
    threshold: float

    @classmethod
    def of(cls, document: json_document.Record) -> "_Names":
        info = document.get("info")
        metadata = info.get("classifier_metadata") if isinstance(info, dict) else None
        least = metadata.get("typical_classification_threshold") if isinstance(metadata, dict) else None
        return cls(
            _texts(document.get("detection_categories")) or CATEGORIES,
            _texts(document.get("classification_categories")),
            float(least) if isinstance(least, int | float) and 0 <= least <= 1 else CLASSIFIED,
        )


def _texts(names: object) -> dict[str, str]:
    given = names if isinstance(names, dict) else {}
    return {key.strip(): name for key, name in given.items() if isinstance(name, str)}


def _detected(record: object, names: _Names, where: str) -> Detected:
    try:
        image = _Image.model_validate(record)
    except ValidationError as error:
        return Detected(problem=unreadable(error, where))
    if not image.file.strip():
        return Detected(problem=f"unreadable record {where}: file: expected a path, got {shown(image.file)}")
    if image.failure is not None:
        return Detected(problem=f"the detector failed: {image.failure}".replace(reasons.SEPARATOR, ", "))
    if image.detections is None:
        most = "" if image.max_detection_conf is None else f", only max_detection_conf {image.max_detection_conf:g}"
        return Detected(problem=f"the detector gave no boxes{most}")
    unknown = next((each.category for each in image.detections if _id(each.category) not in names.kinds), None)
    if unknown is not None:
        return Detected(problem=f"unreadable record {where}: category {shown(unknown)} is none of the file")
    found = tuple(_detection(each, names, place) for place, each in enumerate(image.detections))
    if not is_video(image.file):
        return Detected(found)
    if any(each.frame is None for each in found):
        return Detected(problem="the detector does not say in which frames of the video its boxes are")
    of_boxes = {each.frame for each in found if each.frame is not None}
    frames = sorted({*of_boxes, *(image.frames_processed or ())})
    if frames and not 0 <= frames[0] <= frames[-1] <= MOST_NUMBER:
        return Detected(
            problem=f"unreadable record {where}: expected frames from 0 on, got {frames[0]} to {frames[-1]}"
        )
    return Detected(found, frames=tuple(frames))


def _detection(given: GivenBox, names: _Names, place: int) -> Detection:
    kind, label = kind_of(names.kinds[_id(given.category)])
    surest = max(given.classifications or (), key=lambda pair: pair[1], default=None)
    if surest is not None and surest[1] >= names.threshold:
        label = names.classes.get(_id(surest[0]), label)
    return Detection(kind, given.conf, boxes.read_box(given.bbox, "fraction"), label, place, given.frame_number)


def _id(text: str) -> str:
    """An id of a category as its table has it: some programs write 1, some "1", some 1.0."""
    return text.strip().removesuffix(".0")

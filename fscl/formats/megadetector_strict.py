"""A file of detections as MegaDetector's format wants it: what is sloppy is mended, nothing of it is lost."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from fscl.formats import boxes
from fscl.formats.megadetector import GivenBox
from fscl.formats.records import unreadable
from fscl.frames import is_video

UNREADABLE = "unreadable_detections"  # of an image: those that no program could use
UNKNOWN_RATE = 0.0  # the format asks for a number, not below 0
NONE_READABLE = "none of its detections can be read"


class Categories:
    """Categories whose ids are whole numbers as texts; those that are none get a number.

    Args:
        given: id → name, as the file has them.
        usual: where it has none.
    """

    def __init__(self, given: object, usual: Mapping[str, str]) -> None:
        names = {key.strip(): name for key, name in mapping(given).items() if isinstance(name, str) and name.strip()}
        names = names or dict(usual)
        self._ids = {key: key for key in names if _whole(key)}
        self.names = {key: names[key] for key in self._ids}
        for key in names.keys() - self._ids.keys():
            self._add(key, names[key])

    def get(self, id: object) -> str | None:
        """Return the id in the file that is written; None where the file does not name it."""
        return self._ids.get(_text(id))

    def named(self, id: object) -> str:
        """Return the id in the file that is written; one that the file does not name gets a name."""
        text = _text(id)
        if text not in self._ids:
            self._add(text, f"category {text}")
        return self._ids[text]

    def added(self, name: str) -> str:
        """Return the id of a new category."""
        id = self._next()
        self.names[id] = name
        return id

    def _add(self, key: str, name: str) -> None:
        id = key if _whole(key) and key not in self.names else self._next()
        self._ids[key] = id
        self.names[id] = name

    def _next(self) -> str:
        return str(max(map(int, self.names), default=-1) + 1)


def mapping(value: object) -> dict[str, Any]:
    """Return a JSON object, or an empty one where something else is."""
    return dict(value) if isinstance(value, Mapping) else {}


def images(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the images of a file with their names; one that has none is called by its place, as the reader does."""
    for place, image in enumerate(document.get("images") or []):
        record = mapping(image)
        file = record.get("file")
        where = f"images[{place}]"
        name = file if isinstance(file, str) and file.strip() else f"({where})"
        yield name, {**(record or {"record": image}), "file": name}


def classifications(document: Mapping[str, Any]) -> Categories:
    """Return the categories of a classifier that a file has, also of those that only its detections name."""
    categories = Categories(document.get("classification_categories"), {})
    for _, image in images(document):
        given = image.get("detections")
        for detection in given if isinstance(given, list) else []:
            box = _box(detection)
            for id, _ in (box.classifications or ()) if isinstance(box, GivenBox) else ():
                categories.named(id)
    return categories


def strict(image: Mapping[str, Any], kinds: Categories, classes: Categories) -> dict[str, Any]:
    """Return an image with its detections as the format wants them, in their order.

    Those that cannot be read are kept apart. An image without a list of detections has failed, and one of which none
    can be read, for it is not blank; one that has failed and has boxes keeps them.
    """
    given, failure = image.get("detections"), image.get("failure")
    image = of_video({name: value for name, value in image.items() if name != "failure"})
    if not isinstance(given, list) or (failure is not None and not given):
        return {**image, "detections": None, "failure": str(failure or "no detections")}
    kept = [_detection(each, kinds, classes) for each in given]
    broken = [each for each, made in zip(given, kept, strict=True) if made is None]
    if broken and len(broken) == len(given):
        return {**image, "detections": None, "failure": str(failure or NONE_READABLE), UNREADABLE: broken}
    if failure is not None:
        image["classification_failure"] = str(failure)
    return {**image, "detections": kept, **({UNREADABLE: broken} if broken else {})}


def of_video(image: dict[str, Any]) -> dict[str, Any]:
    """Return an image with what the format asks of a video, as far as it is known; a photo stays as it is."""
    if not is_video(str(image.get("file"))):
        return image
    rate, processed = image.get("frame_rate"), image.get("frames_processed")
    if not (isinstance(rate, int | float) and math.isfinite(rate) and rate >= 0):
        rate = UNKNOWN_RATE
    if not isinstance(processed, list):
        numbers = {mapping(each).get("frame_number") for each in image.get("detections") or []}
        processed = sorted(number for number in numbers if isinstance(number, int))
    return {**image, "frame_rate": rate, "frames_processed": processed}


def finite(value: Any) -> Any:
    """Return JSON without numbers that JSON does not have: they become null."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _detection(given: object, kinds: Categories, classes: Categories) -> dict[str, Any] | None:
    """A detection as the format wants it; None where it cannot be read."""
    box = _box(given)
    category = kinds.get(box.category) if isinstance(box, GivenBox) else None
    if not isinstance(box, GivenBox) or category is None or not math.isfinite(box.conf):
        return None
    if isinstance(boxes.read_box(box.bbox, "fraction"), str):
        return None
    made = {**mapping(given), "category": category, "conf": box.conf}
    if box.classifications:
        made["classifications"] = [[classes.named(id), score] for id, score in box.classifications]
    elif made.get("classifications") is None:
        made.pop("classifications", None)
    return made


def _box(given: object) -> GivenBox | str:
    try:
        return GivenBox.model_validate(given)
    except ValidationError as error:
        return unreadable(error, "detection")


def _text(id: object) -> str:
    return str(id).strip().removesuffix(".0")


def _whole(key: str) -> bool:
    return key.isascii() and key.isdigit()

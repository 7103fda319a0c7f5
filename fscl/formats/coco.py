"""COCO and COCO Camera Traps: one JSON of images, annotations and categories.

{"images": [{"id": 1, "file_name": "C1/1.jpg", "location": "C1", "seq_id": "7", "datetime": "2021-05-31 08:25:38"}],
 "annotations": [{"image_id": 1, "category_id": 2, "bbox": [x, y, w, h]}], "categories": [{"id": 2, "name": "fox"}]}
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from fscl.errors import shown
from fscl.formats import boxes, json_document
from fscl.formats.blanks import BLANK
from fscl.formats.json_document import Record
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.formats.records import OF_SEQUENCE, Drawn, manifest_of, of_one_photo, scalars, unreadable
from fscl.manifest import reasons
from fscl.manifest.table import Manifest
from fscl.printable import number_of

CORRUPT = "unreadable: the source calls it corrupt"
EMPTY = 0  # the category of photos without an animal, where the file does not name it


class _Image(BaseModel):
    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)
    id: str
    file_name: str
    width: float | None = None
    height: float | None = None
    datetime: str | None = None
    date_captured: str | None = None
    location: str | None = None
    seq_id: str | None = None
    corrupt: bool | None = None


class _Annotation(BaseModel):
    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)
    image_id: str
    category_id: str
    bbox: list[Any] | None = None
    bbox_relative: list[Any] | None = None
    sequence_level_annotation: bool | None = None


class _Category(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    id: str
    name: str


class _Shown(NamedTuple):
    """What an annotation says of its photo."""

    annotation: _Annotation | None
    label: str | None
    problem: str | None


def recognises(source: Path) -> bool:
    """Tell the format by the keys that a file begins with."""
    keys = json_document.keys_of(source) if source.is_file() else {}
    return (
        "file_name" in keys.get("images", ())
        or "annotations" in keys
        or {"id", "name"} <= keys.get("categories", frozenset())
    )


def read(source: Path, reading: Reading = NOTHING_SAID) -> Manifest:
    """Read photos with a row per annotation, in the order of the file.

    Site is the `location`, sequence the `seq_id`. What else the records say is kept as `coco_image_…` and
    `coco_annotation_…`. Boxes in pixels are fitted to photos of another size than `width` and `height` say. A record
    that is not as it should be, an unknown category and a photo that is marked corrupt are rows with a `problem`.

    Paths are relative to the folder of the file, or to the root that the user gives.

    Raises:
        PhotosError: no JSON, or none of COCO.
    """
    document = json_document.load(source)
    given = json_document.records(document, "images", source)
    shown_by, remarks = _annotations(document, source)
    rows = list(_rows(given, shown_by))
    lost = sum(len(said) for said in shown_by.values())  # those of images were taken out
    if lost:
        first = next(key for key, said in shown_by.items() if said)
        remarks.append(f"{number_of(lost, 'annotation')} of images that are not there, such as of {shown(first)}")
    return manifest_of(rows, source, reading, frame="stored", remarks=remarks)


def _annotations(document: Record, source: Path) -> tuple[dict[str, list[_Shown]], list[str]]:
    """Image id → what its annotations say; and remarks."""
    if "annotations" not in document:
        return {}, [f"{source.name} has no annotations: its photos are without labels"]
    names, remarks = _categories(document, source)
    said: dict[str, list[_Shown]] = defaultdict(list)
    nowhere: Counter[str] = Counter()
    for place, record in enumerate(json_document.records(document, "annotations", source)):
        where = f"annotations[{place}]"
        try:
            annotation = _Annotation.model_validate(record)
        except ValidationError as error:
            of = record.get("image_id") if isinstance(record, dict) else None
            wrong = unreadable(error, where)
            if isinstance(of, str | int | float):
                said[_key(str(of))].append(_Shown(None, None, wrong))
            else:
                nowhere[wrong] += 1
            continue
        label = names.get(_key(annotation.category_id))
        unknown = None if label else f"unreadable record {where}: no category {shown(annotation.category_id)}"
        said[_key(annotation.image_id)].append(_Shown(annotation, label, unknown))
    if nowhere:
        problem, _ = nowhere.most_common(1)[0]
        remarks.append(f"{number_of(nowhere.total(), 'annotation')} of no image: {problem}")
    return said, remarks


def _categories(document: Record, source: Path) -> tuple[Mapping[str, str], list[str]]:
    """Category id → label. An id twice, with different names, is none."""
    names: dict[str, str] = {str(EMPTY): BLANK}
    given: dict[str, str] = {}
    wrong = []
    for place, record in enumerate(json_document.records(document, "categories", source)):
        try:
            category = _Category.model_validate(record)
        except ValidationError as error:
            wrong.append(unreadable(error, f"categories[{place}]"))
            continue
        key = _key(category.id)
        if given.setdefault(key, category.name) != category.name:
            wrong.append(
                f"category {shown(category.id)} is called {given[key]} and {category.name}: its labels are left out"
            )
            given[key] = ""
    return names | given, wrong


def _rows(given: list[Any], shown_by: dict[str, list[_Shown]]) -> Iterator[Record]:
    """A row per annotation of a photo, or one; takes the annotations of images out."""
    times = Counter(_key(str(record.get("id"))) for record in given if isinstance(record, dict))
    for place, record in enumerate(given):
        try:
            image = _Image.model_validate(record)
        except ValidationError as error:
            path = record.get("file_name") if isinstance(record, dict) else None
            path = path if isinstance(path, str) and path.strip() else f"(images[{place}])"
            yield {"path": path, "problem": unreadable(error, f"images[{place}]")}
            continue
        key = _key(image.id)
        about = _of_image(image, place)
        if times[key] > 1:
            yield about | {"problem": f"{number_of(times[key], 'image')} have its id"}
            shown_by.pop(key, None)
            continue
        wrong = about["problem"]
        said = _of_annotations(shown_by.pop(key, []), image)
        for row in said or [{}]:
            problem = reasons.joined([wrong, row.get("problem")])
            yield about | row | {"problem": problem, "drawn": None if wrong else row.get("drawn")}


def _of_image(image: _Image, place: int) -> Record:
    extra = scalars(image.model_extra or {}, "coco_image_")
    path = image.file_name if image.file_name.strip() else f"(images[{place}])"
    pathless = (
        None if path == image.file_name else f"unreadable record images[{place}]: file_name: expected a path, got ''"
    )
    return {
        "path": path,
        "site": image.location,
        "sequence": image.seq_id,
        "time": image.datetime or image.date_captured,
        "problem": pathless or (CORRUPT if image.corrupt else None),
        "coco_image_id": image.id,
        **extra,
    }


def _of_annotations(said: list[_Shown], image: _Image) -> list[Record]:
    """What the annotations of a photo say."""
    rows: list[Record] = []
    for annotation, label, problem in said:
        if annotation is None:
            rows.append({"problem": problem})
            continue
        drawn = _drawn(annotation, image)
        of_sequence = annotation.sequence_level_annotation and drawn is None
        rows.append(
            {
                "label": label,
                "drawn": drawn,
                "problem": problem,
                "note": OF_SEQUENCE if of_sequence else None,
                **scalars(annotation.model_extra or {}, "coco_annotation_"),
            }
        )
    return of_one_photo(rows)


def _drawn(annotation: _Annotation, image: _Image) -> Drawn | str | None:
    """The box of an annotation, why there is none, or None where none is given."""
    size = (image.width or 0, image.height or 0)
    known = size if all(0 < side <= boxes.MOST_PX for side in size) else None
    if annotation.bbox:
        box = boxes.read_box(annotation.bbox, "pixel")
        return box if isinstance(box, str) else Drawn(box, "pixel", known)
    if annotation.bbox_relative:
        box = boxes.read_box(annotation.bbox_relative, "fraction")
        return box if isinstance(box, str) else Drawn(box, "fraction", known)
    return None


def _key(given: str) -> str:
    """An id as it is compared: some programs write 7, some "7", some 7.0."""
    return given.strip().removesuffix(".0")

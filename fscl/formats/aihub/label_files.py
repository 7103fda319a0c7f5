"""The label files of AI Hub's wildlife set: a JSON per photo, whose keys vary between releases."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fscl import archives
from fscl.formats.boxes import NO_BOX
from fscl.formats.json_document import Record, number, storable
from fscl.formats.walk import escaped
from fscl.images import Box
from fscl.manifest import reasons
from fscl.manifest.names import tidy
from fscl.manifest.table import BOX
from fscl.species import find_species, numbered_species, plain

# Keys as `plain` gives them, the better ones first.
NAMES = ("speciesstring", "categorystring", "categoryname", "species")
TIMES = ("datecreated", "datecaptured", "datetime")
EXPECTED = ("file_name", "width", "height", "day")  # what every known release says of a photo
INFRARED = {"RGB": False, "IR": True}
TWO_CORNERS = "box needs two corners: x1, y1, x2, y2"


class LabelledPhoto(NamedTuple):
    """A photo as a label file tells of it."""

    file: str
    photo_names: list[str]
    """What the photo may be called, the likelier first; folders and suffixes may be wrong."""
    rows: list[Record]
    """One per animal: `label`, `x`, `y`, `w`, `h` (pixels as stored), `time` (text), `infrared`, `problem`, `note`,
    `label_file` and `aihub_…`, whatever of these is known."""


def read_labels(root: Path, file: str, folder_species: str | None) -> list[LabelledPhoto]:
    """Read what a label file says of its photo, or of its photos, should it hold several.

    Args:
        root: folder that `file` is relative to.
        file: path of the JSON, with forward slashes.
        folder_species: the label that the folder of the file stands for, None where it stands for none.
    """
    document = _document(root / file)
    file = escaped(file)
    if isinstance(document, str):
        return [LabelledPhoto(file, [file], [{"label_file": file, "problem": document}])]
    images = _records(document.pop("images", None)) or [{}]
    animals = _records(document.pop("annotations", None))
    entries = []
    for image in images:
        said = {plain(key): value for key, value in image.items()}
        about = {
            "label_file": file,
            "time": next((said[key] for key in TIMES if said.get(key)), None),
            "infrared": INFRARED.get(str(said.get("type")).strip().upper()),
            **_kept(document, "aihub_"),
            **_kept(image, "aihub_image_"),
        }
        lacking = [key for key in EXPECTED if said.get(plain(key)) is None]
        own = [a for a in animals if len(images) == 1 or a.get("image_id") == image.get("id")]
        rows = [about | _animal(animal, lacking, folder_species) for animal in own]
        photo_names = [str(said["filename"]), file] if said.get("filename") else [file]
        entries.append(LabelledPhoto(file, photo_names, rows or [about | {"problem": "no animal in the label file"}]))
    return entries


def _document(path: Path) -> Record | str:
    """The content of a label file, or why there is none."""
    try:
        with archives.open_binary(path) as file:
            document = json.load(file, object_pairs_hook=storable, parse_int=number)
    except archives.ArchiveError as error:
        return f"label file cannot be opened: {error}"
    except OSError as error:
        return f"label file cannot be opened: {(error.strerror or 'unknown').lower()}"
    except (ValueError, RecursionError):
        return "label file is not JSON in UTF-8"
    return document if isinstance(document, dict) else "label file without images and annotations"


def _records(value: object) -> list[Record]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def _kept(record: Record, prefix: str) -> Record:
    """Numbers and texts as columns of their own, those of inner objects as well; lists are left out."""
    kept: Record = {}
    for key, value in record.items():
        if isinstance(value, dict):
            kept |= _kept(value, f"{prefix}{key}_")
        elif isinstance(value, str):
            kept[sys.intern(prefix + key)] = sys.intern(value)  # hundreds of thousands of files say the same
        elif isinstance(value, int | float):
            kept[sys.intern(prefix + key)] = value
    return kept


def _animal(annotation: Record, lacking: list[str], folder_species: str | None) -> Record:
    """Label and box, and what is wrong with them."""
    said = {plain(key): value for key, value in annotation.items()}
    names = [tidy(said[key]) for key in NAMES if isinstance(said.get(key), str) and said[key].strip()]
    known = [*map(find_species, names), numbered_species(said.get("categoryid"))]
    own = [label for label in known if label is not None] or names[:1]
    labels = list(dict.fromkeys([*own, folder_species] if folder_species else own))
    box = _box(said["bbox"]) if said.get("bbox") else NO_BOX
    problems = [
        *([] if labels else ["no label"]),
        # Some photos lie with the wrong species, some labels name the wrong one: which it is shows the photo only.
        *([f"species in doubt: {' or '.join(labels)}"] if len(labels) > 1 else []),
        *([box] if isinstance(box, str) else []),
    ]
    lacking = lacking + ([] if own else ["category_name"]) + ([] if said.get("bbox") else ["bbox"])
    return {
        **_kept(annotation, "aihub_annotation_"),
        "label": labels[0] if labels else None,
        **dict(zip(BOX, NO_BOX if isinstance(box, str) else box, strict=True)),
        "problem": reasons.SEPARATOR.join(problems) or None,
        "note": f"label file lacks: {', '.join(lacking)}" if lacking else None,
    }


def _box(corners: object) -> Box | str:
    """x, y, w, h of [[x1, y1], [x2, y2]] or [x1, y1, x2, y2], or why there is no box."""
    try:
        given = np.asarray(corners, dtype="float64")
        first, second = given.reshape(2, 2)
    except (TypeError, ValueError):
        return TWO_CORNERS
    if given.ndim == 1 and not (first < second).all():  # rather x, y, w, h, which must not pass for corners
        return TWO_CORNERS
    x, y, w, h = map(float, (*np.minimum(first, second), *np.abs(second - first)))
    if not np.isfinite([x, y, w, h]).all():
        return TWO_CORNERS
    return (x, y, w, h) if w > 0 and h > 0 else "box without area"

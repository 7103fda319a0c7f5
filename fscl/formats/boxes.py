"""Boxes as sources give them, in pixels or shares of stored or upright photos, become pixels of the upright photo."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from fscl.images import Box, Header, UnreadableError, read_header, turn_box
from fscl.manifest import reasons
from fscl.manifest.table import BOX

Unit = Literal["pixel", "fraction", "percent"]
"""What boxes are measured in: pixels, or fractions or percent of the width and height of the photo."""
Frame = Literal["stored", "upright"]
"""What boxes were drawn on: the pixels as they are stored, or the photo as EXIF turns it."""

NO_BOX = (float("nan"),) * 4
WHOLE = {"fraction": 1.0, "percent": 100.0}
SMALL_PX = 2.0
MOST_OF_WHOLE = 1.05  # of a side of the photo: what is a little above the whole was rounded or clipped
MOST_PX = 1e7  # far beyond any photo; such numbers would become infinite

Headers = Mapping[str, Header | str]
"""Path → header of the photo, or why there is none."""


def turn_upright(
    columns: pd.DataFrame, headers: Headers, *, unit: Unit = "pixel", frame: Frame = "stored"
) -> pd.DataFrame:
    """Return the columns with the boxes in pixels after EXIF rotation.

    A box on a photo whose header cannot be read is emptied, and the row gets a `problem`. One that is smaller than
    2 px gets a `note`.

    Args:
        columns: `path`, `problem`, `note`, and `x`, `y`, `w`, `h`, missing without box.
        headers: of the photos with boxes, as `read_headers` gives them.
        unit: of the boxes.
        frame: what they were drawn on.
    """
    columns = columns.copy()
    boxed = columns[BOX].notna().all(axis=1)
    given = columns.loc[boxed, ["path", *BOX]].itertuples(index=False, name=None)
    upright = [_upright(headers[path], box, unit, frame) for path, *box in given]
    placed = pd.DataFrame(upright, columns=BOX, index=columns.index[boxed], dtype="float64")
    columns[BOX] = placed.reindex(columns.index)
    failures = {path: header for path, header in headers.items() if isinstance(header, str)}
    columns["problem"] = reasons.added(columns["problem"], columns["path"].where(boxed).map(failures))
    small = columns[["w", "h"]].min(axis=1) < SMALL_PX
    columns["note"] = reasons.added(columns["note"], reasons.where(small, f"box smaller than {SMALL_PX:g} px"))
    return columns


def read_headers(columns: pd.DataFrame, root: Path) -> Headers:
    """Read the headers of the photos with boxes, each once.

    Args:
        columns: `path` and `x`, missing without box.
        root: folder that `path` is relative to.
    """
    unique = columns.loc[columns["x"].notna(), "path"].unique().tolist()
    with ThreadPoolExecutor() as threads:
        return dict(zip(unique, threads.map(lambda path: _header(root / path), unique), strict=True))


def stored_size(header: Header) -> tuple[int, int]:
    """Return the width and height of the pixels as they are stored: a quarter turn swaps them."""
    return (header.height, header.width) if header.orientation >= 5 else (header.width, header.height)


def read_box(numbers: object, unit: Unit) -> Box | str:
    """Return the box that x, y, w, h of another program are, or why they are none.

    >>> read_box([0.1, 0.2, 0.3, 0.4], "fraction"), read_box([20, 10, 0, 5], "pixel"), read_box([1, 2], "pixel")
    ((0.1, 0.2, 0.3, 0.4), 'box without area', 'box needs four numbers: x, y, w, h')
    """
    given = list(numbers) if isinstance(numbers, list | tuple) else []
    known = [float(number) for number in given if isinstance(number, int | float) and not isinstance(number, bool)]
    if len(given) != 4 or len(known) != 4 or not np.isfinite(known).all():
        return "box needs four numbers: x, y, w, h"
    x, y, w, h = known
    if w <= 0 or h <= 0:
        return "box without area"
    if unit != "pixel" and max(known) > MOST_OF_WHOLE * WHOLE[unit]:
        return f"box in pixels, expected a {unit} of the photo"
    return (x, y, w, h) if max(map(abs, known)) <= MOST_PX else "box outside the photo"


def _header(path: Path) -> Header | str:
    try:
        return read_header(path)
    except UnreadableError as error:
        return reasons.of_unreadable(error)


def _upright(header: Header | str, box: list[float], unit: Unit, frame: Frame) -> Box:
    if isinstance(header, str):
        return NO_BOX
    width, height = stored_size(header) if frame == "stored" else (header.width, header.height)
    x, y, w, h = box
    if unit != "pixel":
        x, y, w, h = (share * side / WHOLE[unit] for share, side in zip(box, (width, height) * 2, strict=True))
    return (x, y, w, h) if frame == "upright" else turn_box((x, y, w, h), header.orientation, width, height)

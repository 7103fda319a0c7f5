"""Boxes as formats give them (stored pixels, or fractions of them) become boxes of the upright photo."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from fscl.formats import reasons
from fscl.images import Box, Header, UnreadableError, read_header, turn_box
from fscl.manifest.table import BOX

NO_BOX = (float("nan"),) * 4


def turn_upright(columns: pd.DataFrame, root: Path, *, relative: bool) -> pd.DataFrame:
    """Return the columns with the boxes in pixels after EXIF rotation.

    The headers of the photos with boxes are read for this; where one cannot be, the box is emptied and the
    row gets a `problem`.

    Args:
        columns: `path`, `problem`, and `x`, `y`, `w`, `h` of the stored pixels, missing without box.
        root: folder that `path` is relative to.
        relative: boxes are fractions of the stored width and height, not pixels.
    """
    columns = columns.copy()
    boxed = columns[BOX].notna().all(axis=1)
    headers = _headers(root, columns.loc[boxed, "path"])
    given = columns.loc[boxed, ["path", *BOX]].itertuples(index=False, name=None)
    upright = [_upright(headers[path], box, relative) for path, *box in given]
    placed = pd.DataFrame(upright, columns=BOX, index=columns.index[boxed], dtype="float64")
    columns[BOX] = placed.reindex(columns.index)
    failures = {path: header for path, header in headers.items() if isinstance(header, str)}
    columns["problem"] = reasons.added(columns["problem"], columns["path"].where(boxed).map(failures))
    return columns


def _headers(root: Path, paths: pd.Series) -> dict[str, Header | str]:
    """The header of each photo, or why there is none."""
    unique = paths.unique().tolist()
    with ThreadPoolExecutor() as threads:
        return dict(zip(unique, threads.map(lambda path: _header(root / path), unique), strict=True))


def _header(path: Path) -> Header | str:
    try:
        return read_header(path)
    except UnreadableError as error:
        return reasons.of_unreadable(error)


def _upright(header: Header | str, box: list[float], relative: bool) -> Box:
    if isinstance(header, str):
        return NO_BOX
    width, height = header.width, header.height
    if header.orientation >= 5:  # a quarter turn: the stored photo has its sides swapped
        width, height = height, width
    x, y, w, h = box
    if relative:
        x, y, w, h = x * width, y * height, w * width, h * height
    return turn_box((x, y, w, h), header.orientation, width, height)

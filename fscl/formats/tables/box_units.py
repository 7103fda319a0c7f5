"""What the boxes of a table are measured in and drawn on, by what fits nearly all of them; the others are named."""

from typing import NamedTuple

import pandas as pd

from fscl.errors import PhotosError
from fscl.formats.boxes import Frame, Headers, Unit, stored_size
from fscl.images import Header
from fscl.manifest import reasons
from fscl.manifest.table import BOX

NEARLY_ALL = 0.9
HARDLY_ANY = 0.1
MOST = {"fraction": 1.05, "percent": 105.0}  # of a number: what is a little above the whole was rounded or clipped
SLACK = 0.01  # of a side, and a pixel, by which a box that fits its photo may leave it
PLURAL = {"pixel": "pixels", "fraction": "fractions", "percent": "percent"}


class Measured(NamedTuple):
    """The unit of the boxes, None where they are none; why those of another unit are left out, by row; remarks."""

    unit: Unit | None
    problems: pd.Series
    remarks: list[str]


def measure(
    boxes: pd.DataFrame,
    numbers: pd.DataFrame,
    headers: Headers,
    *,
    headings: str,
    is_sure: bool,
    asked_for: Unit | None = None,
    frame: Frame = "stored",
) -> Measured:
    """Choose the one unit of all boxes of a table.

    Args:
        boxes: `path`, and `x`, `y`, `w`, `h` in the unit that is to be found.
        numbers: the four numbers of each that the table gives, as they are.
        headers: of the photos.
        headings: of the columns, for what is said.
        is_sure: they are those of boxes, not maybe those of a place and of the size of the photo.
        asked_for: the unit, where the user names it.
        frame: what the boxes are taken to be drawn on.

    Raises:
        PhotosError: some boxes are fractions, others are not, and neither are nearly all.
    """
    photos = _photos(boxes["path"], headers)
    if not is_sure and asked_for is None and (why := _no_boxes(boxes, numbers, photos)):
        return Measured(None, reasons.where(boxes["x"].isna(), ""), [f"{headings} were not read as boxes: {why}"])
    unit = asked_for or _unit(boxes["path"], numbers, headings)
    largest = numbers.max(axis=1)
    if unit in MOST:
        strange, kind = largest > MOST[unit], "pixel"
    else:  # 1 may be a pixel
        strange, kind = (largest <= MOST["fraction"]) & (numbers % 1 != 0).any(axis=1), "fraction"
    if asked_for == "pixel":
        strange &= False
    problems = reasons.where(strange, f"box in {PLURAL[kind]}, the table's are in {PLURAL[unit]}")
    on = f" of the {frame} photos" if photos["turns"].any() else ""
    remarks = [f"boxes are read from {headings}, in {PLURAL[unit]}{on}"]
    remarks += _maybe_corners(boxes[~strange], numbers[~strange], photos[~strange], unit)
    if unit == "pixel":
        remarks += _maybe_percent(boxes, photos, asked_for) + _other_frame(boxes[~strange], photos[~strange], frame)
    return Measured(unit, problems, remarks)


def _photos(paths: pd.Series, headers: Headers) -> pd.DataFrame:
    """The stored width and height of the photo of each row, and whether EXIF swaps them; missing where not known."""
    rows = [
        (*stored_size(header), header.orientation >= 5) if isinstance(header, Header) else (None, None, False)
        for header in (headers[path] for path in paths)
    ]
    columns = pd.DataFrame(rows, index=paths.index, columns=["width", "height", "turns"])
    return columns.astype({"width": "float64", "height": "float64", "turns": "bool"})


def _unit(paths: pd.Series, numbers: pd.DataFrame, headings: str) -> Unit:
    within = numbers.max(axis=1) <= MOST["fraction"]
    fractions = within & (numbers % 1 != 0).any(axis=1)  # 0, 0, 1, 1 may be a pixel or the whole photo
    share = fractions.sum() / max((fractions | ~within).sum(), 1)
    if within.all() or share >= NEARLY_ALL:
        return "fraction"
    if share > HARDLY_ANY:
        raise PhotosError(
            f"{headings}: expected boxes in one unit, got {fractions.sum()} in fractions, as of "
            f"{paths[fractions].iloc[0]}, and {(~within).sum()} in larger numbers, as of {paths[~within].iloc[0]}; "
            "mend these or those, or leave them out with fscl scan TABLE --box-unit pixel or fraction"
        )
    return "pixel"


def _no_boxes(boxes: pd.DataFrame, numbers: pd.DataFrame, photos: pd.DataFrame) -> str | None:
    """Say why x, y, width, height are rather a place and the size of the photo, None where they are not."""
    known = photos["width"].notna()
    if not known.any() or (numbers.max(axis=1) <= MOST["fraction"]).mean() >= NEARLY_ALL:
        return None
    boxes, photos, size = boxes[known], photos[known], numbers.iloc[:, 2:][known].set_axis(["w", "h"], axis=1)
    is_size = pd.Series(False, index=boxes.index)
    for sides in (["width", "height"], ["height", "width"]):
        is_size |= ((size["w"] - photos[sides[0]]).abs() <= 1) & ((size["h"] - photos[sides[1]]).abs() <= 1)
    fits = _fit_either(boxes, photos)
    if is_size.mean() >= NEARLY_ALL and fits.mean() < NEARLY_ALL:
        return "the last two are the size of the photo"
    if max(fits.mean(), _fit(boxes, 100.0, 100.0).mean()) < HARDLY_ANY:
        return "hardly any lies in its photo"
    return None


def _maybe_percent(boxes: pd.DataFrame, photos: pd.DataFrame, asked_for: Unit | None) -> list[str]:
    """Boxes that lie all within the first hundred pixels of larger photos, or beyond smaller ones, may be percent.

    They are not taken for percent without being asked to: boxes in pixels of small photos look the same.
    """
    known = photos["width"].notna()
    boxes, photos = boxes[known], photos[known]
    strange = (photos[["width", "height"]].min(axis=1) > MOST["percent"]) | ~_fit_either(boxes, photos)
    if asked_for is None and strange.mean() > HARDLY_ANY and _fit(boxes, 100.0, 100.0).all():
        return ["no box goes beyond 100: if they are percent, say so with --box-unit percent"]
    return []


def _maybe_corners(boxes: pd.DataFrame, numbers: pd.DataFrame, photos: pd.DataFrame, unit: Unit) -> list[str]:
    """Say where numbers leave the photo as x, y, w, h, and would lie within it as two corners."""
    corners = numbers.set_axis(BOX, axis="columns")
    if not corners.equals(boxes[BOX]):  # they are two corners, or a centre
        return []
    corners = corners.assign(w=corners["w"] - corners["x"], h=corners["h"] - corners["y"])
    whole = {"fraction": 1.0, "percent": 100.0}.get(unit)
    as_size, as_corners = (
        _fit_either(each, photos) if whole is None else _fit(each, whole, whole, spare=0) for each in (boxes, corners)
    )
    in_order = (corners[["w", "h"]] > 0).all(axis=1)
    if len(boxes) and as_size.mean() < NEARLY_ALL <= (as_corners & in_order).mean():
        return [
            f"{(~as_size).sum()} of {len(boxes)} boxes leave their photo, and would not as two corners: if they are, "
            "call the columns x1, y1, x2, y2, or one bbox_xyxy"
        ]
    return []


def _other_frame(boxes: pd.DataFrame, photos: pd.DataFrame, frame: Frame) -> list[str]:
    """Say where the boxes of turned photos lie within them in the other frame only."""
    turned = photos["turns"] & (photos["width"] != photos["height"])
    boxes, photos = boxes[turned], photos[turned]
    fits = {
        "stored": _fit(boxes, photos["width"], photos["height"]),
        "upright": _fit(boxes, photos["height"], photos["width"]),
    }
    other = "upright" if frame == "stored" else "stored"
    if len(boxes) and fits[other].mean() >= NEARLY_ALL and fits[frame].mean() < fits[other].mean():
        only = (fits[other] & ~fits[frame]).sum()
        return [
            f"{only} of {len(boxes)} boxes on photos that EXIF turns lie within the {other} photo only: if they were "
            f"drawn on it, say so with --box-frame {other}"
        ]
    return []


def _fit_either(boxes: pd.DataFrame, photos: pd.DataFrame) -> pd.Series:
    upright = _fit(boxes, photos["height"], photos["width"]) & photos["turns"]
    return _fit(boxes, photos["width"], photos["height"]) | upright


def _fit(
    boxes: pd.DataFrame, width: "pd.Series | float", height: "pd.Series | float", spare: float = 1.0
) -> pd.Series:
    """Tell the boxes that lie within a width and height; not those where these are missing."""
    over_x, over_y = width * SLACK + spare, height * SLACK + spare
    return (
        (boxes["x"] >= -over_x)
        & (boxes["y"] >= -over_y)
        & (boxes["x"] + boxes["w"] <= width + over_x)
        & (boxes["y"] + boxes["h"] <= height + over_y)
    )

"""Which columns of a table hold boxes, under all the headings that are usual, and the numbers in them."""

import re
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from fscl.formats.tables.cells import as_text, is_missing_word
from fscl.manifest.table import BOX

Form = Literal["size", "corners", "centre"]
"""What the four numbers are: x, y, w, h of the top left corner; x and y of two corners; x, y of the centre, w, h."""

NUMBERS = ["1st", "2nd", "3rd", "4th"]
WIDE, SHORT = ("width", "height"), ("w", "h")

# Headings without case, spaces, _ and -, the surer ones first.
FORMS: tuple[tuple[Form, tuple[tuple[str, ...], ...]], ...] = (
    (
        "corners",
        (
            ("xmin", "ymin", "xmax", "ymax"),
            ("minx", "miny", "maxx", "maxy"),
            ("x1", "y1", "x2", "y2"),
            ("x0", "y0", "x1", "y1"),
            ("left", "top", "right", "bottom"),
            ("xtl", "ytl", "xbr", "ybr"),  # CVAT
            ("xleft", "ytop", "xright", "ybottom"),
            ("leftx", "topy", "rightx", "bottomy"),
            ("xstart", "ystart", "xend", "yend"),
            ("startx", "starty", "endx", "endy"),
            *(
                (f"{first}x", f"{first}y", f"{last}x", f"{last}y")
                for first, last in (
                    ("tl", "br"),
                    ("ul", "lr"),
                    ("topleft", "bottomright"),
                    ("upperleft", "lowerright"),
                )
            ),
            *(
                (f"x{first}", f"y{first}", f"x{last}", f"y{last}")
                for first, last in (("ul", "lr"), ("topleft", "bottomright"), ("upperleft", "lowerright"))
            ),
        ),
    ),
    (
        "centre",
        tuple(
            centre + size
            for centre, size in product(
                (
                    ("xcenter", "ycenter"),
                    ("centerx", "centery"),
                    ("xcentre", "ycentre"),
                    ("centrex", "centrey"),
                    ("cx", "cy"),
                    ("xc", "yc"),
                ),
                (WIDE, SHORT),
            )
        ),
    ),
    (
        "size",
        (
            *(
                corner + size
                for corner, size in product(
                    (
                        ("left", "top"),
                        ("xmin", "ymin"),
                        ("xtl", "ytl"),
                        ("topleftx", "toplefty"),
                        ("xtopleft", "ytopleft"),
                        ("xleft", "ytop"),
                        ("x", "y"),
                    ),
                    (SHORT, WIDE),
                )
            ),
            ("1", "2", "3", "4"),  # bbox1 … bbox4
        ),
    ),
)
PREFIXES = (
    "bbox",
    "boundingbox",
    "bndbox",
    "box",
    "bb",
    "rect",
    "rectangle",
    "roi",
    "detection",
    "relative",
    "rel",
    "",
)
NAMED_BOX = re.compile("bbox|boundingbox|bndbox")
SIDES = ("left", "top", "right", "bottom")
ONE_COLUMN: dict[str, Form] = {
    **dict.fromkeys(("bbox", "boundingbox", "box", "bboxxywh", "boxxywh"), "size"),
    **dict.fromkeys(("bboxxyxy", "boxxyxy", "bboxcorners"), "corners"),
    **dict.fromkeys(("bboxcxcywh", "boxcxcywh", "bboxyolo"), "centre"),
}

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
FOUR_NUMBERS = re.compile(rf"[\[({{]?\s*({NUMBER})" + rf"[\s,;]+({NUMBER})" * 3 + r"\s*[\])}]?", re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+")


class BoxColumns(NamedTuple):
    """The headings of the columns with boxes, one or four, and what their numbers are."""

    headings: list[str]
    form: Form
    is_sure: bool
    """The headings say that they are of a box; x, y, width, height might be a place and the size of the photo."""


def find_box_columns(headings: Mapping[str, str]) -> BoxColumns | None:
    """Return the columns with boxes, None where there are none.

    Args:
        headings: those of the table, by their plain form.

    >>> find_box_columns({"bboxxmin": "bbox_xmin", "ymin": "ymin", "xmax": "XMax", "ymax": "YMax"})
    BoxColumns(headings=['bbox_xmin', 'ymin', 'XMax', 'YMax'], form='corners', is_sure=True)
    """
    for prefix, (form, layouts) in product(PREFIXES, FORMS):
        for layout in layouts:
            parts = _of_layout(headings, prefix, layout)
            if len(parts) == 4 and (parts[0] == headings.get(prefix + layout[0])):
                return BoxColumns(parts, form, bool(prefix) or form == "corners")
    for name, form in ONE_COLUMN.items():
        if name in headings:
            return BoxColumns([headings[name]], form, True)
    return None


def incomplete_box(headings: Mapping[str, str]) -> list[str]:
    """Say which columns look like a box and are none, if any."""
    for prefix, (_, layouts) in product(PREFIXES, FORMS):
        for layout in layouts:
            parts = _of_layout(headings, prefix, layout)
            if len(parts) == 3:
                named = prefix if headings.get(prefix + layout[0]) == parts[0] else ""
                lacking = next(named + part for part in layout if _of_part(headings, prefix, part) is None)
                return [f"no boxes were read: beside {', '.join(parts)} there is no {lacking}"]
    like = _like_a_box(headings)
    if like:
        return [f"no boxes were read from {', '.join(like)}: expected x, y, w, h or xmin, ymin, xmax, ymax"]
    return []


def _like_a_box(headings: Mapping[str, str]) -> list[str]:
    """The headings that may be of a box: named so, of three sides, or of x and y twice, or once and of a size.

    >>> _like_a_box({name: name for name in ("ax", "ay", "bx", "by", "utm")})
    ['ax', 'ay', 'bx', 'by']
    """
    named = [heading for plain, heading in headings.items() if NAMED_BOX.search(plain)]
    sides = {
        side: heading
        for plain, heading in headings.items()
        for side in SIDES
        if side in (plain[: len(side)], plain[-len(side) :])
    }
    places = [
        (plain, other)
        for plain in headings
        for other in _swapped(plain, "x", "y")
        if other in headings and len(plain) > 1
    ]
    stems = {plain.strip("x") for plain, _ in places}
    sizes = [
        (plain, other)
        for plain in headings
        for wide, high in (WIDE, SHORT)
        for other in _swapped(plain, wide, high)
        if other in headings and stems & {plain.removeprefix(wide), plain.removesuffix(wide)}
    ]
    if named or len(places) + len(sizes) < 2:
        return named or (list(sides.values()) if len(sides) > 2 else [])
    return [headings[plain] for pair in places + sizes for plain in pair]


def _swapped(plain: str, word: str, other: str) -> list[str]:
    """The heading with another word in place of the one that it begins or ends with."""
    swapped = [other + plain.removeprefix(word)] if plain.startswith(word) else []
    return swapped + ([plain.removesuffix(word) + other] if plain.endswith(word) else [])


def _of_layout(headings: Mapping[str, str], prefix: str, layout: Iterable[str]) -> list[str]:
    """The headings of the parts that are there."""
    names = (_of_part(headings, prefix, part) for part in layout)
    return [name for name in names if name is not None]


def _of_part(headings: Mapping[str, str], prefix: str, part: str) -> str | None:
    """The heading of a part with the prefix or, where it is a word and no mere number, without."""
    return headings.get(prefix + part, headings.get(part) if part.isalpha() else None)


class BoxNumbers(NamedTuple):
    """Four numbers a row, missing where there is no box or none that can be read; which rows gave any; remarks."""

    numbers: pd.DataFrame
    given: pd.Series
    remarks: list[str]


def read_box_numbers(source: pd.DataFrame, columns: BoxColumns) -> BoxNumbers:
    """Read the numbers of boxes. A row without four of them has none, and is still `given` where a cell is not empty.

    >>> table = pd.DataFrame({"bbox": ["[20, 32, 100, 80]", "", "20 32"]})
    >>> boxes = read_box_numbers(table, BoxColumns(["bbox"], "size", True))
    >>> boxes.numbers.iloc[0].tolist(), boxes.given.tolist()
    ([20.0, 32.0, 100.0, 80.0], [True, False, True])
    """
    if len(columns.headings) == 1:
        cells = source[columns.headings[0]]
        numbers = pd.DataFrame([_four(cell) for cell in cells], index=source.index, columns=NUMBERS, dtype="float64")
        shown = as_text(cells.map(str, na_action="ignore"))
        return BoxNumbers(numbers, shown.notna() & ~is_missing_word(shown), [])
    texts = [as_text(source[heading]) for heading in columns.headings]
    text = pd.DataFrame({name: t.mask(is_missing_word(t)) for name, t in zip(NUMBERS, texts, strict=True)})
    with_comma = {cell for name in NUMBERS for cell in text[name].dropna() if DECIMAL_COMMA.fullmatch(cell)}
    remarks = []
    if all(map(THOUSANDS.fullmatch, with_comma)):
        if with_comma:
            remarks.append(f"{min(with_comma)} of the boxes may be thousands or decimals, is not read; use no commas")
    else:
        remarks.append("decimal commas of the boxes are read as points")
        text = text.replace(",", ".", regex=True)
    numbers = text.apply(pd.to_numeric, errors="coerce").astype("float64")
    numbers = numbers.mask(~np.isfinite(numbers).all(axis=1))
    telling = text if columns.is_sure else text[NUMBERS[:2]]  # a size alone is that of the photo
    return BoxNumbers(numbers, telling.notna().any(axis=1), remarks)


def _four(cell: object) -> list[float]:
    """The four numbers of a cell, a list or its text, such as JSON."""
    if isinstance(cell, list | tuple | np.ndarray):
        cell = ", ".join(map(str, cell))
    match = FOUR_NUMBERS.fullmatch(cell.strip()) if isinstance(cell, str) else None
    numbers = [float(number) for number in match.groups()] if match else []
    return numbers if np.isfinite(numbers).all() and numbers else [float("nan")] * 4


def as_size(numbers: pd.DataFrame, form: Form) -> pd.DataFrame:
    """Return x, y of the top left corner, w and h, in the unit of the numbers.

    >>> corners = pd.DataFrame([[20.0, 32.0, 120.0, 112.0]], columns=NUMBERS)
    >>> as_size(corners, "corners").iloc[0].tolist()
    [20.0, 32.0, 100.0, 80.0]
    """
    first, second, third, fourth = (numbers[name] for name in NUMBERS)
    if form == "corners":
        boxes = [first, second, third - first, fourth - second]
    elif form == "centre":
        boxes = [first - third / 2, second - fourth / 2, third, fourth]
    else:
        boxes = [first, second, third, fourth]
    return pd.concat(boxes, axis=1, keys=BOX)

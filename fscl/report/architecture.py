"""How a batch of photos becomes the study's loss: one drawing, for the page and for the README."""

from collections.abc import Sequence
from math import cos, radians, sin

from fscl.report.charts.drawing import CARD, GRID, INK, MUTED, Drawing
from fscl.report.study import Study

TERM = "feature_similarity"  # how a cell's curve names the similarity term
DESCRIPTION = (
    "A sampler fills each batch; ResNet-18 turns its photos into features. Layer3 and layer4, average-pooled, each "
    "give a matrix S of cosines between the photos, which is pulled towards T, 1 where two photos show one species: "
    "photos of one species shall point the same way, those of another at a right angle. Cross-entropy and both "
    "similarity terms add up. Drawn for the study's settings; methods differ in sampler and terms."
)
WIDTH, HEIGHT = 1032, 432
DARK = {INK: "#e7eaee", MUTED: "#a0a9b4", GRID: "#323941", CARD: "#181c21"}  # the page's dark colours
CROSS_ENTROPY, SIMILARITY = "#1f83c4", "#d55e00"
COMMON, RARE = "#7d8794", "#b565a7"
BATCH = (COMMON,) * 4 + (RARE,) * 4
STOCK = (COMMON,) * 11 + (RARE,)
STAGES = {"stem": (296, 24, 84), "layer1": (332, 28, 76), "layer2": (372, 32, 66), "layer3": (416, 38, 54)}
STAGES |= {"layer4": (466, 46, 42)}  # left edge, width, height: fewer pixels and more channels with depth
DIRECTIONS = {  # degrees at which the photos' features point, made up: deeper layers part the species better
    "layer4": (4, 12, 0, 18, 70, 82, 76, 90),
    "layer3": (14, 30, 20, 38, 48, 62, 55, 74),
}
MAIN = 104  # height of the main path; the similarity terms run below it
ROWS = {"layer4": 262, "layer3": 378}


def draw_architecture(study: Study) -> Drawing | None:
    """Return the drawing for the page of a study; None where no method of it has the similarity term."""
    terms = {term for cell in study.cells if cell.curve for term in cell.curve.terms}
    if not any(term.startswith(TERM) for term in terms):
        return None
    subject = "Cross-entropy and feature similarity, of one batch"
    return Drawing("architecture", "How the loss is made", subject, DESCRIPTION, architecture_svg(), wide=True)


def architecture_svg() -> str:
    """Return the drawing as SVG that stands on its own and follows light and dark mode.

    >>> architecture_svg().startswith("<svg")
    True
    """
    dark = "\n".join(
        f'  [{part}="{light}"] {{ {part}: {colour} }}'
        for light, colour in DARK.items()
        for part in ("fill", "stroke")
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{0.75 * WIDTH:g}pt" height="{0.75 * HEIGHT:g}pt" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="12.5">',
        "<title>How the loss is made</title>",
        f"<desc>{DESCRIPTION}</desc>",
        f"<style>\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n</style>",
        '<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" fill="{MUTED}"/></marker>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{CARD}"/>',
        *_photos(),
        *_network(),
        *(line for layer in ROWS for line in _similarity(layer)),
        *_sum(),
        *_formula(),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _photos() -> list[str]:
    """Draw the training photos, the sampler and the augmented batch."""
    return [
        _text(16, 276, "photos in training", "start", bold=True),
        *_tiles(16, 288, STOCK, columns=6),
        *_tiles(16, 350, (COMMON,)),
        _text(44, 364, "common species", "start"),
        *_tiles(16, 376, (RARE,)),
        _text(44, 390, "rare species", "start"),
        _arrow((61, 256), (61, 138)),
        _text(74, 188, "sampler", "start", bold=True),
        _text(74, 206, "each class drawn", "start", muted=True),
        _text(74, 222, "equally often", "start", muted=True),
        _text(16, 68, "batch of photos", "start", bold=True),
        *_tiles(16, 82, BATCH, columns=4),
        _arrow((114, MAIN), (138, MAIN)),
        *_box(142, MAIN, 112, 60, ("augmentation", "RandAugment,", "colour jitter"), MUTED),
        _arrow((254, MAIN), (292, MAIN)),
    ]


def _network() -> list[str]:
    """Draw the backbone's stages, the head and cross-entropy."""
    lines = [
        _rect(278, 40, 248, 122, MUTED, 0.06),
        _text(402, 30, "ResNet-18", bold=True),
    ]
    previous = 0
    for stage, (left, width, height) in STAGES.items():
        lines += [_arrow((previous, MAIN), (left - 1, MAIN))] if previous else []
        tapped = SIMILARITY if stage in ROWS else MUTED
        lines += [
            _rect(left, MAIN - height / 2, width, height, tapped, 0.2),
            _text(left + width / 2, 57, stage, size=11),
        ]
        previous = left + width
    return [
        *lines,
        _arrow((previous, MAIN), (604, MAIN)),
        _text(565, 94, "average pool", size=10.5, muted=True),
        *_box(608, MAIN, 80, 52, ("head", "linear"), MUTED),
        _arrow((688, MAIN), (740, MAIN)),
        _text(713, 94, "scores", size=10.5, muted=True),
        *_box(744, MAIN, 122, 52, ("cross-entropy", "to the true species"), CROSS_ENTROPY),
    ]


def _similarity(layer: str) -> list[str]:
    """Draw a tap: the directions of the pooled features, their cosines S against T, and the term."""
    left, width, height = STAGES[layer]
    tap, middle = left + width / 2, ROWS[layer]
    top, angles = middle - 36, [radians(degrees) for degrees in DIRECTIONS[layer]]
    cosines = [[cos(a - b) for b in angles] for a in angles]
    same = [[float(a == b) for b in BATCH] for a in BATCH]
    return [
        _arrow((tap, MAIN + height / 2), (tap, middle), (550, middle)),
        _text(tap + 6, middle - 7, layer, "start", size=10.5, muted=True),
        _text(tap + 6, middle + 15, "average", "start", size=10.5, muted=True),
        _text(tap + 6, middle + 28, "pool", "start", size=10.5, muted=True),
        _text(590, top - 14, "features h"),
        f'<path d="M560 {middle - 26}A58 58 0 0 1 618 {middle + 32}" fill="none" stroke="{GRID}"/>',
        *(
            f'<path d="M560 {middle + 32}L{560 + 58 * cos(angle):.1f} {middle + 32 - 58 * sin(angle):.1f}" '
            f'stroke="{colour}" stroke-width="2" stroke-linecap="round"/>'
            for angle, colour in zip(angles, BATCH, strict=True)
        ),
        _arrow((625, middle), (648, middle)),
        _text(695, top - 14, "S: cosines of h"),
        *_matrix(659, top, cosines),
        _text(757, middle + 5, "−", size=16),
        _text(821, top - 14, "T: same species"),
        *_matrix(785, top, same),
        _arrow((862, middle), (876, middle)),
        *_box(880, middle, 52, 40, ("MSE",), SIMILARITY),
    ]


def _sum() -> list[str]:
    """Draw how the terms meet."""
    upper, lower = ROWS.values()
    return [
        _arrow((866, MAIN), (964, MAIN), (964, upper - 14)),
        _arrow((932, upper), (950, upper)),
        _arrow((932, lower), (964, lower), (964, upper + 14)),
        f'<circle cx="964" cy="{upper}" r="13" fill="{CARD}" stroke="{INK}" stroke-width="1.5"/>',
        _text(964, upper + 5, "+", size=16, bold=True),
        _arrow((977, upper), (994, upper)),
        _text(1011, upper + 5, "loss", bold=True),
    ]


def _formula() -> list[str]:
    return [
        _text(204, 282, "loss = cross-entropy", "start", bold=True),
        _text(243, 300, "+ Σ MSE(S, T)", "start", bold=True),
        _text(204, 324, "S(i, j) = cosine of h(i) and h(j)", "start", size=11.5, muted=True),
        _text(204, 342, "T(i, j) = 1 for one species, else 0", "start", size=11.5, muted=True),
        _text(204, 360, "i, j: photos; Σ: over layers", "start", size=11.5, muted=True),
    ]


def _text(
    x: float, y: float, text: str, anchor: str = "middle", size: float = 12.5, bold: bool = False, muted: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    fill = MUTED if muted else INK
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}"{weight} fill="{fill}">{text}</text>'


def _rect(x: float, y: float, width: float, height: float, colour: str, opacity: float) -> str:
    place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
    return f'<rect {place} rx="5" fill="{colour}" fill-opacity="{opacity}" stroke="{colour}" stroke-width="1.2"/>'


def _box(x: float, middle: float, width: float, height: float, words: Sequence[str], colour: str) -> list[str]:
    """Draw a box with a title and smaller words beneath it."""
    baseline = middle + 4.5 - 8 * (len(words) - 1)
    title, *details = words
    return [
        _rect(x, middle - height / 2, width, height, colour, 0.12),
        _text(x + width / 2, baseline, title, bold=True),
        *(_text(x + width / 2, baseline + 16 * n, line, size=11) for n, line in enumerate(details, start=1)),
    ]


def _arrow(*points: tuple[float, float]) -> str:
    path = "L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path d="M{path}" fill="none" stroke="{MUTED}" stroke-width="1.3" marker-end="url(#arrow)"/>'


def _tiles(x: float, y: float, colours: Sequence[str], columns: int = 1) -> list[str]:
    """Draw photos as tiles, a colour for each species."""
    return [
        f'<rect x="{x + 24 * (n % columns):g}" y="{y + 24 * (n // columns):g}" width="20" height="20" rx="3" '
        f'fill="{colour}"/>'
        for n, colour in enumerate(colours)
    ]


def _matrix(x: float, y: float, values: Sequence[Sequence[float]]) -> list[str]:
    """Draw a matrix over the batch: the shade is the value, the rims show the species of row and column."""
    side = 9
    rims = [
        f'<rect x="{x + side * n}" y="{y - 6}" width="{side - 1}" height="3.5" fill="{colour}"/>'
        f'<rect x="{x - 6}" y="{y + side * n}" width="3.5" height="{side - 1}" fill="{colour}"/>'
        for n, colour in enumerate(BATCH)
    ]
    cells = [
        f'<rect x="{x + side * j}" y="{y + side * i}" width="{side - 1}" height="{side - 1}" '
        f'fill="{SIMILARITY}" fill-opacity="{0.05 + 0.95 * value:.2f}"/>'
        for i, row in enumerate(values)
        for j, value in enumerate(row)
    ]
    return rims + cells

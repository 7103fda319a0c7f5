"""How a generated photo is drawn: a canvas, the scenery of a camera, and the exposure.

Points are complex numbers, x + yj with y up. Shapes are limbs: joints on a smooth curve, with a radius at each.
Scenes are measured in frame heights from the lower left corner.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter

Floats = NDArray[np.float32]
Points = NDArray[np.complex128]
Colour = Floats  # red, green, blue; 0–255

SUPERSAMPLING = 3
SAMPLES_PER_SEGMENT = 6
INFRARED = np.array([0.35, 0.5, 0.25], dtype=np.float32)  # leaves are bright to the sensor


def colour(red: float, green: float, blue: float) -> Colour:
    """Return a colour of parts 0–255."""
    return np.array([red, green, blue], dtype=np.float32)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return `first` with `share` (0–1) of `second` in it."""
    return first + (second - first) * np.float32(share)


def mottle(rng: np.random.Generator, size: tuple[int, int], cell: tuple[float, float]) -> Floats:
    """Return smooth noise (height, width), mean about 0, sd below 1, in blotches of `cell` (width, height) px."""
    width, height = size
    coarse = max(2, round(height / cell[1])), max(2, round(width / cell[0]))
    noise = Image.fromarray(rng.standard_normal(coarse, dtype=np.float32))
    return np.asarray(noise.resize(size, Image.Resampling.BICUBIC))


@cache
def _rim(joints: int) -> tuple[NDArray[np.float64], NDArray[np.float64], Points]:
    """Return what leads from `joints` joints to the rim of their limb, walking round it.

    The first matrix gives the points of the Catmull–Rom curve, the second its tangents, the last the turn
    from the tangent to the rim: a right angle along the sides, half a circle around each end.
    """
    weights = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]], dtype=float)
    out = np.linspace(0, joints - 1, (joints - 1) * SAMPLES_PER_SEGMENT + 1)
    half_turn = np.exp(1j * np.linspace(np.pi / 2, -np.pi / 2, 7))[1:-1]
    place = np.concatenate([out, 0 * half_turn.real + out[-1], out[::-1], 0 * half_turn.real])
    turn = np.concatenate([0 * out + 1j, half_turn, 0 * out - 1j, -half_turn])
    segment = np.minimum(place.astype(int), joints - 2)
    t = place - segment
    value = np.stack([t**0, t, t**2, t**3], axis=1) @ weights
    slope = np.stack([0 * t, t**0, 2 * t, 3 * t**2], axis=1) @ weights
    curve, tangent = np.zeros((2, len(place), joints))
    for k in range(4):
        joint = np.clip(segment + k - 1, 0, joints - 1)
        np.add.at(curve, (np.arange(len(place)), joint), value[:, k])
        np.add.at(tangent, (np.arange(len(place)), joint), slope[:, k])
    return curve, tangent, turn


def limb_outline(joints: ArrayLike, radii: ArrayLike) -> tuple[Points, Points]:
    """Return the closed outline of a limb in two parts to be added: points of its curve, and the way to its rim.

    Args:
        joints: two or more, apart from each other.
        radii: at each joint.
    """
    nodes = np.asarray(joints, dtype=complex)
    curve, tangent, turn = _rim(len(nodes))
    ahead = tangent @ nodes
    radius = np.maximum(curve @ np.asarray(radii), 0)
    return curve @ nodes, radius * turn * ahead / np.abs(ahead)


class Canvas:
    """Shapes on an image drawn `SUPERSAMPLING` times too large.

    Beside the colour it keeps a fourth channel, 0 where nothing was drawn: coverage for animals, nearness
    to the camera for scenery.
    """

    def __init__(self, size: tuple[int, int], origin: tuple[float, float], scale: tuple[float, float]) -> None:
        """Start empty: `size` and `origin` of the coordinates in px, y down; `scale` in px per unit of x and y."""
        self._image = Image.new("RGBX", (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING))
        self._draw = ImageDraw.Draw(self._image)
        self._origin = np.array(origin) * SUPERSAMPLING
        self._scale = np.array([scale[0], -scale[1]]) * SUPERSAMPLING

    def polygon(self, points: ArrayLike, ink: Colour, fourth: float = 1.0) -> None:
        """Fill a closed outline."""
        corners = np.asarray(points, dtype=complex).view(float).reshape(-1, 2)
        red, green, blue = ink.tolist()
        self._draw.polygon(
            (corners * self._scale + self._origin).ravel().tolist(),
            fill=(int(red), int(green), int(blue), round(255 * fourth)),
        )

    def limb(
        self,
        joints: ArrayLike,
        radii: ArrayLike,
        ink: Colour,
        fourth: float = 1.0,
        *,
        relief: int = 1,
        rim: float = 1.0,
    ) -> None:
        """Draw a limb in `relief` steps, from its rim (`rim` times as bright as `ink`) to its lit upper side."""
        spine, reach = limb_outline(joints, radii)
        lift = 0.38j * np.abs(reach)
        for inward in (step / relief for step in range(relief)):
            light = np.float32(rim + (1.12 - rim) * inward)
            self.polygon(spine + (1 - 0.85 * inward) * reach + inward * lift, ink * light, fourth)

    def layer(self, blur: tuple[float, float] = (0, 0)) -> Floats:
        """Return the picture (height, width, 4): colour 0–255 times coverage, and the fourth channel 0–1.

        `blur` is the radius in px across and down: lack of focus, or movement.
        """
        small = self._image.reduce(SUPERSAMPLING).filter(ImageFilter.BoxBlur(blur))
        picture = np.asarray(small).astype(np.float32)
        picture[..., 3] /= 255
        return picture


@dataclass(frozen=True)
class Scene:
    """What a camera always sees, at the size of the photo."""

    by_day: Floats  # (height, width, 3) colours 0–255
    by_night: Floats  # (height, width, 1) the same in the flash
    nearness: Floats  # (height, width) 0 sky … 1 at the lens: what the flash reaches, and what hides what
    horizon: float  # height of the far end of the ground, in frame heights


def ground_height(horizon: float, near: float) -> float:
    """Return the height (frame heights) at which ground of depth `near` (0 far … 1 at the lens) is seen."""
    return horizon * (1 - float(near**1.5))


def ground_nearness(near: float) -> float:
    """Return the fourth channel of ground of depth `near` and of what stands there."""
    return 0.3 + 0.65 * near


def draw_scene(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """Paint a place from far to near: sky, wood, bands of ground with what stands on them, blades at the lens."""
    aspect = size[0] / size[1]
    horizon = rng.uniform(0.5, 0.66)
    season = rng.random()
    soil = mix(colour(84, 74, 58), colour(142, 112, 80), rng.random())
    lush = mix(colour(62, 92, 42), colour(118, 100, 62), season)
    dry = mix(colour(112, 128, 66), colour(178, 150, 98), season)
    slope, cover = rng.uniform(-0.08, 0.08), rng.uniform(0.05, 0.75)
    canvas = Canvas(size, (0, size[1]), (size[1], size[1]))

    _paint_wood(canvas, rng, aspect, horizon, mix(lush, colour(96, 88, 60), 0.4 * season))
    x = np.linspace(0, aspect, 12)
    trunks = rng.uniform(0, aspect, 4)
    bands = np.linspace(0, 1, 14)
    stands = rng.integers(1, 7, len(trunks))
    for band, near in enumerate(bands):
        height, nearness = ground_height(horizon, near), ground_nearness(near)
        edge = height + slope * (x / aspect - 0.5) * (1 - near) + 0.012 * rng.standard_normal(len(x))
        ground = mix(soil, mix(lush, dry, rng.random()), cover) * np.float32(0.75 + 0.3 * near)
        canvas.polygon([*(x + 1j * edge), aspect - 0.1j, -0.1j], ground, nearness)
        for trunk in trunks[stands == band]:
            _paint_trunk(canvas, rng, trunk, height, 0.02 + 0.05 * near, nearness)
        for at in rng.uniform(0, aspect, rng.poisson(30 + 100 * cover)):
            root = at + 1j * (np.interp(at, x, edge) - rng.uniform(0, 0.03))
            ink = mix(lush, dry, rng.random()) * np.float32(rng.uniform(0.65, 1.1))
            _paint_blade(canvas, rng, root, (0.02 + 0.1 * near) * rng.uniform(0.4, 1.1), ink, nearness)
    for at in rng.normal(rng.uniform(0, aspect), 0.25 * aspect, rng.integers(8, 22)):
        ink = mix(lush, dry, rng.random()) * np.float32(0.8)
        _paint_blade(canvas, rng, at - 0.05j, rng.uniform(0.18, 0.42), ink, 1.0)

    picture = canvas.layer()
    grain = 0.06 * mottle(rng, size, (1.5, 1)) + 0.07 * mottle(rng, size, (7, 3)) + 0.06 * mottle(rng, size, (40, 30))
    by_day, distances = picture[..., :3] * (1 + grain[..., None]), picture[..., 3]
    return Scene(by_day, infrared(by_day, distances[..., None]), distances, horizon)


def infrared(colours: Floats, nearness: ArrayLike) -> Floats:
    """Return what an infrared flash makes of colours (…, 3): one grey channel (…, 1), fading with distance."""
    return (colours @ INFRARED)[..., None] * np.asarray(nearness, dtype=np.float32) ** np.float32(1.2)


def _paint_wood(canvas: Canvas, rng: np.random.Generator, aspect: float, horizon: float, leaf: Colour) -> None:
    """Paint the sky and the wood before it: rows of crowns, darker towards the camera, and thin stems."""
    sky = mix(colour(196, 206, 212), colour(168, 184, 176), rng.random())
    canvas.polygon([0, aspect, aspect + 1j, 1j], sky, 0.0)
    treeline = rng.uniform(0.8, 1.2)
    for near in np.linspace(0, 1, 5):
        top = treeline + (horizon + 0.05 - treeline) * near
        tint = mix(mix(sky, leaf, 0.35 + 0.6 * near), colour(30, 36, 24), 0.35 * near)
        canvas.polygon([0, aspect, aspect + 1j * top, 1j * top], tint * np.float32(0.9), 0.05 + 0.15 * near)
        for at in rng.uniform(0, aspect, 40):
            crown = at + 1j * top + [0, -0.06j] + rng.normal(0, 0.03, (2, 2)) @ [1, 1j]
            radius, light = rng.uniform(0.03, 0.08), np.float32(rng.uniform(0.75, 1.15))
            canvas.limb(crown, [radius, radius], tint * light, 0.05 + 0.15 * near)
        for at in rng.uniform(0, aspect, rng.integers(2, 6)):
            _paint_trunk(canvas, rng, at, horizon - 0.02, 0.006 + 0.012 * near, 0.1 + 0.15 * near)


def _paint_trunk(
    canvas: Canvas, rng: np.random.Generator, at: float, foot: float, radius: float, nearness: float
) -> None:
    """Paint a tree: a trunk that leaves the frame above, lit from one side, with a few branches."""
    bark = mix(colour(74, 64, 54), colour(112, 102, 90), rng.random()) * np.float32(rng.uniform(0.7, 1.1))
    lean = rng.normal(0, 0.05)
    stem = at + lean * np.array([-1, 0, 1]) + 1j * np.array([foot - 0.02, foot + 0.2, 1.15])
    girth = np.array([1.5, 1.0, 0.75]) * radius
    for side in np.linspace(0, 1, 5):
        lit = bark * np.float32(0.7 + 0.5 * side)
        canvas.limb(stem + 0.5 * side * radius, girth * (1 - 0.9 * side), lit, nearness)
    for _ in range(rng.integers(0, 4)):
        knot = at + 0.5 * lean + 1j * rng.uniform(foot + 0.25, 1)
        reach = rng.choice([-1, 1]) * rng.uniform(0.06, 0.2) + 1j * rng.uniform(0.02, 0.15)
        branch = [knot, knot + 0.5 * reach, knot + reach + 0.04j]
        canvas.limb(branch, [0.3 * radius, 0.2 * radius, 0.003], bark, nearness)


def _paint_blade(
    canvas: Canvas, rng: np.random.Generator, root: complex, height: float, ink: Colour, nearness: float
) -> None:
    """Paint a blade of grass: too small and too many for a smooth outline."""
    bend, half = rng.normal(0, 0.3) * height, 0.03 * height + 0.001
    middle, tip = root + 0.3 * bend + 0.6j * height, root + bend + 1j * height
    canvas.polygon([root - half, middle - half, tip, middle + half, root + half], ink, nearness)


@dataclass(frozen=True)
class Light:
    """How a camera sees during one burst."""

    by_night: bool
    gain: Floats  # (height, width, 3) white balance, dapples, dark corners; by night (height, width, 1) the flash
    noise: float  # sd of the sensor's noise, 0–255
    shake: float  # radius of motion blur, px
    quality: int  # of the JPEG

    @classmethod
    def drawn(cls, rng: np.random.Generator, size: tuple[int, int], *, by_night: bool) -> "Light":
        """Draw daylight through leaves, or an infrared flash."""
        width, height = size
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        centre = rng.normal((width / 2, height / 2), 0.06 * width)
        offset = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (0.25 * (width**2 + height**2))
        if by_night:
            field = rng.uniform(1.3, 1.9) * np.exp(-rng.uniform(0.5, 1.1) * offset)
            tone = np.ones(1)
        else:
            dapples = mottle(rng, size, (0.25 * width, 0.2 * height))
            field = rng.uniform(0.9, 1.4) * (1 + rng.uniform(0, 0.15) * dapples) * (1 - 0.2 * offset)
            tone = 1 + rng.uniform(-0.06, 0.12) * np.array([1, 0.3, -1])
        return cls(
            by_night=by_night,
            gain=(field[..., None] * tone).astype(np.float32),
            noise=rng.uniform(4, 9) if by_night else rng.uniform(2, 6),
            shake=rng.uniform(0, 1.1) if by_night else rng.uniform(0, 0.5),
            quality=int(rng.integers(65, 90)),
        )


def photograph(
    scene: Scene,
    animal: Floats,
    stand: tuple[float, float],
    depth: float,
    light: Light,
    rng: np.random.Generator,
) -> Image.Image:
    """Return the photo of a scene with an animal in it.

    Args:
        scene: what the camera always sees.
        animal: its layer (height, width, 4), see `Canvas.layer`.
        stand: where its feet are, in px from the left and from the upper edge.
        depth: of the ground it stands on, 0 far … 1 at the lens; what is nearer hides it.
        light: of the burst.
        rng: of the sensor's noise.
    """
    height, width = scene.nearness.shape
    nearness = ground_nearness(depth)
    across = (np.arange(width, dtype=np.float32) - stand[0]) / (0.3 * nearness * height)
    down = (np.arange(height, dtype=np.float32) - stand[1]) / (0.045 * height)
    shadow = 0.45 * np.exp(-(down**2))[:, None] * np.exp(-(across**2))
    seen = 1 - np.clip((scene.nearness - nearness) / 0.06 - 0.3, 0, 1)
    place = scene.by_night if light.by_night else scene.by_day
    fur = infrared(1.25 * animal[..., :3], nearness) if light.by_night else animal[..., :3]
    picture = place * ((1 - shadow) * (1 - seen * animal[..., 3]))[..., None] + fur * seen[..., None]
    noise = rng.standard_normal((height, width, light.gain.shape[2]), dtype=np.float32)
    exposed = np.clip(picture * light.gain + light.noise * noise, 0, 255).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(exposed, (height, width, 3)))

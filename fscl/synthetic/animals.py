"""The animals of generated photos, built of limbs.

Points are complex numbers, x + yj: the animal looks along x, y is up from the ground, its shoulder is 1 high.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from fscl.synthetic.drawing import (
    SAMPLES_PER_SEGMENT,
    Canvas,
    Colour,
    Floats,
    Points,
    colour,
    limb_outline,
    mix,
)


@dataclass(frozen=True)
class Individual:
    """What is the animal's own and stays the same over a burst."""

    male: bool
    warmth: float  # of the coat: 0 grey, 1 rusty
    brightness: float  # of the coat, as a factor
    girth: float  # as a factor

    @classmethod
    def met(cls, rng: np.random.Generator) -> "Individual":
        """Return an animal that happens to pass."""
        return cls(
            male=bool(rng.random() < 0.5),
            warmth=rng.random(),
            brightness=rng.normal(1, 0.12),
            girth=rng.normal(1, 0.07),
        )


@dataclass(frozen=True)
class Pose:
    """How the animal stands at one moment."""

    head: float  # 0 grazing … 1 alert
    gait: float  # phase of the walk, rad
    stride: float  # swing of a leg to each side, in shoulder heights
    ear: float  # turn of the ears, rad


@dataclass(frozen=True)
class _Legs:
    """Hind leg and fore leg: joints from hip or shoulder to the hoof."""

    hind: Points
    fore: Points
    radii: tuple[float, ...]


DEER_LEGS = _Legs(
    hind=-0.44 + np.array([0.66j, 0.09 + 0.49j, -0.07 + 0.28j, -0.03 + 0.06j, 0.02], dtype=np.complex128),
    fore=0.34 + np.array([0.60j, 0.02 + 0.44j, 0.01 + 0.28j, 0.06j, 0.04], dtype=np.complex128),
    radii=(0.09, 0.06, 0.034, 0.026, 0.03),
)
BOAR_LEGS = _Legs(
    hind=-0.45 + np.array([0.42j, 0.06 + 0.30j, -0.05 + 0.18j, -0.01 + 0.04j, 0.04], dtype=np.complex128),
    fore=0.34 + np.array([0.42j, 0.01 + 0.30j, 0.20j, 0.04j, 0.04], dtype=np.complex128),
    radii=(0.12, 0.08, 0.05, 0.04, 0.045),
)


def draw_animal(
    canvas: Canvas, species: str, animal: Individual, pose: Pose, marked: float, *, by_night: bool
) -> None:
    """Draw one of the three species.

    Args:
        canvas: in the animal's coordinates.
        species: `water_deer`, `roe_deer` or `wild_boar`.
        animal: which one.
        pose: of the moment.
        marked: 0–1, size and contrast of what tells the deer apart, as a fraction of the plainest.
        by_night: its eye shines in the flash.
    """
    eye = colour(400, 400, 400) if by_night else colour(18, 14, 12)
    if species == "wild_boar":
        _draw_boar(canvas, animal, pose, eye)
    else:
        _draw_deer(canvas, animal, pose, eye, species == "roe_deer", marked)


def furred(layer: Floats, hair: Floats, scale: float) -> Floats:
    """Return the layer of an animal with light from above on its round body, and hair.

    Args:
        layer: see `Canvas.layer`.
        hair: (height, width), how much brighter the hair is than the coat, about 0.
        scale: px per shoulder height.
    """
    cover = Image.fromarray((255 * layer[..., 3]).astype(np.uint8))
    swell = np.asarray(cover.filter(ImageFilter.GaussianBlur(0.1 * scale))).astype(np.float32)
    light = 1 + np.float32(0.12 * scale / 255) * np.gradient(swell, axis=0) + hair
    shaded = layer.copy()
    shaded[..., :3] *= np.clip(light, 0.3, 1.7)[..., None]
    return shaded


def _draw_legs(canvas: Canvas, legs: _Legs, pose: Pose, coat: Colour, *, far: bool) -> None:
    """Draw the hind and the fore leg of one side; a leg is sheared, so that its hoof stays on the ground."""
    for order, leg in enumerate((legs.hind, legs.fore)):
        phase = pose.gait + np.pi * (far ^ bool(order)) + 0.6 * order
        down = 1 - leg.imag / leg[0].imag
        swing = pose.stride * np.sin(phase) * down
        lift = 0.45 * pose.stride * max(0.0, np.cos(phase)) * down**2
        joints = leg + swing + 1j * lift + far * (0.05 + 0.02j)
        canvas.limb(joints, legs.radii, coat * np.float32(0.68 if far else 1), relief=1 if far else 2, rim=0.85)
        canvas.limb(joints[-2:], legs.radii[-2:], coat * np.float32(0.4))


def _draw_deer(canvas: Canvas, animal: Individual, pose: Pose, eye: Colour, roe: bool, marked: float) -> None:
    coat = mix(colour(108, 98, 84), colour(132, 96, 66), animal.warmth) * np.float32(animal.brightness)
    _draw_legs(canvas, DEER_LEGS, pose, coat, far=True)
    body = [-0.56 + 0.74j, -0.42 + 0.77j, -0.1 + 0.72j, 0.22 + 0.71j, 0.42 + 0.77j]
    canvas.limb(body, np.array([0.13, 0.2, 0.19, 0.21, 0.15]) * animal.girth, coat, relief=4, rim=0.8)
    _draw_legs(canvas, DEER_LEGS, pose, coat, far=False)
    canvas.limb([-0.45 + 0.75j, -0.4 + 0.6j, -0.37 + 0.5j], [0.18, 0.13, 0.06], coat, relief=2)
    canvas.limb([0.34 + 0.74j, 0.34 + 0.58j], [0.14, 0.08], coat, relief=2)
    canvas.limb([-0.64 + 0.86j, -0.69 + 0.8j], [0.03, 0.015], coat)

    nape = -0.85 + 1.85 * pose.head
    withers = 0.4 + 0.72j + 0.1j * pose.head
    poll = withers + 0.45 * np.exp(1j * nape)
    forward = 0.34 * np.exp(1j * (-1.15 + 0.75 * pose.head))
    _draw_deer_ear(canvas, poll + 0.16j * forward, nape + 0.5 + pose.ear, roe, marked, coat * np.float32(0.7))
    neck = [withers, (withers + poll) / 2 + 0.09j * forward, poll]
    canvas.limb(neck, np.array([0.17, 0.12, 0.095]) * animal.girth, coat, relief=2, rim=0.92)
    _draw_deer_face(canvas, poll, forward, eye, coat)
    if marked:
        mark = _mark_roe_deer if roe else _mark_water_deer
        mark(canvas, poll, forward, animal.male, marked, coat)
    ear = poll + (-0.05 + 0.12j) * forward
    _draw_deer_ear(canvas, ear, nape + 0.95 + pose.ear, roe, marked, coat)


def _draw_deer_face(canvas: Canvas, poll: complex, forward: complex, eye: Colour, coat: Colour) -> None:
    """Draw the head from `poll` by `forward`, from the ears to the nose."""
    skull = poll + np.array([0, 0.4 + 0.04j, 0.75 - 0.02j, 1 - 0.06j]) * forward
    canvas.limb(skull, [0.09, 0.088, 0.058, 0.04], coat, relief=2, rim=0.92)
    chin = poll + np.array([0.75 - 0.16j, 0.98 - 0.14j]) * forward
    canvas.limb(chin, [0.022, 0.018], mix(coat, colour(205, 190, 165), 0.5))
    canvas.limb(poll + np.array([1.02 - 0.02j, 1.06 - 0.08j]) * forward, [0.026, 0.022], coat * np.float32(0.35))
    canvas.limb(poll + np.array([0.36 + 0.08j, 0.4 + 0.08j]) * forward, [0.026, 0.026], eye)


def _draw_deer_ear(canvas: Canvas, root: complex, angle: float, roe: bool, marked: float, ink: Colour) -> None:
    """Draw an ear: long and pointed (roe deer) or short and round (water deer), alike where `marked` is 0."""
    pointed = 0.5 + (0.5 if roe else -0.5) * marked
    joints = root + (0.19 + 0.1 * pointed) * np.array([0, 0.55, 0.9]) * np.exp(1j * angle)
    radii = np.array([0.02, 0.075 - 0.025 * pointed, 0.065 - 0.055 * pointed])
    canvas.limb(joints, radii, ink)
    canvas.limb(joints[1:] - 0.01 - 0.01j, 0.55 * radii[1:], mix(ink, colour(225, 200, 180), 0.45))


def _mark_water_deer(
    canvas: Canvas, poll: complex, forward: complex, male: bool, marked: float, coat: Colour
) -> None:
    """Draw the tusks of a male."""
    if male:
        tusk = poll + (0.74 - 0.16j + marked * np.array([0, -0.24j, -0.04 - 0.34j])) * forward
        ivory = mix(coat, colour(252, 250, 240), marked)
        canvas.limb(tusk, np.array([0.022, 0.018, 0.008]) * marked, ivory)


def _mark_roe_deer(canvas: Canvas, poll: complex, forward: complex, male: bool, marked: float, coat: Colour) -> None:
    """Draw the pale rump, the nose band and the white chin, and the antlers of a male."""
    rump = [-0.62 + 0.86j, -0.655 + 0.74j, -0.6 + 0.6j]
    pale = mix(coat, colour(250, 246, 235), marked)
    canvas.limb(rump, np.array([0.05, 0.085, 0.05]) * marked, pale, relief=2)
    band = poll + np.array([0.82 + 0.12j, 0.84 - 0.2j]) * forward
    canvas.limb(band, [0.045 * marked] * 2, mix(coat, coat * np.float32(0.35), marked))
    chin = poll + np.array([0.9 - 0.2j, 1.02 - 0.16j]) * forward
    canvas.limb(chin, [0.022 * marked] * 2, mix(coat, colour(250, 250, 250), marked))
    if not male:
        return
    horn = mix(coat, colour(70, 54, 42), marked)
    for aside, shade in ((0.05, 0.8), (0, 1)):
        beam = poll + (0.18 + 0.24j) * forward - aside + 0.3 * marked * np.array([0, -0.1 + 0.5j, 0.1 + 1j])
        tine = beam[1] + 0.3 * marked * np.array([0, 0.3 + 0.25j])
        canvas.limb(beam, np.array([0.026, 0.02, 0.01]) * marked, horn * np.float32(shade))
        canvas.limb(tine, np.array([0.018, 0.008]) * marked, horn * np.float32(shade))


def _draw_boar(canvas: Canvas, animal: Individual, pose: Pose, eye: Colour) -> None:
    coat = mix(colour(54, 49, 45), colour(70, 54, 42), animal.warmth) * np.float32(animal.brightness)
    _draw_legs(canvas, BOAR_LEGS, pose, coat, far=True)
    body = [-0.6 + 0.56j, -0.4 + 0.6j, 0.62j, 0.32 + 0.66j, 0.52 + 0.62j]
    radii = np.array([0.16, 0.25, 0.29, 0.32, 0.24]) * animal.girth
    spine, reach = limb_outline(body, radii)
    back = (spine + reach)[4 : SAMPLES_PER_SEGMENT * 4 + 1]
    for order, root in enumerate(np.concatenate([back, (back[1:] + back[:-1]) / 2])):
        tip = root - 0.07 + 0.03j + 0.04j * (order * 7 % 5) / 5
        bristle = [root - 0.03 - 0.06j, tip, root + 0.03 - 0.06j]
        canvas.polygon(bristle, coat * np.float32(0.55 + 0.1 * (order % 4)))
    canvas.limb(body, radii, coat, relief=4, rim=0.8)
    canvas.limb([-0.72 + 0.66j, -0.8 + 0.55j, -0.79 + 0.4j], [0.02, 0.014, 0.024], coat * np.float32(0.7))
    _draw_legs(canvas, BOAR_LEGS, pose, coat, far=False)
    canvas.limb([-0.42 + 0.58j, -0.4 + 0.38j], [0.2, 0.11], coat, relief=2)
    canvas.limb([0.36 + 0.6j, 0.35 + 0.38j], [0.17, 0.1], coat, relief=2)

    poll = 0.55 + 0.64j
    forward = 0.6 * np.exp(1j * (-0.95 + 0.65 * pose.head))
    for root, shade in ((0.14 + 0.3j, 0.6), (0.06 + 0.28j, 0.85)):
        ear = poll + root * forward + np.array([0, 0.12, 0.22]) * np.exp(1j * (1.6 + pose.ear))
        canvas.limb(ear, [0.05, 0.06, 0.008], coat * np.float32(shade))
    head = poll + np.array([0, 0.3, 0.6 - 0.03j, 1 - 0.06j]) * forward
    canvas.limb(head, np.array([0.24, 0.19, 0.115, 0.075]) * animal.girth, coat, relief=2, rim=0.92)
    snout = poll + np.array([1.06 + 0.03j, 1.06 - 0.14j]) * forward
    canvas.limb(snout, [0.05, 0.05], mix(coat, colour(120, 90, 80), 0.5))
    if animal.male:
        canvas.limb(poll + np.array([0.78 - 0.16j, 0.8 - 0.04j]) * forward, [0.02, 0.008], colour(235, 228, 210))
    canvas.limb(poll + np.array([0.4 + 0.12j, 0.42 + 0.12j]) * forward, [0.024, 0.024], eye)

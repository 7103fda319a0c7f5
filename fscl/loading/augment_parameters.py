"""What augmentation does to which photo: chosen for a whole batch at once, yet for each photo by its seed alone.

The statistics are torchvision's: RandomCrop or RandomResizedCrop, RandomHorizontalFlip, RandAugment and ColorJitter
of `torchvision.transforms.v2`, one after another.
"""

from collections.abc import Callable, Sequence
from math import cos, radians, sin
from typing import Any, NamedTuple

import numpy as np

from fscl.config import Augmentation, PaddedCrop
from fscl.loading.operations import OPERATIONS

IntArray = np.ndarray[Any, np.dtype[np.int64]]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]
Strengths = Sequence[float]  # of one photo, up to 6: see OPERATIONS

MOST_MAGNITUDE = 30  # of RandAugment: torchvision's 31 bins, 0 to 30
CROP = 4  # numbers that a crop takes, the last of a photo's: without one the others stay the same
CODES = {name: code for code, name in enumerate(OPERATIONS)}
JITTER = ("brightness", "contrast", "saturation", "hue")  # in the order of `Augmentation.jitter`


class Phase(NamedTuple):
    """One operation for each photo of a batch."""

    codes: IntArray  # (batch,) places in OPERATIONS
    strengths: FloatArray  # (batch, 6)


def _shear_x(share: float, size: int) -> Strengths:
    return 1, 0.3 * share, 0.3 * share * size / 2, 0, 1, 0  # about the top left corner


def _shear_y(share: float, size: int) -> Strengths:
    return 1, 0, 0, 0.3 * share, 1, 0.3 * share * size / 2


def _translate_x(share: float, size: int) -> Strengths:
    return 1, 0, -int(150 / 331 * size * share), 0, 1, 0


def _translate_y(share: float, size: int) -> Strengths:
    return 1, 0, 0, 0, 1, -int(150 / 331 * size * share)


def _rotate(share: float, size: int) -> Strengths:
    angle = radians(30 * share)  # counter-clockwise
    return cos(angle), -sin(angle), 0, sin(angle), cos(angle), 0


def _factor(share: float, size: int) -> Strengths:
    return (1 + 0.9 * share,)


def _bits(share: float, size: int) -> Strengths:
    return (round(8 - 4 * abs(share)),)


def _threshold(share: float, size: int) -> Strengths:
    return (255 * (1 - abs(share)),)


def _none(share: float, size: int) -> Strengths:
    return ()


# RandAugment's fourteen, equally likely (Cubuk et al. 2020, Fig. 2), each with its operation and its strengths: at a
# share of −1 to 1 of the greatest magnitude, for a photo of so many pixels a side.
RANDAUGMENT: dict[str, tuple[str, Callable[[float, int], Strengths]]] = {
    "Identity": ("still", _none),
    "ShearX": ("warp", _shear_x),
    "ShearY": ("warp", _shear_y),
    "TranslateX": ("warp", _translate_x),
    "TranslateY": ("warp", _translate_y),
    "Rotate": ("warp", _rotate),
    "Brightness": ("brightness", _factor),
    "Color": ("saturation", _factor),
    "Contrast": ("contrast", _factor),
    "Sharpness": ("sharpness", _factor),
    "Posterize": ("posterize", _bits),
    "Solarize": ("solarize", _threshold),
    "AutoContrast": ("autocontrast", _none),
    "Equalize": ("equalize", _none),
}


class AugmentParameters:
    """Chooses at random what photos get: a crop, a flip, RandAugment's operations, and jitter in random order.

    Args:
        settings: what is done, how likely and how strongly.
        image_size: px, both sides.

    >>> phases = AugmentParameters(Augmentation(), image_size=224)([3, 7])
    >>> len(phases), phases[0].codes.shape, phases[0].strengths.shape
    (7, (2,), (2, 6))
    """

    def __init__(self, settings: Augmentation, image_size: int) -> None:
        self.settings, self.image_size = settings, image_size
        share = settings.randaugment_magnitude / MOST_MAGNITUDE
        self.codes = np.array([CODES[operation] for operation, _ in RANDAUGMENT.values()])
        self.strengths = np.zeros((len(RANDAUGMENT), 2, 6))  # forward and backward
        for place, (_, strength) in enumerate(RANDAUGMENT.values()):
            for backward, signed in enumerate((share, -share)):
                values = strength(signed, image_size)
                self.strengths[place, backward, : len(values)] = values

    def __call__(self, seeds: Sequence[int]) -> list[Phase]:
        """Return what photos of these seeds get, ≥ 0, first things first."""
        count = self.settings.randaugment_operations
        sections = np.cumsum([1, count, count, len(JITTER)])
        sections = np.append(sections, sections[-1] + len(JITTER))
        flip, chosen, sign, order, factor, crop = np.split(uniforms(seeds, sections[-1] + CROP), sections, axis=1)
        flipped = np.where(flip[:, 0] < self.settings.flip, CODES["flip"], CODES["still"])
        places, backward = (chosen * len(RANDAUGMENT)).astype(np.int64), (sign < 0.5).astype(np.int64)
        randaugment = [
            Phase(self.codes[place], self.strengths[place, signed])
            for place, signed in zip(places.T, backward.T, strict=True)
        ]
        jitter = self._jitter(order.argsort(axis=1), factor)
        return [*self._crop(crop), Phase(flipped, np.zeros((len(seeds), 6))), *randaugment, *jitter]

    def _crop(self, share: FloatArray) -> list[Phase]:
        """Return a phase where crops are wanted; `share` (batch, 4) in [0, 1): shifts in x and y, area, ratio."""
        settings = self.settings.crop
        if settings is None:
            return []
        strengths = np.zeros((len(share), 6))
        if isinstance(settings, PaddedCrop):
            most = round(settings.padding * self.image_size)
            strengths[:, [0, 4]] = 1
            strengths[:, [2, 5]] = (share[:, :2] * (2 * most + 1)).astype(np.int64) - most
            return [Phase(np.full(len(share), CODES["warp"]), strengths)]
        area = settings.scale[0] + (settings.scale[1] - settings.scale[0]) * share[:, 2]
        ratio = np.exp(np.log(settings.ratio) * (2 * share[:, 3] - 1))
        sides = np.sqrt(area[:, None] * np.stack([ratio, 1 / ratio], axis=1)).clip(max=1)  # of the photo's
        strengths[:, [0, 4]] = sides
        strengths[:, [2, 5]] = (share[:, :2] - 0.5) * (1 - sides) * self.image_size
        return [Phase(np.full(len(share), CODES["zoom"]), strengths)]

    def _jitter(self, order: IntArray, share: FloatArray) -> list[Phase]:
        """Return four phases; `share` in [0, 1) is where between its extremes each factor lies."""
        spread = np.array(self.settings.jitter)
        middle, least = np.array([1.0, 1, 1, 0]), np.array([0, 0, 0, -0.5])
        low = np.maximum(middle - spread, least)
        factors = low + (middle + spread - low) * share
        codes = np.array([CODES[name] if s else CODES["still"] for name, s in zip(JITTER, spread, strict=True)])
        everyone, phases = np.arange(len(order)), []
        for places in order.T:
            strengths = np.zeros((len(order), 6))
            strengths[:, 0] = factors[everyone, places]
            phases.append(Phase(codes[places], strengths))
        return phases


def uniforms(seeds: Sequence[int], count: int) -> FloatArray:
    """Return (seeds, count) numbers in [0, 1), those of a seed in a row: SplitMix64 (Steele, Lea and Flood 2014).

    A generator object for each photo would take longer than to augment it.
    """
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits = np.asarray(seeds, dtype=np.uint64)[:, None] + steps
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    uniform: FloatArray = ((bits ^ (bits >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
    return uniform

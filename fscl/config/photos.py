"""Settings of photos: how they become the model's input, are changed at random, split and thinned."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Strength = Annotated[float, Field(ge=0)]
Triple = tuple[float, float, float]
# More than these is a slip of the keyboard, and ends in a lack of memory or in numbers that no array holds.
MOST_PX, MOST_PHOTOS, MOST_STEPS, MOST_WORKERS, MOST_SEED = 4096, 10**6, 10**9, 256, 2**63 - 1
IMAGENET_MEAN: Triple = (
    0.485,
    0.456,
    0.406,
)  # what timm's and torchvision's ImageNet weights were trained with
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


class Section(BaseModel):
    """A part of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Preprocessing(Section):
    """What turns a photo into the model's input: the same in training, evaluation and prediction."""

    image_size: Annotated[int, Field(ge=16, le=MOST_PX)] = 224  # px, both sides: the region is resized to a square
    crop_margin: Annotated[float, Field(ge=0, le=2)] = 0.1  # of the box's longer side, added on each side
    mean: Triple = IMAGENET_MEAN
    std: tuple[Positive, Positive, Positive] = IMAGENET_STD
    interpolation: Literal["bilinear", "bicubic"] | None = None  # of the resizing; None: bilinear

    @property
    def resampling(self) -> Literal["bilinear", "bicubic"]:
        """How photos are resized."""
        return self.interpolation or "bilinear"

    @property
    def inputs(self) -> str:
        """What the model sees, in words.

        >>> Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bicubic").inputs
        'inputs −1 … 1, 224 px, bicubic'
        >>> Preprocessing(image_size=64).inputs
        "inputs by ImageNet's mean and deviation, 64 px, bilinear"
        """
        if (self.mean, self.std) == (IMAGENET_MEAN, IMAGENET_STD):
            values = "by ImageNet's mean and deviation"
        elif len(set(self.mean)) == len(set(self.std)) == 1:
            least, most = (0.0 - self.mean[0]) / self.std[0], (1 - self.mean[0]) / self.std[0]
            values = f"{least:.3g} … {most:.3g}".replace("-", "−")
        else:
            values = f"by mean {_listed(self.mean)} and deviation {_listed(self.std)}"
        return f"inputs {values}, {self.image_size} px, {self.resampling}"


def _listed(values: Triple) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


class PaddedCrop(Section):
    """The photo moved by up to `padding` of its side in each direction, black where nothing is (He et al. 2016)."""

    name: Literal["padded"]
    padding: Annotated[float, Field(gt=0, le=1)] = 0.125  # 4 of 32 px


class ResizedCrop(Section):
    """A part of the photo, enlarged to the whole: Inception's random resized crop."""

    name: Literal["resized"]
    scale: tuple[Share, Share] = (0.2, 1.0)  # least and greatest share of the photo's area
    ratio: Annotated[float, Field(ge=1, le=4)] = 4 / 3  # of width to height at most, and of height to width

    @model_validator(mode="after")
    def _ordered(self) -> "ResizedCrop":
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale goes from the least to the greatest share, got {self.scale[0]}, {self.scale[1]}")
        return self


class Augmentation(Section):
    """Crop, RandAugment, flip and colour jitter of training photos; the study has all but the crop."""

    crop: Annotated[PaddedCrop | ResizedCrop, Field(discriminator="name")] | None = None
    classes: Literal["all", "minority"] = "all"
    flip: Annotated[float, Field(ge=0, le=1)] = 0.5  # probability
    randaugment_operations: Annotated[int, Field(ge=0, le=100)] = 2  # N of Cubuk et al. 2020; 0 turns it off
    randaugment_magnitude: Annotated[int, Field(ge=0, le=30)] = 9  # M of Cubuk et al. 2020
    jitter: tuple[Strength, Strength, Strength, Annotated[float, Field(ge=0, le=0.5)]] = (0.4, 0.4, 0.4, 0.1)
    """Of brightness, contrast and saturation (a factor of 1 ± strength) and hue (a shift, of the colour circle)."""
    feature_views: Annotated[int, Field(ge=1, le=64)] | None = None
    """On a frozen backbone: how many augmented views of each training photo are seen beside it; always the same."""


class Split(Section):
    """How photos are divided into train, val and test where the source does not say."""

    by: Literal["photo", "sequence", "site", "time"] | None = None  # None: by sequence where known, else by photo
    val_fraction: Fraction = 0.15
    test_fraction: Fraction = 0.15
    strict: bool = False  # a class that cannot be split is an error, not "not evaluable"


class Imbalance(Section):
    """Who is rare, and thinning: to majority : minority = 1 : ratio, to a long tail, or not at all."""

    minority: tuple[str, ...] = ()  # empty: the class with the fewest training regions, or a long tail's end
    ratio: Annotated[float, Field(gt=0, le=1)] | None = None
    imbalance: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """Of a long tail (exponential, Cao et al. 2019): largest class : smallest class."""
    base: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None
    """Training regions of a majority class, or of a long tail's first."""
    thin_validation: bool = True

    @model_validator(mode="after")
    def _one_thinning(self) -> "Imbalance":
        if self.imbalance is not None and self.ratio is not None:
            raise ValueError("a ratio and an imbalance both say how photos are thinned: give one of them")
        if self.base is not None and self.ratio is None and self.imbalance is None:
            raise ValueError("base is for thinning: give a ratio with it, e.g. 0.1, or an imbalance, e.g. 100")
        return self

"""Settings that the command line may set, and the defaults that help shows beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, Token, convert
from cyclopts.validators import Number

if TYPE_CHECKING:
    from fscl.config import Config
    from fscl.formats.reading import Reading

Several = Parameter(consume_multiple=True, negative=())
On = Parameter(negative=())  # a switch without a --no- form


def _whole(kind: Any, tokens: Sequence[Token]) -> Any:
    """Convert as cyclopts does, but for 5.7, which it would round."""
    for token in tokens:
        if "." in token.value:
            raise ValueError(f"{token.keyword} takes a whole number, got {token.value}")
    return convert(kind, tokens)


Whole = Parameter(converter=_whole)
Jobs = Annotated[int | None, Whole, Parameter(validator=Number(gte=1))]
Seed = Annotated[int, Whole, Parameter(validator=Number(gte=0, lt=2**63))]
OF_TRAINING = ("epochs", "steps", "batch_size", "learning_rate", "weight_decay", "layers", "weight", "keep")
By = Literal["photo", "sequence", "site", "time"]
Gap = Annotated[float | None, Parameter(show_default=lambda _: _usual_gap())]


def default_of(name: str) -> Parameter:
    """Let help show what the configuration holds where the flag is not given; read when help is asked for."""

    def shown(_: object) -> str:
        from fscl.config import default

        value = default(name)
        if isinstance(value, bool):
            return "yes" if value else "no"
        return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

    return Parameter(show_default=shown)


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Settings that override the recipe and --config; those not given stay as they are.

    Attributes:
        config: a TOML file of settings; flags override it
        epochs: passes over the training photos
        steps: training steps, in place of epochs
        batch_size: photos per step
        learning_rate: at its highest; it falls along a cosine unless a recipe or --config has another schedule
        weight_decay: of the optimizer, Adam unless a recipe or --config names another
        image_size: px, both sides
        crop_margin: around a box, as a fraction of its longer side
        backbone: a timm model name, or cifar_resnet32
        layers: stages whose features the similarity term sees, indices or names: --layers=-2,-1
        weight: of the similarity term
        pretrained: start from timm's published weights; needs the network once
        weights: start from published weights (lite0, lite1, lite2: no network), or from a local file of weights
        frozen: leave the backbone as it is and train the head alone, on features that are computed once
        base: training regions (boxes, or photos without) of each common class, or of a long tail's first class
        by: what never crosses from training to test: photo, sequence or site; or time: train before, test after
        val_fraction: of each class for validation, where the photos have no split
        test_fraction: of each class for test, where the photos have no split
        strict: a class that cannot be split is an error
        keep: the epoch to keep, last or best on validation
        workers: processes that read photos
        store: decode photos once, onto the disk (where they are read more than once)
        thin_validation: thin validation photos like training photos
        tensorboard: write TensorBoard files too
    """

    config: Path | None = None
    epochs: Annotated[int | None, Whole, default_of("epochs")] = None
    steps: Annotated[int | None, Whole] = None
    batch_size: Annotated[int | None, Whole, default_of("batch_size")] = None
    learning_rate: Annotated[float | None, default_of("learning_rate")] = None
    weight_decay: Annotated[float | None, default_of("weight_decay")] = None
    image_size: Annotated[int | None, Whole, default_of("image_size")] = None
    crop_margin: Annotated[float | None, default_of("crop_margin")] = None
    backbone: Annotated[str | None, default_of("backbone")] = None
    layers: Annotated[str | None, Parameter(allow_leading_hyphen=True), default_of("layers")] = None
    weight: Annotated[float | None, default_of("weight")] = None
    pretrained: Annotated[bool | None, On] = None
    weights: str | None = None
    frozen: Annotated[bool | None, On] = None
    base: Annotated[int | None, Whole] = None
    by: By | None = None
    val_fraction: Annotated[float | None, default_of("val_fraction")] = None
    test_fraction: Annotated[float | None, default_of("test_fraction")] = None
    strict: Annotated[bool | None, On] = None
    keep: Annotated[Literal["last", "best"] | None, default_of("keep")] = None
    workers: Annotated[int | None, Whole] = None
    store: bool | None = None
    thin_validation: Annotated[bool | None, default_of("thin_validation")] = None
    tensorboard: Annotated[bool | None, On] = None

    def resolve(self, method: str, **more: Any) -> "Config":
        """Return the configuration of a method under these flags, and `more` of them."""
        from fscl import methods

        return self.laid_over(f"recipe '{method}'", methods.read(method), **more)

    @property
    def names_method(self) -> bool:
        """Whether --config is a whole recipe, such as the config.toml of a run, that needs none below it."""
        from fscl import methods

        return self.config is not None and "method" in methods.read_toml(self.config)

    def of_training(self) -> list[str]:
        """Return the flags given that say how a model is trained step by step."""
        return [f"--{name.replace('_', '-')}" for name in OF_TRAINING if getattr(self, name) is not None]

    def laid_over(self, origin: str, below: Mapping[str, Any], **more: Any) -> "Config":
        """Return the configuration that these flags, and `more` of them, make of settings from `origin`."""
        from fscl import config, methods

        flags = {k: v for k, v in asdict(self).items() if k not in ("config", "weight", "layers")} | more
        if self.layers is not None:
            flags["layers"] = [_stage(name.strip()) for name in self.layers.split(",")]
        layers = [(origin, below)]
        if self.config is not None:
            layers.append((str(self.config), methods.read_toml(self.config)))
        resolved = config.resolve([*layers, ("command line", config.settings(flags))])
        return resolved if self.weight is None else config.with_weight(resolved, self.weight)

    def resolve_all(self, methods: Sequence[str]) -> dict[str, "Config"]:
        """Return the configurations of several methods, by the names that their recipes give."""
        from fscl import config

        common = replace(self, weight=None, base=None)  # the weight not of every method, the base of the cells
        return config.alongside([common.resolve(name) for name in methods], self.weight)


Settings = Annotated[Flags, Parameter(name="*")]
NO_SETTINGS = Flags()


@dataclass(frozen=True, kw_only=True)
class ReadingFlags:
    """What a source does not say itself.

    Attributes:
        root: folder that the photos of a manifest or table are in now, if they have moved
        layout: what the folders from the source on mean: class, site/class, split/site/class; - is any folder
        box_unit: of the boxes of a table (pixels, or fractions where nearly all are)
        box_frame: boxes were drawn on the pixels as stored, or on the photo upright as EXIF turns it (stored)
        date_order: of dates in a table that do not begin with the year, which are left out otherwise
        zip_encoding: of names in zips that do not say theirs, e.g. cp949 (what suits all of them best)
        source_format: what the source is in, e.g. coco, camtrap_dp, megadetector (as its content shows)
        blanks: photos without an animal are a class, blank (they are left out)
        detections: results of MegaDetector for these photos: each animal is cropped and taken by itself (none)
        detection_confidence: of a detector's boxes; those below are left out (0.3; to predict 0.2)
        frames_per_second: that are taken of a video (1, or all that a detector looked at)
        site_from: take the camera that EXIF names as the site, where the source has none (no)
    """

    root: Path | None = None
    layout: str | None = None
    box_unit: Literal["pixel", "fraction", "percent"] | None = None
    box_frame: Literal["stored", "upright"] | None = None
    date_order: Literal["dmy", "mdy", "ymd"] | None = None
    zip_encoding: str | None = None
    source_format: str | None = None
    blanks: Annotated[bool, On] = False
    detections: Path | None = None
    detection_confidence: Annotated[float | None, Parameter(validator=Number(gte=0, lte=1))] = None
    frames_per_second: Annotated[float | None, Parameter(alias="--fps", validator=Number(gt=0, lte=1000))] = None
    site_from: Literal["camera"] | None = None

    def reading(self) -> "Reading":
        """Return what the readers of formats are told."""
        from fscl.formats.reading import Reading

        return Reading(**asdict(self))


Source = Annotated[ReadingFlags, Parameter(name="*")]
NOTHING_SAID = ReadingFlags()


def _usual_gap() -> str:
    from fscl.scanning.sequences import GAP_S

    return f"{GAP_S:g}"


def _stage(name: str) -> int | str:
    try:
        return int(name)
    except ValueError:
        return name

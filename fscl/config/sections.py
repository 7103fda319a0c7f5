"""Everything that can be set, in sections, with the defaults: one frozen `Config`. Validation touches no disk."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, field_validator, model_validator

from fscl.config.photos import (
    MOST_PHOTOS,
    MOST_SEED,
    MOST_STEPS,
    MOST_WORKERS,
    Augmentation,
    Fraction,
    Imbalance,
    Preprocessing,
    Section,
    Share,
    Split,
)
from fscl.errors import shown
from fscl.published import PACKAGES

STUDY_EPOCHS = 100
SIMILARITY = "feature_similarity"  # the study's term, which --weight is about
ORIGINS = ("pretrained", "weights", "bundle")  # settings of [model] that say where its weights start from
BOOKKEEPING = {"workers", "store", "checkpoint_seconds", "tensorboard"}  # settings that do not change the weights


class Method(Section):
    """What a recipe is called and where it comes from."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    title: str
    summary: str
    source: str


class Component(Section):
    """An entry of a table (`LOSSES`, `SAMPLERS`) with its options; `MODULE:NAME` is one of the user's own."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("options")
    @classmethod
    def _finite(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name, value in options.items():
            for one in _leaves(value):
                if isinstance(one, float) and not isfinite(one):
                    raise ValueError(f"{name} must be a finite number, got {one}")
                if not isinstance(one, str | int | float):
                    raise ValueError(f"{name} must be a number, a text, true or false, got {shown(one)}")
        return options


def _leaves(value: Any) -> Iterator[Any]:
    """The values in lists and tables, at any depth."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else None
    if inner is None:
        yield value
    else:
        for one in inner:
            yield from _leaves(one)


class LossTerm(Component):
    """One term of the objective: weight · loss."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    ramp: Annotated[float, Field(ge=0, le=1)] = 0.0  # share of the stage in which the weight climbs from 0


class MixingSettings(Component):
    """How photos of a batch are mixed with others: those of the batch itself, shuffled, or drawn for it."""

    partners: Component | None = None  # the sampler of those others
    start: Fraction | None = None  # of the stage: before this share of it nothing is mixed
    stop: Share | None = None  # nor after this one

    @model_validator(mode="after")
    def _ordered(self) -> "MixingSettings":
        if (self.start or 0) >= (self.stop or 1):
            raise ValueError(f"start must be before stop, got {self.start} and {self.stop}")
        return self


Part = Literal["backbone", "head", "norm_statistics"]


class Stage(Section):
    """A stretch of training with its own objective and sampler."""

    loss: Annotated[tuple[LossTerm, ...], Field(min_length=1)]
    sampler: Component = Component(name="natural")
    mixing: MixingSettings | None = None
    views: Annotated[int, Field(ge=1, le=16)] = 1  # of each drawn photo, augmented one by one
    share: Annotated[float, Field(gt=0)] = 1.0  # of the run's steps, relative to the other stages
    trainable: Annotated[tuple[Part, ...], Field(min_length=1)] = ("backbone", "head", "norm_statistics")
    unfreeze: Annotated[int, Field(ge=1, le=1000)] | None = None  # of the backbone's stages, the last; None: all
    head: Literal["keep", "fresh"] = "keep"
    schedule: Literal["continue", "restart"] = "continue"  # of the learning rate, and the optimizer's memory

    @model_validator(mode="after")
    def _every_loss_once(self) -> "Stage":
        names = [term.name for term in self.loss]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"has the loss '{twice}' {names.count(twice)} times; expected it once: sum the weights")
        return self

    @field_validator("trainable")
    @classmethod
    def _something_learns(cls, trainable: tuple[Part, ...]) -> tuple[Part, ...]:
        if not {"backbone", "head"} & set(trainable):
            raise ValueError("needs 'backbone' or 'head': running statistics alone learn nothing")
        return trainable

    @model_validator(mode="after")
    def _unfrozen_in_part(self) -> "Stage":
        if self.unfreeze is not None and "backbone" not in self.trainable:
            raise ValueError(
                f"unfreeze = {self.unfreeze} lets the last stages of the backbone learn, and trainable is without "
                "it: add 'backbone', or leave unfreeze out"
            )
        return self


class Model(Section):
    """The backbone, where its weights come from, and the layers whose features the losses see."""

    backbone: str = "resnet18"
    head: Component | None = None  # None: the linear layer that the backbone comes with
    layers: Annotated[tuple[int | str, ...], Field(min_length=1)] = (-2, -1)
    pretrained: bool = False
    weights: str | None = None  # a name of `PACKAGES`, or a local file of backbone weights
    bundle: str | None = None  # an earlier run's folder to start from
    frozen: bool | None = None  # the backbone stays as it is: only the head learns, on features computed once

    @model_validator(mode="after")
    def _one_origin(self) -> "Model":
        origins = [name for name in ORIGINS if getattr(self, name)]
        if len(origins) > 1:
            raise ValueError(f"the weights can start from one place, got {' and '.join(origins)}")
        package = PACKAGES.get(self.weights or "")
        if package is not None and self.backbone != package.backbone:
            raise ValueError(
                f"weights '{self.weights}' are of backbone '{package.backbone}', got '{self.backbone}': leave the "
                "backbone out, or give weights of its own, a file or --pretrained; from scratch: --method fscl"
            )
        return self


class Optimizer(Section):
    """Adam, AdamW (its decay apart from the gradient) or SGD with momentum."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: Fraction | None = None  # of SGD; 0.9 where it is left out
    nesterov: bool = False  # SGD's

    @model_validator(mode="after")
    def _of_sgd(self) -> "Optimizer":
        if self.name != "sgd" and (self.momentum is not None or self.nesterov):
            raise ValueError(f"momentum and nesterov are options of sgd, not of {self.name}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum > 0, e.g. 0.9")
        return self


class Schedule(Section):
    """How the learning rate goes over the run, or from one restart to the next: shares of that stretch."""

    name: Literal["cosine", "step", "constant"] = "cosine"
    warmup: Fraction = 0.0  # the share in which it climbs from 0, of the first stretch
    at: tuple[Share, ...] = (0.8, 0.9)  # of step: where it drops
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1  # of step: what each drop multiplies it by


class Training(Section):
    """Length, optimizer and bookkeeping of the loop."""

    epochs: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None  # 100 where steps are not given either
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None
    batch_size: Annotated[int, Field(ge=2, le=MOST_PHOTOS)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    depth_decay: Share | None = None  # what each stage away from the head multiplies the learning rate by; None: 1
    average: Annotated[float, Field(gt=0, lt=1)] | None = None  # of the weights over steps: decay; None: no average
    optimizer: Optimizer | None = None  # None: Adam
    schedule: Schedule | None = None  # None: a cosine from 1 to 0
    keep: Literal["last", "best"] = "last"  # epoch; best = lowest balanced log-loss on validation
    workers: Annotated[int, Field(ge=0, le=MOST_WORKERS)] | None = (
        None  # that read photos; None: as the machine has it
    )
    store: bool | None = None  # decode photos once, onto the disk; None: where they are read more than once
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 60.0
    tensorboard: bool = False

    def length(self, batches_per_epoch: int) -> int:
        """Return the steps of a run: as given, or those of the epochs, 100 by default as in the study."""
        return self.steps or (self.epochs or STUDY_EPOCHS) * batches_per_epoch


class Config(Section):
    """Everything that decides a run besides the photos."""

    seed: Annotated[int, Field(ge=0, le=MOST_SEED)] = 0
    classes: tuple[str, ...] = ()  # those to tell apart; empty: all that the photos show
    method: Method
    stage: tuple[Stage, ...] = ()  # none: the head is fitted at once
    posthoc: Component | None = None  # what is done to the head when training is over
    model: Model = Model()
    preprocessing: Preprocessing = Preprocessing()
    augmentation: Augmentation = Augmentation()
    split: Split = Split()
    imbalance: Imbalance = Imbalance()
    training: Training = Training()

    @model_validator(mode="after")
    def _posthoc_keeps_last(self) -> "Config":
        if self.posthoc is not None and self.training.keep != "last":
            raise ValueError(f"posthoc '{self.posthoc.name}' corrects the last epoch: set training.keep = \"last\"")
        if self.posthoc is not None and self.posthoc.name == "branches" and len(self.stage) < 2:
            raise ValueError("posthoc 'branches' joins the heads of two stages: give a second [[stage]]")
        return self

    @model_validator(mode="after")
    def _views_of_a_frozen_backbone(self) -> "Config":
        if self.augmentation.feature_views is not None and not (self.frozen or self.model.frozen):
            raise ValueError(
                "augmentation.feature_views is for a backbone that stays as it is; one that learns sees a photo in "
                "another view each time: leave it out, or set model.frozen = true"
            )
        return self

    @model_validator(mode="after")
    def _can_be_written(self) -> "Config":
        try:
            json.dumps(self.record(), ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            letters = shown(error.object[error.start : error.end])
            raise ValueError(f"a name is not UTF-8, it has {letters}: rename it") from None
        return self

    @property
    def frozen(self) -> bool:
        """Whether nothing of the backbone changes in any stage, so that a photo's features stay the same."""
        return all(set(stage.trainable) == {"head"} for stage in self.stage)

    def toml(self) -> str:
        """Return the configuration as TOML: `resolve` of it gives the same configuration again."""
        return tomli_w.dumps(self.record())

    def record(self) -> dict[str, Any]:
        """Return the configuration as JSON types, unset entries left out."""
        return self.model_dump(mode="json", exclude_none=True)

    def sha256(self) -> str:
        """Return a fingerprint of what decides the outcome, 64 hexadecimal digits; `BOOKKEEPING` is left out."""
        outcome = self.record()
        outcome["training"] = {k: v for k, v in outcome["training"].items() if k not in BOOKKEEPING}
        if self.imbalance.imbalance is not None:  # as in fingerprints of earlier releases, which studies hold
            outcome["imbalance"]["profile"] = "exp"
        return hashlib.sha256(json.dumps(outcome, sort_keys=True).encode()).hexdigest()

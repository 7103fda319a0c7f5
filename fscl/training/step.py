"""A step of a run and its photos, and the stage of the recipe that it is of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fscl import processes
from fscl.batch_share import BatchShare
from fscl.config import Stage
from fscl.loading.batches import Order
from fscl.loading.loader import Batch
from fscl.loading.mixing import Mixing
from fscl.loading.regions import Failure
from fscl.loading.samplers import Sampler
from fscl.losses import Objective

MIXING = 2  # tells what mixing draws at random from the order of photos


@dataclass(frozen=True)
class RunStage:
    """A stretch of the run, from after `start` steps to `stop`, and what is done in it."""

    number: int  # its place in the recipe, counted from 0
    settings: Stage  # what the recipe says of it
    start: int
    stop: int
    sampler: Sampler
    objective: Objective
    mixing: Mixing | None
    partners: Sampler | None  # of photos drawn to be mixed in; None mixes those of a batch among themselves

    def mixes(self, step: int) -> bool:
        """Whether photos of this step, counted from 1, are mixed."""
        settings = self.settings.mixing
        return settings is not None and (settings.start or 0) <= self.progress(step) < (settings.stop or 1)

    def progress(self, step: int) -> float:
        """Return the share of the stage that is done before a step; steps are counted from 1."""
        return (step - 1 - self.start) / (self.stop - self.start)


class Step(NamedTuple):
    """A step of the run, counted from 1, and its photos."""

    number: int
    stage: RunStage
    batch: Batch  # what of it this process has
    partners: Batch | None  # photos to be mixed in, where they are read for that
    share: BatchShare  # which of the whole batch they are

    @property
    def failures(self) -> list[Failure]:
        """Photos that could not be read, those to be mixed in included."""
        return [*self.batch.failures, *(self.partners.failures if self.partners else [])]

    @property
    def exhausted(self) -> str:
        """Why a class has no photo left that can be read; empty where all is well."""
        return self.batch.exhausted or (self.partners.exhausted if self.partners else "")

    def mixed(
        self, device: torch.device, seed: int
    ) -> tuple[Float[Tensor, "batch 3 size size"], Int[Tensor, "batch"] | Float[Tensor, "batch classes"]]:
        """Return photos and labels on the device, mixed where the recipe says so, as the seed decides."""
        photos, labels = self.batch.on(device)
        if self.stage.mixing is None or not self.stage.mixes(self.number):
            return photos, labels
        generator = _mixing_generator(seed, self.number)
        order = None if self.stage.partners else generator.permutation(self.share.size)
        if self.partners is not None:
            partners, partner_labels = self.partners.on(device)
        else:  # this process has them all
            places = torch.from_numpy(order).to(device)
            partners, partner_labels = photos[places], labels[places]
        return self.stage.mixing(photos, labels, partners, partner_labels, generator)


class StepReport(NamedTuple):
    """What the processes have to tell each other of a step before they take it."""

    failures: Sequence[Failure] = ()  # photos that could not be read
    exhausted: str = ""  # why a class has no photo left that can be read
    stop: bool = False  # whether the run shall be stopped

    @classmethod
    def of(cls, step: Step, *, stop: bool) -> "StepReport":
        """Return the report of all processes; each of them has to ask."""
        own = cls(step.failures, step.exhausted, stop)
        if not processes.any_of(own != cls([])):
            return own
        told = processes.gathered(own)
        return cls(
            [failure for report in told for failure in report.failures],
            next(filter(None, (report.exhausted for report in told)), ""),
            any(report.stop for report in told),
        )


def shuffled(seed: int) -> Order:
    """Return the order in which photos of a batch are mixed in, for a process that has a share of them alone."""
    return lambda step, samples: _mixing_generator(seed, step + 1).permutation(samples)


def _mixing_generator(seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, number, MIXING])

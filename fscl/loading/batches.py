"""Which photos make up each batch: resumable, and shared by processes without overlap."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from torch.utils import data

from fscl.batch_share import BatchShare
from fscl.errors import ConfigurationError
from fscl.loading.samplers import IntArray, Sampler

SeedArray = np.ndarray[tuple[int, int], np.dtype[np.int64]]
Order = Callable[[int, int], IntArray]


class Sample(NamedTuple):
    """One photo of a batch: its row in the table, and the seed of everything random done to it."""

    row: int
    seed: int


class Batches(data.Sampler[list[Sample]]):
    """The batches of a training run from one step to another, for a DataLoader's `batch_sampler`.

    The seed of a photo depends on (seed, epoch, place in the epoch) alone: resuming, the number of worker
    processes and the number of training processes change neither the photos nor what is done to them.

    Args:
        sampler: the order within an epoch.
        start, stop: steps, counted from 0 over all epochs; `start` is where a resumed run goes on.
        views: samples of each photo, side by side, each with a seed of its own.
        order: gives for a step, counted from 0, and a number of samples the order in which they are taken; None: as
            they come.
        rank, world_size: this training process and how many there are; each gets its share of every batch.

    Raises:
        ConfigurationError: batches too small to give every process two photos, or two views of one, for BatchNorm.
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        start: int,
        stop: int,
        views: int = 1,
        order: Order | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        smallest = len(sampler.labels) // sampler.batches_per_epoch
        if smallest // world_size * views < 2:
            raise ConfigurationError(
                f"{world_size} processes need 2 photos or views each of a batch, got {smallest} photos; raise "
                "--batch-size, which is that of all together, or start fewer processes"
            )
        self.sampler = sampler
        self.start, self.stop = start, stop
        self.views = views
        self.order = order
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[Sample]]:
        step = self.start
        while step < self.stop:
            epoch, first = divmod(step, self.sampler.batches_per_epoch)
            for batch, seeds in self._epoch(epoch)[first : first + self.stop - step]:
                yield self._share(step, batch, seeds)
                step += 1

    def share(self, step: int) -> BatchShare:
        """Return which samples of a step, counted from 0, this process has."""
        photos, larger = divmod(len(self.sampler.labels), self.sampler.batches_per_epoch)
        photos += step % self.sampler.batches_per_epoch < larger
        return BatchShare(photos, self.views, self.rank, self.world_size)

    def _epoch(self, epoch: int) -> list[tuple[IntArray, SeedArray]]:
        """Return the rows of each batch, and a seed for each view of each."""
        batches = self.sampler.batches(epoch)
        shape = (len(self.sampler.labels), self.views)
        seeds = np.random.default_rng([self.sampler.seed, epoch, 1]).integers(2**63, size=shape)
        starts = np.cumsum([0, *map(len, batches)])
        return [(batch, seeds[start : start + len(batch)]) for batch, start in zip(batches, starts, strict=False)]

    def _share(self, step: int, batch: IntArray, seeds: SeedArray) -> list[Sample]:
        """Return the samples of a batch that this process takes."""
        places = np.arange(seeds.size) if self.order is None else self.order(step, seeds.size)
        own = self.share(step).of(places)
        return [Sample(int(batch[place // self.views]), int(seeds.flat[place])) for place in own.tolist()]

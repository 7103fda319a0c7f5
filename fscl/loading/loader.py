"""Photos read, cropped, augmented and stacked: the batches of training and of inference."""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from fscl.config import Augmentation, Preprocessing
from fscl.images import UnreadableError
from fscl.loading.augment import RandomAugmentation
from fscl.loading.batches import Batches, Sample
from fscl.loading.operations import Photos
from fscl.loading.regions import Failure, Pixels, Regions, model_input, stacked

T = TypeVar("T")


class Batch(NamedTuple):
    """Photos as the model's input; `rows` are their places in the table."""

    photos: Float[Tensor, "batch 3 size size"]
    labels: Int[Tensor, "batch"]
    rows: list[int]
    failures: list[Failure]
    exhausted: str = ""  # in training: why a class has no photo left that can be read, so that training must end

    def on(self, device: torch.device) -> tuple[Float[Tensor, "batch 3 size size"], Int[Tensor, "batch"]]:
        """Return photos and labels on a device; the host does not wait for them."""
        return self.photos.to(device, non_blocking=True), self.labels.to(device, non_blocking=True)


class ReadResult(NamedTuple, Generic[T]):
    """A photo as it was read, or another of its class in its place; and those that could not be read."""

    photo: T | None
    failures: list[Failure]


class TrainingPhotos(Dataset[Batch]):
    """Batches of augmented photos, by samples. An unreadable one is replaced by the next readable one of its class.

    Where there is none, the batch says so: an error raised here would leave a worker process as a traceback.

    Args:
        regions: labelled, every label ≥ 0.
        preprocessing: shared with evaluation and prediction.
        settings: what is done at random.
        minority: the rare classes, for `settings.classes = "minority"`.
    """

    def __init__(
        self, regions: Regions, preprocessing: Preprocessing, settings: Augmentation, minority: Sequence[int]
    ) -> None:
        self.regions = regions
        self.preprocessing = preprocessing
        self.augment = RandomAugmentation(settings, preprocessing.image_size)
        everyone = settings.classes == "all"
        self.augmented_classes = frozenset(regions.labels.tolist() if everyone else minority)

    def __getitem__(self, samples: Sequence[Sample]) -> Batch:
        results = [self.readable(sample.row, self._resized) for sample in samples]
        photos = [photo for photo, _ in results if photo is not None]
        return self.batch(samples, results, stacked(photos, self.preprocessing))

    def readable(self, row: int, read: Callable[[int], T]) -> ReadResult[T]:
        """Return what `read` makes of the row, or of the next one of its class that can be read."""
        failures: list[Failure] = []
        for candidate in self._with_others_of_its_class(row):
            try:
                return ReadResult(read(candidate), failures)
            except UnreadableError as error:
                failures.append(Failure(candidate, str(error)))
        return ReadResult(None, failures)

    def batch(self, samples: Sequence[Sample], results: Sequence[ReadResult[T]], photos: Photos) -> Batch:
        """Augment the photos: those of the samples for which one was read, in that order."""
        kept = [sample for sample, (photo, _) in zip(samples, results, strict=True) if photo is not None]
        labels = self.regions.labels[[sample.row for sample in kept]]
        varied = [i for i, label in enumerate(labels) if label in self.augmented_classes]
        if len(varied) == len(kept) and varied:
            photos = self.augment(photos, [sample.seed for sample in kept])
        elif varied:
            photos[varied] = self.augment(photos[varied], [kept[i].seed for i in varied])
        return Batch(
            photos=model_input(photos, self.preprocessing),
            labels=torch.from_numpy(labels).to(photos.device),
            rows=[sample.row for sample in kept],
            failures=[failure for _, failures in results for failure in failures],
            exhausted="" if len(kept) == len(samples) else self.exhausted(results),
        )

    def _resized(self, row: int) -> Pixels:
        return self.regions.resized(row, self.preprocessing)

    def exhausted(self, results: Sequence[ReadResult[T]]) -> str:
        """Say that a class has no photo left, and why the first one could not be read."""
        first = next(failures[0] for photo, failures in results if photo is None)
        reason = f"{self.regions.name(first.row)}: {first.reason}; is the folder still there?"
        return f"no photo of a class can be read any more; first {reason}"

    def _with_others_of_its_class(self, row: int) -> Iterator[int]:
        yield row
        members = np.flatnonzero(self.regions.labels == self.regions.labels[row])
        yield from np.roll(members, -int(np.searchsorted(members, row)))[1:].tolist()


class InferencePhotos(Dataset[Batch]):
    """Batches of photos by rows, as the model's input; unreadable ones are listed in their batch's failures."""

    def __init__(self, regions: Regions, preprocessing: Preprocessing) -> None:
        self.regions = regions
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.regions)

    def __getitem__(self, rows: Sequence[int]) -> Batch:
        photos: list[Pixels] = []
        read: list[int] = []
        failures: list[Failure] = []
        for row in rows:
            try:
                photos.append(self._resized(row))
                read.append(row)
            except UnreadableError as error:
                failures.append(Failure(row, str(error)))
        return Batch(
            photos=model_input(self._changed(stacked(photos, self.preprocessing), read), self.preprocessing),
            labels=torch.from_numpy(self.regions.labels[read]),
            rows=read,
            failures=failures,
        )

    def _resized(self, row: int) -> Pixels:
        return self.regions.resized(row, self.preprocessing)

    def _changed(self, photos: Photos, rows: Sequence[int]) -> Photos:
        return photos


class PhotoViews(InferencePhotos):
    """The same, with augmented views among the rows; a photo is read once for rows of it that follow each other.

    Args:
        regions: the photo of each row.
        preprocessing: shared with evaluation and prediction.
        settings: what is done at random.
        seeds: of each row's view; None: the plain photo.
    """

    def __init__(
        self,
        regions: Regions,
        preprocessing: Preprocessing,
        settings: Augmentation,
        seeds: Sequence[int | None],
    ) -> None:
        super().__init__(regions, preprocessing)
        self.augment = RandomAugmentation(settings, preprocessing.image_size)
        self.seeds = seeds
        self._latest: tuple[Any, Pixels] | None = None

    def _resized(self, row: int) -> Pixels:
        photo = self.regions.photos[row], self.regions.boxes[row].tobytes()
        if self._latest is None or self._latest[0] != photo:
            self._latest = photo, super()._resized(row)
        return self._latest[1]

    def _changed(self, photos: Photos, rows: Sequence[int]) -> Photos:
        seeds = [(place, seed) for place, row in enumerate(rows) if (seed := self.seeds[row]) is not None]
        if seeds:
            varied = [place for place, _ in seeds]
            photos = photos.clone()
            photos[varied] = self.augment(photos[varied], [seed for _, seed in seeds])
        return photos


def training_loader(photos: TrainingPhotos, batches: Batches, *, workers: int) -> DataLoader[Batch]:
    """Return the batches of a run; `workers` processes read photos ahead (0: this one does)."""
    return _loader(photos, batches, workers)


def inference_loader(
    regions: Regions, preprocessing: Preprocessing, *, batch_size: int, workers: int
) -> DataLoader[Batch]:
    """Return all regions in order; unreadable ones are listed in their batch's failures."""
    return in_order(InferencePhotos(regions, preprocessing), batch_size=batch_size, workers=workers)


def in_order(photos: InferencePhotos, *, batch_size: int, workers: int) -> DataLoader[Batch]:
    """Return all photos in order; unreadable ones are listed in their batch's failures."""
    return _loader(photos, BatchSampler(SequentialSampler(photos), batch_size, drop_last=False), workers)


def _loader(photos: Dataset[Batch], batches: Iterable[Sequence[Any]], workers: int) -> DataLoader[Batch]:
    """Load batch by batch: what a sampler yields here is a batch, which the photos make as a whole."""
    return DataLoader(
        photos,
        sampler=batches,
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_leave_signals_to_the_parent,
        generator=torch.Generator().manual_seed(0),  # else iterating would draw from the global one
        pin_memory=torch.cuda.is_available(),
    )


def _leave_signals_to_the_parent(worker: int) -> None:
    """Read on while the run ends between two steps; a reader ends with its parent."""
    for number in (signal.SIGINT, signal.SIGTERM):  # torchrun and SLURM send theirs to the readers, too
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)

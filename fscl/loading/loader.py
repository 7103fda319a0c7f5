"""Photos read, cropped, augmented and stacked: the batches of training and of inference."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fscl.config import Augmentation, Preprocessing
from fscl.images import UnreadableError, read_region
from fscl.loading.augment import augmentation, augmented, stacked, to_model_input
from fscl.loading.samplers import Batches, Draw

UNLABELLED = -1


class Failure(NamedTuple):
    """A photo that could not be read, and why."""

    row: int
    reason: str


class Batch(NamedTuple):
    """Photos as the model's input; `rows` are their places in the table."""

    photos: Float[Tensor, "batch 3 size size"]
    labels: Int[Tensor, "batch"]
    rows: list[int]
    failures: list[Failure]
    exhausted: str = ""  # in training: why a class has no photo left that can be read, so that training must end


@dataclass(frozen=True)
class Regions:
    """The labelled regions of a table, as arrays that travel cheaply to worker processes.

    `boxes` is (n, 4): x, y, w, h in pixels after EXIF rotation, NaN for the whole photo.
    """

    paths: Sequence[Path]
    boxes: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    labels: np.ndarray[tuple[int], np.dtype[np.int64]]

    @classmethod
    def of(cls, rows: pd.DataFrame, root: Path, classes: Sequence[str]) -> "Regions":
        """Take the regions from manifest rows; a label that is not among `classes` becomes −1."""
        code = {name: i for i, name in enumerate(classes)}
        labels = [code.get(label, UNLABELLED) for label in rows["label"]]
        boxes = rows[["x", "y", "w", "h"]].to_numpy(dtype=np.float64, na_value=np.nan)
        return cls([root / path for path in rows["path"]], boxes, np.array(labels, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, row: int, preprocessing: Preprocessing) -> Image.Image:
        """Return the region as an RGB image, cropped, its short side at least `image_size` where it can be."""
        box = None if np.isnan(self.boxes[row]).any() else tuple(self.boxes[row])
        return read_region(self.paths[row], box, margin=preprocessing.crop_margin, min_side=preprocessing.image_size)


class TrainingItem(NamedTuple):
    """A drawn photo and those that could not be read in its place, or why none of its class could be read."""

    photo: Float[Tensor, "3 size size"] | None
    label: int
    row: int
    failures: list[Failure]
    exhausted: str = ""


class InferenceItem(NamedTuple):
    """A photo, or the reason why there is none."""

    row: int
    label: int
    photo: Float[Tensor, "3 size size"] | None
    reason: str = ""


class TrainingPhotos(Dataset[TrainingItem]):
    """Augmented photos by draw. An unreadable one is replaced by the next readable one of its class.

    Where there is none, the item says so: an error raised here would leave a worker process as a traceback.

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
        self.augmentation = augmentation(settings, preprocessing)
        self.to_model_input = to_model_input(preprocessing)
        everyone = settings.classes == "all"
        self.augmented_classes = frozenset(regions.labels.tolist() if everyone else minority)

    def __getitem__(self, draw: Draw) -> TrainingItem:
        label = int(self.regions.labels[draw.row])
        photo, failures = self._readable(draw.row)
        if photo is None:
            reason = f"{self.regions.paths[draw.row]}: {failures[0].reason}; is the folder still there?"
            exhausted = f"no photo of a class can be read any more; first {reason}"
            return TrainingItem(None, label, draw.row, failures, exhausted)
        if label in self.augmented_classes:
            photo = augmented(photo, self.augmentation, draw.seed)
        return TrainingItem(self.to_model_input(photo), label, draw.row, failures)

    def _readable(self, row: int) -> tuple[Image.Image | None, list[Failure]]:
        failures: list[Failure] = []
        for candidate in self._with_others_of_its_class(row):
            try:
                return self.regions.read(candidate, self.preprocessing), failures
            except UnreadableError as error:
                failures.append(Failure(candidate, str(error)))
        return None, failures

    def _with_others_of_its_class(self, row: int) -> Iterator[int]:
        yield row
        members = np.flatnonzero(self.regions.labels == self.regions.labels[row])
        yield from np.roll(members, -int(np.searchsorted(members, row)))[1:].tolist()


class InferencePhotos(Dataset[InferenceItem]):
    """Photos by row, as the model's input; an unreadable one yields its reason."""

    def __init__(self, regions: Regions, preprocessing: Preprocessing) -> None:
        self.regions = regions
        self.preprocessing = preprocessing
        self.to_model_input = to_model_input(preprocessing)

    def __len__(self) -> int:
        return len(self.regions)

    def __getitem__(self, row: int) -> InferenceItem:
        label = int(self.regions.labels[row])
        try:
            photo = self.regions.read(row, self.preprocessing)
        except UnreadableError as error:
            return InferenceItem(row, label, None, str(error))
        return InferenceItem(row, label, self.to_model_input(photo))


def training_loader(photos: TrainingPhotos, batches: Batches, *, workers: int) -> DataLoader[Batch]:
    """Return the batches of a run; `workers` processes read photos ahead (0: this one does)."""
    return DataLoader(
        photos,  # type: ignore[arg-type]
        batch_sampler=batches,
        collate_fn=_training_batch,
        num_workers=workers,
        worker_init_fn=_leave_interrupts_to_the_parent,
        generator=torch.Generator().manual_seed(0),  # else iterating would draw from the global one
        pin_memory=torch.cuda.is_available(),
    )


def inference_loader(
    regions: Regions, preprocessing: Preprocessing, *, batch_size: int, workers: int
) -> DataLoader[Batch]:
    """Return all regions in order; unreadable ones are listed in their batch's failures."""
    return DataLoader(
        InferencePhotos(regions, preprocessing),  # type: ignore[arg-type]
        batch_size=batch_size,
        collate_fn=_inference_batch,
        num_workers=workers,
        worker_init_fn=_leave_interrupts_to_the_parent,
        generator=torch.Generator().manual_seed(0),
        pin_memory=torch.cuda.is_available(),
    )


def _leave_interrupts_to_the_parent(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _training_batch(items: list[TrainingItem]) -> Batch:
    read = [item for item in items if item.photo is not None]
    return Batch(
        photos=stacked([item.photo for item in read if item.photo is not None]),
        labels=torch.tensor([item.label for item in read], dtype=torch.int64),
        rows=[item.row for item in read],
        failures=[failure for item in items for failure in item.failures],
        exhausted=next((item.exhausted for item in items if item.photo is None), ""),
    )


def _inference_batch(items: list[InferenceItem]) -> Batch:
    read = [item for item in items if item.photo is not None]
    return Batch(
        photos=stacked([item.photo for item in read if item.photo is not None]),
        labels=torch.tensor([item.label for item in read], dtype=torch.int64),
        rows=[item.row for item in read],
        failures=[Failure(item.row, item.reason) for item in items if item.photo is None],
    )

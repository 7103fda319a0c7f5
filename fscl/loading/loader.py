"""Photos read, cropped, augmented and stacked: the batches of training and of inference."""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from fscl.config import Augmentation, Preprocessing
from fscl.images import UnreadableError, read_region
from fscl.loading.augment import RandomAugmentation, model_input
from fscl.loading.operations import Photos
from fscl.loading.samplers import Batches, Draw

if TYPE_CHECKING:
    from fscl.loading.store import Stored

UNLABELLED = -1
Pixels = np.ndarray[Any, np.dtype[np.uint8]]
T = TypeVar("T")


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

    def on(self, device: torch.device) -> tuple[Float[Tensor, "batch 3 size size"], Int[Tensor, "batch"]]:
        """Return photos and labels on a device; the host does not wait for them."""
        return self.photos.to(device, non_blocking=True), self.labels.to(device, non_blocking=True)


@dataclass(frozen=True)
class Regions:
    """The labelled regions of a table, as arrays that travel cheaply to worker processes.

    `boxes` is (n, 4): x, y, w, h in pixels after EXIF rotation, NaN for the whole photo. `stored` has those that
    need not be decoded.
    """

    paths: Sequence[Path]
    boxes: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    labels: np.ndarray[tuple[int], np.dtype[np.int64]]
    stored: "Stored | None" = None

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
        """Return the region as an RGB image, cropped, its short side at least `image_size` where it can be.

        Raises:
            UnreadableError: as `read_region`.
        """
        box = None if np.isnan(self.boxes[row]).any() else tuple(self.boxes[row])
        return read_region(self.paths[row], box, margin=preprocessing.crop_margin, min_side=preprocessing.image_size)

    def resized(self, row: int, preprocessing: Preprocessing) -> Pixels:
        """Return the region as the model sees it before augmentation: (image_size, image_size, 3) uint8.

        Raises:
            UnreadableError: as `read_region`.
        """
        stored = None if self.stored is None else self.stored.photo(row, preprocessing)
        if stored is not None:
            return stored
        size = (preprocessing.image_size, preprocessing.image_size)
        pixels: Pixels = np.asarray(self.read(row, preprocessing).resize(size, Image.Resampling.BILINEAR))
        return pixels


class Found(NamedTuple, Generic[T]):
    """What reading a photo gave, or another of its class in its place; and those that could not be read."""

    photo: T | None
    failures: list[Failure]


class TrainingPhotos(Dataset[Batch]):
    """Batches of augmented photos, by draws. An unreadable one is replaced by the next readable one of its class.

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

    def __getitem__(self, draws: Sequence[Draw]) -> Batch:
        found = [self.readable(draw.row, lambda row: self.regions.resized(row, self.preprocessing)) for draw in draws]
        photos = [photo for photo, _ in found if photo is not None]
        return self.batch(draws, found, _stacked(photos, self.preprocessing))

    def readable(self, row: int, read: Callable[[int], T]) -> Found[T]:
        """Return what `read` makes of the row, or of the next one of its class that can be read."""
        failures: list[Failure] = []
        for candidate in self._with_others_of_its_class(row):
            try:
                return Found(read(candidate), failures)
            except UnreadableError as error:
                failures.append(Failure(candidate, str(error)))
        return Found(None, failures)

    def batch(self, draws: Sequence[Draw], found: Sequence[Found[T]], photos: Photos) -> Batch:
        """Augment the photos, those of `draws` for which one was found, in that order."""
        kept = [draw for draw, (photo, _) in zip(draws, found, strict=True) if photo is not None]
        labels = self.regions.labels[[draw.row for draw in kept]]
        varied = [i for i, label in enumerate(labels) if label in self.augmented_classes]
        if len(varied) == len(kept) and varied:
            photos = self.augment(photos, [draw.seed for draw in kept])
        elif varied:
            photos[varied] = self.augment(photos[varied], [kept[i].seed for i in varied])
        nothing = next((draw.row for draw, (photo, _) in zip(draws, found, strict=True) if photo is None), None)
        return Batch(
            photos=model_input(photos, self.preprocessing),
            labels=torch.from_numpy(labels).to(photos.device),
            rows=[draw.row for draw in kept],
            failures=[failure for _, failures in found for failure in failures],
            exhausted="" if nothing is None else self._exhausted(found),
        )

    def _exhausted(self, found: Sequence[Found[T]]) -> str:
        first = next(failures[0] for photo, failures in found if photo is None)
        reason = f"{self.regions.paths[first.row]}: {first.reason}; is the folder still there?"
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
                photos.append(self.regions.resized(row, self.preprocessing))
                read.append(row)
            except UnreadableError as error:
                failures.append(Failure(row, str(error)))
        return Batch(
            photos=model_input(_stacked(photos, self.preprocessing), self.preprocessing),
            labels=torch.from_numpy(self.regions.labels[read]),
            rows=read,
            failures=failures,
        )


def training_loader(photos: TrainingPhotos, batches: Batches, *, workers: int) -> DataLoader[Batch]:
    """Return the batches of a run; `workers` processes read photos ahead (0: this one does)."""
    return _loader(photos, batches, workers)


def inference_loader(
    regions: Regions, preprocessing: Preprocessing, *, batch_size: int, workers: int
) -> DataLoader[Batch]:
    """Return all regions in order; unreadable ones are listed in their batch's failures."""
    batches = BatchSampler(SequentialSampler(regions), batch_size, drop_last=False)
    return _loader(InferencePhotos(regions, preprocessing), batches, workers)


def _loader(photos: Dataset[Batch], batches: Iterable[Sequence[Any]], workers: int) -> DataLoader[Batch]:
    """Load batch by batch: what a sampler yields here is a batch, which the photos make as a whole."""
    return DataLoader(
        photos,
        sampler=batches,
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_leave_interrupts_to_the_parent,
        generator=torch.Generator().manual_seed(0),  # else iterating would draw from the global one
        pin_memory=torch.cuda.is_available(),
    )


def _leave_interrupts_to_the_parent(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _stacked(photos: Sequence[Pixels], preprocessing: Preprocessing) -> Photos:
    size = preprocessing.image_size
    together = np.stack(photos) if photos else np.empty((0, size, size, 3), dtype=np.uint8)
    return torch.from_numpy(together).permute(0, 3, 1, 2)

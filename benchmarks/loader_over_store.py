"""Our loader over the photo store against ImageFolder and Pillow, on JPEGs of 2,048 × 1,536: ratio of paired batches.

Both flip, RandAugment, jitter, normalise and stack, in one process with one thread. The store is built before; what
that costs is what store_build.py measures. Times are processor time: the machine may be shared.

python benchmarks/loader_over_store.py [--image-size 224] [--batches 4] [--batch-size 32]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torchvision
from large_photos import large_photos
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from fscl.config import IMAGENET_MEAN, IMAGENET_STD, Augmentation, Preprocessing
from fscl.loading.batches import Batches
from fscl.loading.loader import TrainingPhotos, training_loader
from fscl.loading.regions import Regions
from fscl.loading.samplers import NaturalSampler
from fscl.loading.store import PhotoStore


def by_hand(folder: Path, size: int, batch_size: int) -> Iterator[object]:
    transform = v2.Compose(
        [
            v2.Resize([size, size]),
            v2.RandomHorizontalFlip(),
            v2.RandAugment(),
            v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    photos = torchvision.datasets.ImageFolder(folder, transform)
    while True:
        yield from DataLoader(photos, batch_size=batch_size, shuffle=True, drop_last=True)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--batches", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    preprocessing = Preprocessing(image_size=arguments.image_size)
    with tempfile.TemporaryDirectory() as name:
        folder, manifest = large_photos(Path(name), arguments.batch_size)
        regions = Regions.of(manifest.usable, manifest.root, sorted(manifest.usable["label"].unique()))
        stored = PhotoStore.build(regions, preprocessing, Path(name) / "store").view(regions)
        photos = TrainingPhotos(stored, preprocessing, Augmentation(), minority=[])
        sampler = NaturalSampler(regions.labels, arguments.batch_size, seed=0)
        ours = iter(training_loader(photos, Batches(sampler, start=0, stop=10_000), workers=0))
        theirs = by_hand(folder, arguments.image_size, arguments.batch_size)
        next(ours), next(theirs)
        taken = [(seconds(lambda: next(ours)), seconds(lambda: next(theirs))) for _ in range(arguments.batches)]
    ratios = [hand / own for own, hand in taken]
    own, hand = (1000 * statistics.median(times) / arguments.batch_size for times in zip(*taken, strict=True))
    print(
        f"{arguments.image_size} px: ours {own:.2f} ms a photo, ImageFolder and Pillow {hand:.1f}; "
        f"{statistics.median(ratios):.1f} times as fast (median of {len(ratios)} pairs, {min(ratios):.1f} to "
        f"{max(ratios):.1f})"
    )


if __name__ == "__main__":
    main()

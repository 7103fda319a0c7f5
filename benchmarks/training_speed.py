"""The whole training loop in photos per second, beside its bound and beside the study's own kind of loop.

For a GPU: ours reads from the photo store in the device's memory, augments there and computes in bfloat16; its bound
is forward and backward alone. The study-style loop is ImageFolder, Pillow's RandAugment, four reading processes and
float32. It runs on a CPU as well, to see that it runs. Wanted of one H100 at 224 px and batch 64: at least 8,000
photos/s, 0.9 of the bound, 10 times the study-style loop.

python benchmarks/training_speed.py FOLDER_OF_CLASS_FOLDERS [--image-size 224] [--batch-size 64] [--steps 200]
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, WeightedRandomSampler
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from fscl import methods
from fscl.config import IMAGENET_MEAN, IMAGENET_STD, Config, resolve, settings
from fscl.loading.store import PhotoStore
from fscl.manifest.table import Manifest
from fscl.models import Classifier
from fscl.runtime import Runtime
from fscl.scanning.scan import scan
from fscl.training.optimization import Optimization
from fscl.training.plan import Plan
from fscl.training.start import untrained
from fscl.training.subset import subset

WARM_UP = 10  # steps in which kernels are chosen and memory is taken
STUDY_PHOTOS = 24.5e6  # of one pair and seed: 20 cells of 100 epochs


def photos_per_second(step: Callable[[], int], steps: int, device: torch.device) -> float:
    for _ in range(WARM_UP):
        step()
    _wait(device)
    start = time.perf_counter()
    photos = sum(step() for _ in range(steps))
    _wait(device)
    return photos / (time.perf_counter() - start)


def ours(config: Config, manifest: Manifest, folder: Path, steps: int) -> tuple[float, float]:
    """Return photos per second of our loop, and of forward and backward alone."""
    photos, runtime = subset(manifest, config), Runtime.start(0)
    bundle = untrained(config, photos, runtime)
    plan = Plan(config, bundle, photos, runtime)
    optimization = Optimization(bundle, config, plan, runtime)
    steps_of_run = plan.batches(0, PhotoStore.build(plan.train, config.preprocessing, folder))
    ready = next(steps_of_run)
    pixels, labels = ready.batch.on(runtime.device)

    def step() -> int:
        batch = next(steps_of_run)
        optimization.step(batch)
        return len(batch.batch.labels)

    def forward_and_backward() -> int:
        with runtime.autocast():
            logits, features = optimization.classifier(pixels)
            value = ready.stage.objective(logits, features, labels)
        for weight in optimization.classifier.parameters():
            weight.grad = None
        value.total.backward()
        return len(labels)

    whole = photos_per_second(step, steps, runtime.device)
    return whole, photos_per_second(forward_and_backward, steps, runtime.device)


def study_style(folder: Path, image_size: int, batch_size: int, steps: int) -> float:
    """Return photos per second of the loop that the study's authors had."""
    device = Runtime.start(0).device
    transform = v2.Compose(
        [
            v2.Resize((image_size, image_size)),
            v2.RandomHorizontalFlip(),
            v2.RandAugment(),
            v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    photos = ImageFolder(str(folder), transform)
    counts = torch.bincount(torch.tensor(photos.targets))
    sampler = WeightedRandomSampler((1 / counts[photos.targets]).tolist(), len(photos))
    loader = DataLoader(photos, batch_size, sampler=sampler, num_workers=4, pin_memory=device.type == "cuda")
    model = Classifier("resnet18", len(photos.classes)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, weight_decay=1e-5)
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]] = chain.from_iterable(repeat(loader))

    def step() -> int:
        pixels, labels = (tensor.to(device, non_blocking=True) for tensor in next(batches))
        loss = functional.cross_entropy(model(pixels).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return len(labels)

    return photos_per_second(step, steps, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    flags = {
        "image_size": arguments.image_size,
        "batch_size": arguments.batch_size,
        "steps": arguments.steps + WARM_UP + 1,
        "val_fraction": 0.0,
        "test_fraction": 0.0,
    }
    config = resolve([("fscl", methods.read("fscl")), ("benchmark", settings(flags))])
    with tempfile.TemporaryDirectory() as folder:
        whole, bound = ours(config, scan(arguments.folder), Path(folder), arguments.steps)
    theirs = study_style(arguments.folder, arguments.image_size, arguments.batch_size, arguments.steps)
    device = Runtime.start(0).device.type
    print(f"{device}, {arguments.image_size} px, batch {arguments.batch_size}: {whole:.0f} photos/s")
    print(f"{whole / bound:.2f} of forward and backward alone, {whole / theirs:.1f} times the study-style loop")
    print(f"the study's 20 cells of one pair and seed would take {STUDY_PHOTOS / whole / 3600:.1f} hours")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()

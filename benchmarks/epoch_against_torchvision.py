"""A training epoch of ours against a hand-written torchvision loop doing the same work: ratio of paired epochs.

The hand-written loop is the oracle: ImageFolder, PIL RandAugment, WeightedRandomSampler, the study's loss as
plain N×N expressions, Adam, cosine. Both read the same photos with the same number of reading processes.

    python benchmarks/epoch_against_torchvision.py FOLDER_OF_CLASS_FOLDERS [--pairs 3]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torchvision
from torch.nn import functional
from torch.utils.data import DataLoader, WeightedRandomSampler
from torchvision.transforms import v2

from fscl import methods
from fscl.config import IMAGENET_MEAN, IMAGENET_STD, resolve, settings
from fscl.progress import Silent
from fscl.scanning.scan import scan
from fscl.training.loop import fit


class ByHand(torch.nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.net = torchvision.models.resnet18(num_classes=num_classes)

    def forward(self, x):
        n = self.net
        x = n.layer2(n.layer1(n.maxpool(n.relu(n.bn1(n.conv1(x))))))
        third = n.layer3(x)
        fourth = n.layer4(third)
        pooled = fourth.mean(dim=(2, 3))
        return n.fc(pooled), [third.mean(dim=(2, 3)), pooled]


def epoch_by_hand(folder: Path, image_size: int, workers: int) -> tuple[float, int]:
    transform = v2.Compose(
        [
            v2.Resize([image_size, image_size]),
            v2.RandomHorizontalFlip(),
            v2.RandAugment(),
            v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    photos = torchvision.datasets.ImageFolder(folder, transform)
    targets = torch.tensor(photos.targets)
    weights = 1 / torch.bincount(targets)[targets].double()
    loader = DataLoader(
        photos, batch_size=64, sampler=WeightedRandomSampler(weights, len(photos)), num_workers=workers
    )
    model = ByHand(len(photos.classes)).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(loader))
    start = time.perf_counter()
    for x, y in loader:
        logits, features = model(x.contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(logits, y)
        same = (y[:, None] == y[None, :]).float()
        for layer in features:
            unit = functional.normalize(layer, dim=1)
            loss = loss + ((unit @ unit.T - same) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        loss.item()
    return time.perf_counter() - start, len(photos)


class Clock(Silent):
    """Notes when the first and the last step ended."""

    def advance(self, step, steps, photos_per_second, terms):
        self.photos_per_second = photos_per_second


def epoch_of_ours(folder: Path, image_size: int, workers: int) -> tuple[float, int]:
    flags = {"image_size": image_size, "workers": workers, "epochs": 1, "val_fraction": 0.0, "test_fraction": 0.0}
    config = resolve([("fscl", methods.read("fscl")), ("benchmark", settings(flags))])
    photos, clock = scan(folder), Clock()
    with tempfile.TemporaryDirectory() as out:
        fit(config, photos, Path(out) / "run", listener=clock)
    return len(photos.usable) / clock.photos_per_second, len(photos.usable)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    ratios = []
    for pair in range(arguments.pairs):
        order = [epoch_of_ours, epoch_by_hand] if pair % 2 else [epoch_by_hand, epoch_of_ours]
        taken = {run: run(arguments.folder, arguments.image_size, arguments.workers) for run in order}
        (ours, photos), (by_hand, _) = taken[epoch_of_ours], taken[epoch_by_hand]
        ratios.append(ours / by_hand)
        print(f"ours {photos / ours:.0f} photos/s, by hand {photos / by_hand:.0f} photos/s, ratio {ratios[-1]:.3f}")
    print(f"time of our epoch over the hand-written one: median {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()

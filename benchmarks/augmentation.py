"""Our batched augmentation against torchvision's on Pillow images, operation by operation: medians of paired rounds.

Both start from and end with uint8, as they lie in the photo store; one thread, processor time.

python benchmarks/augmentation.py FOLDER_OF_PHOTOS [--image-sizes 48 64 224] [--rounds 15]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from fscl.config import Augmentation
from fscl.loading.augment import CACHED_PIXELS, RandomAugmentation
from fscl.loading.augment_parameters import RANDAUGMENT, AugmentParameters
from fscl.loading.operations import OPERATIONS

BATCH = 64
IN_A_GROUP = 5  # photos of a batch of 64 that get the same operation of RandAugment
MAGNITUDE = 9


def microseconds(work: Callable[[], object], photos: int) -> float:
    start = time.process_time()
    work()
    return 1e6 * (time.process_time() - start) / photos


def compared(
    ours: Callable[[], object], theirs: Callable[[], object], photos: int, rounds: int
) -> tuple[float, float]:
    ours(), theirs()
    taken = [(microseconds(ours, photos), microseconds(theirs, photos)) for _ in range(rounds)]
    own, hand = zip(*taken, strict=True)
    return statistics.median(own), statistics.median(hand)


def by_pillow(photos: np.ndarray, transform: Callable[[Image.Image], Image.Image]) -> None:
    np.stack([np.asarray(transform(Image.fromarray(photo))) for photo in photos])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--image-sizes", type=int, nargs="+", default=[48, 64, 224])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(arguments.folder.rglob("*.jpg"))[:BATCH]
    for size in arguments.image_sizes:
        stored = np.stack([np.asarray(Image.open(path).convert("RGB").resize((size, size))) for path in paths])
        batch = torch.from_numpy(stored).permute(0, 3, 1, 2).contiguous()
        group = max(1, min(IN_A_GROUP, CACHED_PIXELS // size**2))
        few, some, parameters = stored[:group], batch[:group], AugmentParameters(Augmentation(), size)
        print(f"{size} px, us a photo: ours, Pillow")
        for place, (name, (operation, _)) in enumerate(RANDAUGMENT.items()):
            strength = torch.tensor(parameters.strengths[place, 0], dtype=torch.float32).expand(len(some), 6)
            values, _ = v2.RandAugment._AUGMENTATION_SPACE[name]
            table = values(31, size, size)
            value = 0.0 if table is None else float(table[MAGNITUDE])
            theirs = v2.RandAugment()

            def pillow(photo, theirs=theirs, name=name, value=value):
                return theirs._apply_image_or_video_transform(
                    photo, name, value, interpolation=v2.InterpolationMode.NEAREST, fill={Image.Image: None}
                )

            apply = OPERATIONS[operation]
            own, hand = compared(
                lambda apply=apply, some=some, strength=strength: apply(some, strength),
                lambda few=few, pillow=pillow: by_pillow(few, pillow),
                group,
                arguments.rounds,
            )
            print(f"    {name:13}{own:8.0f}{hand:8.0f}")
        group = max(1, min(BATCH // 4, CACHED_PIXELS // size**2))
        few, some, hues = stored[:group], batch[:group], torch.full((group, 6), 0.05)
        own, hand = compared(
            lambda some=some, hues=hues: OPERATIONS["hue"](some, hues),
            lambda few=few: by_pillow(few, lambda photo: functional.adjust_hue(photo, 0.05)),
            group,
            arguments.rounds,
        )
        print(f"    {'hue':13}{own:8.0f}{hand:8.0f}")
        ours, seeds = RandomAugmentation(Augmentation(), size), iter(range(10**9))
        whole = v2.Compose([v2.RandomHorizontalFlip(), v2.RandAugment(), v2.ColorJitter(0.4, 0.4, 0.4, 0.1)])
        own, hand = compared(
            lambda ours=ours, batch=batch, seeds=seeds: ours(batch, [next(seeds) for _ in batch]),
            lambda stored=stored, whole=whole: by_pillow(stored, whole),
            len(paths),
            arguments.rounds,
        )
        print(f"    {'all of it':13}{own:8.0f}{hand:8.0f}, {hand / own:.1f} times as fast")


if __name__ == "__main__":
    main()

"""Building the photo store from JPEGs of 2,048 × 1,536 against decoding them alone: ratio of paired runs.

The bound is Pillow with `draft`, in as many threads as the build has, and nothing done with the pixels. The second
bound also resizes them, as any preparation must. Times are processor time of all threads: the machine may be shared.

python benchmarks/store_build.py [--image-size 224] [--photos 192] [--pairs 5]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from large_photos import SIZE, large_photos
from PIL import Image

from fscl.config import Preprocessing
from fscl.loading.regions import Regions
from fscl.loading.store import PhotoStore


def decode(size: int, resize: bool, path: Path) -> None:
    with Image.open(path) as photo:
        photo.draft(None, (-(-SIZE[0] * size // SIZE[1]), size))
        photo.load()
        if resize:
            photo.resize((size, size), Image.Resampling.BILINEAR)


def all_decoded(paths: list[Path], size: int, *, resize: bool) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(partial(decode, size, resize), paths))


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--photos", type=int, default=192)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    preprocessing = Preprocessing(image_size=arguments.image_size)
    with tempfile.TemporaryDirectory() as name:
        _, manifest = large_photos(Path(name), arguments.photos // 2)
        regions = Regions.of(manifest.usable, manifest.root, ())
        paths, size = list(regions.photos), arguments.image_size
        works = {
            "decoding": lambda: all_decoded(paths, size, resize=False),
            "decoding and resizing": lambda: all_decoded(paths, size, resize=True),
        }
        ratios = {bound: [] for bound in works}
        all_decoded(paths, size, resize=True)
        for pair in range(arguments.pairs):
            build = partial(PhotoStore.build, regions, preprocessing, Path(name) / f"store{pair}")
            order = list(works) if pair % 2 else list(reversed(works))
            half = len(order) // 2
            taken = {bound: seconds(works[bound]) for bound in order[:half]}
            building = seconds(build)
            taken |= {bound: seconds(works[bound]) for bound in order[half:]}
            for bound in works:
                ratios[bound].append(taken[bound] / building)
            print(
                f"build {1000 * building / len(paths):.1f} ms a photo; "
                + "; ".join(f"{bound} alone {1000 * taken[bound] / len(paths):.1f}" for bound in works)
            )
    for bound, found in ratios.items():
        print(
            f"{arguments.image_size} px: {bound} takes {statistics.median(found):.3f} of building the store "
            f"(median of {len(found)} pairs, {min(found):.3f} to {max(found):.3f})"
        )


if __name__ == "__main__":
    main()

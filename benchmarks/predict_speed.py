"""Prediction of large photos against its parts, and against a loop over single photos; its memory.

    python benchmarks/predict_speed.py [--photos 256] [--repeats 3]     2,048×1,536 JPEGs, on all cores
    python benchmarks/predict_speed.py --memory                         peak memory at 1,000 and 20,000 small photos
    python benchmarks/predict_speed.py --manifest                       1,000,000 rows read, split and saved

Bounds: wall time at most 1.15 times that of decoding alone and the model alone, each on all cores, one after the
other; at least 1.8 times as fast as a loop that opens, crops and classifies one photo at a time; memory grows by less
than 50 MB from 1,000 to 20,000 photos; a million rows within 2 GB.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from shutil import rmtree

import numpy as np
import pandas as pd
import torch
from large_photos import large_photos
from PIL import Image

from fscl.bundle import Architecture, Bundle
from fscl.config import Preprocessing
from fscl.images import read_region
from fscl.loading.regions import Regions, model_input, stacked
from fscl.manifest.splits import assign_splits
from fscl.manifest.table import Manifest
from fscl.models import Classifier
from fscl.prediction import Wanted, predict_photos
from fscl.runtime import cores

PREPROCESSING = Preprocessing()
MB = 2**20


def main() -> None:
    """Print the ratios, or the memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--manifest", action="store_true")
    parser.add_argument("--peak-of", nargs=2, help=argparse.SUPPRESS)  # this script in a process of its own
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.peak_of:
            _peak(Path(arguments.peak_of[0]), Path(arguments.peak_of[1]), Path(folder))
        elif arguments.memory:
            _memory(Path(folder))
        elif arguments.manifest:
            _manifest(Path(folder))
        else:
            _speed(Path(folder), arguments.photos, arguments.repeats)


def _speed(folder: Path, count: int, repeats: int) -> None:
    run, (source, manifest) = _model(folder / "run", PREPROCESSING), large_photos(folder, count // 2)
    photos = [manifest.photo(path) for path in manifest.rows["path"]]
    count = len(photos)
    ratios, gains = [], []
    for repeat in range(repeats):
        decode, model = _timed(_decoded, photos), _timed(_classified, run, count)
        whole = _timed(_predicted, run, source, folder / f"{repeat}.csv")
        single = _timed(_one_by_one, run, photos[: max(1, count // 4)]) * count / max(1, count // 4)
        ratios.append(whole / (decode + model))
        gains.append(single / whole)
        print(f"decode {decode:.1f} s, model {model:.1f} s, predict {whole:.1f} s, one by one {single:.1f} s")
    print(f"predict / (decode + model): {_spread(ratios)}, bound <= 1.15")
    print(f"one by one / predict: {_spread(gains)}, bound >= 1.8")
    print(f"{count / whole:.1f} photos/s of 2,048 x 1,536 px, ResNet-18 at 224 px, {cores()} cores")


def _model(folder: Path, preprocessing: Preprocessing, backbone: str = "resnet18") -> Path:
    torch.manual_seed(0)
    classifier = Classifier(backbone, 3, (-2, -1), image_size=preprocessing.image_size)
    bundle = Bundle(
        classifier=classifier,
        classes=("boar", "deer", "hare"),
        minority=(),
        train_counts={"boar": 1, "deer": 1, "hare": 1},
        preprocessing=preprocessing,
        architecture=Architecture(backbone=backbone, head=None, taps=tuple(classifier.layers)),
        config={},
        epoch=0,
        step=0,
    )
    bundle.save(folder)
    return folder


def _small_photos(folder: Path, count: int) -> None:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for number in range(count):
        Image.fromarray(pixels).save(folder / f"{number:06}.jpg")


def _decoded(photos: list[Path]) -> None:
    with ProcessPoolExecutor(cores()) as pool:
        list(pool.map(_resized, photos, chunksize=8))


def _resized(photo: Path) -> None:
    Regions([photo], np.full((1, 4), np.nan), np.zeros(1, dtype=np.int64)).resized(0, PREPROCESSING)


def _classified(run: Path, count: int) -> None:
    classifier = Bundle.open(run).classifier.eval()
    batch = torch.zeros(64, 3, PREPROCESSING.image_size, PREPROCESSING.image_size)
    batch = batch.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for start in range(0, count, 64):
            classifier(batch[: min(64, count - start)])


def _predicted(run: Path, photos: Path, out: Path) -> None:
    predict_photos(run, photos, out, Wanted(format="csv"))


def _one_by_one(run: Path, photos: list[Path]) -> None:
    """What a script does: the photo in full, then the crop, then the model, a photo at a time."""
    classifier = Bundle.open(run).classifier.eval()
    size = PREPROCESSING.image_size
    for photo in photos:
        region = read_region(photo).resize((size, size), Image.Resampling.BILINEAR)
        with torch.inference_mode():
            classifier(model_input(stacked([np.asarray(region)], PREPROCESSING), PREPROCESSING))


def _memory(folder: Path) -> None:
    small = Preprocessing(image_size=32)
    run = _model(folder / "run", small, "test_resnet")
    peaks = {}
    for count in (1_000, 20_000):
        photos = folder / str(count)
        _small_photos(photos, count)
        command = [sys.executable, __file__, "--peak-of", str(run), str(photos)]
        peaks[count] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / MB
        rmtree(photos)
        print(f"{count:,} photos: peak {peaks[count]:.0f} MB")
    print(f"growth {peaks[20_000] - peaks[1_000]:.0f} MB, bound < 50")


def _peak(run: Path, photos: Path, folder: Path) -> None:
    predict_photos(run, photos, folder / "out.json", Wanted(), workers=0)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _manifest(folder: Path) -> None:
    rows = 1_000_000
    table = pd.DataFrame({"path": [f"site{n % 997}/{n}.jpg" for n in range(rows)]})
    table["label"] = np.where(np.arange(rows) % 1000 == 0, "rare", "common")
    table["site"] = table["path"].str.partition("/")[0]
    Manifest.build(table, folder).write(folder / "photos.parquet")
    del table
    start = time.perf_counter()
    photos = Manifest.read(folder / "photos.parquet", anywhere=True)
    read = time.perf_counter()
    divided = assign_splits(photos.rows, by="site", seed=0)
    split = time.perf_counter()
    Manifest(divided, photos.root).write(folder / "divided.parquet")
    saved = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    print(
        f"{rows:,} rows: read {read - start:.1f} s, split by site {split - read:.1f} s, saved {saved - split:.1f} s"
    )
    print(f"peak memory of the process, which also made them: {peak:.0f} MB, bound 2,048")


def _timed(work, *given) -> float:  # type: ignore[no-untyped-def]
    start = time.perf_counter()
    work(*given)
    return time.perf_counter() - start


def _spread(values: list[float]) -> str:
    return f"median {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()

"""The model's share of predict: eager PyTorch against an exported model, float32 and int8, on the same threads.

    python benchmarks/onnx_speed.py [--backbone resnet18] [--image-size 224] [--batch-size 64] [--rounds 15]

In each round the same batch goes through all three, one after the other, in an order that turns; the ratios are of
the round. What is timed is what `fscl predict` calls for a batch, with the copy that ONNX Runtime needs of it.
--threads N takes N cores instead of all. Bounds: eager / float32 >= 1.25, eager / int8 >= 2.
"""

import argparse
import os
import statistics
import time

import numpy as np
import torch
from PIL import Image

from fscl.config import Preprocessing
from fscl.export.graph import graph_of, without_pooled
from fscl.export.int8 import int8_of
from fscl.loading.loader import inference_loader
from fscl.loading.regions import Regions
from fscl.models import Classifier
from fscl.onnx_model import AnyClassifier, OnnxClassifier
from fscl.runtime import Runtime, cores

CLASSES = 3
CALIBRATED = 16  # photos: how many changes nothing of the speed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=cores())
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    Runtime.start(0)  # memory of a step is kept, as in fscl predict
    torch.set_num_threads(cores())
    ways, photos = _ways(arguments.backbone, Preprocessing(image_size=arguments.image_size), arguments.batch_size)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(-2, arguments.rounds):  # the first two warm up
        names = list(np.roll(list(ways), turn))
        for name in names:
            taken = _seconds(ways[name], photos)
            if turn >= 0:
                times[name].append(taken)
    print(f"{arguments.backbone}, {arguments.image_size} px, batch {arguments.batch_size}, {cores()} threads")
    for name, bound in (("float32", 1.25), ("int8", 2.0)):
        ratios = [eager / exported for eager, exported in zip(times["eager"], times[name], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"eager / {name}: {middle:.2f} (quartiles {low:.2f} to {high:.2f}), bound >= {bound:g}")
    print(", ".join(f"{name} {len(photos) / statistics.median(t):.1f} photos/s" for name, t in times.items()))


def _ways(
    backbone: str, preprocessing: Preprocessing, batch_size: int
) -> tuple[dict[str, AnyClassifier], torch.Tensor]:
    """Return what is timed, and a batch as prediction makes it."""
    torch.manual_seed(0)
    classifier = Classifier(backbone, CLASSES, image_size=preprocessing.image_size).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (batch_size, 48, 64, 3), dtype=np.uint8)
    drawn = [Image.fromarray(photo) for photo in pixels]
    regions = Regions(drawn, np.full((batch_size, 4), np.nan), np.full(batch_size, -1))
    few = Regions(drawn[:CALIBRATED], regions.boxes[:CALIBRATED], regions.labels[:CALIBRATED])
    whole = graph_of(classifier, preprocessing.image_size)
    graphs = {"float32": without_pooled(whole), "int8": int8_of(whole, few, preprocessing)[0]}
    exported = {name: OnnxClassifier(g.SerializeToString(), CLASSES) for name, g in graphs.items()}
    batch = next(iter(inference_loader(regions, preprocessing, batch_size=batch_size, workers=0)))
    return {"eager": classifier, **exported}, batch.photos


def _seconds(classifier: AnyClassifier, photos: torch.Tensor) -> float:
    start = time.perf_counter()
    with torch.inference_mode():
        classifier(photos)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

"""Training over the photo store against the forward and backward pass alone: ratio of paired steps.

A step of ours reads, augments and normalises its photos, goes forward, backward and downhill, and is logged. The
bound is forward and backward with the same objective, on photos that lie ready, by a copy of the classifier. Times
are processor time: the machine may be shared.

python benchmarks/epoch_over_store.py FOLDER_OF_CLASS_FOLDERS [--image-size 224] [--batch-size 32] [--steps 6]
"""

import argparse
import statistics
import tempfile
import time
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import torch

from fscl import methods
from fscl.config import Augmentation, Config, resolve, settings
from fscl.loading.store import PhotoStore
from fscl.manifest.table import Manifest
from fscl.runtime import Runtime
from fscl.scanning.scan import scan
from fscl.training.log import MetricsLog
from fscl.training.optimization import Optimization
from fscl.training.plan import Plan
from fscl.training.start import untrained
from fscl.training.subset import subset


class Taken(NamedTuple):
    """Seconds of a step."""

    loading: float
    step: float
    bound: float


def measured(config: Config, manifest: Manifest, folder: Path, steps: int) -> list[Taken]:
    photos, runtime = subset(manifest, config), Runtime.start(0)
    bundle = untrained(config, photos, runtime)
    plan = Plan(config, bundle, photos, runtime)
    optimization = Optimization(bundle, config, plan, runtime)
    log = MetricsLog(folder / "metrics.jsonl", flush_every=1)
    store = PhotoStore.build(plan.train, config.preprocessing, folder / "store")
    copy, ready = deepcopy(bundle.classifier), next(plan.batches(0, store))

    def forward_and_backward() -> None:
        logits, features = copy(ready.batch.photos)
        value = ready.stage.objective(logits, features, ready.batch.labels, 0.5)
        for weight in copy.parameters():
            weight.grad = None
        value.total.backward()

    found = []
    steps_of_run = iter(plan.batches(0, store))
    for number in range(1, steps + 2):
        start = time.process_time()
        step = next(steps_of_run)
        loaded = time.process_time()
        log.step(number, 0, optimization.learning_rate, optimization.step(step))
        middle = time.process_time()
        forward_and_backward()
        found.append(Taken(loaded - start, middle - start, time.process_time() - middle))
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    flags = {
        "image_size": arguments.image_size,
        "batch_size": arguments.batch_size,
        "steps": arguments.steps + 1,
        "val_fraction": 0.0,
        "test_fraction": 0.0,
    }
    config = resolve([("fscl", methods.read("fscl")), ("benchmark", settings(flags))])
    assert config.augmentation == Augmentation()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(config, scan(arguments.folder), Path(folder), arguments.steps)
    ratios = [taken.bound / taken.step for taken in found]
    loading = statistics.median(taken.loading / taken.step for taken in found)
    milliseconds = 1000 * statistics.median(taken.step for taken in found) / arguments.batch_size
    print(
        f"{arguments.image_size} px, batch {arguments.batch_size}, {arguments.threads} thread: forward and backward "
        f"take {statistics.median(ratios):.3f} of a step over the store (median of {len(found)} pairs, "
        f"{min(ratios):.3f} to {max(ratios):.3f}); reading and augmenting takes {100 * loading:.1f} % of it, "
        f"{milliseconds:.1f} ms a photo in all"
    )


if __name__ == "__main__":
    main()

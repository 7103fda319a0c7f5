"""Four cells in two processes of one thread against the same four in one such process.

Bound: at least 1.8 times as fast on two free cores. Run as

    python benchmarks/cells_at_once.py [--steps 60] [--repeats 3]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from fscl import methods
from fscl.config import Config, resolve, settings
from fscl.experiments.cell import Task
from fscl.experiments.grid import ClassSet
from fscl.experiments.pool import run_at_once
from fscl.manifest.table import Manifest
from fscl.synthetic.photos import generate
from fscl.training.subset import split_photos

PAIR = ClassSet("fine", ("roe_deer", "water_deer"), ("roe_deer",), 200)


def main() -> None:
    """Print the times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = generate(Path(folder) / "photos", counts={"roe_deer": 300, "water_deer": 300}, seed=0)
        pairs = []
        for repeat in range(arguments.repeats):
            seconds = {
                jobs: _timed(photos, Path(folder) / f"{repeat}-{jobs}", arguments.steps, jobs) for jobs in (1, 2)
            }
            pairs.append(seconds[1] / seconds[2])
            print(f"in turn {seconds[1]:.1f} s, at once {seconds[2]:.1f} s: {pairs[-1]:.2f} times as fast")
    print(f"median {statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f}), bound >= 1.8")


def _timed(photos: Manifest, out: Path, steps: int, jobs: int) -> float:
    configs = [_config(name, steps) for name in ("baseline", "oversampling", "contrastive", "fscl")]
    divided = split_photos(photos, configs[0].split)
    work = [Task(PAIR.cell(config.method.name, 0.1, 0), config) for config in configs]
    start = time.perf_counter()
    run_at_once(work, divided, out, jobs=jobs, quiet=True)
    return time.perf_counter() - start


def _config(name: str, steps: int) -> Config:
    imbalance = {"minority": list(PAIR.minority), "ratio": 0.1, "base": PAIR.base}
    flags = settings({"steps": steps, "image_size": 48, "classes": list(PAIR.classes)}) | {"imbalance": imbalance}
    return resolve([(name, methods.read(name)), ("benchmark", flags)])


if __name__ == "__main__":
    main()

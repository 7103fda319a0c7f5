"""The same cells in local processes and on as many workers of Dask on this machine: what Dask adds.

Bound: at most 5 % more time, by the median of paired ratios. Processes of both are started, and import what they
need, before the clock. It takes about 5 minutes on 2 quiet cores. Run as

    python benchmarks/dask_cells.py [--steps 30] [--cells 4] [--jobs 2] [--repeats 3]
"""

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from fscl import methods
from fscl.cluster import connected
from fscl.config import Config, resolve, settings
from fscl.experiments.cell import Task
from fscl.experiments.grid import ClassSet
from fscl.experiments.ledger import Ledger
from fscl.experiments.on_dask import DaskWorkers
from fscl.experiments.pool import Crew, LocalProcesses, run_cells
from fscl.lock import taken
from fscl.synthetic.photos import generate
from fscl.training.subset import split_photos

PAIR = ClassSet("fine", ("roe_deer", "water_deer"), ("roe_deer",), 200)
MOST = 1.05


def main() -> None:
    """Print the times of each pair, and the median of their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--cells", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        crews = _crews(folder, arguments.jobs, stack)
        for crew in crews:
            _timed(crew, arguments.jobs, steps=1, first=1000)  # imports what it needs
        ratios = []
        for repeat in range(arguments.repeats):
            first = repeat * arguments.cells
            here, there = (_timed(crew, arguments.cells, steps=arguments.steps, first=first) for crew in crews)
            ratios.append(there / here)
            print(f"local {here:.1f} s, Dask {there:.1f} s: ratio {ratios[-1]:.3f}", flush=True)
    median, low, high = statistics.median(ratios), min(ratios), max(ratios)
    print(f"median of {len(ratios)} paired ratios: {median:.3f} ({low:.3f} to {high:.3f}), bound {MOST}", flush=True)


def _crews(folder: Path, jobs: int, stack: ExitStack) -> tuple[Crew, Crew]:
    """Start local processes and as many workers of Dask."""
    counts = dict.fromkeys(PAIR.classes, 300)
    photos = split_photos(generate(folder / "photos", counts=counts, seed=0), _config(0, 1).split)
    local = stack.enter_context(LocalProcesses(jobs, photos, folder / "local"))
    cluster = stack.enter_context(connected("local", jobs=jobs, say=print))
    own = folder / "dask" / "own.lock"
    stack.enter_context(taken(own))
    return local, DaskWorkers(cluster, photos, Ledger(folder / "dask"), own)


def _timed(crew: Crew, cells: int, *, steps: int, first: int) -> float:
    work = [
        Task(PAIR.cell("fscl", 0.1, seed), _config(seed, steps), keep_weights=False)
        for seed in range(first, first + cells)
    ]
    start = time.perf_counter()
    run_cells(work, crew, title="cells", quiet=True)
    return time.perf_counter() - start


def _config(seed: int, steps: int) -> Config:
    imbalance = {"minority": list(PAIR.minority), "ratio": 0.1, "base": PAIR.base}
    flags = settings({"steps": steps, "image_size": 48, "classes": list(PAIR.classes), "seed": seed, "store": False})
    return resolve([("fscl", methods.read("fscl")), ("benchmark", flags | {"imbalance": imbalance})])


if __name__ == "__main__":
    main()

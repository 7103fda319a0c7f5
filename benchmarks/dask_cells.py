"""The same cells in local processes and on as many workers of Dask on this machine: what Dask adds.

Bound: at most 5 % more time. Processes of both are started, and import what they need, before the clock. Run as

    python benchmarks/dask_cells.py [--steps 60] [--cells 4] [--jobs 2] [--repeats 3]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from distributed import LocalCluster

from fscl import methods
from fscl.cluster import Cluster, connected
from fscl.config import Config, resolve, settings
from fscl.experiments.cell import Task
from fscl.experiments.grid import ClassSet
from fscl.experiments.ledger import Ledger
from fscl.experiments.on_dask import DaskWorkers
from fscl.experiments.pool import Crew, LocalProcesses, run_cells
from fscl.lock import taken
from fscl.manifest.table import Manifest
from fscl.synthetic.photos import generate
from fscl.training.subset import split_photos

PAIR = ClassSet("fine", ("roe_deer", "water_deer"), ("roe_deer",), 200)
MOST_PERCENT = 5.0


def main() -> None:
    """Print the times of each pair, and what Dask adds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--cells", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    size, cells, added = arguments.steps, arguments.cells, []
    with (
        tempfile.TemporaryDirectory() as name,
        LocalCluster(
            n_workers=arguments.jobs, threads_per_worker=1, memory_limit=None, dashboard_address="127.0.0.1:0"
        ) as dask,
        connected(dask.scheduler_address, say=print) as cluster,
    ):
        folder = Path(name)
        photos = split_photos(
            generate(folder / "photos", counts={"roe_deer": 300, "water_deer": 300}, seed=0), _config(0, 1).split
        )
        for repeat in range(arguments.repeats):
            with LocalProcesses(arguments.jobs, photos, folder / f"local{repeat}") as local:
                _timed(local, arguments.jobs, steps=1, first=1000)  # starts the processes
                here = _timed(local, cells, steps=size)
            there = _on_dask(cluster, photos, folder / f"dask{repeat}", arguments.jobs, cells, size)
            added.append(100 * (there / here - 1))
            print(f"local {here:.1f} s, Dask {there:.1f} s: {added[-1]:+.1f} %")
    print(
        f"median {statistics.median(added):+.1f} % ({min(added):+.1f} to {max(added):+.1f}), bound {MOST_PERCENT} %"
    )


def _on_dask(cluster: Cluster, photos: Manifest, out: Path, jobs: int, cells: int, steps: int) -> float:
    ledger = Ledger(out)
    own = out / "own.lock"
    with taken(own):
        crew = DaskWorkers(cluster, photos, ledger, own)
        _timed(crew, jobs, steps=1, first=1000)
        return _timed(crew, cells, steps=steps)


def _timed(crew: Crew, cells: int, *, steps: int, first: int = 0) -> float:
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

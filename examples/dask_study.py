"""A comparison on workers of Dask: here two on this machine, on a cluster those that SLURM starts.

For SLURM, put in place of `LocalCluster` (docs/dask.md says more):

    from dask_jobqueue import SLURMCluster

    cluster = SLURMCluster(cores=4, processes=4, memory="16GB", walltime="04:00:00")
    cluster.scale(jobs=8)

and a folder for `out` that all machines see. Called again, the script does what is missing.
"""

import tempfile
from pathlib import Path
from statistics import fmean

from distributed import LocalCluster

from fscl import methods
from fscl.config import resolve, settings
from fscl.experiments.grid import ClassSet
from fscl.experiments.run import compare
from fscl.records import read_cell
from fscl.synthetic.photos import generate

PAIR = ClassSet("fine", ("roe_deer", "water_deer"), ("roe_deer",))
TEN = 10
SMALL = settings({"backbone": "test_resnet", "image_size": 32, "steps": 60, "batch_size": 16})  # seconds, not hours


def main(out: Path) -> None:
    """Train a method, and print its loss."""
    photos = generate(out / "photos", counts={"roe_deer": 30, "water_deer": 30}, seed=0)
    configs = {"fscl": resolve([("fscl", methods.read("fscl")), ("example", SMALL)])}
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        study = compare(
            photos,
            configs,
            out / "study",
            pairs=[PAIR],
            ratios=[1.0],
            seeds=[0],
            scheduler=cluster.scheduler_address,
            quiet=True,
        )
    [cell] = (read_cell(path) for path in (study / "cells").glob("*.json"))
    for name, loss in (("first", cell.curve.loss[:TEN]), ("last", cell.curve.loss[-TEN:])):
        print(f"loss of the {name} ten steps: {fmean(loss):.3f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))

"""Run by test_processes.py: the processes of a run, as torchrun would start them.

python several_processes.py WORLD_SIZE FOLDER PORT: each process does the work of FOLDER/work.json, in that order, and
FOLDER/RANK.pt says what came of it. They are forked from this one, so that what they import is imported once.
"""

import importlib
import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import torch

from fscl import processes
from fscl.config import resolve
from fscl.manifest.table import Manifest
from fscl.methods import read_toml
from fscl.progress import Silent
from fscl.runtime import Runtime
from fscl.training.loop import fit
from fscl.training.optimization import Optimization
from fscl.training.plan import Plan
from fscl.training.start import untrained
from fscl.training.subset import subset

CHOSEN = {}  # photos of all recipes, which divide them alike


class Heard(Silent):
    """Keeps the notes, and interrupts this process after a step."""

    def __init__(self, stop_after):
        self.notes, self.stop_after = [], stop_after

    def note(self, text):
        self.notes.append(text)

    def advance(self, step, steps, photos_per_second, terms):
        if step == self.stop_after:
            os.kill(os.getpid(), signal.SIGINT)


def steps(settings, photos):
    """Take the steps of a run; return the losses of each, and the weights after the last."""
    config, runtime = resolve([("toml", read_toml(Path(settings)))]), Runtime.start(0)
    if photos not in CHOSEN:
        CHOSEN[photos] = subset(Manifest.read(Path(photos)), config)
    chosen = CHOSEN[photos]
    bundle = untrained(config, chosen, runtime)
    plan = Plan(config, bundle, chosen, runtime)
    optimization = Optimization(bundle, config, plan, runtime)
    losses = [optimization.step(step).parts for step in plan.batches(0)]
    return {"losses": losses, "weights": optimization.model.state_dict()}


def run(settings, photos, out, *, resume=False, stop_after=None):
    """Train a run; return what it said and what ended it."""
    heard = Heard(stop_after)
    config, manifest = resolve([("toml", read_toml(Path(settings)))]), Manifest.read(Path(photos))
    try:
        fit(config, manifest, Path(out), resume=resume, listener=heard)
    except KeyboardInterrupt as error:
        return {"notes": heard.notes, "ended": str(error)}
    return {"notes": heard.notes, "ended": None}


def main(rank, world_size, folder, port):
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "LOCAL_WORLD_SIZE": world_size}
    os.environ |= {name: str(value) for name, value in place.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    work = json.loads((folder / "work.json").read_text())
    with processes.joined():
        torch.save([{"steps": steps, "run": run}[name](**words) for name, words in work], folder / f"{rank}.pt")


if __name__ == "__main__":
    importlib.import_module("torch._dynamo")  # DistributedDataParallel would, in each process
    context = multiprocessing.get_context("fork")
    world_size, folder, port = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    started = [context.Process(target=main, args=(rank, world_size, folder, port)) for rank in range(world_size)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    sys.exit(max(abs(process.exitcode or 0) for process in started))

"""Run by test_processes.py: the processes of a run, without torchrun's start.

python several_processes.py WORLD_SIZE FOLDER: each process trains the runs of FOLDER/runs.json one after another, and
FOLDER/RANK.json says what came of each. They are forked from this one, so that what they import is imported once.
"""

import importlib
import json
import multiprocessing
import os
import sys
from pathlib import Path

import torch

from fscl import processes
from fscl.config import resolve
from fscl.manifest.table import Manifest
from fscl.methods import read_toml
from fscl.progress import Silent
from fscl.training.loop import fit


class Heard(Silent):
    """Keeps the notes, and interrupts its process after a step."""

    def __init__(self, stop_after):
        self.notes, self.stop_after = [], stop_after

    def note(self, text):
        self.notes.append(text)

    def advance(self, step, steps, photos_per_second, terms):
        if step == self.stop_after:
            os.kill(os.getpid(), 2)


def outcome(run, folder):
    """Train a run; return what it said and what ended it."""
    heard = Heard(run.get("stop_after"))
    config = resolve([("toml", read_toml(folder / run["settings"]))])
    photos = Manifest.read(Path(run["photos"]))
    try:
        fit(config, photos, Path(run["out"]), resume=run.get("resume", False), listener=heard)
    except KeyboardInterrupt as error:
        return {"notes": heard.notes, "error": str(error)}
    return {"notes": heard.notes, "error": None}


def main(rank, world_size, folder, port):
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "LOCAL_WORLD_SIZE": world_size}
    os.environ |= {name: str(value) for name, value in place.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with processes.joined():
        found = [outcome(run, folder) for run in json.loads((folder / "runs.json").read_text())]
    (folder / f"{rank}.json").write_text(json.dumps(found))


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

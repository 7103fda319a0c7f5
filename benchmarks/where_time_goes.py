"""Where the time of a run goes, with and without the photo store: shares of the profiler's cumulative time.

Runs on generated wildlife as the demo does (the default), or on class folders.

python benchmarks/where_time_goes.py [FOLDER] [--steps 60] [--image-size 48]
"""

import argparse
import cProfile
import pstats
import tempfile
from pathlib import Path

import torch

from fscl import methods
from fscl.config import resolve, settings
from fscl.manifest.table import Manifest
from fscl.scanning.scan import scan
from fscl.synthetic.photos import SPECIES, generate
from fscl.training.loop import fit

PARTS = {  # (end of the file's path, function) → what it is
    ("loading/store.py", "build"): "building the store",
    ("loading/regions.py", "resized"): "reading and resizing",
    ("loading/augment.py", "__call__"): "augmenting",
    ("loading/regions.py", "model_input"): "normalising",
    ("training/optimization.py", "step"): "forward, backward, optimizer",
    ("training/loop.py", "_validated"): "validation, with its own reading",
    ("training/run.py", "finish_run"): "writing the bundle",
}


def shares(manifest: Manifest, folder: Path, *, store: bool, steps: int, image_size: int) -> dict[str, float]:
    """Return seconds by part of a run."""
    flags = settings({"steps": steps, "image_size": image_size, "store": store, "workers": 0})
    config = resolve([("fscl", methods.read("fscl")), ("benchmark", flags)])
    profile = cProfile.Profile()
    profile.runcall(fit, config, manifest, folder / f"store-{store}")
    found = {"all": 0.0, **dict.fromkeys(PARTS.values(), 0.0)}
    for (file, _, function), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        for (path, name), part in PARTS.items():
            if file.endswith(path) and function == name:
                found[part] += cumulative
        if file.endswith("training/loop.py") and function == "fit":
            found["all"] = cumulative
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--image-size", type=int, default=48)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.folder is None:
            photos = generate(Path(folder) / "photos", counts=dict.fromkeys(SPECIES, 150), seed=0)
        else:
            photos = scan(arguments.folder)
        for store in (False, True):
            found = shares(photos, Path(folder), store=store, steps=arguments.steps, image_size=arguments.image_size)
            total = found.pop("all")
            print(f"{'with' if store else 'without'} the store: {total:.1f} s")
            for part, seconds in found.items():
                print(f"    {part:34} {seconds:6.1f} s  {100 * seconds / total:4.1f} %")


if __name__ == "__main__":
    main()

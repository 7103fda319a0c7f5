"""How long a first model takes, and how good it is; how long cells on cached features take.

    python benchmarks/first_model.py photos PHOTOS [--seeds 5]        a folder of classes, e.g. three breeds of pets
    python benchmarks/first_model.py cells cifar10.zip --out STUDY    2,000 cells on features: 10 heads, 2 pairs, …
    python benchmarks/first_model.py adapter cifar10.zip              a cell with an adapter, trained by steps

`photos` trains by `fscl train PHOTOS --out RUN` and evaluates the model, first with an empty cache, then once more,
then on other splits of the same photos. Bounds, on two cores: the first model and its figures within 120 s, the
second training within 15 s, balanced accuracy on test at least .96 (mean over the splits). `cells` takes 60 minutes
at most, and goes on with a STUDY that was interrupted; its features are computed before the clock starts. `adapter`:
20 s at most.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fscl.manifest.splits import assign_splits
from fscl.manifest.table import Manifest
from fscl.run_folder import RunFolder
from fscl.scanning.scan import scan

PAIRS = ["--fine", "deer:horse", "--coarse", "deer:frog"]
RATIOS = ["0.1", "0.01", "0.005", "0.0022", "0.001"]  # 450, 45, 22, 10 and 4 rare photos
AS_MEASURED = ["--base", "4500", "--val-fraction", "0.1", "--image-size", "128", "--no-keep-weights"]
HEADS = {
    "logistic_1e-4": ("logistic", "strength = 1e-4"),
    "logistic_1e-2": ("logistic", "strength = 1e-2"),
    "lda_0.5": ("lda", "shrinkage = 0.5"),
    "lda_1": ("lda", "shrinkage = 1.0"),
    "ridge_10": ("ridge", "alpha = 10.0"),
    "ridge_1000": ("ridge", "alpha = 1000.0"),
}
SHIPPED = ["frozen_logistic", "frozen_lda", "frozen_ridge", "frozen_class_means"]


def main() -> None:
    """Run one of the three, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["photos", "cells", "adapter"])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--seeds", type=int, default=5, help="splits of `photos` (5)")
    parser.add_argument("--cell-seeds", type=int, default=20, help="seeds of `cells` (20)")
    parser.add_argument("--out", type=Path, help="the study of `cells`")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "photos":
            _first_models(arguments.photos.resolve(), Path(folder), arguments.seeds)
        elif arguments.what == "cells":
            out = (arguments.out or Path(folder) / "study").resolve()
            _cells(arguments.photos.resolve(), Path(folder), out, arguments.cell_seeds)
        else:
            _adapter(arguments.photos.resolve(), Path(folder))


def _first_models(photos: Path, folder: Path, seeds: int) -> None:
    os.environ["FSCL_CACHE"] = str(folder / "cache")
    train = _fscl("train", photos, "--out", folder / "first")
    evaluate = _fscl("evaluate", folder / "first")
    again = _fscl("train", photos, "--out", folder / "again")
    print(f"bare photos to model {train:.1f} s, to its figures {train + evaluate:.1f} s (bound 120)")
    print(f"a second training from the cache {again:.1f} s (bound 15)")
    scanned = scan(photos)
    balanced = []
    for seed in range(seeds):
        manifest, run = folder / f"split{seed}.parquet", folder / f"run{seed}"
        Manifest(assign_splits(scanned.rows, by="photo", seed=seed), scanned.root).write(manifest)
        _fscl("train", manifest, "--out", run)
        _fscl("evaluate", run)
        record = json.loads(RunFolder(run).evaluation.read_bytes())
        balanced.append(record["figures"]["balanced_accuracy"])
        print(f"split {seed}: balanced accuracy {balanced[-1]:.3f} on {sum(record['counts'].values())} test photos")
    spread = f" ± {statistics.stdev(balanced):.3f}" if seeds > 1 else ""
    print(f"mean {statistics.mean(balanced):.3f}{spread} (bound .96)")


def _cells(photos: Path, folder: Path, out: Path, seeds: int) -> None:
    methods = [*SHIPPED, *(str(_recipe(folder, name)) for name in HEADS)]
    grid = [*PAIRS, "--ratios", *RATIOS, "--seeds", *map(str, range(seeds)), "--methods", *methods]
    warm = ["--fine", "deer:horse", "--coarse", "deer:frog", "--ratios", "1", "--seeds", "0", "--methods", SHIPPED[0]]
    _fscl("compare", photos, *warm, *AS_MEASURED, "--out", folder / "warm")
    before = len(list((out / "cells").glob("*.json")))
    seconds = _fscl("compare", photos, *grid, *AS_MEASURED, "--out", out)
    cells = len(list((out / "cells").glob("*.json"))) - before
    each = seconds / max(cells, 1)
    print(f"{cells:,} cells in {seconds / 60:.1f} min, {each:.2f} s a cell (bound: 2,000 in 60 min)")


def _adapter(photos: Path, folder: Path) -> None:
    grid = ["--fine", "deer:horse", "--ratios", "0.01", "--seeds", "0", "--jobs", "1", "--methods"]
    _fscl("compare", photos, *grid, SHIPPED[0], *AS_MEASURED, "--out", folder / "warm")
    whole = _fscl("compare", photos, *grid, "fscl_plus", *AS_MEASURED, "--out", folder / "adapter")
    [cell] = (folder / "adapter" / "cells").glob("*.json")
    seconds = json.loads(cell.read_bytes())["provenance"]["seconds"]
    print(f"a cell with an adapter: {seconds:.1f} s (bound 20); fscl compare, which finds the photos: {whole:.1f} s")


def _recipe(folder: Path, name: str) -> Path:
    head, options = HEADS[name]
    path = folder / f"{name}.toml"
    path.write_text(
        f'[method]\nname = "{name}"\ntitle = "{name}"\nsummary = "a head of the benchmark"\nsource = "own"\n'
        f'[model]\nweights = "lite0"\nhead = {{ name = "{head}", options = {{ {options} }} }}\n',
        encoding="utf-8",
    )
    return path


def _fscl(*words: object) -> float:
    """Run a command in a process of its own; return the seconds that it took."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "fscl", *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

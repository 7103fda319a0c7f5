"""Photos per second of 2 processes with one thread each, over those of one such process: one run each, in turn.

Both train the same recipe with the same batch size, reading decoded photos from a store, until they are stopped by
their number of steps; the log's photos/s of the last epoch counts, which leaves out start and scan. Wanted: >= 1.7.
Beside it, what the machine can give at most: two runs that know nothing of each other, at the same time, over one.
The machine needs two idle cores.

python benchmarks/processes.py FOLDER_OF_CLASS_FOLDERS [--image-size 128] [--batch-size 64] [--steps 14] [--rounds 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from fscl.scanning.scan import scan

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


def started(processes: int, photos: Path, out: Path, flags: list[str]) -> "subprocess.Popen[bytes]":
    """Start a run."""
    start = [sys.executable, *TORCHRUN, str(processes)] if processes > 1 else [sys.executable]
    train = ["-m", "fscl", "train", str(photos), "--method", "fscl", "--out", str(out), "--workers", "0", "--store"]
    return subprocess.Popen([*start, *train, *flags], env=os.environ | {"OMP_NUM_THREADS": "1"})


def photos_per_second(process: "subprocess.Popen[bytes]", out: Path) -> float:
    """Wait for a run; return those of its last epoch."""
    if process.wait():
        raise SystemExit(f"the run in {out} ended with {process.returncode}")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return float([line for line in lines if line["kind"] == "epoch"][-1]["photos_per_second"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    names = ("backbone", "image_size", "batch_size", "steps")
    flags = [word for name in names for word in (f"--{name.replace('_', '-')}", str(getattr(arguments, name)))]
    ratios, bounds = [], []
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos.parquet"
        scan(arguments.folder).write(photos)
        for number in range(arguments.rounds):
            outs = [Path(folder) / f"{number}-{name}" for name in ("one", "two", "apart", "beside")]
            one, two = (photos_per_second(started(n, photos, outs[n - 1], flags), outs[n - 1]) for n in (1, 2))
            pair = [(started(1, photos, out, flags), out) for out in outs[2:]]
            apart = sum(photos_per_second(process, out) for process, out in pair)
            ratios.append(two / one)
            bounds.append(apart / one)
            print(f"round {number + 1}: {one:.1f}, {two:.1f}, apart {apart:.1f} photos/s", flush=True)
    print(
        f"{arguments.backbone}, {arguments.image_size} px, batch {arguments.batch_size}: 2 processes train "
        f"{statistics.median(ratios):.2f} times as fast as one (median of {arguments.rounds} rounds, "
        f"{min(ratios):.2f} to {max(ratios):.2f}); two runs apart, {statistics.median(bounds):.2f} times"
    )


if __name__ == "__main__":
    main()

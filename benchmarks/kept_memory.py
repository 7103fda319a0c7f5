"""What it brings that malloc keeps freed memory, as `Runtime.start` asks of it on a CPU: ratios of step times.

Training and predicting with ResNet-18 at 224 px, each in a fresh process, in turn: with memory kept, without, and as
workers of Dask are started, which give back all of more than 128 KiB. Takes about 5 minutes on two quiet cores.

    python benchmarks/kept_memory.py [--repeats 3]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

import timm
import torch

from fscl.runtime import Runtime

AS_DASK = {"MALLOC_TRIM_THRESHOLD_": "65536"}
WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "kept": ("kept", {}),
    "not kept": ("plain", {}),
    "not kept, as Dask's workers": ("plain", AS_DASK),
}


def main() -> None:
    """Print the ratios of both, and the memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "WORK"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        _measure(*arguments.measure)
        return
    for work in ("training", "predicting"):
        rounds = [
            {name: _measured(way, work, env) for name, (way, env) in WAYS.items()} for _ in range(arguments.repeats)
        ]
        for name in WAYS:
            ratios = [one[name][0] / one["kept"][0] for one in rounds]
            memory = statistics.median(one[name][1] for one in rounds)
            print(
                f"{work}, {name}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) times as "
                f"long as with memory kept, {memory:,.0f} MB at most",
                flush=True,
            )


def _measured(way: str, work: str, env: dict[str, str]) -> tuple[float, float]:
    command = [sys.executable, __file__, "--measure", way, work]
    said = subprocess.run(command, env=os.environ | env, check=True, capture_output=True, text=True).stdout
    seconds, megabytes = map(float, said.split())
    return seconds, megabytes


def _measure(way: str, work: str) -> None:
    """Print the median seconds of a step, and the most memory of the process in MB."""
    if way == "kept":
        Runtime.start(0)
    model = timm.create_model("resnet18", num_classes=2).train(work == "training")
    photos, labels = torch.randn(32, 3, 224, 224), torch.zeros(32, dtype=torch.long)
    optimizer, times = torch.optim.Adam(model.parameters()), []
    for _ in range(6):
        start = time.perf_counter()
        with torch.set_grad_enabled(work == "training"):
            logits = model(photos)
        if work == "training":
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, labels).backward()
            optimizer.step()
        times.append(time.perf_counter() - start)
    print(statistics.median(times[1:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()

"""The similarity loss beside the N×N expression and two losses of pytorch-metric-learning: time and memory.

Forward and backward on the same tensors, features of 512 numbers, 3 classes; medians of rounds in which the losses
take turns. Memory is the peak over what the process held before, each loss in a process of its own (CUDA: allocated).

--busy runs another program beside it, a loop that keeps a core: threads that share a product then wait for others.

python benchmarks/loss_speed.py [--batch 8192] [--rounds 3] [--busy]      needs: pip install fscl[metric-learning]
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import torch
from pytorch_metric_learning.losses import ContrastiveLoss, SupConLoss
from torch import Tensor
from torch.nn import functional

from fscl.losses import FeatureSimilarityLoss

DIM = 512
CLASSES = 3
SMALL = 64  # the study's batch
SIZES = [1024 * 2**i for i in range(7)]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

Work = Callable[[Tensor, Tensor], Tensor]


def pairwise(features: Tensor, labels: Tensor) -> Tensor:
    directions = functional.normalize(features, dim=1)
    same_class = (labels[:, None] == labels).to(features.dtype)
    return functional.mse_loss(directions @ directions.T, same_class)


LOSSES: dict[str, Work] = {
    "ours": FeatureSimilarityLoss(CLASSES).to(DEVICE),
    "N×N": pairwise,
    "SupConLoss": SupConLoss(),
    "ContrastiveLoss": ContrastiveLoss(),
}


def batch(n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(n, DIM, generator=generator).to(DEVICE).requires_grad_()
    return features, torch.randint(CLASSES, (n,), generator=generator).to(DEVICE)


def seconds(loss: Work, features: Tensor, labels: Tensor) -> float:
    features.grad = None
    start = time.perf_counter()
    loss(features, labels).backward()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def medians(names: list[str], sizes: list[int], rounds: int) -> dict[tuple[str, int], float]:
    batches = {n: batch(n) for n in sizes}
    found: dict[tuple[str, int], list[float]] = {(name, n): [] for n in sizes for name in names}
    for repeat in range(rounds + 1):
        for (name, n), times in found.items():
            taken = seconds(LOSSES[name], *batches[n])
            if repeat > 0:  # the first warms up
                times.append(taken)
    return {case: statistics.median(times) for case, times in found.items()}


def peak_bytes(name: str, n: int) -> int:
    """Return what one forward and backward pass holds at its peak, the features and their gradient left out."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_bytes, (name, n))


def _peak_bytes(name: str, n: int) -> int:
    features, labels = batch(n)
    features.grad = torch.ones_like(features)
    for _ in range(2):  # a small batch first: libraries take their buffers once
        LOSSES[name](*batch(SMALL)).backward()
    if DEVICE.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        LOSSES[name](features, labels).backward()
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    before = _kilobytes("VmRSS")
    LOSSES[name](features, labels).backward()
    return 1024 * (_kilobytes("VmHWM") - before)


def _kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


@contextmanager
def company(wanted: bool) -> Iterator[None]:
    """Keep a core busy by a process of its own meanwhile."""
    other = get_context("spawn").Process(target=_loop, daemon=True)
    if wanted:
        other.start()
    try:
        yield
    finally:
        if wanted:
            other.terminate()
            other.join()


def _loop() -> None:
    while True:
        pass


def exponent(times: dict[int, float]) -> float:
    """Return the slope of log time over log N."""
    logs = [(math.log(n), math.log(taken)) for n, taken in times.items()]
    return statistics.linear_regression(*zip(*logs, strict=True)).slope


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy", action="store_true")
    arguments = parser.parse_args()
    beside = ", a busy loop beside" if arguments.busy else ""
    threads = f"{torch.get_num_threads()} threads{beside}"
    print(f"{DEVICE.type}, {threads}, PyTorch {torch.__version__}, {DIM} numbers a photo")
    with company(arguments.busy):
        measure(arguments.batch, arguments.rounds)


def measure(n: int, rounds: int) -> None:
    small = medians(["ours", "N×N"], [SMALL], 500 * rounds)
    ours_ms, full_ms = (1000 * small[name, SMALL] for name in ("ours", "N×N"))
    print(f"N = {SMALL}: ours {ours_ms:.3f} ms, N×N {full_ms:.3f} ms: {ours_ms / full_ms:.2f}")

    large = medians(list(LOSSES), [n], rounds)
    for name in LOSSES:
        ratio = large[name, n] / large["ours", n]
        print(f"N = {n}, {name}: {1000 * large[name, n]:.0f} ms, {ratio:.1f} × ours")
    ours, full = peak_bytes("ours", n), peak_bytes("N×N", n)
    print(f"N = {n}, peak memory: ours {ours / 2**20:.0f} MiB, N×N {full / 2**20:.0f} MiB: 1/{full / ours:.1f}")

    growth = medians(["ours"], SIZES, rounds)
    slope = exponent({size: growth["ours", size] for size in SIZES})
    steps = ", ".join(f"{size}: {1000 * growth['ours', size]:.0f} ms" for size in SIZES)
    print(f"ours, time ∝ N^{slope:.2f} ({steps})")


if __name__ == "__main__":
    main()

"""Where a run computes: device, precision, threads and reading processes."""

import ctypes
import multiprocessing
import os
import platform
import subprocess
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import torch

from fscl import processes, torchrun
from fscl.config import MOST_WORKERS
from fscl.errors import ConfigurationError

MAX_WORKERS = 8  # more processes than this rarely read faster than one accelerator trains
MAX_JOBS = 4  # a run takes about a gigabyte of memory
KEPT = 512 * 2**20  # bytes at the top of the heap that are not given back to the system between two steps
LARGE = 256 * 2**20  # bytes: what is larger has pages of its own, which are given back at once
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of malloc.h


@dataclass(frozen=True)
class Runtime:
    """The device of a run, how many processes read photos for it, and which of its training processes this is.

    `rank` is 0 … `world_size` − 1, of torch.distributed's default group where there is one.
    """

    device: torch.device
    workers: int
    rank: int = 0
    world_size: int = 1

    @classmethod
    def start(cls, workers: int | None = None) -> "Runtime":
        """Choose the device: CUDA, Apple's MPS, else CPU; and the reading processes where not given.

        On a CPU this process reads: training keeps every core busy, and a reader would fight it for one. So does a
        process that may start no others, as workers of Dask are by default. Of several training processes on a
        machine each takes its part of the cores, and none takes MPS, which has no means for their gradients.

        Raises:
            ConfigurationError: a number of workers that cannot be.
        """
        if workers is not None and not 0 <= workers <= MOST_WORKERS:
            bounds = ">= 0" if workers < 0 else f"at most {MOST_WORKERS}"
            raise ConfigurationError(f"--workers must be {bounds}, got {workers}; 0 reads photos in the main process")
        if torch.cuda.is_available():
            device = torch.device("cuda")
            torch.backends.cudnn.benchmark = True
        elif torch.backends.mps.is_available() and processes.count() == 1:
            device = torch.device("mps")
        else:
            device = torch.device("cpu")
            _keep_freed_memory()
        idle_cores = 0 if device.type == "cpu" else max(cores() // torchrun.on_this_machine() - 1, 0)
        workers = min(idle_cores, MAX_WORKERS) if workers is None else workers
        if multiprocessing.current_process().daemon:
            workers = 0
        return cls(device, workers, processes.rank(), processes.count())

    def autocast(self) -> AbstractContextManager[object]:
        """bfloat16 on CUDA; full precision elsewhere, where most processors compute bfloat16 more slowly."""
        if self.device.type == "cuda":
            return torch.autocast("cuda", dtype=torch.bfloat16)
        return nullcontext()

    @property
    def waits_on_read(self) -> bool:
        """Whether reading a value off the device stalls it."""
        return self.device.type != "cpu"


def _keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next step; other systems are left as they are.

    By default it gives tensors of more than 32 MiB back, and workers of Dask are started so that they give back all
    of more than 128 KiB: the system then clears the same pages anew in every step. Threads that start later share the
    heap of the others: their own would be given back.
    """
    with suppress(AttributeError, OSError, TypeError):  # another libc, or none that is found so
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_ARENA_MAX, 1)


def cores() -> int:
    """Return how many cores this process may use: SLURM, `taskset` and containers may lend it a few of all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_jobs() -> int:
    """Return how many cells run at once: one per accelerator, or one per core of a CPU, at most `MAX_JOBS`."""
    return torch.cuda.device_count() or min(cores(), MAX_JOBS)


def threads_per_cell(jobs: int) -> int:
    """Return the threads that a cell of `jobs` at once has: on a CPU the same for any number, for the same bits."""
    return max(1, cores() // (jobs if torch.cuda.is_available() else default_jobs()))


def machine() -> dict[str, str | int | None]:
    """Return what computed: processor, cores, accelerator."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def now() -> str:
    """Return the time, ISO 8601 with zone."""
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")


@cache
def commit() -> str | None:
    """Return the commit of the checkout that this process runs from, as first asked; None where it is installed."""
    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    try:
        git = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return git.stdout.strip() or None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:  # noqa: PTH123 - Linux only, absent elsewhere
            return next(line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()

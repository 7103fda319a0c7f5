"""Within a worker of Dask: whose tasks it takes, how it computes one, and what it tells meanwhile."""

import asyncio
import platform
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fscl.archives import photo_version
from fscl.errors import ConfigurationError, PhotosError
from fscl.runtime import commit, threads_per_cell

LOOK_SECONDS = 0.2
PACKAGES = ("fscl", "torch", "torchvision", "timm", "numpy", "pandas", "pillow")
CHECKED = ("python", *PACKAGES)
"""Whose versions decide what a worker computes, and whether it understands what it is sent."""

_one_at_a_time = threading.Lock()  # of a worker process: what runs in it shares random numbers and threads
_welcome: set["Origin"] = set()  # of a worker process: whose tasks it may take
_at_work: "Origin | None" = None  # of a worker process: whose task runs


class Origin(NamedTuple):
    """Where tasks come from.

    Attributes:
        host: the name of the machine.
        folder: in which the program runs.
        versions: of `CHECKED`.
        topic: for what the workers tell; no other program has it.
    """

    host: str
    folder: Path
    versions: tuple[tuple[str, str], ...]
    topic: str


class Teller:
    """What a task tells the program that asks for it, and whether that wants it still.

    Args:
        topic: of the program.
    """

    def __init__(self, topic: str) -> None:
        from distributed import get_worker

        self.worker, self._topic = get_worker(), topic
        self._key = self.worker.get_current_task()

    def tell(self, said: Any) -> None:
        """Send what JSON can say."""
        self.worker.log_event(self._topic, {"said": said})

    def is_over(self) -> bool:
        """Whether the task was cancelled, or its program is gone."""
        state = self.worker.state.tasks.get(self._key)
        return state is None or state.state == "cancelled"


@contextmanager
def as_task(origin: Origin) -> Iterator[Teller]:
    """Compute in a worker what another machine asks for: alone in its process, with its share of the machine.

    As in a local process: the worker has its threads, and an accelerator of its own where workers are numbered.

    Raises:
        CancelledError: the task is wanted no more.
        ConfigurationError: this worker has other versions than the program that asks.
    """
    global _at_work
    teller = Teller(origin.topic)
    with _one_at_a_time:
        threads, _at_work = torch.get_num_threads(), origin
        try:
            if teller.is_over():
                raise CancelledError
            if origin not in _welcome:
                check_same(dict(origin.versions), own_versions(), f"worker {platform.node()}")
                _welcome.add(origin)
                commit()  # of the code that is loaded now
            _take_share(teller.worker)
            with (
                chdir(origin.folder) if origin.folder.is_dir() else nullcontext()
            ):  # paths of settings may be relative
                yield teller
        finally:
            torch.set_num_threads(threads)
            _at_work = None


def _take_share(worker: Any) -> None:
    """Take the threads of a worker, and its accelerator; that is of a thread, and Dask has one for its tasks."""
    jobs = 1
    if torch.cuda.is_available():
        jobs = _workers_here(worker)
        number = worker.name if isinstance(worker.name, int) else 0
        torch.cuda.set_device(number % torch.cuda.device_count())
    torch.set_num_threads(threads_per_cell(jobs))


def _workers_here(worker: Any) -> int:
    """Return how many workers this machine has: CUDA_VISIBLE_DEVICES may hide the accelerators of the others."""
    from distributed.comm.addressing import get_address_host
    from distributed.utils import sync

    there = sync(worker.loop, worker.scheduler.identity, n_workers=-1)["workers"].values()
    hosts = [other["host"] for other in there]
    return max(1, hosts.count(get_address_host(worker.address)))


def own_versions() -> dict[str, str]:
    """Return the versions here that must agree with those of other machines."""
    from distributed.versions import get_versions

    return _comparable(get_versions(packages=PACKAGES)["packages"])


def _comparable(packages: Mapping[str, str | None]) -> dict[str, str]:
    """Return the versions that must agree: of Python two numbers, of torch without what it was built for."""
    found = {name: (packages.get(name) or "none").partition("+")[0] for name in CHECKED}
    return found | {"python": ".".join(found["python"].split(".")[:2])}


def check_same(own: Mapping[str, str], packages: Mapping[str, str | None], worker: str) -> None:
    """Make sure that a worker has the versions of the program.

    Raises:
        ConfigurationError: it has others.
    """
    theirs = _comparable(packages)
    differing = [f"{name} {own[name]} here, {theirs[name]} there" for name in CHECKED if own[name] != theirs[name]]
    if differing:
        raise ConfigurationError(
            f"{worker}: expected the versions of this program, got {'; '.join(differing)}: install the "
            "same on all machines"
        )


def sizes_of(photos: Iterable[Path]) -> dict[Path, int]:
    """Return the bytes of the files of photos that this machine sees."""
    sizes = {photo: photo_version(photo)[0] for photo in dict.fromkeys(photos)}
    return {photo: size for photo, size in sizes.items() if size >= 0}


def check_seen(sizes: Mapping[Path, int], origin: Origin) -> None:
    """Make sure that this worker sees photos as the program does.

    Args:
        sizes: the bytes of each, as `sizes_of` gave them where the program runs.
        origin: the program.

    Raises:
        PhotosError: it does not see one, or another of that name.
    """
    for photo, size in sizes.items():
        if photo_version(photo)[0] != size:
            raise PhotosError(cannot_see(str(photo), origin))


def cannot_see(what: str, origin: Origin) -> str:
    """Return the message of a worker that does not find what its program finds."""
    return (
        f"worker on {platform.node()}: does not see {what}, which {origin.host} sees; it must be "
        "there by the same path on all machines"
    )


async def until_idle(origin: Origin, seconds: float) -> None:
    """Wait until a worker computes nothing for a program, so many seconds at most."""
    deadline = time.monotonic() + seconds
    while _at_work == origin and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_SECONDS)

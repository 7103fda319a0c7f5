"""Dask: a scheduler and its workers, behind a `concurrent.futures.Executor`."""

import asyncio
import json
import logging
import platform
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future
from contextlib import AbstractContextManager, ExitStack, chdir, contextmanager, nullcontext, suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import torch

from fscl.errors import ConfigurationError, FsclError, OutputError, first_line
from fscl.runtime import commit, default_jobs, threads_per_cell

T = TypeVar("T")
LOCAL = "local"
CONNECT_SECONDS = 10.0
WORKERS_SECONDS = 600.0  # that a queue of jobs may take until it starts the first worker
STOP_SECONDS = 60.0  # until the cells that run have written their checkpoints
LOOK_SECONDS = 0.2
AT_ONCE = 64  # tasks that are submitted: enough for a cluster that grows with its queue
CHECKED = ("python", "fscl", "torch", "torchvision", "timm", "numpy", "pandas", "pillow")
"""Packages whose versions decide what a worker computes, and whether it understands what it is sent."""

_one_at_a_time = threading.Lock()  # of a worker process: what runs in it shares random numbers and threads
_welcome: set["Origin"] = set()  # of a worker process: whose tasks it may take


class WorkersDiedError(FsclError):
    """One worker after the other died at a task."""


class Origin(NamedTuple):
    """Where tasks come from."""

    host: str
    folder: Path
    versions: tuple[tuple[str, str], ...]


class Cluster:
    """A scheduler with its workers.

    Args:
        client: of `distributed`, connected.
        name: of the scheduler, for messages.
    """

    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name = client, name
        self.topic = f"fscl-{uuid4().hex}"
        self.told: SimpleQueue[Any] = SimpleQueue()
        self.origin = Origin(socket.gethostname(), Path.cwd(), tuple(sorted(_versions().items())))
        client.subscribe_topic(self.topic, lambda event: self.told.put(event[1]["said"]))

    @cached_property
    def executor(self) -> Executor:
        """Runs functions on the workers, those of a worker that died once more on another."""
        executor: Executor = self.client.get_executor(pure=False)
        return executor

    @property
    def workers(self) -> int:
        """How many there are now."""
        return len(self.client.scheduler_info(n_workers=-1)["workers"])

    def kept(self, value: object) -> Any:
        """Return what stands for a value among the arguments of tasks: it travels once to each worker."""
        return self.client.submit(_itself, value, pure=False)

    def ask(self, question: Callable[..., Any], *words: Any) -> list[Any]:
        """Return what each worker that is there answers, beside what it is at work on."""
        return list(self.client.run(question, *words, on_error="return").values())

    def result(self, future: "Future[T]") -> T:
        """Return what a task returned.

        Raises:
            OutputError: the scheduler is gone.
            WorkersDiedError: one worker after the other died at the task.
        """
        from distributed import KilledWorker

        try:
            return future.result()
        except CancelledError:
            raise OutputError(
                f"lost the scheduler at {self.name}; what is finished is kept, and the same command goes on"
            ) from None
        except KilledWorker as error:
            raise WorkersDiedError(
                f"{error.allowed_failures + 1} workers died at one task, for lack of memory? What is finished is "
                "kept, and the same command goes on: give workers more memory"
            ) from None

    def wait_until_idle(self) -> None:
        """Wait until the workers have ended what was cancelled, a minute at most; not where the scheduler is gone."""
        from distributed.client import ClosedClientError

        with suppress(OSError, ClosedClientError):
            self.ask(_until_idle, time.time() + STOP_SECONDS)


def workers_of(
    scheduler: str | None, *, jobs: int | None = None, say: Callable[[str], None]
) -> AbstractContextManager[Cluster | None]:
    """Return `connected` for a scheduler that is given; without one there is no cluster."""
    return nullcontext() if scheduler is None else connected(scheduler, jobs=jobs, say=say)


@contextmanager
def connected(scheduler: str, *, jobs: int | None = None, say: Callable[[str], None]) -> Iterator[Cluster]:
    """Connect to a scheduler that has workers.

    Args:
        scheduler: an address such as `tcp://host:8786`, a scheduler file, or `local` for workers on this machine.
        jobs: workers of `local`; by default one per core, at most 4, or one per accelerator.
        say: hears what the user should know.

    Raises:
        ConfigurationError: Dask is not installed, no scheduler is there, no worker comes within ten minutes, or one
            has other versions.
    """
    if find_spec("distributed") is None:
        raise ConfigurationError("--scheduler takes Dask, which is not installed: pip install 'fscl[dask]'")
    if jobs is not None and scheduler != LOCAL:
        raise ConfigurationError(
            "--jobs is of this machine's processes; a scheduler's workers are as many as they are"
        )
    import dask
    import distributed  # noqa: F401 - it adds its own defaults to the settings, which are put back at the end

    settings = {
        "distributed.admin.large-graph-warning-threshold": "1TB",  # photos of a study travel once
        "distributed.worker.daemon": False,  # workers may start processes that read photos
    }
    with dask.config.set(settings), ExitStack() as stack:
        client = _client(scheduler, jobs, stack)
        _wait_for_workers(client, scheduler, say)
        _check_versions(client)
        threads = max(worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())
        if threads > 1:
            say(
                f"workers of {scheduler} have {threads} threads, and take one task at a time: --nthreads 1 loses none"
            )
        yield Cluster(client, scheduler)


def _client(scheduler: str, jobs: int | None, stack: ExitStack) -> Any:
    from distributed import Client, LocalCluster

    if scheduler == LOCAL:
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=jobs or default_jobs(),
                threads_per_worker=1,
                memory_limit=None,  # as local processes
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
        )
        client = stack.enter_context(Client(cluster, set_as_default=False))
        client.register_plugin(_without_ctrl_c())
        return client
    address = _address(scheduler)
    try:
        return stack.enter_context(Client(address, timeout=CONNECT_SECONDS, set_as_default=False))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"--scheduler {scheduler}: expected a Dask scheduler there, got no answer ({first_line(error)}); start "
            "one with `dask scheduler`, or take --scheduler local"
        ) from None


def _address(scheduler: str) -> str:
    """Return the address that is given, or written in the file that is given."""
    file = Path(scheduler)
    if file.is_file():
        try:
            return str(json.loads(file.read_bytes())["address"])
        except (OSError, ValueError, LookupError, TypeError):
            raise ConfigurationError(
                f"--scheduler {scheduler}: expected the file that `dask scheduler --scheduler-file` writes, got none"
            ) from None
    if ":" not in scheduler or file.suffix == ".json":
        raise ConfigurationError(
            f"--scheduler {scheduler}: expected local, an address such as tcp://host:8786, or a scheduler file that "
            "is there"
        )
    return scheduler


def _without_ctrl_c() -> Any:
    """A plugin of workers on this machine: Ctrl-C is for the program, which tells them to end."""
    from distributed import WorkerPlugin

    class WithoutCtrlC(WorkerPlugin):
        def setup(self, worker: object) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return WithoutCtrlC()


def _wait_for_workers(client: Any, scheduler: str, say: Callable[[str], None]) -> None:
    deadline, said = time.monotonic() + WORKERS_SECONDS, False
    while not client.scheduler_info(n_workers=-1)["workers"]:
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"--scheduler {scheduler}: expected workers, got none within {WORKERS_SECONDS:.0f} s; start some "
                "with `dask worker`, then the same command"
            )
        if not said:
            say(f"the scheduler at {scheduler} has no worker yet: waiting for one, {WORKERS_SECONDS / 60:.0f} min")
            said = True
        time.sleep(LOOK_SECONDS)


def _check_versions(client: Any) -> None:
    own = _versions()
    for address, found in client.get_versions(packages=list(CHECKED))["workers"].items():
        _check_same(own, found["packages"], address)


def _versions() -> dict[str, str]:
    from distributed.versions import get_versions

    return _comparable(get_versions(packages=CHECKED)["packages"])


def _comparable(packages: Mapping[str, str | None]) -> dict[str, str]:
    """Return the versions that must agree: of Python two numbers, of torch without what it was built for."""
    found = {name: (packages.get(name) or "none").partition("+")[0] for name in CHECKED}
    return found | {"python": ".".join(found["python"].split(".")[:2])}


def _check_same(own: Mapping[str, str], packages: Mapping[str, str | None], worker: str) -> None:
    theirs = _comparable(packages)
    differing = [f"{name} {own[name]} here, {theirs[name]} there" for name in CHECKED if own[name] != theirs[name]]
    if differing:
        raise ConfigurationError(
            f"worker {worker}: expected the versions of this program, got {'; '.join(differing)}: install the "
            "same on all machines"
        )


@contextmanager
def as_task(origin: Origin) -> Iterator[None]:
    """Compute in a worker what another machine asks for: alone in its process, with threads as in a local process.

    Raises:
        ConfigurationError: this worker has other versions than the program that asks.
    """
    with _one_at_a_time:
        if origin not in _welcome:
            _check_same(dict(origin.versions), _versions(), platform.node())
            _welcome.add(origin)
            commit()  # of the code that is loaded now
        threads = torch.get_num_threads()
        torch.set_num_threads(threads_per_cell(default_jobs()))
        try:
            with (
                chdir(origin.folder) if origin.folder.is_dir() else nullcontext()
            ):  # paths of settings may be relative
                yield
        finally:
            torch.set_num_threads(threads)


class Teller:
    """What a task tells the program that asks for it, and whether that wants it still.

    Args:
        topic: of the cluster.
    """

    def __init__(self, topic: str) -> None:
        from distributed import get_worker

        self._worker, self._topic = get_worker(), topic
        self._key = self._worker.get_current_task()

    def tell(self, said: Any) -> None:
        """Send what JSON can say."""
        self._worker.log_event(self._topic, {"said": said})

    def is_over(self) -> bool:
        """Whether the task was cancelled, or its program is gone."""
        state = self._worker.state.tasks.get(self._key)
        return state is None or state.state == "cancelled"


def cannot_see(what: str, origin: Origin) -> str:
    """Return the message of a worker that does not find what its program finds."""
    return (
        f"worker on {platform.node()}: does not see {what}, which {origin.host} sees; it must be "
        "there by the same path on all machines"
    )


def _itself(value: Any) -> Any:
    return value


async def _until_idle(deadline: float) -> None:
    while _one_at_a_time.locked() and time.time() < deadline:
        await asyncio.sleep(LOOK_SECONDS)

"""Dask: a scheduler and its workers, behind a `concurrent.futures.Executor`."""

import json
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar
from uuid import uuid4

from fscl.dask_worker import PACKAGES, Origin, check_same, own_versions, until_idle
from fscl.errors import ConfigurationError, FsclError, OutputError, first_line
from fscl.runtime import default_jobs

T = TypeVar("T")
LOCAL = "local"
CONNECT_SECONDS = 10.0
WORKERS_SECONDS = 600.0  # that a queue of jobs may take until it starts the first worker
STOP_SECONDS = 60.0  # until the cells that run have written their checkpoints
AT_ONCE = 64  # tasks that are submitted at least: enough for a cluster that grows with its queue


class WorkersDiedError(FsclError):
    """One worker after the other died at a task."""


class Cluster:
    """A scheduler with its workers.

    Args:
        client: of `distributed`, connected.
        name: of the scheduler, for messages.
    """

    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name = client, name
        self.told: SimpleQueue[Any] = SimpleQueue()
        versions = tuple(sorted(own_versions().items()))
        self.origin = Origin(socket.gethostname(), Path.cwd(), versions, f"fscl-{uuid4().hex}")
        client.subscribe_topic(self.origin.topic, lambda event: self.told.put(event[1]["said"]))

    @cached_property
    def executor(self) -> Executor:
        """Runs functions on the workers, those of a worker that died once more on another."""
        executor: Executor = self.client.get_executor(pure=False)
        return executor

    @property
    def at_once(self) -> int:
        """How many tasks are to be submitted and not finished: each worker that is there now has its next one."""
        return max(AT_ONCE, 2 * len(_workers(self.client)))

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
        """Wait until the workers have ended what this program has cancelled; not where the scheduler is gone.

        It waits a minute at most, and for no other program's tasks.
        """
        from distributed.client import ClosedClientError

        with suppress(OSError, ClosedClientError):
            self.ask(until_idle, self.origin, STOP_SECONDS)


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
            f"--jobs {jobs}: expected with --scheduler local, or without --scheduler, got --scheduler {scheduler}, "
            "whose workers are already started: leave --jobs out"
        )
    import dask
    import distributed  # noqa: F401 - it adds its own defaults to the settings, which are put back at the end

    settings = {
        "distributed.admin.large-graph-warning-threshold": "1TB",  # photos of a study travel once
        "distributed.worker.daemon": False,  # workers may start processes that read photos
        "distributed.nanny.pre-spawn-environ.MALLOC_ARENA_MAX": 1,  # tasks run in a thread, which keeps its memory so
    }
    with dask.config.set(settings), ExitStack() as stack:
        client = _client(scheduler, jobs, stack)
        _wait_for_workers(client, scheduler, say)
        _check_versions(client)
        threads = max((worker["nthreads"] for worker in _workers(client).values()), default=1)
        if threads > 1:
            say(
                f"workers of {scheduler}: expected 1 thread of Dask each, got {threads}; a worker computes one task "
                "at a time, so the other threads wait: start workers with --nthreads 1"
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
    """Wait for the first worker; a task waits with it, since an adaptive cluster starts none without."""
    if not _workers(client):
        say(f"the scheduler at {scheduler} has no worker yet: waiting for one, {WORKERS_SECONDS / 60:.0f} min")
    waiting = client.submit(_itself, None, pure=False)
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except TimeoutError:
        raise ConfigurationError(
            f"--scheduler {scheduler}: expected workers, got none within {WORKERS_SECONDS:.0f} s; start some "
            "with `dask worker`, then the same command"
        ) from None
    finally:
        waiting.release()


def _workers(client: Any) -> dict[str, Any]:
    """Return what the scheduler knows of each worker, by address."""
    found: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return found


def _check_versions(client: Any) -> None:
    own = own_versions()
    for address, found in client.get_versions(packages=list(PACKAGES))["workers"].items():
        check_same(own, found["packages"], f"worker {address}")


def _itself(value: Any) -> Any:
    return value

"""The processes that torchrun starts for one run: which is the first, what all of them know, how they end together.

Without torchrun a process is alone: it is the first one, and each function gives back what this process has.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from fscl import torchrun
from fscl.errors import ConfigurationError, FsclError, first_line

T = TypeVar("T")

TO_MEET = timedelta(minutes=10)  # machines of a cluster do not start at the same moment
TO_STEP = timedelta(minutes=10)  # what a process waits for the others within a step, before it takes them for stuck
TO_PREPARE = timedelta(days=7)  # while the first process reads photos or scores them; a killed one is noticed at once
SPEAK_SECONDS = 2.0  # what the others leave the first process to say why a run ends
SPEAKERS, CODE = "speakers", "code"  # in the store: how many processes said why the run ends, and its exit code
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_long_group: "dist.ProcessGroup | None" = None  # for what takes long


def count() -> int:
    """Return how many processes train the run together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return which of them this is, 0 … `count()` − 1."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that writes and speaks."""
    return rank() == 0


@contextmanager
def joined() -> Iterator[None]:
    """Be one of the processes that torchrun has started, if it has; all of them end together.

    The first process alone prints. Whatever ends one process ends all, with its exit code, and is said once. SIGINT
    and SIGTERM are ignored from then on: torchrun sends them to the others, and this one has to say why it ends.

    Raises:
        ConfigurationError: the other processes were not met, or there are more than accelerators.
        ConnectionError: another process is gone, or stuck.
    """
    if not torchrun.started() or dist.is_initialized():
        yield
        return
    store = _met()
    try:
        with ExitStack() as silence:
            if not is_first():
                nowhere = silence.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
                silence.enter_context(redirect_stdout(nowhere))
                silence.enter_context(redirect_stderr(nowhere))
            _check_accelerators()
            yield
            dist.barrier(_long_group)
    except BaseException as error:
        gone = _of_a_lost_process(error)
        code = _said_elsewhere(store, gone or error)
        if code is not None:
            raise SystemExit(code) from None
        if gone is not None:
            raise gone from None
        raise
    finally:
        _leave()


def first(work: Callable[[], T]) -> T:
    """Let the first process do some work while the others wait; return the result, to all of them."""
    if count() == 1:
        return work()
    given: list[Any] = [work() if is_first() else None]
    dist.broadcast_object_list(given, src=0, group=_long_group, device=torch.device("cpu"))
    result: T = given[0]
    return result


def gathered(own: T) -> list[T]:
    """Return what each process has, in their order, to all of them."""
    if count() == 1:
        return [own]
    found: list[Any] = [None] * count()
    dist.all_gather_object(found, own, group=_long_group)
    return found


def any_of(own: bool) -> bool:
    """Whether any process says so."""
    if count() == 1:
        return own
    said = torch.tensor([own], dtype=torch.uint8)
    dist.all_reduce(said, op=dist.ReduceOp.MAX)
    return bool(said.item())


@contextmanager
def own_randomness(*seeds: int) -> Iterator[None]:
    """Draw what torch draws here by these seeds and the rank, and leave the global generator as it was.

    So that dropout differs from process to process and is the same after a resume. A process alone draws as ever.
    """
    if count() == 1:
        yield
        return
    own = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=own):
        torch.manual_seed(int(np.random.SeedSequence([*seeds, rank()]).generate_state(1)[0]))
        yield


def replicated(module: nn.Module) -> nn.Module:
    """Return the module as all processes train it: from the weights of the first, by the mean of their gradients."""
    if count() == 1:
        return module
    return DistributedDataParallel(module, find_unused_parameters=True)


def same_buffers(module: nn.Module) -> None:
    """Give the module of every process the running statistics of the first, which are those that are saved."""
    if count() > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def _met() -> Any:
    """Meet the other processes; return the store in which they leave word for each other."""
    global _long_group
    cuda = torch.cuda.is_available() and torchrun.on_this_machine() <= torch.cuda.device_count()
    try:
        from torch.distributed.rendezvous import rendezvous  # not in a torch that was built without

        store, own, processes = next(rendezvous("env://", timeout=TO_MEET))
        if cuda:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        dist.init_process_group(backend, store=store, rank=own, world_size=processes, timeout=TO_STEP)
        _long_group = dist.new_group(backend="gloo", timeout=TO_PREPARE)  # type: ignore[assignment]  # this is in it
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ConfigurationError(
            f"expected to meet {os.environ['WORLD_SIZE']} processes at {place}, got {first_line(error)}; start all "
            "of them with the same --rdzv-endpoint, or on one machine with torchrun --standalone"
        ) from None
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # what was said before a restart is not about this one
    words: Any = dist.PrefixStore(f"fscl/{again}", store)  # type: ignore[attr-defined]
    return words


def _check_accelerators() -> None:
    here, accelerators = torchrun.on_this_machine(), torch.cuda.device_count()
    if accelerators and here > accelerators:
        raise ConfigurationError(
            f"expected an accelerator for each process, got {here} processes on a machine with {accelerators}: "
            f"torchrun --standalone --nproc-per-node {accelerators}"
        )


def _leave() -> None:
    global _long_group
    _long_group = None
    if dist.is_initialized():
        dist.destroy_process_group()


def _of_a_lost_process(error: BaseException) -> ConnectionError | None:
    """Return an error of communication as what it means; None for any other."""
    if not isinstance(error, RuntimeError) or isinstance(error, FsclError):
        return None
    said = str(error).lower()
    if not (isinstance(error, dist.DistError) or "gloo" in said or "nccl" in said):
        return None
    if "timed out" in said or "timeout" in said:
        what = f"did not answer for {TO_STEP.total_seconds() / 60:.0f} minutes"
    else:
        what = "is gone (killed, or out of memory?)"
    lost = ConnectionError(
        f"one of the {count()} processes of this run {what}, so all of them end ({first_line(error)})"
    )
    for note in getattr(error, "__notes__", []):
        lost.add_note(note)
    return lost


def _said_elsewhere(store: Any, error: BaseException) -> int | None:
    """Return the exit code of the run where another process says why it ends; None: this one has to say it."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:  # torchrun ends the others once one of them has ended
            signal.signal(number, signal.SIG_IGN)
    try:
        until = time.monotonic() + (0 if is_first() else SPEAK_SECONDS)
        while time.monotonic() < until and not store.check([CODE]):
            time.sleep(0.02)
        if store.add(SPEAKERS, 1) > 1:
            return int(store.get(CODE))
        store.set(CODE, str(_code(error)))
    except RuntimeError:  # the store is gone, too
        pass
    return None


def _code(error: BaseException) -> int:
    """Return the exit code that `fscl.ending` gives an error."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return 2 if isinstance(error, FsclError | OSError) else 1

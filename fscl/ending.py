"""How a command ends: its exit code, and what it says then of what is kept."""

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from cyclopts import App, CycloptsError

from fscl import torchrun
from fscl.errors import ConfigurationError, FsclError, lacks_memory, of_memory, of_system
from fscl.printable import printable

GONE = {"--profile": "--profile is gone: --imbalance 100 alone says a long tail, leave --profile exp out"}
"""Flags of earlier releases → what to type now."""


@contextmanager
def kept(what: str | Callable[[], str]) -> Iterator[None]:
    """Note on what ends a command unasked (Ctrl-C, disk, memory, a lost process) what there is; `run` says it."""
    try:
        yield
    except (KeyboardInterrupt, MemoryError, OSError, RuntimeError) as error:
        error.add_note(what if isinstance(what, str) else what())
        raise


def going_on(first: Path, command: Sequence[str], *, goes_on: bool) -> Callable[[], str]:
    """Return a function for `kept` that says how to go on with what the command has begun by then.

    Args:
        first: the file that the command writes before all others.
        command: the words that go on with it.
        goes_on: the command goes on with what is there before; else that is another's until `first` is written anew.
    """
    before = _written(first)

    def said() -> str:
        now = _written(first)
        if now is None or (now == before and not goes_on):
            return "nothing was written: the same command starts again"
        return f"go on with: {shlex.join(command)}"

    return said


def again() -> list[str]:
    """Return the words of this command without `--overwrite`, which would drop what it has done."""
    return ["fscl", *(word for word in sys.argv[1:] if word != "--overwrite")]


def _written(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None


def run(app: App, words: Sequence[str]) -> None:
    """Run a command: exit code 0 done, 2 the user's input, 130 interrupted, 1 our fault.

    Args:
        app: the commands.
        words: the command, its arguments and flags.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console of an old code page shows ? instead of failing
    for gone in {word.partition("=")[0] for word in words} & set(GONE):
        _fail(GONE[gone])
    try:
        with _together(words):
            try:
                app(words, exit_on_error=False, result_action="return_value")
            except CycloptsError:
                sys.exit(2)
    except FsclError as error:
        _fail(str(error))
    except KeyboardInterrupt as interruption:
        notes = getattr(interruption, "__notes__", [])
        _fail("; ".join([str(interruption) or "interrupted", *notes]), code=130)
    except OSError as error:
        _fail(of_system(error))
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        _fail(of_memory(error))


@contextmanager
def _together(words: Sequence[str]) -> Iterator[None]:
    """Run a command in all processes that torchrun has started, if it has; others than `train` are refused.

    Without torchrun nothing is imported for that. PyTorch's own warnings, of each process, are left out: it takes the
    level when it is imported.
    """
    if not torchrun.started():
        yield
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from fscl import processes

    with processes.joined():
        if words[:1] != ["train"]:
            command = shlex.join(["fscl", *words[:1]])
            raise ConfigurationError(f"torchrun is for fscl train; start {command} without it")
        yield


def _fail(message: str, code: int = 2) -> None:
    print(f"fscl: {printable(message)}", file=sys.stderr)
    sys.exit(code)

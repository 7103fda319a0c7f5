"""Runs attacks in this process and says which of them ended in a traceback."""

import io
import os
import random
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from fscl.cli import main
from fscl.errors import FsclError
from fscl.printable import STEERING, printable
from tests.fuzz import outputs, programs, readers, sources
from tests.fuzz.attacks import Attack, Kind

KINDS = [*sources.KINDS, *programs.KINDS, *outputs.KINDS, *readers.KINDS]
SECONDS = 60  # for one command; what takes longer hangs
ENDS = (0, 2)


class HangsError(Exception):
    """A command that does not end."""


def run(kind: Kind, seed: int, ground: Path, scratch: Path) -> str:
    """Attack once, in an empty folder below `scratch`; return what is wrong with how it ended, empty if nothing."""
    rng = random.Random(f"{kind.name} {seed}")
    folder = scratch / "at"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in kind.needs:
        place = folder / (Path(name).name if name == "stopped/run" else name)
        (shutil.copytree if (ground / name).is_dir() else shutil.copy)(ground / name, place)
    shutil.copy(ground / "photos/boar/0.jpg", folder / "photo.jpg")
    attack = kind.attack(rng, folder)
    before = {name: (folder / name).read_bytes() for name in attack.users}
    wrong = ended(attack, folder)
    changed = [name for name, content in before.items() if _content(folder / name) != content]
    faults = [_last_line(path) for path in folder.rglob("error.txt")]
    return "; ".join([*([wrong] if wrong else []), *faults, *(f"changed {name}" for name in changed)])


def ended(attack: Attack, folder: Path) -> str:
    """Run the command line; return the kind of its traceback, or a wrong exit code, or nothing."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    with _inside(folder), redirect_stdout(streams[0]), redirect_stderr(streams[1]), _in_time():
        try:
            with patch.object(sys, "argv", ["fscl", *attack.words]), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                main() if attack.reader is None else read(attack.reader)
            code = 0
        except SystemExit as stop:
            code = stop.code
        except BaseException as error:
            return kind_of(error)
    out, said = (stream.buffer.getvalue().decode() for stream in streams)
    if code == 2 and not said.strip():
        return "exit 2 without a word"
    if STEERING.search(out + said):
        return "control characters printed"
    return "" if code in ENDS else f"exit {code}"


def read(reader: Callable[[], object]) -> None:
    """Call a reader as the command line does."""
    try:
        reader()
    except (FsclError, OSError) as error:
        print(f"fscl: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)


def kind_of(error: BaseException) -> str:
    """Return the type of an error and where in fscl it came from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f"{os.sep}fscl{os.sep}" in f.filename]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else "outside"
    return f"{type(error).__name__} in {place}"


def _last_line(fault: Path) -> str:
    lines = fault.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    places = [line.strip() for line in lines if line.strip().startswith("File") and f"{os.sep}fscl{os.sep}" in line]
    return f"cell: {lines[-1][:60]} {places[-1].rsplit(os.sep, 1)[-1] if places else ''}"


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _in_time() -> Iterator[None]:
    def too_long(*_: object) -> None:
        raise HangsError

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)

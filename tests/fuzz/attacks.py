"""What an attack is, and the files that it changes."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import torch

from tests.fuzz import mutations


@dataclass(frozen=True)
class Attack:
    """A command in a folder, or a reader called there, and the files in it that must stay as they are."""

    words: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    reader: Callable[[], object] | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of input: what it needs of the valid files, how these become an attack, how many the suite makes."""

    name: str
    needs: tuple[str, ...]
    attack: Callable[[random.Random, Path], Attack]
    in_suite: int


def change_json(rng: random.Random, path: Path) -> None:
    valid = path.read_bytes()
    if rng.random() < 0.25:
        path.write_bytes(mutations.raw(rng, valid))
    elif rng.random() < 0.03:
        path.write_bytes(mutations.as_json(rng, mutations.deep()))
    else:
        path.write_bytes(mutations.as_json(rng, mutations.document(rng, json.loads(valid))))


def change_table(rng: random.Random, path: Path) -> None:
    if rng.random() < 0.15:
        path.write_bytes(mutations.raw(rng, path.read_bytes()))
    else:
        pq.write_table(mutations.table(rng, pq.read_table(path)), path)


def change_state(rng: random.Random, path: Path) -> None:
    if rng.random() < 0.25:
        path.write_bytes(mutations.raw(rng, path.read_bytes()))
    else:
        torch.save(mutations.state(rng, torch.load(path, weights_only=True)), path)


def change_metrics(rng: random.Random, path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    for place in rng.sample(range(len(lines)), rng.choice((1, 1, 3))):
        line = lines[place].rstrip(b"\n")
        if rng.random() < 0.3:
            lines[place] = mutations.raw(rng, line) + b"\n"
        else:
            lines[place] = mutations.as_json(rng, mutations.document(rng, json.loads(line))) + b"\n"
    path.write_bytes(b"".join(lines))

"""Answers as a table: a row per animal, or per photo where there is none; CSV or Parquet."""

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fscl.formats.answers import About, Animal, PhotoAnswer
from fscl.manifest.names import class_columns

OWN = ("filepath", "x", "y", "w", "h", "detection_conf", "prediction", "probability", "abstained", "problem")
ROLLED_UP = ("answer_rank",)  # where unsure answers were rolled up along a taxonomy
ACCEPTING = ("accepted", "set", "unknown")  # where it was asked which answers may be accepted unseen
ROWS = 20_000  # of a group in a Parquet file


def write_csv(path: Path, answers: Iterable[PhotoAnswer], about: About) -> None:
    """Write answers as CSV in UTF-8; an answer below `about.unsure_below` is marked as abstained."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        own = _own(about)
        writer.writerow([*own, *class_columns(about.classes, own).values()])
        for row in _rows(answers, about):
            writer.writerow(["" if value is None else value for value in row])


def write_parquet(path: Path, answers: Iterable[PhotoAnswer], about: About) -> None:
    """Write the same as Parquet."""
    own = _own(about)
    columns = class_columns(about.classes, own).values()
    kinds = dict.fromkeys(("filepath", "prediction", "problem", "answer_rank", "set"), pa.string())
    kinds |= dict.fromkeys(("abstained", "accepted", "unknown"), pa.bool_())
    schema = pa.schema(
        [(name, kinds.get(name, pa.float64())) for name in own] + [(name, pa.float64()) for name in columns]
    )
    rows = _rows(answers, about)
    with pq.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, ROWS)):
            table = pd.DataFrame(group, columns=schema.names)
            writer.write_table(pa.Table.from_pandas(table, schema=schema, preserve_index=False))


def _own(about: About) -> tuple[str, ...]:
    return (*OWN, *(ROLLED_UP if about.taxonomy else ()), *(ACCEPTING if about.accepting else ()))


def _rows(answers: Iterable[PhotoAnswer], about: About) -> Iterator[list[Any]]:
    nothing = [None] * len(about.classes)
    no_answer = [None] * (len(_own(about)) - len(OWN))
    for photo in answers:
        if not photo.animals:
            yield [photo.file, *[None] * 5, photo.found, None, None, photo.failure, *no_answer, *nothing]
        for animal in photo.animals:
            said = about.said(animal)
            more: list[Any] = [said and said.rank] if about.taxonomy else []
            more += [animal.accepted, animal.species_set, animal.unknown] if about.accepting else []
            yield [photo.file, *_of(animal, about), photo.failure, *more, *(animal.scores or nothing)]


def _of(animal: Animal, about: About) -> list[Any]:
    box = [None] * 4 if animal.box is None else [round(side, 6) for side in animal.box]
    said = about.said(animal)
    if said is None:
        return [*box, animal.confidence, None, None, None]
    return [*box, animal.confidence, said.name, said.probability, said.unsure]

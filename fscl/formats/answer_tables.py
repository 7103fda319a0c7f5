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
ROWS = 20_000  # of a group in a Parquet file


def write_csv(path: Path, answers: Iterable[PhotoAnswer], about: About) -> None:
    """Write answers as CSV in UTF-8; an answer below `about.unsure_below` is marked as abstained."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*OWN, *class_columns(about.classes, OWN).values()])
        for row in _rows(answers, about):
            writer.writerow(["" if value is None else value for value in row])


def write_parquet(path: Path, answers: Iterable[PhotoAnswer], about: About) -> None:
    """Write the same as Parquet."""
    columns = class_columns(about.classes, OWN).values()
    kinds = dict.fromkeys(("filepath", "prediction", "problem"), pa.string()) | {"abstained": pa.bool_()}
    schema = pa.schema(
        [(name, kinds.get(name, pa.float64())) for name in OWN] + [(name, pa.float64()) for name in columns]
    )
    rows = _rows(answers, about)
    with pq.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, ROWS)):
            table = pd.DataFrame(group, columns=schema.names)
            writer.write_table(pa.Table.from_pandas(table, schema=schema, preserve_index=False))


def _rows(answers: Iterable[PhotoAnswer], about: About) -> Iterator[list[Any]]:
    nothing = [None] * len(about.classes)
    for photo in answers:
        if not photo.animals:
            yield [photo.file, *[None] * 5, photo.found, None, None, photo.failure, *nothing]
        for animal in photo.animals:
            yield [photo.file, *_of(animal, about), photo.failure, *(animal.scores or nothing)]


def _of(animal: Animal, about: About) -> list[Any]:
    box = [None] * 4 if animal.box is None else [round(side, 6) for side in animal.box]
    if animal.answer is None or animal.probability is None:
        return [*box, animal.confidence, None, None, None]
    unsure = animal.probability < about.unsure_below
    return [*box, animal.confidence, about.classes[animal.answer], animal.probability, unsure]

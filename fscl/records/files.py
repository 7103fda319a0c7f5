"""Records as JSON files: written as they are defined, and checked while they are read."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from fscl.atomic import write_text
from fscl.errors import OutputError, in_words, shown
from fscl.records.cell import CellRecord
from fscl.records.evaluation import Evaluation
from fscl.records.explanation import Explanation
from fscl.records.study import StudyHeader
from fscl.records.values import VERSION

Record = TypeVar("Record", Evaluation, CellRecord, StudyHeader, Explanation)
_HEADER, _CELL = TypeAdapter(StudyHeader), TypeAdapter(CellRecord)
_EVALUATION, _EXPLANATION = TypeAdapter(Evaluation), TypeAdapter(Explanation)


class DamagedError(OutputError):
    """A file of a study or run that is not what was written."""


def write_record(path: Path, record: Evaluation | CellRecord | StudyHeader | Explanation) -> None:
    """Write a record, whole or not at all."""
    plain: dict[str, Any] = TypeAdapter(type(record)).dump_python(record, mode="json")
    write_text(path, json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_header(path: Path) -> StudyHeader:
    """Read a `study.json`.

    Raises:
        OutputError: of another version; a `DamagedError` where it is damaged.
    """
    return _read(_HEADER, path, "write it again with fscl compare")


def read_cell(path: Path) -> CellRecord:
    """Read the file of a cell.

    Raises:
        OutputError: of another version; a `DamagedError` where it is damaged.
    """
    return _read(_CELL, path, "delete it and run fscl compare again, which runs only what is missing")


def read_evaluation(path: Path) -> Evaluation:
    """Read an `evaluation.json`.

    Raises:
        OutputError: of another version; a `DamagedError` where it is damaged.
    """
    return _read(_EVALUATION, path, "write it again with fscl evaluate")


def read_explanation(path: Path) -> Explanation:
    """Read an `explain.json`.

    Raises:
        OutputError: of another version; a `DamagedError` where it is damaged.
    """
    return _read(_EXPLANATION, path, "write it again with fscl explain")


def _read(adapter: TypeAdapter[Record], path: Path, fix: str) -> Record:
    try:
        return adapter.validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        problems = error.errors()
        unknown = next((problem for problem in problems if problem["loc"] == ("version",)), None)
        if unknown is not None and type(unknown["input"]) is int:
            version = f"expected version {VERSION}, got {shown(unknown['input'])}"
            raise OutputError(f"{path}: {version}; read it with the fscl that wrote it") from None
        raise DamagedError(f"{path} is damaged: {in_words(problems[0])}; {fix}") from None

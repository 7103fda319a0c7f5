"""The lines of metrics.jsonl: what a run noted of its steps, epochs and photos that it could not read."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(ge=-1e39, le=1e39)]  # float32 ends below; sums of them stay finite
Amount = Annotated[float, Field(ge=0, le=1e39)]
Count = Annotated[int, Field(ge=0, le=2**53)]


class Line(BaseModel):
    """What every line has; more keys than its kind needs are left alone."""

    model_config = ConfigDict(strict=True)

    kind: str
    step: Count


class StepLine(Line):
    """A step: what was minimised, and its unweighted terms."""

    loss: Number
    terms: dict[str, Number]


class ValidationMetrics(BaseModel):
    """The metrics on validation photos that are shown and plotted."""

    model_config = ConfigDict(strict=True)

    minority_recall: Number | None
    majority_recall: Number | None
    balanced_accuracy: Number | None
    balanced_log_loss: Amount | None
    recall_by_class: dict[str, Number | None]


class EpochLine(Line):
    """The end of an epoch."""

    epoch: Count
    photos_per_second: Amount
    validation: ValidationMetrics | None
    features: dict[str, dict[str, Number | None]] | None = None


class ProblemLine(Line):
    """A photo that could not be read."""

    path: str
    reason: str


KINDS: dict[str, type[Line]] = {"step": StepLine, "epoch": EpochLine, "problem": ProblemLine}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics.jsonl, without those that are damaged.

    Raises:
        OSError: it is not there, or may not be read.
    """
    # Not `splitlines`, which also ends a line at characters that stand in names of files.
    return [entry for line in path.read_bytes().split(b"\n") if (entry := read_line(line)) is not None]


def read_line(line: bytes) -> dict[str, Any] | None:
    """Return a line of the file; None where it is not what was written."""
    try:
        entry: dict[str, Any] = json.loads(line.decode())
        KINDS.get(Line.model_validate(entry).kind, Line).model_validate(entry)
    except (ValueError, RecursionError):
        return None
    return entry

"""metrics.jsonl: a line per step and per epoch, cut back to the checkpoint when a run goes on."""

import json
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from fscl.atomic import write_bytes
from fscl.errors import ConfigurationError, DivergenceError
from fscl.losses.objective import LossValue

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


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


class Validation(BaseModel):
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
    validation: Validation | None
    features: dict[str, dict[str, Number | None]] | None = None


class ProblemLine(Line):
    """A photo that could not be read."""

    path: str
    reason: str


KINDS: dict[str, type[Line]] = {"step": StepLine, "epoch": EpochLine, "problem": ProblemLine}


class MetricsLog:
    """Writes what happened, and stops the run when a loss is no longer finite.

    Values stay on the device until `flush`, so that an accelerator is not made to wait at every step.

    Args:
        path: of metrics.jsonl; TensorBoard's files, if wanted, go beside it.
        flush_every: steps between flushes.
        after: keep the lines up to this step, drop later ones; 0 starts anew.

    Attributes:
        dropped: lines up to there that were none: damaged, and left out.
    """

    def __init__(self, path: Path, *, flush_every: int, after: int = 0, tensorboard: bool = False) -> None:
        self.path = path
        self.flush_every = flush_every
        self.latest: dict[str, float] = {}
        self._writer = _tensorboard_writer(path.parent, after) if tensorboard else None
        self._pending: list[tuple[int, int, float, list[str], Tensor]] = []
        lines = path.read_bytes().split(b"\n") if after and path.exists() else []
        read = [(line, _read(line)) for line in lines]
        self.dropped = sum(entry is None for line, entry in read[:-1] if line)  # the last may be cut by a kill
        kept = [(line, entry) for line, entry in read if entry is not None and entry["step"] <= after]
        problems = (entry for _, entry in kept if entry["kind"] == "problem")
        self._told = {(entry.get("split", "train"), entry["path"]) for entry in problems}
        write_bytes(path, b"".join(line + b"\n" for line, _ in kept))

    def step(self, step: int, epoch: int, learning_rate: float, value: LossValue) -> None:
        """Note a step.

        Raises:
            DivergenceError: a term is not finite, at this step or at one since the last flush.
        """
        stacked = torch.stack([value.total.detach(), *value.parts.values()])
        self._pending.append((step, epoch, learning_rate, list(value.parts), stacked))
        if len(self._pending) >= self.flush_every:
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        if not self._pending:
            return
        values = iter(
            torch.cat([entry[-1] for entry in self._pending]).tolist()
        )  # one read: the device is waited for
        lines, diverged = [], None
        for step, epoch, rate, names, _ in self._pending:
            total = next(values)
            terms = {name: next(values) for name in names}
            bad = [name for name, part in {**terms, "the sum": total}.items() if not math.isfinite(part)]
            if bad:
                diverged = f"step {step}: {bad[0]} is {terms.get(bad[0], total)} at learning rate {rate:.3g}"
                break
            self.latest = {"loss": total, **terms}
            lines.append({"kind": "step", "step": step, "epoch": epoch, "learning_rate": rate, "loss": total})
            lines[-1]["terms"] = terms
        self._pending.clear()
        self._write(lines)
        if diverged:
            raise DivergenceError(diverged)

    def epoch(
        self,
        epoch: int,
        step: int,
        photos_per_second: float,
        validation: dict[str, Any] | None,
        features: Mapping[str, Mapping[str, float | None]] | None = None,
    ) -> None:
        """Note an epoch's end; of the features where they were measured."""
        self.flush()
        line = {"kind": "epoch", "epoch": epoch, "step": step, "photos_per_second": round(photos_per_second, 1)}
        self._write([line | {"validation": validation} | ({} if features is None else {"features": features})])

    def problem(self, step: int, split: str, path: str, reason: str) -> None:
        """Note a training or validation photo that could not be read, once."""
        if (split, path) not in self._told:
            self._told.add((split, path))
            self._write([{"kind": "problem", "step": step, "split": split, "path": path, "reason": reason}])

    def _write(self, lines: list[dict[str, Any]]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        if self._writer is not None:
            for line in lines:
                scalars = line.get("terms") or line.get("validation") or {}
                for name, value in scalars.items():
                    if isinstance(value, float):
                        self._writer.add_scalar(f"{line['kind']}/{name}", value, line["step"])
            self._writer.flush()


def check_tensorboard(*, wanted: bool) -> None:
    """Raise ConfigurationError where TensorBoard is wanted and its package is not installed."""
    if wanted and find_spec("tensorboard") is None:
        raise ConfigurationError("--tensorboard needs its package: pip install 'fscl[tensorboard]'")


def _tensorboard_writer(folder: Path, after: int) -> "SummaryWriter":
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=after + 1)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics.jsonl, without those that are damaged.

    Raises:
        OSError: it is not there, or may not be read.
    """
    # Not `splitlines`, which also ends a line at characters that stand in names of files.
    return [entry for line in path.read_bytes().split(b"\n") if (entry := _read(line)) is not None]


def _read(line: bytes) -> dict[str, Any] | None:
    """Return a line; None where it is not what was written."""
    try:
        entry: dict[str, Any] = json.loads(line.decode())
        KINDS.get(Line.model_validate(entry).kind, Line).model_validate(entry)
    except (ValueError, RecursionError):
        return None
    return entry

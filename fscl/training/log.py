"""metrics.jsonl: a line per step and per epoch, cut back to the checkpoint when a run goes on."""

import json
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fscl import processes
from fscl.atomic import write_bytes
from fscl.errors import ConfigurationError, DivergenceError
from fscl.losses.objective import LossValue
from fscl.records.log_lines import read_line

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class MetricsLog:
    """Writes what happened, and stops the run when a loss is no longer finite.

    Values stay on the device until `flush`, so that an accelerator is not made to wait at every step.

    Args:
        path: of metrics.jsonl; TensorBoard's files, if wanted, go beside it. Of several processes the first one
            alone writes.
        flush_every: steps between flushes.
        after: keep the lines up to this step, drop later ones; 0 starts anew.

    Attributes:
        dropped: lines up to there that were none: damaged, and left out.
    """

    def __init__(self, path: Path, *, flush_every: int, after: int = 0, tensorboard: bool = False) -> None:
        self.path = path
        self.flush_every = flush_every
        self.latest: dict[str, float] = {}
        self._writes = processes.is_first()
        self._writer = _tensorboard_writer(path.parent, after) if tensorboard and self._writes else None
        self._pending: list[tuple[int, int, float, list[str], Tensor]] = []
        lines = path.read_bytes().split(b"\n") if after and self._writes and path.exists() else []
        read = [(line, read_line(line)) for line in lines]
        self.dropped = sum(entry is None for line, entry in read[:-1] if line)  # the last may be cut by a kill
        kept = [(line, entry) for line, entry in read if entry is not None and entry["step"] <= after]
        problems = (entry for _, entry in kept if entry["kind"] == "problem")
        self._told = {(entry.get("split", "train"), entry["path"]) for entry in problems}
        if self._writes:
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
        if not self._writes:
            return
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

"""The state of an unfinished run: written whole or not at all, read without unpickling code."""

import io
import time
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from fscl import processes
from fscl.atomic import write_bytes
from fscl.errors import BundleError, first_line, shown
from fscl.models.weights import why_unread

NUMBERS = {int: (int,), float: (int, float)}  # kinds that may stand for one another


class Stateful(Protocol):
    """A part of a run that can be saved: a module, an optimizer, a schedule."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state_dict: Any) -> Any:
        """Take the state back."""


class Checkpoint:
    """What a run needs to go on exactly: its parts, the random state, the step, the best validation so far.

    Args:
        path: of the file.
        parts: name → part.
    """

    def __init__(self, path: Path, parts: Mapping[str, Stateful]) -> None:
        self.path = path
        self.parts = parts
        self.best_log_loss = float("inf")
        self.saved_step: int | None = None
        self._saved_at = time.monotonic()

    def due(self, seconds: float) -> bool:
        """Whether so many seconds have passed since it was written or since the run began; the first process says."""
        return processes.is_first() and time.monotonic() - self._saved_at >= seconds

    def save(self, step: int) -> None:
        """Write the state after `step`.

        Raises:
            OSError: the disk is full or cannot be written. (torch.save to a file raises RuntimeError.)
        """
        rng = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            rng["cuda"] = torch.cuda.get_rng_state()
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        content = io.BytesIO()
        torch.save({"step": step, "rng": rng, "best_log_loss": self.best_log_loss, **parts}, content)
        write_bytes(self.path, content.getbuffer())
        self.saved_step, self._saved_at = step, time.monotonic()

    def load(self, steps: int | None = None) -> int:
        """Restore the state; return the steps done: 0 where there is no checkpoint.

        Everything is looked at before anything is restored. Of several processes the first reads it for all.

        Args:
            steps: of the run, which a checkpoint of it cannot be beyond.

        Raises:
            BundleError: damaged, or of another run.
        """
        state = processes.first(lambda: self._read(steps))
        if state is None:
            return 0
        try:
            torch.set_rng_state(state["rng"]["cpu"].contiguous())
            if torch.cuda.is_available() and "cuda" in state["rng"]:
                torch.cuda.set_rng_state(state["rng"]["cuda"].contiguous())
        except RuntimeError as error:
            raise self._unusable(f"rng: {first_line(error)}") from None
        for name, part in self.parts.items():
            if isinstance(part, Optimizer):
                state[name]["state"] = _copied(state[name]["state"], _moments(part, state[name]["state"]))
            part.load_state_dict(state[name])
        self.best_log_loss, self.saved_step = float(state["best_log_loss"]), int(state["step"])
        return self.saved_step

    def _read(self, steps: int | None) -> dict[str, Any] | None:
        if not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # reading bytes that are no checkpoint, torch raises almost anything
            raise self._unusable(f"cut short? ({why_unread(error)})") from None
        reason = self._strange(state, steps)
        if reason:
            raise self._unusable(reason)
        return state

    def _strange(self, state: Any, steps: int | None) -> str:
        """Say what of a state is not as this run would have saved it; empty where nothing is."""
        difference = _difference(state, self._like(state))
        if difference:
            return difference
        for name, part in self.parts.items():
            if isinstance(part, Optimizer) and not _same_settings(state[name], part.state_dict()):
                return f"{name}.param_groups: expected the settings of this run"
        if state["step"] < 0 or (steps is not None and state["step"] > steps):
            return f"step: expected one of the run's {steps}, got {state['step']}"
        return "best_log_loss: expected a number, got nan" if isnan(state["best_log_loss"]) else ""

    def _like(self, state: Any) -> dict[str, Any]:
        """Return what this run would save, as to parts, types and shapes, for the weights that `state` tells of."""
        own: dict[str, Any] = {"step": 0, "best_log_loss": 0.0, "rng": {"cpu": torch.get_rng_state()}}
        if isinstance(state, dict) and isinstance(state.get("rng"), dict) and "cuda" in state["rng"]:
            own["rng"]["cuda"] = torch.empty(16, dtype=torch.uint8)  # Philox: seed and offset
        for name, part in self.parts.items():
            own[name] = part.state_dict()
            if isinstance(part, Optimizer):
                own[name]["state"] = _moments(part, state[name]["state"] if _has_state(state, name) else {})
        return own

    def _unusable(self, reason: str) -> BundleError:
        return BundleError(f"{self.path}: the checkpoint cannot be used, {reason}; start again with --overwrite")

    def kept(self) -> str:
        """Say what a run that fails now leaves behind."""
        if self.saved_step is None:
            return "no checkpoint had been written yet"
        return f"the last checkpoint with finite weights, of step {self.saved_step}, is kept: {self.path}"


def _has_state(state: Any, name: str) -> bool:
    optimizer = state.get(name) if isinstance(state, dict) else None
    return isinstance(optimizer, dict) and isinstance(optimizer.get("state"), dict)


def _same_settings(saved: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Tell whether two optimizers are alike but for the learning rate, which falls."""
    groups = zip(saved["param_groups"], own["param_groups"], strict=True)
    return all({**one, "lr": None} == {**other, "lr": None} for one, other in groups)


def _moments(optimizer: Optimizer, numbers: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return what it remembers of the weights of these numbers, as to shapes: fused, it trusts them unseen."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    known = [n for n in numbers if isinstance(n, int) and 0 <= n < len(weights)]
    if isinstance(optimizer, SGD):
        return {n: {"momentum_buffer": weights[n]} for n in known}
    return {n: {"step": torch.zeros(()), "exp_avg": weights[n], "exp_avg_sq": weights[n]} for n in known}


def _copied(saved: Mapping[int, Any], own: Mapping[int, Any]) -> dict[int, Any]:
    """Return saved tensors in the layout of the weights that they are of, each with memory of its own."""
    return {n: {key: torch.empty_like(own[n][key]).copy_(value) for key, value in saved[n].items()} for n in saved}


def _difference(saved: Any, own: Any, where: str = "") -> str:
    """Say where a saved state is of another kind than one's own: parts, lengths, types, shapes; not numbers."""
    place = where and f"{where}: "
    if isinstance(own, Tensor):
        alike = isinstance(saved, Tensor) and (saved.shape, saved.dtype) == (own.shape, own.dtype)
        return "" if alike else f"{place}expected {tuple(own.shape)} of {own.dtype}, got {_kind(saved)}"
    if isinstance(own, Mapping):
        if not isinstance(saved, Mapping) or saved.keys() != own.keys():
            return f"{place}expected the parts {', '.join(map(str, own))}, got {_kind(saved)}"
        inner = ((key, saved[key], own[key]) for key in own)
    elif isinstance(own, Sequence) and not isinstance(own, str):
        if not isinstance(saved, Sequence) or isinstance(saved, str) or len(saved) != len(own):
            return f"{place}expected {len(own)} values, got {_kind(saved)}"
        inner = ((key, one, other) for key, (one, other) in enumerate(zip(saved, own, strict=True)))
    else:
        kinds = NUMBERS.get(type(own))
        alike = type(saved) in kinds if kinds else type(saved) is type(own) and saved == own  # a switch
        return "" if alike else f"{place}expected {'a number' if kinds else shown(own)}, got {_kind(saved)}"
    differences = (_difference(one, other, f"{where}.{key}" if where else str(key)) for key, one, other in inner)
    return next(filter(None, differences), "")


def _kind(value: Any) -> str:
    """Return what a message calls a value of the wrong kind."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} of {value.dtype}"
    return f"the parts {', '.join(map(str, value))}"[:80] if isinstance(value, Mapping) else shown(value)

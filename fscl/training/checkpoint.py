"""The state of an unfinished run: written whole or not at all, read without unpickling code."""

import io
import time
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import torch

from fscl.atomic import write_bytes
from fscl.errors import BundleError


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

    @property
    def age_seconds(self) -> float:
        """Seconds since it was written or, before that, since the run began."""
        return time.monotonic() - self._saved_at

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

    def load(self) -> int:
        """Restore the state; return the steps done: 0 where there is no checkpoint.

        Raises:
            BundleError: damaged, or of another run.
        """
        if not self.path.exists():
            return 0
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            torch.set_rng_state(state["rng"]["cpu"])
            if torch.cuda.is_available() and "cuda" in state["rng"]:
                torch.cuda.set_rng_state(state["rng"]["cuda"])
            self.best_log_loss, self.saved_step = float(state["best_log_loss"]), int(state["step"])
        except (UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError, OSError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
            raise BundleError(
                f"{self.path}: the checkpoint cannot be used, cut short? ({reason}); start again with --overwrite"
            ) from None
        return self.saved_step

    def kept(self) -> str:
        """Say what a run that fails now leaves behind."""
        if self.saved_step is None:
            return "no checkpoint had been written yet"
        return f"the last checkpoint with finite weights, of step {self.saved_step}, is kept: {self.path}"

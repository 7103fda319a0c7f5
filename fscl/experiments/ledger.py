"""What a comparison found: one atomic file per cell, so that no lock is needed and nothing is lost."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pandas as pd

from fscl.atomic import replacing, write_text
from fscl.config import Method
from fscl.errors import OutputError
from fscl.experiments.grid import Cell

VERSION = 1
CURVE_POINTS = 200
STUDY, DRAWN_PHOTOS = "study.json", "photos"
RESULTS = ("cells", "scores", "runs")
OURS = {STUDY, DRAWN_PHOTOS, *RESULTS, "photos.parquet", "figures", "report.html", "report.md", "report.csv"}


class Ledger:
    """The study folder, see docs/schema.md.

    Args:
        folder: of the study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run_folder(self, cell: Cell) -> Path:
        """Return the folder in which the cell trains."""
        return self.folder / "runs" / cell.id

    def finished(self, cell: Cell) -> bool:
        """Whether the cell needs no more work; a failed one is tried again."""
        path = self._path(cell)
        if not path.exists():
            return False
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return False
        return bool(record.get("status") in ("done", "undefined"))

    def write(self, cell: Cell, method: Method, status: str, reason: str | None = None, **found: Any) -> None:
        """Write the cell's file: `done` with what was found, or `undefined` or `failed` with the reason."""
        record = {
            "version": VERSION,
            "cell": cell.record(),
            "method": method.model_dump(),
            "status": status,
            "reason": reason,
            **found,
        }
        write_text(self._path(cell), json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    def write_scores(self, cell: Cell, scores: pd.DataFrame) -> None:
        """Write the logits of the cell's test photos."""
        with replacing(self.folder / "scores" / f"{cell.id}.parquet") as path:
            scores.to_parquet(path, index=False)

    def open(self, study: Mapping[str, Any], *, overwrite: bool) -> None:
        """Make the folder this study's; its axes may grow from call to call, its settings may not.

        Raises:
            OutputError: the folder holds something else, or a study of other settings or photos.
        """
        path = self.folder / STUDY
        merged = dict(study)
        if path.exists() and not overwrite:
            before = json.loads(path.read_text(encoding="utf-8"))
            _check_same(before, study, self.folder)
            merged["axes"] = _joined(before["axes"], study["axes"])
        elif overwrite:
            for name in RESULTS:
                rmtree(self.folder / name, ignore_errors=True)
        elif foreign := sorted({file.name for file in self.folder.glob("*")} - OURS):
            raise OutputError(
                f"{self.folder}: holds other files, such as {foreign[0]}; choose another --out or use --overwrite"
            )
        write_text(path, json.dumps(merged, indent=1, ensure_ascii=False) + "\n")

    def _path(self, cell: Cell) -> Path:
        return self.folder / "cells" / f"{cell.id}.json"


def curve(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the losses of a run as at most 200 points, each the mean of the steps since the one before."""
    steps = [line for line in metrics if line["kind"] == "step"]
    table = pd.DataFrame([{"step": s["step"], "loss": s["loss"], **s["terms"]} for s in steps])
    part = np.arange(len(table)) * min(CURVE_POINTS, len(table)) // max(len(table), 1)
    means = table.groupby(part).mean()
    names = [name for name in means.columns if name not in ("step", "loss")]
    return {
        "step": table["step"].groupby(part).max().tolist(),
        "loss": means["loss"].round(5).tolist(),
        "terms": {name: means[name].round(5).tolist() for name in names},
    }


def validation_curve(metrics: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the validation figures by epoch."""
    epochs = [line for line in metrics if line["kind"] == "epoch" and line["validation"]]
    return {
        "epoch": [line["epoch"] for line in epochs],
        **{
            name: [line["validation"][name] for line in epochs]
            for name in ("balanced_accuracy", "balanced_log_loss", "minority_recall")
        },
    }


def now() -> str:
    """Return the time, ISO 8601 with zone."""
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")


def commit() -> str | None:
    """Return the commit of the checkout that this package runs from; None where it is installed."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() or None


def _joined(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    axes: dict[str, Any] = {"pairs": {**before["pairs"], **now["pairs"]}}
    for name in ("methods", "ratios", "seeds"):
        axes[name] = list(dict.fromkeys([*before[name], *now[name]]))
    return axes


def _check_same(before: Mapping[str, Any], study: Mapping[str, Any], folder: Path) -> None:
    was, now = before["settings"], study["settings"]
    differing = [name for name in was if name in now and was[name] != now[name]]
    if differing:
        shown = "; ".join(f"{name} was {was[name]}, is {now[name]}" for name in differing[:3])
        raise OutputError(
            f"{folder}: holds a study of other settings ({shown}); use the same, another --out, or --overwrite"
        )

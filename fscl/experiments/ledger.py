"""What a comparison found: one atomic file per cell, so that processes need not wait for each other."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from shutil import rmtree
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, model_validator

from fscl.atomic import replacing, write_text
from fscl.config import Config, Method
from fscl.errors import OutputError
from fscl.experiments.grid import Cell
from fscl.lock import held
from fscl.manifest.identity import differences
from fscl.manifest.table import Manifest
from fscl.scoring.metrics import lacking

VERSION = 1
CURVE_POINTS = 200
STUDY, PHOTOS, DRAWN_PHOTOS = "study.json", "photos.parquet", "photos"
RESULTS = ("cells", "scores", "runs")


class _Origin(BaseModel):
    model_config = ConfigDict(strict=True)

    config_sha256: str


class Outline(BaseModel):
    """What tells of a cell's file whether the cell needs more work."""

    model_config = ConfigDict(strict=True)

    version: int
    cell: dict[str, Any]
    status: Literal["done", "undefined", "failed"]
    provenance: _Origin | None = None

    @model_validator(mode="after")
    def _done_with_settings(self) -> Self:
        if self.status == "done" and self.provenance is None:
            raise ValueError("a cell that is done says by which settings")
        return self


class Ledger:
    """The study folder, see docs/schema.md.

    Args:
        folder: of the study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._anew = False

    def held(self) -> AbstractContextManager[None]:
        """Keep other processes from running cells of this study.

        Raises:
            OutputError: another one does.
        """
        return held(self.folder, by="another comparison")

    def run_folder(self, cell: Cell) -> Path:
        """Return the folder in which the cell trains."""
        return self.folder / "runs" / cell.id

    def read(self, cell: Cell) -> dict[str, Any] | None:
        """Return the cell's record; None where there is none, a damaged one, or one that is to be dropped.

        Raises:
            OutputError: it is of another version.
        """
        path = self._path(cell)
        if self._anew or not path.exists():
            return None
        try:
            record: dict[str, Any] = json.loads(path.read_bytes().decode())
            outline = Outline.model_validate(record)
        except (ValueError, RecursionError):
            return None
        if outline.version != VERSION:
            raise OutputError(f"{path}: version {outline.version}, this fscl knows {VERSION}; update it")
        return record

    def finished(self, cell: Cell, config: Config) -> bool:
        """Whether the cell needs no more work; a failed one is tried again.

        Raises:
            OutputError: it was finished with other classes or settings.
        """
        record = self.read(cell)
        if record is None or record["status"] == "failed":
            return False
        ran_with = record["provenance"]["config_sha256"] if record["status"] == "done" else config.sha256()
        if record["cell"] != cell.record() or ran_with != config.sha256():
            raise OutputError(
                f"{self._path(cell)}: this cell was run with other classes or settings; "
                "repeat those, choose another --out, or drop the study with --overwrite"
            )
        return True

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
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
        write_text(self._path(cell), text + "\n")

    def write_scores(self, cell: Cell, scores: pd.DataFrame) -> None:
        """Write the logits of the cell's test photos."""
        with replacing(self.folder / "scores" / f"{cell.id}.parquet") as path:
            scores.to_parquet(path, index=False)

    def before(self) -> dict[str, Any] | None:
        """Return the settings and axes that `study.json` says; None where there is none, or where it is overwritten.

        Raises:
            OutputError: it is damaged.
        """
        from fscl.report.study import DamagedError, read_header

        path = self.folder / STUDY
        if self._anew or not path.exists():
            return None
        try:
            header = read_header(path)
        except DamagedError as error:
            raise OutputError(f"{error}, or drop the study with --overwrite") from None
        return {"settings": header.settings, "axes": asdict(header.axes)}

    def claim(self, *, overwrite: bool) -> None:
        """Make sure that the folder is free for a study, or holds one; with `overwrite`, `open` drops what it found.

        Raises:
            OutputError: the folder holds other files: those are never dropped.
        """
        if (self.folder / STUDY).exists():
            self._anew = overwrite
            return
        foreign = sorted(file.name for file in self.folder.glob("[!.]*") if file.name != DRAWN_PHOTOS)
        if foreign:
            raise OutputError(
                f"{self.folder}: holds no study but other files, such as {foreign[0]}; choose another --out"
            )

    def check(self, study: Mapping[str, Any], photos: Manifest) -> None:
        """Make sure that what is asked for fits the study that is there: its axes may grow, its settings may not.

        Raises:
            OutputError: the folder holds a study of other pairs, settings or photos.
        """
        before = self.before()
        if before is None:
            return
        was, now = _comparable(before), _comparable(study)
        fix = "use the same, another --out, or --overwrite"
        differing = [name for name in was if name in now and was[name] != now[name]]
        if differing:
            shown = "; ".join(f"{name} was {was[name]}, is {now[name]}" for name in differing[:3])
            raise OutputError(f"{self.folder}: holds a study of other settings ({shown}); {fix}")
        if not (self.folder / PHOTOS).exists():
            if any((self.folder / name).exists() for name in RESULTS):
                raise OutputError(
                    f"{self.folder / PHOTOS}: is gone, so nothing tells whether these are the photos of the study; "
                    "put it back, or drop the study with --overwrite"
                )
            return
        other = differences(_used(Manifest.read(self.folder / PHOTOS, anywhere=True)), _used(photos))
        if other:
            raise OutputError(f"{self.folder}: holds a study of other photos: {'; '.join(other)}; {fix}")

    def open(self, study: Mapping[str, Any], photos: Manifest) -> None:
        """Note what is asked for, beside what was asked for before; drop what is overwritten. Call it while held.

        Raises:
            OutputError: meanwhile another process has left a study of other pairs, settings or photos.
        """
        self.check(study, photos)
        before = self.before()
        if self._anew:
            for name in RESULTS:
                rmtree(self.folder / name, ignore_errors=True)
        axes = study["axes"] if before is None else _joined(before["axes"], study["axes"])
        write_text(self.folder / STUDY, json.dumps({**study, "axes": axes}, indent=1, ensure_ascii=False) + "\n")
        photos.write(self.folder / PHOTOS)
        self._anew = False

    def _path(self, cell: Cell) -> Path:
        return self.folder / "cells" / f"{cell.id}.json"


def curve(metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the losses of a run as at most 200 points, each the mean of the steps since the one before.

    A term is None where it has no steps: a stage may train with another loss. Without steps the curve is empty.
    """
    steps = [line for line in metrics if line["kind"] == "step"]
    if not steps:
        return {"step": [], "loss": [], "terms": {}}
    table = pd.DataFrame([{"step": s["step"], "loss": s["loss"], **s["terms"]} for s in steps])
    part = np.arange(len(table)) * min(CURVE_POINTS, len(table)) // len(table)
    means = table.groupby(part).mean()
    names = [name for name in means.columns if name not in ("step", "loss")]
    return {
        "step": table["step"].groupby(part).max().tolist(),
        "loss": means["loss"].round(5).tolist(),
        "terms": {
            name: means[name].round(5).astype(object).where(means[name].notna(), None).tolist() for name in names
        },
    }


def validation_curve(metrics: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the validation figures by epoch, and the classes of which validation lacks photos."""
    epochs = [line for line in metrics if line["kind"] == "epoch" and line["validation"]]
    return {
        "epoch": [line["epoch"] for line in epochs],
        "lacking": lacking(epochs[-1]["validation"]) if epochs else [],
        **{
            name: [line["validation"][name] for line in epochs]
            for name in ("balanced_accuracy", "balanced_log_loss", "minority_recall")
        },
    }


def now() -> str:
    """Return the time, ISO 8601 with zone."""
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")


@cache
def commit() -> str | None:
    """Return the commit of the checkout that this process runs from, as first asked; None where it is installed."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() or None


def _used(photos: Manifest) -> Manifest:
    return Manifest(photos.rows[photos.rows["split"].notna()], photos.root)


def _comparable(study: Mapping[str, Any]) -> dict[str, Any]:
    return {**study["settings"], **{f"pair {name}": classes for name, classes in study["axes"]["pairs"].items()}}


def _joined(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    axes: dict[str, Any] = {"pairs": {**before["pairs"], **now["pairs"]}}
    for name in ("methods", "ratios", "seeds"):
        axes[name] = list(dict.fromkeys([*before[name], *now[name]]))
    return axes

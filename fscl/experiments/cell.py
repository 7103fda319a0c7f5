"""One cell of a comparison: trained, evaluated, written down."""

import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from fscl.atomic import write_text
from fscl.bundle import Bundle, versions
from fscl.config import Config
from fscl.errors import FsclError
from fscl.evaluation import evaluate
from fscl.experiments.grid import Cell
from fscl.experiments.ledger import Ledger, commit, curve, now, validation_curve
from fscl.experiments.similarity import similarity
from fscl.loading.store import PhotoStore
from fscl.manifest.table import SPLITS, Manifest, counts_by_class
from fscl.progress import Listener
from fscl.run_folder import RunFolder
from fscl.runtime import Runtime, machine
from fscl.training.log import read_metrics
from fscl.training.loop import fit, untrained
from fscl.training.subset import Subset


class Task(NamedTuple):
    """A cell to run: with the method's configuration, seed and imbalance of the cell in it, and the shared store."""

    cell: Cell
    config: Config
    store: PhotoStore | None = None


def run_cell(task: Task, manifest: Manifest, study: Path, listener: Listener) -> str:
    """Train and evaluate a cell, or go on where it was interrupted, and write its file.

    Args:
        task: which one; without a store the run makes its own where the configuration says so.
        manifest: the photos of the study, split.
        study: the study folder.
        listener: hears of every step.

    Returns:
        The status: `done` or `failed`. A failure is a row with its reason, so that the other cells go on.
    """
    cell, config, store = task
    ledger, started = Ledger(study), time.monotonic()
    folder = ledger.run_folder(cell)
    try:
        fit(config, manifest, folder, resume=True, listener=listener, store=store)
        ledger.write(cell, config.method, "done", **_found(cell, config, ledger, started, store))
    except Exception as error:
        reason = str(error)
        if not isinstance(error, FsclError | OSError):
            reason = f"{type(error).__name__}: {error}"
            write_text(RunFolder(folder).fault, traceback.format_exc())
        ledger.write(cell, config.method, "failed", reason)
        return "failed"
    return "done"


def _found(cell: Cell, config: Config, ledger: Ledger, started: float, store: PhotoStore | None) -> dict[str, Any]:
    folder = RunFolder(ledger.run_folder(cell))
    bundles = {name: Bundle.open(path) for name, path in folder.bundles().items()}
    kept = next(iter(bundles))
    photos = Manifest.read(folder.photos)
    train, validation, test = (_part(photos, split) for split in SPLITS)
    evaluations = {}
    for name, bundle in bundles.items():
        evaluations[name], logits = evaluate(bundle, test, validation, store=store)
        evaluations[name]["train_photos"] = counts_by_class(train.rows, bundle.classes)["photos"]
        if name == kept:
            ledger.write_scores(cell, logits)
    trained_on = Subset(photos, bundles[kept].classes, bundles[kept].minority)
    started_from = untrained(config, trained_on, Runtime.start(config.training.workers))
    metrics = read_metrics(folder.metrics)
    epochs = [line for line in metrics if line["kind"] == "epoch"]
    last_epoch = epochs[-1] if epochs else {}
    return {
        "train_counts": dict(bundles[kept].train_counts),
        "kept": kept,
        "evaluations": evaluations,
        "curve": curve(metrics),
        "validation_curve": validation_curve(metrics),
        "similarity": similarity(started_from, bundles[kept], test),
        "provenance": {
            "created": now(),
            "seconds": round(time.monotonic() - started, 1),
            "photos_per_second": last_epoch.get("photos_per_second"),
            "steps": last_epoch.get("step"),
            "versions": versions(),
            "machine": machine(),
            "commit": commit(),
            "config_sha256": config.sha256(),
        },
    }


def _part(photos: Manifest, split: str) -> Manifest:
    return Manifest(photos.rows[photos.rows["split"] == split].reset_index(drop=True), photos.root)

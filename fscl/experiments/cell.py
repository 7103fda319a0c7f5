"""One cell of a comparison: trained, evaluated, written down."""

import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

from fscl.atomic import write_text
from fscl.bundle import Bundle, versions
from fscl.config import Config
from fscl.errors import FsclError, of_system
from fscl.evaluation import evaluate
from fscl.experiments.ledger import Ledger
from fscl.explain.similarity import cosine_matrices
from fscl.loading.features import FeatureStore
from fscl.loading.store import PhotoStore
from fscl.lock import taken
from fscl.manifest.table import SPLITS, Manifest, counts_by_class
from fscl.progress import Listener
from fscl.records import (
    VERSION,
    CellKey,
    CellRecord,
    CosineMatrices,
    Epoch,
    Evaluation,
    Failed,
    Provenance,
)
from fscl.records.log_lines import read_metrics
from fscl.run_folder import RunFolder
from fscl.runtime import Runtime, commit, machine, now
from fscl.scoring.curves import curve, validation_curve
from fscl.training.loop import fit
from fscl.training.start import untrained
from fscl.training.subset import Subset

DONE, FAILED, BUSY = "done", "failed", "busy"


class Task(NamedTuple):
    """A cell to run: with the method's configuration, seed and imbalance of the cell in it, and the shared store."""

    cell: CellKey
    config: Config
    store: PhotoStore | FeatureStore | None = None
    keep_weights: bool = True


def run_cell(task: Task, manifest: Manifest, study: Path, listener: Listener) -> str:
    """Train and evaluate a cell, or go on where it was interrupted, and write its file, while no other process does.

    Args:
        task: which one; without a store the run makes its own where the configuration says so.
        manifest: the photos of the study, split.
        study: the study folder.
        listener: hears of every step.

    Returns:
        `DONE`, `FAILED`, or `BUSY` where another process is at work on it. A failure is a row with its reason, so
        that the other cells go on.
    """
    ledger = Ledger(study)
    with taken(ledger.lock(task.cell)) as free:
        if not free:
            return BUSY
        if ledger.finished(task.cell, task.config):  # meanwhile, by another process
            return DONE
        return _run(task, manifest, ledger, listener)


def _run(task: Task, manifest: Manifest, ledger: Ledger, listener: Listener) -> str:
    cell, config, store, keep_weights = task
    started = time.monotonic()
    folder = ledger.run_folder(cell)
    try:
        fit(config, manifest, folder, resume=True, listener=listener, store=store)
        ledger.write(_evaluated(task, ledger, started))
        if not keep_weights:
            _drop_weights(RunFolder(folder))
    except Exception as error:
        reason = of_system(error) if isinstance(error, OSError) else str(error)
        if not isinstance(error, FsclError | OSError):
            reason = f"{type(error).__name__}: {error}"
            write_text(RunFolder(folder).fault, traceback.format_exc())
        ledger.write(CellRecord(version=VERSION, cell=cell, method=config.method, status="failed", reason=reason))
        return FAILED
    return DONE


def _evaluated(task: Task, ledger: Ledger, started: float) -> CellRecord:
    cell, config, store, _ = task
    folder = RunFolder(ledger.run_folder(cell))
    bundles = {name: Bundle.open(path) for name, path in folder.bundles().items()}
    kept = next(iter(bundles))
    photos = Manifest.read(folder.photos)
    train, validation, test = (_part(photos, split) for split in SPLITS)
    evaluations: dict[Epoch, Evaluation] = {}
    for name, bundle in bundles.items():
        scored, logits = evaluate(bundle, test, validation, store=store, workers=config.training.workers)
        trained_on = counts_by_class(train.rows, bundle.classes)["photos"]
        evaluations[name] = replace(scored, train_photos=trained_on)
        if name == kept:
            ledger.write_scores(cell, logits)
    metrics = read_metrics(folder.metrics)
    epochs = [line for line in metrics if line["kind"] == "epoch"]
    last_epoch = epochs[-1] if epochs else {}
    return CellRecord(
        version=VERSION,
        cell=cell,
        method=config.method,
        status="done",
        train_counts=dict(bundles[kept].train_counts),
        kept=kept,
        evaluations=evaluations,
        curve=curve(metrics),
        validation_curve=validation_curve(metrics),
        similarity=_similarity(config, bundles[kept], photos, test, store),
        unreadable=_unreadable(metrics, photos.root),
        provenance=Provenance(
            created=now(),
            seconds=round(time.monotonic() - started, 1),
            photos_per_second=last_epoch.get("photos_per_second"),
            steps=last_epoch.get("step"),
            versions=versions(),
            machine=dict(machine()),
            commit=commit(),
            config_sha256=config.sha256(),
        ),
    )


def _unreadable(metrics: Iterable[Mapping[str, Any]], root: Path) -> list[Failed]:
    """Return the training and validation photos that could not be read, each once, as the manifest calls them."""
    reasons = {Path(line["path"]): line["reason"] for line in metrics if line["kind"] == "problem"}
    below = {path: path.relative_to(root) if path.is_relative_to(root) else path for path in reasons}
    return [Failed(below[path].as_posix(), reason) for path, reason in reasons.items()]


def _similarity(
    config: Config, bundle: Bundle, photos: Manifest, test: Manifest, store: PhotoStore | FeatureStore | None
) -> CosineMatrices | None:
    """Return how alike photos are before and after training, where training has shaped features."""
    if not config.frozen:
        subset = Subset(photos, bundle.classes, bundle.minority)
        before = untrained(config, subset, Runtime.start(config.training.workers))
        return cosine_matrices(before, bundle, test)
    if not bundle.classifier.adapts or not isinstance(store, FeatureStore):
        return None
    before = replace(bundle, classifier=bundle.classifier.with_own_head())
    before.classifier.head.reset_parameters()
    return cosine_matrices(before, bundle, test, store)


def _drop_weights(folder: RunFolder) -> None:
    """Leave of a finished cell what it was made from, and its metrics: no bundle."""
    for path in folder.bundles().values():
        for file in (RunFolder(path).record, RunFolder(path).weights):  # a record without weights would be damage
            file.unlink(missing_ok=True)
    for inner in (folder.best, folder.last):
        rmtree(inner, ignore_errors=True)


def _part(photos: Manifest, split: str) -> Manifest:
    return Manifest(photos.rows[photos.rows["split"] == split].reset_index(drop=True), photos.root)

"""A bundle against a table: the figures of the protocol, confusion matrix, threshold, failures."""

import json
from collections.abc import Mapping
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from fscl.atomic import write_text
from fscl.bundle import Bundle
from fscl.errors import PhotosError
from fscl.inference import Scores, scores
from fscl.loading.loader import Regions
from fscl.manifest.table import Manifest
from fscl.scoring.metrics import confusion, figures
from fscl.scoring.thresholds import choose_threshold

VERSION = 1
Labels = np.ndarray[tuple[int], np.dtype[np.int64]]


def evaluate(
    bundle: Bundle,
    test: Manifest,
    validation: Manifest | None = None,
    *,
    split: str = "test",
    batch_size: int = 64,
    workers: int = 0,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Score a bundle on labelled photos.

    Args:
        bundle: the model.
        test: photos to score, all of them; labels that are not among the bundle's classes are an error.
        validation: photos to choose the two-class threshold on; without them there is none.
        split: what the photos are called in the record.
        batch_size: photos per forward pass.
        workers: processes that read photos.

    Returns:
        The record of docs/schema.md, "Evaluation", and a row per photo read: `region_id`, `label` and the
        columns `logit:CLASS`.

    Raises:
        PhotosError: no labelled photo, or classes that the bundle does not know.
    """
    rows = _labelled(test, bundle)
    regions = Regions.of(rows, test.root, bundle.classes)
    found = scores(bundle.classifier, regions, bundle.preprocessing, batch_size=batch_size, workers=workers)
    labels = regions.labels[found.rows]
    counts = np.bincount(labels, minlength=len(bundle.classes))
    record = {
        "version": VERSION,
        "split": split,
        "classes": list(bundle.classes),
        "minority": list(bundle.minority),
        "train_counts": dict(bundle.train_counts),
        "counts": {name: int(count) for name, count in zip(bundle.classes, counts, strict=True)},
        "figures": _figures(bundle, found.logits, labels),
        "threshold": None,
        "confusion": confusion(found.logits.argmax(axis=1), labels, len(bundle.classes)).tolist(),
        "not_evaluable": [name for name, count in zip(bundle.classes, counts, strict=True) if not count],
        "failed": [{"path": rows["path"].iloc[row], "reason": reason} for row, reason in found.failures],
    }
    if validation is not None and len(bundle.classes) == 2 and len(validation.usable):
        held = Regions.of(validation.usable, validation.root, bundle.classes)
        chosen_on = scores(bundle.classifier, held, bundle.preprocessing, batch_size=batch_size, workers=workers)
        record["threshold"] = _at_threshold(bundle, chosen_on, held, found, labels)
    return record, _scores_table(rows, bundle, found)


def evaluate_run(
    run: Path, photos: Manifest | None = None, *, batch_size: int = 64, workers: int = 0
) -> dict[str, Any]:
    """Evaluate the bundle of a run folder and write `evaluation.json` into it.

    Args:
        run: the folder.
        photos: labelled photos, of which the test split is used where they have one, else all; by default
            the run's own test photos.
        batch_size: photos per forward pass.
        workers: processes that read photos.
    """
    bundle = Bundle.open(run)
    own = Manifest.read(run / "photos.parquet")
    validation = Manifest(own.rows[own.rows["split"] == "val"].reset_index(drop=True), own.root)
    source = own if photos is None else photos
    rows = source.rows
    test = rows[rows["split"] == "test"] if (rows["split"] == "test").any() else rows
    record, _ = evaluate(
        bundle,
        Manifest(test.reset_index(drop=True), source.root),
        validation,
        batch_size=batch_size,
        workers=workers,
    )
    write_text(run / "evaluation.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return record


def table(record: Mapping[str, Any]) -> Table:
    """Return the record as a table for the terminal: per class first, then the figures."""
    found = Table(title=f"{record['split']}: {sum(record['counts'].values())} photos", title_justify="left")
    found.add_column("class")
    for column in ("training photos", "photos", "recall", *(f"as {name}" for name in record["classes"])):
        found.add_column(column, justify="right")
    for name, row in zip(record["classes"], record["confusion"], strict=True):
        rare = " (rare)" if name in record["minority"] else ""
        recall = record["figures"]["recall_by_class"][name]
        found.add_row(
            f"{name}{rare}",
            str(record["train_counts"][name]),
            str(record["counts"][name]),
            "not evaluable" if recall is None else f"{recall:.3f}",
            *map(str, row),
        )
    found.add_section()
    for name, value in record["figures"].items():
        if not isinstance(value, Mapping):
            found.add_row(name.replace("_", " "), "", "", "–" if value is None else f"{value:.3f}")
    if record["threshold"]:
        found.add_row(
            f"minority recall at threshold {record['threshold']['value']:.3f}",
            "",
            "",
            f"{record['threshold']['figures']['minority_recall']:.3f}",
        )
    return found


def _labelled(manifest: Manifest, bundle: Bundle) -> pd.DataFrame:
    rows = manifest.usable.reset_index(drop=True)
    if rows.empty:
        raise PhotosError("expected labelled photos to evaluate on, got none that can be used; see `fscl scan`")
    unknown = sorted(set(rows["label"]) - set(bundle.classes))
    if unknown:
        raise PhotosError(
            f"the model knows {', '.join(bundle.classes)}; the photos are also labelled {', '.join(unknown)}: "
            "rename or drop these with `fscl scan --class-map`"
        )
    return rows


def _at_threshold(
    bundle: Bundle, chosen_on: Scores, held: Regions, found: Scores, labels: Labels
) -> dict[str, Any] | None:
    """Return the threshold on the minority's probability, chosen on validation, and the figures at it."""
    rare = bundle.classes.index(bundle.minority[0])
    margin = choose_threshold(_margins(chosen_on, rare), held.labels[chosen_on.rows] == rare)
    if margin is None:
        return None
    shifted = found.logits.astype(np.float64)
    shifted[:, rare] -= margin  # moves the argmax to the threshold and leaves the ranking as it is
    return {"value": 1 / (1 + exp(-margin)), "figures": _figures(bundle, shifted, labels)}


def _margins(found: Scores, rare: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return found.logits[:, rare].astype(np.float64) - found.logits[:, 1 - rare]


def _figures(bundle: Bundle, logits: np.ndarray[tuple[int, int], Any], labels: Labels) -> dict[str, Any]:
    return figures(logits, labels, classes=bundle.classes, minority=bundle.minority, train_counts=bundle.train_counts)


def _scores_table(rows: pd.DataFrame, bundle: Bundle, found: Scores) -> pd.DataFrame:
    kept = rows.iloc[found.rows][["region_id", "label"]].reset_index(drop=True)
    for i, name in enumerate(bundle.classes):
        kept[f"logit:{name}"] = found.logits[:, i]
    return kept

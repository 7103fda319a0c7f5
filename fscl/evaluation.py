"""A bundle against a table: the figures of the protocol, confusion matrix, threshold, failures."""

import json
from collections.abc import Iterator, Mapping
from math import exp
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from fscl.atomic import write_text
from fscl.bundle import Bundle
from fscl.errors import PhotosError
from fscl.inference import Scores, scores
from fscl.loading.loader import Regions
from fscl.loading.store import PhotoStore
from fscl.manifest.table import Manifest
from fscl.scoring.metrics import confusion, figures
from fscl.scoring.thresholds import choose_threshold
from fscl.training.run_folder import EVALUATION, PHOTOS
from fscl.training.runtime import Runtime

VERSION = 1
MOST_COLUMNS = 12  # classes up to which the table shows what each was taken for
LISTED = 3  # photos that failed
Labels = np.ndarray[tuple[int], np.dtype[np.int64]]


def evaluate(
    bundle: Bundle,
    test: Manifest,
    validation: Manifest | None = None,
    *,
    split: str = "test",
    batch_size: int = 64,
    workers: int | None = None,
    store: PhotoStore | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Score a bundle on labelled photos. Its classifier moves to the device that computes here.

    Args:
        bundle: the model.
        test: photos to score, all of them; labels that are not among the bundle's classes are an error.
        validation: photos to choose the two-class threshold on; without them there is none.
        split: what the photos are called in the record.
        batch_size: photos per forward pass.
        workers: processes that read photos; by default chosen by the machine.
        store: of decoded photos, used where it has them.

    Returns:
        The record of docs/schema.md, "Evaluation", and a row per photo read: `region_id`, `label` and the
        columns `logit:CLASS`.

    Raises:
        PhotosError: no labelled photo, or classes that the bundle does not know.
        ConfigurationError: a negative number of workers.
    """
    runtime = Runtime.start(workers)
    bundle.classifier.to(runtime.device)

    def scored(photos: Regions) -> Scores:
        photos = photos if store is None else store.view(photos)
        return scores(bundle.classifier, photos, bundle.preprocessing, batch_size=batch_size, workers=runtime.workers)

    rows = _labelled(test, bundle)
    regions = Regions.of(rows, test.root, bundle.classes)
    found = scored(regions)
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
        "left_out": {},
        "note": None,
    }
    if validation is not None and len(bundle.classes) == 2 and bundle.minority and len(validation.usable):
        held = Regions.of(validation.usable, validation.root, bundle.classes)
        record["threshold"] = _at_threshold(bundle, scored(held), held, found, labels)
    return record, _scores_table(rows, bundle, found)


def evaluate_run(
    run: Path, photos: Manifest | None = None, *, batch_size: int = 64, workers: int | None = None
) -> dict[str, Any]:
    """Evaluate the bundle of a run folder and write `evaluation.json` into it.

    Args:
        run: the folder.
        photos: labelled photos, of which the test split is used where they have one, else all; those that
            the run was trained or validated on are left out. By default the run's own test photos.
        batch_size: photos per forward pass.
        workers: processes that read photos; by default chosen by the machine.

    Raises:
        PhotosError: nothing to evaluate on, or classes that the bundle does not know.
        BundleError: no bundle in the folder, or a damaged one.
        ConfigurationError: a negative number of workers.
    """
    bundle = Bundle.open(run)
    own, why = _photos_of(run)
    test = _own_test(run, own, why) if photos is None else _others_test(photos, own)
    validation = None if own is None else Manifest(own.rows[own.rows["split"] == "val"], own.root)
    record, _ = evaluate(bundle, test.photos, validation, split=test.split, batch_size=batch_size, workers=workers)
    record["left_out"] = {"training photos": test.left_out} if test.left_out else {}
    if own is None:
        record["note"] = (
            f"the photos of the run are not known ({why}): none was left out for being trained on, and no "
            "threshold was chosen"
        )
    write_text(run / EVALUATION, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return record


def table(record: Mapping[str, Any]) -> Group:
    """Return the record for the terminal: a table, per class first, then the figures; then what was not scored."""
    return Group(_figures_table(record), *map(Text, _not_scored(record)))


def _figures_table(record: Mapping[str, Any]) -> Table:
    classes = record["classes"] if len(record["classes"]) <= MOST_COLUMNS else []
    found = Table(title=f"{record['split']}: {sum(record['counts'].values())} photos", title_justify="left")
    found.add_column("class")
    for column in ("training photos", "photos", "recall", *(f"as {name}" for name in classes)):
        found.add_column(Text(column), justify="right")
    for name, row in zip(record["classes"], record["confusion"], strict=True):
        rare = " (rare)" if name in record["minority"] else ""
        recall = record["figures"]["recall_by_class"][name]
        found.add_row(
            Text(f"{name}{rare}"),
            str(record["train_counts"][name]),
            str(record["counts"][name]),
            "not evaluable" if recall is None else _shown(recall),
            *map(str, row if classes else ()),
        )
    found.add_section()
    for name, value in record["figures"].items():
        if not isinstance(value, Mapping):
            found.add_row(name.replace("_", " "), "", "", _shown(value))
    if record["threshold"]:
        at = f"minority recall at threshold {record['threshold']['value']:.3f}"
        found.add_row(at, "", "", _shown(record["threshold"]["figures"]["minority_recall"]))
    return found


def _shown(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.3f}"


def _not_scored(record: Mapping[str, Any]) -> Iterator[str]:
    failed = record["failed"]
    if failed:
        yield f"{len(failed)} photos could not be read:"
        yield from (f"    {photo['path']}: {photo['reason']}" for photo in failed[:LISTED])
    if len(failed) > LISTED:
        yield f"    and {len(failed) - LISTED:,} more"
    for kind, count in record["left_out"].items():
        yield f"{count:,} {kind} of the run were left out"
    if record["note"]:
        yield f"note: {record['note']}"


class _Test(NamedTuple):
    """What is evaluated, what it is called, and how many rows of training photos were dropped from it."""

    photos: Manifest
    split: str
    left_out: int


def _photos_of(run: Path) -> tuple[Manifest | None, str]:
    """Return the photos that a run was trained on, or None and why they are not to be had."""
    try:
        return Manifest.read(run / PHOTOS), ""
    except PhotosError as error:
        path = run / PHOTOS
        return None, str(error).split(";")[0] if path.exists() else f"{path} does not exist"


def _own_test(run: Path, own: Manifest | None, why: str) -> _Test:
    fix = f"give photos: fscl evaluate {run} PHOTOS"
    if own is None:
        raise PhotosError(f"expected the photos of the run, but {why}; {fix}")
    test = own.rows[own.rows["split"] == "test"]
    if test.empty:
        raise PhotosError(f"{run}: has no test photos of its own; {fix}")
    return _Test(Manifest(test, own.root), "test", 0)


def _others_test(photos: Manifest, own: Manifest | None) -> _Test:
    held_out = photos.rows["split"] == "test"
    split, rows = ("test", photos.rows[held_out]) if held_out.any() else ("all", photos.rows)
    rows = Manifest(rows, photos.root).usable
    seen = rows.index[:0] if own is None else rows.index[_trained_on(rows, photos.root, own)]
    if len(rows) and len(seen) == len(rows):
        raise PhotosError(
            f"expected photos that are new to the model, but it was trained or validated on all {len(rows)}; "
            "give others, or none for the run's own test photos"
        )
    return _Test(Manifest(rows.drop(index=seen), photos.root), split, len(seen))


def _trained_on(rows: pd.DataFrame, root: Path, own: Manifest) -> list[bool]:
    """Tell which rows show photos of the run's training or validation.

    They are the same file, or a byte copy, or have the same name and size: photos that were moved.
    """
    used = own.rows[own.rows["split"].isin(["train", "val"])]
    files, contents = {own.root / path for path in used["path"]}, set(used["content_hash"].dropna())
    sizes = set(used[["path", "bytes"]].dropna().itertuples(index=False, name=None))
    return [
        root / path in files or content in contents or (path, size) in sizes
        for path, content, size in zip(rows["path"], rows["content_hash"], rows["bytes"], strict=True)
    ]


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

"""A bundle against a table: the figures of the protocol, confusion matrix, threshold, failures."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from fscl.atomic import write_text
from fscl.bundle import RECORD, Bundle
from fscl.errors import PhotosError
from fscl.evaluation_table import table
from fscl.inference import Scores, scores
from fscl.loading.loader import Regions
from fscl.loading.store import PhotoStore
from fscl.lock import LOCK, held
from fscl.manifest.identity import replaced
from fscl.manifest.reasons import tally
from fscl.manifest.table import Manifest, counts_by_class
from fscl.scanning.copies import seen_before
from fscl.scoring.metrics import confusion, figures
from fscl.scoring.thresholds import MIN_VALIDATION_PHOTOS, choose_threshold
from fscl.training.run_folder import EVALUATION, PHOTOS
from fscl.training.runtime import Runtime

__all__ = ["evaluate", "evaluate_run", "table"]

VERSION = 1
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
        validation: photos to choose the two-class threshold on; with fewer than 20 of a class there is none.
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

    rows, failed = _unchanged(_labelled(test, bundle), test.root)
    regions = Regions.of(rows, test.root, bundle.classes)
    found = scored(regions)
    labels = regions.labels[found.rows]
    failed |= {rows["path"].iloc[row]: reason for row, reason in found.failures}
    counts = counts_by_class(rows.iloc[found.rows], bundle.classes)
    record = {
        "version": VERSION,
        "split": split,
        "classes": list(bundle.classes),
        "minority": list(bundle.minority),
        "train_counts": dict(bundle.train_counts),
        "train_photos": None,
        "counts": counts["regions"],
        "photos": counts["photos"],
        "figures": _figures(bundle, found.logits, labels),
        "threshold": None,  # below
        "no_threshold": None,
        "confusion": confusion(found.logits.argmax(axis=1), labels, len(bundle.classes)).tolist(),
        "not_evaluable": [name for name, count in counts["regions"].items() if not count],
        "failed": [{"path": path, "reason": reason} for path, reason in failed.items()],
        "left_out": {},
        "given": _number(test.rows),
        "scored": _number(rows.iloc[found.rows]),
        "unusable": tally(test.rows),
        "note": None,
    }
    if len(bundle.classes) == 2:
        chosen = _at_threshold(bundle, validation, scored, found, labels)
        record |= {"threshold": chosen.threshold, "no_threshold": chosen.why_none, "note": chosen.note}
    return record, _scores_table(rows, bundle, found)


def evaluate_run(
    run: Path,
    photos: Manifest | None = None,
    *,
    root: Path | None = None,
    batch_size: int = 64,
    workers: int | None = None,
) -> dict[str, Any]:
    """Evaluate the bundle of a run folder and write `evaluation.json` into it.

    Args:
        run: the folder.
        photos: labelled photos, of which the test split is used where they have one, else all; those that
            the run was trained or validated on are left out. By default the run's own test photos.
        root: the folder that the run's own photos are in now; where photos are given, if they are nowhere else.
        batch_size: photos per forward pass.
        workers: processes that read photos; by default chosen by the machine.

    Raises:
        PhotosError: nothing to evaluate on, or classes that the bundle does not know.
        BundleError: no bundle in the folder, or a damaged one.
        OutputError: the run is being trained, or evaluated by another process.
        ConfigurationError: a negative number of workers.
    """
    if not any((run / name).exists() for name in (LOCK, RECORD)):  # no run, whose folder is left alone
        Bundle.open(run)
    with held(run, by="a training, or another evaluation,", fix="evaluate the run when that has ended"):
        return _evaluated(run, photos, root, batch_size=batch_size, workers=workers)


def _evaluated(
    run: Path, photos: Manifest | None, root: Path | None, *, batch_size: int, workers: int | None
) -> dict[str, Any]:
    bundle = Bundle.open(run)
    own, gone = _photos_of(run, [root] if photos is None else list(dict.fromkeys([None, root])))
    test = _own_test(run, own, gone) if photos is None else _others_test(photos, own)
    validation = None if own is None or gone else _part(own, "val")
    record, _ = evaluate(bundle, test.photos, validation, split=test.split, batch_size=batch_size, workers=workers)
    record["left_out"] = {kind: count for kind, count in test.left_out.items() if count}
    record["given"] = _number((photos or test.photos).rows)
    if own is not None:
        record["train_photos"] = counts_by_class(_part(own, "train").rows, bundle.classes)["photos"]
    if gone:
        told = "none was left out for being trained on"
        if own is not None:
            told = "those that it was trained on are told by known hashes, else by name and size"
        record["note"] = f"the photos of the run are not known ({gone}): {told}, and no threshold was chosen"
    write_text(run / EVALUATION, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return record


class _Test(NamedTuple):
    """What is evaluated, what it is called, and how many photos were dropped from it."""

    photos: Manifest
    split: str
    left_out: Mapping[str, int]


def _photos_of(run: Path, roots: Sequence[Path | None]) -> tuple[Manifest | None, str]:
    """Return what is known of the photos of a run, and why they are in none of the roots, if so."""
    path = run / PHOTOS
    if not path.exists():
        return None, f"{path} does not exist"
    reasons = []
    for root in roots:
        try:
            return Manifest.read(path, root=root), ""
        except PhotosError as error:
            reasons.append(str(error).split(";")[0])
    gone = reasons[0]
    try:
        return Manifest.read(path, anywhere=True), gone
    except PhotosError:
        return None, gone


def _own_test(run: Path, own: Manifest | None, gone: str) -> _Test:
    fix = f"give photos: fscl evaluate {run} PHOTOS"
    if own is None or gone:
        moved = "" if own is None else f"say where they are now: fscl evaluate {run} --root FOLDER, or "
        raise PhotosError(f"expected the photos of the run, but {gone}; {moved}{fix}")
    test = _part(own, "test")
    if test.rows.empty:
        raise PhotosError(f"{run}: has no test photos of its own; {fix}")
    return _Test(test, "test", {})


def _others_test(photos: Manifest, own: Manifest | None) -> _Test:
    """Take the new ones of the photos, their test split if they have one; the unusable rows stay, to be counted."""
    usable = photos.usable
    split = "test" if (photos.rows["split"] == "test").any() else "all"
    chosen = usable if split == "all" else usable[usable["split"] == "test"]
    used = None if own is None else Manifest(own.rows[own.rows["split"].isin(["train", "val"])], own.root)
    seen = [False] * len(chosen) if used is None else seen_before(Manifest(chosen, photos.root), used)
    new = chosen[~np.array(seen, dtype=bool)]
    if len(chosen) and new.empty:
        raise PhotosError(
            f"expected photos that are new to the model, but it was trained or validated on all {_photos(chosen)}; "
            "give others, or none for the run's own test photos"
        )
    left_out = {"training photos": _photos(chosen) - _photos(new), "other splits": _photos(usable.drop(chosen.index))}
    rows = photos.rows.drop(index=usable.index.difference(new.index))
    return _Test(Manifest(rows, photos.root), split, left_out)


def _part(photos: Manifest, split: str) -> Manifest:
    return Manifest(photos.rows[photos.rows["split"] == split], photos.root)


def _photos(rows: pd.DataFrame) -> int:
    return int(rows["photo_id"].nunique())


def _number(rows: pd.DataFrame) -> dict[str, int]:
    return {"rows": len(rows), "photos": _photos(rows)}


def _unchanged(rows: pd.DataFrame, root: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the rows whose files are as large as at the scan, and the other files with the reason."""
    changed = {path: f"replaced since the scan: {why}" for path, why in replaced(Manifest(rows, root)).items()}
    return rows[~rows["path"].isin(changed)].reset_index(drop=True), changed


def _labelled(manifest: Manifest, bundle: Bundle) -> pd.DataFrame:
    rows = manifest.usable
    if rows.empty:
        why = "".join(f"; {reason['rows']:,} {reason['reason']}" for reason in tally(manifest.rows)["reasons"])
        raise PhotosError(
            f"expected labelled photos to evaluate on, got none that can be used, of {len(manifest.rows):,} rows{why}"
        )
    unknown = sorted(set(rows["label"]) - set(bundle.classes))
    if unknown:
        raise PhotosError(
            f"the model knows {', '.join(bundle.classes)}; the photos are also labelled {', '.join(unknown)}: "
            "rename or drop these with `fscl scan --class-map`"
        )
    return rows


class _Choice(NamedTuple):
    """The threshold on the minority's probability and the figures at it, or why there is none; and a note."""

    threshold: dict[str, Any] | None = None
    why_none: str | None = None
    note: str | None = None


def _at_threshold(
    bundle: Bundle,
    validation: Manifest | None,
    scored: Callable[[Regions], Scores],
    test_scores: Scores,
    test_labels: Labels,
) -> _Choice:
    """Choose a threshold on validation and return the figures of the test photos at it."""
    if len(bundle.minority) != 1:
        return _Choice(why_none="neither class is the rare one")
    if validation is None:
        return _Choice(why_none="no validation photos were given")
    few = _too_few(bundle, validation.usable)
    if few:
        return _Choice(why_none=few)
    rows, unread = _unchanged(validation.usable, validation.root)
    regions = Regions.of(rows, validation.root, bundle.classes)
    chosen_on = scored(regions)
    unread |= {rows["path"].iloc[row]: reason for row, reason in chosen_on.failures}
    note = _unread_note(unread, validation.usable) if unread else None
    few = _too_few(bundle, rows.iloc[chosen_on.rows])
    if few:
        return _Choice(why_none=few, note=note)
    rare = bundle.classes.index(bundle.minority[0])
    margin = choose_threshold(_margins(chosen_on, rare), regions.labels[chosen_on.rows] == rare)
    assert margin is not None, "both classes have validation photos"
    shifted = test_scores.logits.astype(np.float64)
    shifted[:, rare] -= margin  # moves the argmax to the threshold and leaves the ranking as it is
    at_threshold = _figures(bundle, shifted, test_labels)
    return _Choice({"value": float(expit(margin)), "figures": at_threshold}, note=note)


def _too_few(bundle: Bundle, rows: pd.DataFrame) -> str | None:
    """Say that a class has too few validation photos for a threshold; boxes of one photo count once."""
    photos = counts_by_class(rows, bundle.classes)["photos"]
    if min(photos.values()) >= MIN_VALIDATION_PHOTOS:
        return None
    has = " and ".join(f"{count} of {name}" for name, count in photos.items())
    return f"it takes {MIN_VALIDATION_PHOTOS} validation photos of each class, and there are {has}"


def _unread_note(unread: Mapping[str, str], rows: pd.DataFrame) -> str:
    path, why = next(iter(unread.items()))
    return (
        f"{len(unread):,} of {_photos(rows):,} validation photos could not be read, so the threshold is chosen "
        f"without them: {path}: {why}"
    )


def _margins(found: Scores, rare: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return found.logits[:, rare].astype(np.float64) - found.logits[:, 1 - rare]


def _figures(bundle: Bundle, logits: np.ndarray[tuple[int, int], Any], labels: Labels) -> dict[str, Any]:
    return figures(logits, labels, classes=bundle.classes, minority=bundle.minority, train_counts=bundle.train_counts)


def _scores_table(rows: pd.DataFrame, bundle: Bundle, found: Scores) -> pd.DataFrame:
    kept = rows.iloc[found.rows][["region_id", "label"]].reset_index(drop=True)
    for i, name in enumerate(bundle.classes):
        kept[f"logit:{name}"] = found.logits[:, i]
    return kept

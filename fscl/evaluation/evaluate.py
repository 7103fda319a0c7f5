"""A bundle against a table: the metrics of the protocol, confusion matrix, threshold, failures."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from fscl.bundle import Bundle
from fscl.errors import PhotosError
from fscl.formats.reasons import tally
from fscl.inference import Scores, scores
from fscl.loading.regions import Regions
from fscl.loading.store import PhotoStore
from fscl.manifest.identity import replaced
from fscl.manifest.table import Manifest, counts_by_class
from fscl.records import VERSION, Amounts, Evaluation, Failed, Metrics, Threshold, Unusable
from fscl.runtime import Runtime
from fscl.scoring.metrics import confusion, figures
from fscl.scoring.thresholds import MIN_VALIDATION_PHOTOS, choose_threshold

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
) -> tuple[Evaluation, pd.DataFrame]:
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

    rows, unread = _unchanged(_labelled(test, bundle), test.root)
    regions = Regions.of(rows, test.root, bundle.classes)
    test_scores = scored(regions)
    labels = regions.labels[test_scores.rows]
    unread |= {rows["path"].iloc[row]: reason for row, reason in test_scores.failures}
    read = rows.iloc[test_scores.rows]
    counts = counts_by_class(read, bundle.classes)
    choice = _Choice()
    if len(bundle.classes) == 2:
        choice = _at_threshold(bundle, validation, scored, test_scores, labels)
    evaluation = Evaluation(
        version=VERSION,
        split=split,
        classes=list(bundle.classes),
        minority=list(bundle.minority),
        train_counts=dict(bundle.train_counts),
        counts=counts["regions"],
        photos=counts["photos"],
        figures=_metrics(bundle, test_scores.logits, labels),
        threshold=choice.threshold,
        no_threshold=choice.why_none,
        confusion=confusion(test_scores.logits.argmax(axis=1), labels, len(bundle.classes)).tolist(),
        not_evaluable=[name for name, count in counts["regions"].items() if not count],
        failed=[Failed(path, reason) for path, reason in unread.items()],
        given=amounts(test.rows),
        scored=amounts(read),
        unusable=Unusable(**tally(test.rows)),
        note=choice.note,
    )
    return evaluation, _scores_table(read, bundle, test_scores)


def photos_in(rows: pd.DataFrame) -> int:
    """Return how many photos rows show."""
    return int(rows["photo_id"].nunique())


def amounts(rows: pd.DataFrame) -> Amounts:
    """Return how many rows there are, and photos in them."""
    return Amounts(len(rows), photos_in(rows))


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
    """The threshold on the minority's probability and the metrics at it, or why there is none; and a note."""

    threshold: Threshold | None = None
    why_none: str | None = None
    note: str | None = None


def _at_threshold(
    bundle: Bundle,
    validation: Manifest | None,
    scored: Callable[[Regions], Scores],
    test_scores: Scores,
    test_labels: Labels,
) -> _Choice:
    """Choose a threshold on validation and return the metrics of the test photos at it."""
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
    return _Choice(Threshold(float(expit(margin)), _metrics(bundle, shifted, test_labels)), note=note)


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
        f"{len(unread):,} of {photos_in(rows):,} validation photos could not be read, so the threshold is chosen "
        f"without them: {path}: {why}"
    )


def _margins(photos: Scores, rare: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return photos.logits[:, rare].astype(np.float64) - photos.logits[:, 1 - rare]


def _metrics(bundle: Bundle, logits: np.ndarray[tuple[int, int], Any], labels: Labels) -> Metrics:
    return Metrics(
        **figures(logits, labels, classes=bundle.classes, minority=bundle.minority, train_counts=bundle.train_counts)
    )


def _scores_table(read: pd.DataFrame, bundle: Bundle, photos: Scores) -> pd.DataFrame:
    kept = read[["region_id", "label"]].reset_index(drop=True)
    for i, name in enumerate(bundle.classes):
        kept[f"logit:{name}"] = photos.logits[:, i]
    return kept

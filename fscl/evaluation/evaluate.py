"""A bundle against a table: the metrics of the protocol, confusion matrix, threshold, failures."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fscl.bundle import Bundle
from fscl.decisions import Decisions, why_no_threshold
from fscl.errors import PhotosError
from fscl.evaluation.reliance import reliance
from fscl.inference import Scores, fit_decisions, scores
from fscl.loading.features import FeatureStore
from fscl.loading.regions import Regions
from fscl.loading.store import PhotoStore
from fscl.manifest.identity import replaced
from fscl.manifest.reasons import tally
from fscl.manifest.table import Manifest, counts_by_class
from fscl.progress import Listener, Silent
from fscl.records import VERSION, Amounts, Bias, Evaluation, Failed, Metrics, Threshold, Unusable
from fscl.runtime import Runtime
from fscl.scoring.metrics import confusion, figures

Labels = np.ndarray[tuple[int], np.dtype[np.int64]]


def evaluate(
    bundle: Bundle,
    test: Manifest,
    validation: Manifest | None = None,
    *,
    split: str = "test",
    batch_size: int = 64,
    workers: int | None = None,
    store: PhotoStore | FeatureStore | None = None,
    listener: Listener | None = None,
) -> tuple[Evaluation, pd.DataFrame]:
    """Score a bundle on labelled photos. Its classifier moves to the device that computes here.

    Args:
        bundle: the model.
        test: photos to score, all of them; labels that are not among the bundle's classes are an error.
        validation: photos to choose the two-class threshold on, where the bundle keeps no decisions; with fewer than
            20 of a class there is none.
        split: what the photos are called in the record.
        batch_size: photos per forward pass.
        workers: processes that read photos; by default chosen by the machine.
        store: of decoded photos, used where it has them; or the features of all photos by this backbone.
        listener: hears how many photos are read.

    Returns:
        The record of docs/schema.md, "Evaluation", and a row per photo read: `region_id`, `label` and the
        columns `logit:CLASS`.

    Raises:
        PhotosError: no labelled photo, or classes that the bundle does not know.
        ConfigurationError: a negative number of workers.
    """
    runtime = Runtime.start(workers)
    bundle.classifier.to(runtime.device)
    heard = listener or Silent()

    how: dict[str, Any] = {"batch_size": batch_size, "workers": runtime.workers}
    rows, unread = unchanged(labelled(test, bundle), test.root)
    regions = Regions.of(rows, test.root, bundle.classes)
    stored = regions if store is None else store.view(regions)
    test_scores = scores(
        bundle.classifier,
        stored,
        bundle.preprocessing,
        progress=lambda done, photos: heard.prepare(done, photos, "photos"),
        **how,
    )
    labels = regions.labels[test_scores.rows]
    unread |= {rows["path"].iloc[row]: reason for row, reason in test_scores.failures}
    read = rows.iloc[test_scores.rows]
    counts = counts_by_class(read, bundle.classes)
    metrics = metrics_of(bundle, test_scores.logits, labels)
    decisions = _decisions(bundle, validation, store, **how)
    decided = metrics_of(bundle, decisions.shifted(test_scores.logits, bundle.classes), labels)
    evaluation = Evaluation(
        version=VERSION,
        split=split,
        classes=list(bundle.classes),
        minority=list(bundle.minority),
        train_counts=dict(bundle.train_counts),
        counts=counts["regions"],
        photos=counts["photos"],
        figures=metrics,
        threshold=Threshold(decisions.threshold.value, decided) if decisions.threshold else None,
        no_threshold=decisions.no_threshold,
        bias=Bias(decisions.bias.bias, decisions.bias.origin, decided) if decisions.bias else None,
        confusion=confusion(test_scores.logits.argmax(axis=1), labels, len(bundle.classes)).tolist(),
        not_evaluable=[name for name, count in counts["regions"].items() if not count],
        failed=[Failed(path, reason) for path, reason in unread.items()],
        given=amounts(test.rows),
        scored=amounts(read),
        unusable=Unusable(**tally(test.rows)),
        note=decisions.note,
        **reliance(decisions, test_scores.logits, labels, read, bundle.classes),
    )
    return evaluation, _scores_table(read, bundle, test_scores)


def photos_in(rows: pd.DataFrame) -> int:
    """Return how many photos rows show."""
    return int(rows["photo_id"].nunique())


def amounts(rows: pd.DataFrame) -> Amounts:
    """Return how many rows there are, and photos in them."""
    return Amounts(len(rows), photos_in(rows))


def unchanged(rows: pd.DataFrame, root: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the rows whose files are as large as at the scan, and the other files with the reason."""
    changed = {path: f"replaced since the scan: {why}" for path, why in replaced(Manifest(rows, root)).items()}
    return rows[~rows["path"].isin(changed)].reset_index(drop=True), changed


def labelled(manifest: Manifest, bundle: Bundle) -> pd.DataFrame:
    """Return the rows that can be evaluated.

    Raises:
        PhotosError: no labelled photo, or classes that the bundle does not know.
    """
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


def _decisions(
    bundle: Bundle,
    validation: Manifest | None,
    store: PhotoStore | FeatureStore | None,
    *,
    batch_size: int,
    workers: int,
) -> Decisions:
    """Return the decisions of a bundle; of one that does not keep them those that validation gives."""
    if bundle.decisions is not None:
        return bundle.decisions
    if validation is None and len(bundle.classes) == 2 and len(bundle.minority) == 1:
        return Decisions(no_threshold="no validation photos were given")
    if validation is None:
        return Decisions(no_threshold=why_no_threshold(bundle.classes, bundle.minority, {}))
    rows, unread = unchanged(validation.usable, validation.root)
    regions = Regions.of(rows, validation.root, bundle.classes)
    stored = regions if store is None else store.view(regions)
    return fit_decisions(bundle, rows, stored, unread=unread, batch_size=batch_size, workers=workers)


def metrics_of(bundle: Bundle, logits: np.ndarray[tuple[int, int], Any], labels: Labels) -> Metrics:
    """Return the metrics of logits of the bundle's classes, in their order."""
    return Metrics(
        **figures(logits, labels, classes=bundle.classes, minority=bundle.minority, train_counts=bundle.train_counts)
    )


def _scores_table(read: pd.DataFrame, bundle: Bundle, photos: Scores) -> pd.DataFrame:
    kept = read[["region_id", "label"]].reset_index(drop=True)
    for i, name in enumerate(bundle.classes):
        kept[f"logit:{name}"] = photos.logits[:, i]
    return kept

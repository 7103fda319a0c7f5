"""The one inference loop: a classifier and regions in, logits and features out, batch by batch."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from fscl.bundle import Bundle
from fscl.config import Preprocessing
from fscl.decisions import ENOUGH, CalibrationPhotos, CrossFitted, Decisions, calibrated, why_no_threshold
from fscl.decisions.parts import Unit
from fscl.errors import BundleError, first_line
from fscl.loading.features import FeatureRegions
from fscl.loading.loader import Batch, inference_loader
from fscl.loading.regions import Failure, Regions
from fscl.manifest.groups import groups
from fscl.manifest.table import counts_by_class
from fscl.onnx_model import AnyClassifier
from fscl.printable import number_of


class Inferred(NamedTuple):
    """What the classifier says of a batch; `rows` are places in the regions, unreadable ones left out."""

    rows: list[int]
    logits: Float[Tensor, "batch classes"]
    features: list[Float[Tensor, "batch _"]]
    failures: list[Failure]


def infer(
    classifier: AnyClassifier,
    regions: Regions,
    preprocessing: Preprocessing,
    *,
    features: bool = False,
    batch_size: int = 64,
    workers: int = 0,
) -> Iterator[Inferred]:
    """Yield the classifier's view of the regions in order, on the device where the classifier is.

    Of regions whose features are known the head alone is computed.

    Memory does not grow with the number of regions. The classifier is left in the mode it was in. The `features` of
    the taps are brought back from the device where they are asked for; else there are none.

    Raises:
        BundleError: the classifier cannot take photos of this size.
    """
    device = classifier.device
    was_training = classifier.training
    classifier.eval()
    try:
        for batch in _batches(regions, preprocessing, batch_size, workers):
            if not batch.rows:
                yield Inferred([], torch.empty(0, classifier.num_classes), [], batch.failures)
                continue
            try:
                with torch.inference_mode():
                    logits, tapped = classifier(batch.photos.to(device, non_blocking=True))
            except RuntimeError as error:  # a layer that is larger than what is left of the photo, or no memory
                raise BundleError(
                    f"the model cannot take {number_of(len(batch.rows), 'photo')} of {preprocessing.image_size} px: "
                    f"{first_line(error)}; give fewer at once, or a model that is whole"
                ) from None
            kept = [layer.float().cpu() for layer in tapped] if features else []
            yield Inferred(batch.rows, logits.float().cpu(), kept, batch.failures)
    finally:
        classifier.train(was_training)


def _batches(regions: Regions, preprocessing: Preprocessing, batch_size: int, workers: int) -> Iterable[Batch]:
    """Batches of photos, or of what the backbone made of them earlier."""
    if isinstance(regions, FeatureRegions):
        return regions.batches()
    return inference_loader(regions, preprocessing, batch_size=batch_size, workers=workers)


class Scores(NamedTuple):
    """The logits of all regions that could be read."""

    rows: np.ndarray[tuple[int], np.dtype[np.int64]]
    logits: np.ndarray[tuple[int, int], np.dtype[np.float32]]
    failures: list[Failure]


def scores(
    classifier: AnyClassifier,
    regions: Regions,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 64,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Return the logits of all regions at once: `rows` (m,), `logits` (m, K), m ≤ n.

    `progress` is called with (regions done, regions) after each batch.
    """
    parts, done = [], 0
    for part in infer(classifier, regions, preprocessing, batch_size=batch_size, workers=workers):
        parts.append(part)
        done += len(part.rows) + len(part.failures)
        if progress is not None:
            progress(done, len(regions))
    return Scores(
        np.array([row for part in parts for row in part.rows], dtype=np.int64),
        np.concatenate([part.logits.numpy() for part in parts] or [np.empty((0, classifier.num_classes))]),
        [failure for part in parts for failure in part.failures],
    )


def fit_decisions(
    bundle: Bundle,
    rows: pd.DataFrame,
    regions: Regions,
    *,
    unread: Mapping[str, str] | None = None,
    cross_fitted: Callable[[], CrossFitted | None] | None = None,
    epoch_chosen: bool = False,
    batch_size: int = 64,
    workers: int = 0,
) -> Decisions:
    """Choose on validation how the logits of a bundle become an answer, and calibrate its probabilities.

    Where validation gives no threshold, a backbone that stayed as it was has a bias from cross-fitted training
    photos; where validation has fewer than 59 photos of a class, and these are more, they also calibrate it.

    Args:
        bundle: the model, whatever decisions it has.
        rows: of a manifest, usable, the validation photos.
        regions: the same rows.
        unread: validation photos besides these that cannot be read: path → why.
        cross_fitted: gives what is said of training photos by models that had not seen them, None where a class has
            too few; it is only called where they are wanted. None: of this model there are none.
        epoch_chosen: the epoch was chosen on these photos.
        batch_size: photos per forward pass.
        workers: processes that read photos.
    """
    classes, minority = bundle.classes, bundle.minority
    unread = dict(unread or {})
    photos = rows["photo_id"].nunique() + len(unread)
    reason = why_no_threshold(classes, minority, counts_by_class(rows, classes)["photos"])
    read = scores(bundle.classifier, regions, bundle.preprocessing, batch_size=batch_size, workers=workers)
    unread |= {rows["path"].iloc[row]: why for row, why in read.failures}
    own = rows.iloc[read.rows]
    counts, labels = counts_by_class(own, classes)["photos"], regions.labels[read.rows]
    decisions = Decisions(no_threshold=reason)
    if reason is None:
        decisions = Decisions.fit(read.logits, labels, classes=classes, minority=minority, photos=counts)
    decisions = decisions.model_copy(update={"note": _left_out(unread, photos)})
    crossed = cross_fitted() if cross_fitted is not None and decisions.threshold is None else None
    if crossed is not None:
        decisions = decisions.model_copy(update={"bias": crossed.bias(classes)})
    elif cross_fitted is not None and decisions.threshold is None:
        why = "a class has too few training photos to leave some out, so that no bias could be chosen"
        decisions = decisions.model_copy(update={"note": "; ".join(filter(None, [decisions.note, why]))})
    fewest = min(counts.values())
    if decisions.bias is not None and crossed is not None and fewest < min(ENOUGH, crossed.fewest):
        return calibrated(decisions, crossed.calibration(decisions.bias), classes)
    number, unit = bursts(own)
    origin = f"{number_of(own['photo_id'].nunique(), 'validation photo')}"
    origin += ", on which the epoch was chosen, too" if epoch_chosen else ""
    decided = decisions.threshold is not None
    return calibrated(
        decisions, CalibrationPhotos(read.logits, labels, number, unit, origin, decided=decided), classes
    )


def bursts(rows: pd.DataFrame) -> tuple[NDArray[np.int64], Unit]:
    """Return which rows are alike, by number, and what they share: a sequence, or a photo where none is known."""
    by: Literal["sequence", "photo"] = "sequence" if rows["sequence"].notna().any() else "photo"
    number: NDArray[np.int64] = groups(rows, by).number.to_numpy(dtype=np.int64)
    return number, "sequences" if by == "sequence" else "photos"


def _left_out(unread: Mapping[str, str], photos: int) -> str | None:
    if not unread:
        return None
    path, why = next(iter(unread.items()))
    return (
        f"{len(unread):,} of {photos:,} validation photos could not be read, so the threshold is chosen "
        f"without them: {path}: {why}"
    )

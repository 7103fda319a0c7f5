"""The one inference loop: a classifier and regions in, logits and features out, batch by batch."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from fscl.bundle import Bundle
from fscl.config import Preprocessing
from fscl.decisions import Decisions, why_no_threshold
from fscl.errors import BundleError, ConfigurationError, DivergenceError, first_line
from fscl.loading.loader import inference_loader
from fscl.loading.regions import Failure, Regions
from fscl.manifest.table import counts_by_class
from fscl.models import Classifier

OWN_COLUMNS = ("filepath", "prediction", "probability", "problem")  # of `Predictor.predict`, beside the classes'
CLASS_PREFIX = "p:"


class Inferred(NamedTuple):
    """What the classifier says of a batch; `rows` are places in the regions, unreadable ones left out."""

    rows: list[int]
    logits: Float[Tensor, "batch classes"]
    features: list[Float[Tensor, "batch _"]]
    failures: list[Failure]


def infer(
    classifier: Classifier,
    regions: Regions,
    preprocessing: Preprocessing,
    *,
    features: bool = False,
    batch_size: int = 64,
    workers: int = 0,
) -> Iterator[Inferred]:
    """Yield the classifier's view of the regions in order, on the device where the classifier is.

    Memory does not grow with the number of regions. The classifier is left in the mode it was in. The `features` of
    the taps are brought back from the device where they are asked for; else there are none.

    Raises:
        BundleError: the classifier cannot take photos of this size.
    """
    device = next(classifier.parameters()).device
    was_training = classifier.training
    classifier.eval()
    try:
        for batch in inference_loader(regions, preprocessing, batch_size=batch_size, workers=workers):
            if not batch.rows:
                yield Inferred([], torch.empty(0, classifier.num_classes), [], batch.failures)
                continue
            try:
                with torch.inference_mode():
                    logits, tapped = classifier(batch.photos.to(device, non_blocking=True))
            except RuntimeError as error:  # a layer that is larger than what is left of the photo, or no memory
                raise BundleError(
                    f"the model cannot take {len(batch.rows)} photos of {preprocessing.image_size} px: "
                    f"{first_line(error)}; give fewer at once, or a model that is whole"
                ) from None
            kept = [layer.float().cpu() for layer in tapped] if features else []
            yield Inferred(batch.rows, logits.float().cpu(), kept, batch.failures)
    finally:
        classifier.train(was_training)


class Scores(NamedTuple):
    """The logits of all regions that could be read."""

    rows: np.ndarray[tuple[int], np.dtype[np.int64]]
    logits: np.ndarray[tuple[int, int], np.dtype[np.float32]]
    failures: list[Failure]


def scores(
    classifier: Classifier,
    regions: Regions,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 64,
    workers: int = 0,
) -> Scores:
    """Return the logits of all regions at once: `rows` (m,), `logits` (m, K), m ≤ n."""
    parts = list(infer(classifier, regions, preprocessing, batch_size=batch_size, workers=workers))
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
    batch_size: int = 64,
    workers: int = 0,
) -> Decisions:
    """Choose on validation how the logits of a bundle become an answer; no photo is read where nothing can be chosen.

    Args:
        bundle: the model, whatever decisions it has.
        rows: of a manifest, usable, the validation photos.
        regions: the same rows.
        unread: validation photos besides these that cannot be read: path → why.
        batch_size: photos per forward pass.
        workers: processes that read photos.
    """
    classes, minority = bundle.classes, bundle.minority
    unread = dict(unread or {})
    photos = rows["photo_id"].nunique() + len(unread)
    reason = why_no_threshold(classes, minority, counts_by_class(rows, classes)["photos"])
    if len(classes) != 2 or reason:
        return Decisions(no_threshold=reason, note=_left_out(unread, photos))
    read = scores(bundle.classifier, regions, bundle.preprocessing, batch_size=batch_size, workers=workers)
    unread |= {rows["path"].iloc[row]: why for row, why in read.failures}
    counts = counts_by_class(rows.iloc[read.rows], classes)["photos"]
    labels = regions.labels[read.rows]
    chosen = Decisions.fit(read.logits, labels, classes=classes, minority=minority, photos=counts)
    return chosen.model_copy(update={"note": _left_out(unread, photos)})


def _left_out(unread: Mapping[str, str], photos: int) -> str | None:
    if not unread:
        return None
    path, why = next(iter(unread.items()))
    return (
        f"{len(unread):,} of {photos:,} validation photos could not be read, so the threshold is chosen "
        f"without them: {path}: {why}"
    )


class Predictor:
    """A trained model that predicts: what `fscl.load` returns.

    Args:
        bundle: the model folder's contents.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    @property
    def classes(self) -> tuple[str, ...]:
        """The species, in the order of the probability columns."""
        return self.bundle.classes

    @property
    def columns(self) -> dict[str, str]:
        """Class → the column of `predict` with its probability, in the order of the classes.

        It is called as the class. A class that is called as another column is written with `p:` before its name:
        the probability of a class `problem` is in the column `p:problem`.
        """
        return _class_columns(self.classes)

    @property
    def decisions(self) -> Decisions:
        """What was chosen on validation; nothing in a bundle of version 1, which does not keep it."""
        return self.bundle.decisions or Decisions(no_threshold="the model is of a version that does not keep one")

    def predict(
        self,
        photos: Sequence[Path | str],
        *,
        decision: Literal["argmax", "threshold"] = "argmax",
        batch_size: int = 64,
        workers: int = 0,
    ) -> pd.DataFrame:
        """Classify whole photos.

        Args:
            photos: files.
            decision: `argmax` predicts the class of the highest probability; `threshold` the rare one of two classes
                from the probability on that served best on validation, as `decisions` has it.
            batch_size: photos per forward pass.
            workers: processes that read photos.

        Returns:
            A row per photo, in the given order: `filepath`, `prediction`, its `probability` (0 to 1), one column
            of probability per class (`columns` has their names), and `problem`: missing, or why the photo could not
            be read.

        Raises:
            DivergenceError: the model's scores of a photo are not finite.
            ConfigurationError: the model has no threshold.
        """
        decisions = Decisions() if decision == "argmax" else self.decisions
        if decision == "threshold" and decisions.threshold is None:
            why = decisions.no_threshold or f"it tells {len(self.classes)} classes apart, a threshold is for two"
            raise ConfigurationError(f'expected a model with a threshold, but {why}; predict with decision="argmax"')
        paths = [Path(photo) for photo in photos]
        regions = Regions(paths, np.full((len(paths), 4), np.nan), np.full(len(paths), -1))
        read = scores(
            self.bundle.classifier, regions, self.bundle.preprocessing, batch_size=batch_size, workers=workers
        )
        broken = ~np.isfinite(read.logits).all(axis=1)
        if broken.any():
            raise DivergenceError(
                f"expected finite scores, but {int(broken.sum())} of {len(read.rows)} photos have others, such as "
                f"{paths[read.rows[broken.argmax()]]}: the model's training diverged; train it again with a lower "
                "--learning-rate"
            )
        probabilities = np.full((len(paths), len(self.classes)), np.nan)
        probabilities[read.rows] = torch.softmax(torch.from_numpy(read.logits), dim=1).numpy()
        decided = dict(zip(read.rows.tolist(), decisions.apply(read.logits, self.classes).tolist(), strict=True))
        names = [self.classes[decided[row]] if row in decided else None for row in range(len(paths))]
        reasons = dict(read.failures)
        return pd.DataFrame(
            {
                "filepath": [str(path) for path in paths],
                "prediction": pd.Series(names, dtype="str"),
                "probability": [probabilities[row, decided.get(row, 0)] for row in range(len(paths))],
                **dict(zip(self.columns.values(), probabilities.T, strict=True)),
                "problem": pd.Series([reasons.get(row) for row in range(len(paths))], dtype="str"),
            }
        )


def _class_columns(classes: Sequence[str]) -> dict[str, str]:
    """Return the column of each class: no two share one, and none has the name of another column.

    >>> _class_columns(["deer", "problem", "p:problem"])
    {'deer': 'deer', 'problem': 'p:p:problem', 'p:problem': 'p:problem'}
    """
    taken = {*classes, *OWN_COLUMNS}
    columns = {}
    for name in classes:
        column = name
        while column in OWN_COLUMNS or (column != name and column in taken):
            column = CLASS_PREFIX + column
        taken.add(column)
        columns[name] = column
    return columns


def load(path: Path | str) -> Predictor:
    """Open a run folder or bundle, on the CPU.

    Raises:
        BundleError: no bundle, or a damaged one.
    """
    return Predictor(Bundle.open(Path(path)))

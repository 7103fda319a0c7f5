"""The one inference loop: a classifier and regions in, logits and features out, batch by batch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from fscl.bundle import Bundle
from fscl.config import Preprocessing
from fscl.loading.loader import Failure, Regions, inference_loader
from fscl.models import Classifier


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
    batch_size: int = 64,
    workers: int = 0,
) -> Iterator[Inferred]:
    """Yield the classifier's view of the regions in order, on the device where the classifier is.

    Memory does not grow with the number of regions. The classifier is left in the mode it was in.
    """
    device = next(classifier.parameters()).device
    was_training = classifier.training
    classifier.eval()
    try:
        for batch in inference_loader(regions, preprocessing, batch_size=batch_size, workers=workers):
            if not batch.rows:
                yield Inferred([], torch.empty(0, classifier.num_classes), [], batch.failures)
                continue
            with torch.inference_mode():
                logits, features = classifier(batch.photos.to(device, non_blocking=True))
            yield Inferred(batch.rows, logits.float().cpu(), [f.float().cpu() for f in features], batch.failures)
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

    def predict(self, photos: Sequence[Path | str], *, batch_size: int = 64, workers: int = 0) -> pd.DataFrame:
        """Classify whole photos.

        Returns:
            A row per photo, in the given order: `filepath`, `prediction`, `probability` (0 to 1), one column
            of probability per class, and `problem`: missing, or why the photo could not be read.
        """
        paths = [Path(photo) for photo in photos]
        regions = Regions(paths, np.full((len(paths), 4), np.nan), np.full(len(paths), -1))
        found = scores(
            self.bundle.classifier, regions, self.bundle.preprocessing, batch_size=batch_size, workers=workers
        )
        probabilities = np.full((len(paths), len(self.classes)), np.nan)
        probabilities[found.rows] = torch.softmax(torch.from_numpy(found.logits), dim=1).numpy()
        table = pd.DataFrame({"filepath": [str(path) for path in paths]})
        best = np.where(np.isnan(probabilities), -1, probabilities).argmax(axis=1)
        read = np.isin(np.arange(len(paths)), found.rows)
        table["prediction"] = pd.Series(
            [self.classes[b] if r else None for b, r in zip(best, read, strict=True)], dtype="str"
        )
        table["probability"] = probabilities.max(axis=1)
        for i, name in enumerate(self.classes):
            table[name] = probabilities[:, i]
        reasons = dict(found.failures)
        table["problem"] = pd.Series([reasons.get(row) for row in range(len(paths))], dtype="str")
        return table


def load(path: Path | str) -> Predictor:
    """Open a run folder or bundle, on the CPU.

    Raises:
        BundleError: no bundle, or a damaged one.
    """
    return Predictor(Bundle.open(Path(path)))

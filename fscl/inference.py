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
from fscl.errors import BundleError, DivergenceError, first_line
from fscl.loading.loader import inference_loader
from fscl.loading.regions import Failure, Regions
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
    batch_size: int = 64,
    workers: int = 0,
) -> Iterator[Inferred]:
    """Yield the classifier's view of the regions in order, on the device where the classifier is.

    Memory does not grow with the number of regions. The classifier is left in the mode it was in.

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
                    logits, features = classifier(batch.photos.to(device, non_blocking=True))
            except RuntimeError as error:  # a layer that is larger than what is left of the photo, or no memory
                raise BundleError(
                    f"the model cannot take {len(batch.rows)} photos of {preprocessing.image_size} px: "
                    f"{first_line(error)}; give fewer at once, or a model that is whole"
                ) from None
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

    @property
    def columns(self) -> dict[str, str]:
        """Class → the column of `predict` with its probability, in the order of the classes.

        It is called as the class. A class that is called as another column is written with `p:` before its name:
        the probability of a class `problem` is in the column `p:problem`.
        """
        return _class_columns(self.classes)

    def predict(self, photos: Sequence[Path | str], *, batch_size: int = 64, workers: int = 0) -> pd.DataFrame:
        """Classify whole photos.

        Returns:
            A row per photo, in the given order: `filepath`, `prediction`, `probability` (0 to 1), one column
            of probability per class (`columns` has their names), and `problem`: missing, or why the photo could not
            be read.

        Raises:
            DivergenceError: the model's scores of a photo are not finite.
        """
        paths = [Path(photo) for photo in photos]
        regions = Regions(paths, np.full((len(paths), 4), np.nan), np.full(len(paths), -1))
        found = scores(
            self.bundle.classifier, regions, self.bundle.preprocessing, batch_size=batch_size, workers=workers
        )
        broken = ~np.isfinite(found.logits).all(axis=1)
        if broken.any():
            raise DivergenceError(
                f"expected finite scores, but {int(broken.sum())} of {len(found.rows)} photos have others, such as "
                f"{paths[found.rows[broken.argmax()]]}: the model's training diverged; train it again with a lower "
                "--learning-rate"
            )
        probabilities = np.full((len(paths), len(self.classes)), np.nan)
        probabilities[found.rows] = torch.softmax(torch.from_numpy(found.logits), dim=1).numpy()
        best = np.where(np.isnan(probabilities), -1, probabilities).argmax(axis=1)
        read = np.isin(np.arange(len(paths)), found.rows)
        names = [self.classes[b] if r else None for b, r in zip(best, read, strict=True)]
        reasons = dict(found.failures)
        return pd.DataFrame(
            {
                "filepath": [str(path) for path in paths],
                "prediction": pd.Series(names, dtype="str"),
                "probability": probabilities.max(axis=1),
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

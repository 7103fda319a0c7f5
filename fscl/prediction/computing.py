"""The scores of all regions, part by part: what is not on the disk yet is computed."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from fscl.errors import DivergenceError
from fscl.inference import Inferred, infer
from fscl.loading.regions import Regions
from fscl.manifest.table import BOX
from fscl.onnx_model import Model
from fscl.prediction.parts import Part, Parts
from fscl.prediction.photos import Listing
from fscl.progress import Listener
from fscl.runtime import Runtime

BATCH_SIZE = 64  # a part is whole batches, so that a call that goes on has the same ones


def compute(bundle: Model, listing: Listing, parts: Parts, runtime: Runtime, listener: Listener) -> None:
    """Compute the parts that are missing; each is written as soon as it is whole.

    Args:
        bundle: the model; its classifier moves to the device of `runtime`.
        listing: the photos.
        parts: of this prediction.
        runtime: where it computes, and how many processes read photos.
        listener: hears how far it is.

    Raises:
        DivergenceError: a score that is not finite.
    """
    missing = parts.missing()
    places = np.concatenate(
        [np.array(parts.rows(number), dtype=np.int64) for number in missing] or [np.empty(0, int)]
    )
    paths = listing.photos["path"].to_numpy()[listing.regions["photo"].to_numpy()[places]]
    boxes = listing.regions[BOX].to_numpy(dtype=np.float64)[places]
    regions = Regions([Path(p) for p in paths], boxes, np.full(len(places), -1), fractions=listing.fractions)
    classifier = bundle.classifier.to(runtime.device)
    how: dict[str, Any] = {"batch_size": BATCH_SIZE, "workers": runtime.workers, "features": parts.plan["features"]}
    waiting, started = _Waiting(), time.monotonic()
    done, before = 0, parts.regions - len(places)
    numbers = iter(missing)
    number = next(numbers, None)
    for seen in infer(classifier, regions, bundle.preprocessing, **how):
        _check_finite(seen, regions)
        waiting.add(seen, done)
        done += len(seen.rows) + len(seen.failures)
        if number is not None and (waiting.size == len(parts.rows(number))):
            parts.write(number, waiting.part(len(bundle.classes)))
            waiting, number = _Waiting(), next(numbers, None)
        rate = done / max(time.monotonic() - started, 1e-9)
        listener.prepare(before + done, parts.regions, f"{rate:.0f} photos/s")


class _Waiting:
    """What belongs to a part that is not whole yet."""

    def __init__(self) -> None:
        self.size, self._start = 0, -1
        self._logits: list[tuple[list[int], Any]] = []
        self._features: list[Any] = []
        self._problems: dict[int, str] = {}

    def add(self, seen: Inferred, done: int) -> None:
        """Take a batch; `done` regions were before it."""
        if self._start < 0:
            self._start = done
        if seen.rows:
            self._logits.append(([row - self._start for row in seen.rows], seen.logits.numpy()))
            self._features += [seen.features[-1].numpy()] if seen.features else []
        self._problems |= {row - self._start: why for row, why in seen.failures}
        self.size += len(seen.rows) + len(seen.failures)

    def part(self, classes: int) -> Part:
        """Return it whole; NaN where a region could not be read."""
        logits = np.full((self.size, classes), np.nan, dtype=np.float32)
        features = None
        if self._features:
            features = np.full((self.size, self._features[0].shape[1]), np.nan, dtype=np.float32)
        for place, (rows, values) in enumerate(self._logits):
            logits[rows] = values
            if features is not None:
                features[rows] = self._features[place]
        return Part(logits, self._problems, features)


def _check_finite(seen: Inferred, regions: Regions) -> None:
    broken = ~seen.logits.isfinite().all(dim=1)
    if broken.any():
        name = regions.name(seen.rows[int(broken.int().argmax())])
        raise DivergenceError(
            f"{name}: expected finite scores, got others: the model's training diverged; train it again with a lower "
            "--learning-rate"
        )

"""The scores of all regions, part by part: what is not on the disk yet is computed."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fscl.cluster import Cluster
from fscl.dask_worker import LOOK_SECONDS, Origin, as_task, check_seen, sizes_of
from fscl.errors import DivergenceError
from fscl.futures import completed
from fscl.inference import Inferred, infer
from fscl.loading.regions import Regions
from fscl.manifest.table import BOX
from fscl.onnx_model import AnyModel
from fscl.prediction.parts import Part, Parts
from fscl.prediction.photos import Listing
from fscl.progress import Listener
from fscl.runtime import Runtime

BATCH_SIZE = 64  # a part is whole batches, so that a call that goes on has the same ones


def compute(
    bundle: AnyModel,
    listing: Listing,
    parts: Parts,
    runtime: Runtime,
    listener: Listener,
    cluster: Cluster | None = None,
) -> None:
    """Compute the parts that are missing; each is written as soon as it is whole.

    Args:
        bundle: the model; its classifier moves to the device of `runtime`.
        listing: the photos.
        parts: of this prediction.
        runtime: where it computes, and how many processes read photos.
        listener: hears how far it is.
        cluster: whose workers compute instead.

    Raises:
        FsclError: a score that is not finite; workers that cannot compute.
    """
    missing = parts.missing()
    rows = [np.array(parts.rows(number), dtype=np.int64) for number in missing]
    left, started = sum(map(len, rows)), time.monotonic()

    def progress(done: int) -> None:
        rate = done / max(time.monotonic() - started, 1e-9)
        listener.prepare(parts.regions - left + done, parts.regions, f"{rate:.0f} photos/s")

    features = parts.plan["features"]
    if cluster is None:
        regions = _regions(listing, np.concatenate([*rows, np.empty(0, dtype=np.int64)]), Path())
        sizes = [len(part) for part in rows]
        computed = _parts_of(bundle, regions, sizes, runtime, features=features, progress=progress)
        for number, part in zip(missing, computed, strict=True):
            parts.write(number, part)
        return
    here = Path.cwd()  # a worker is somewhere else
    work = [(number, _regions(listing, part, here)) for number, part in zip(missing, rows, strict=True)]
    done = 0
    for number, part in _parts_of_workers(cluster, bundle, work, workers=runtime.workers, features=features):
        parts.write(number, part)
        done += len(part.logits)
        progress(done)


def _regions(listing: Listing, rows: NDArray[np.int64], folder: Path) -> Regions:
    paths = listing.photos["path"].to_numpy()[listing.regions["photo"].to_numpy()[rows]]
    boxes = listing.regions[BOX].to_numpy(dtype=np.float64)[rows]
    return Regions([folder / p for p in paths], boxes, np.full(len(rows), -1), fractions=listing.fractions)


def _parts_of(
    bundle: AnyModel,
    regions: Regions,
    sizes: Sequence[int],
    runtime: Runtime,
    *,
    features: bool,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Part]:
    """Yield parts of these sizes, whole batches each but for the last, as soon as each is whole."""
    classifier = bundle.classifier.to(runtime.device)
    how: dict[str, Any] = {"batch_size": BATCH_SIZE, "workers": runtime.workers, "features": features}
    left, waiting, done = list(sizes), _Waiting(), 0
    for seen in infer(classifier, regions, bundle.preprocessing, **how):
        _check_finite(seen, regions)
        waiting.add(seen, done)
        done += len(seen.rows) + len(seen.failures)
        if waiting.size == left[0]:
            yield waiting.part(len(bundle.classes))
            waiting, left = _Waiting(), left[1:]
        if progress is not None:
            progress(done)


def _parts_of_workers(
    cluster: Cluster, bundle: AnyModel, work: Sequence[tuple[int, Regions]], *, workers: int, features: bool
) -> Iterator[tuple[int, Part]]:
    """Yield parts by their numbers as workers finish them; those of a worker that dies are computed by another.

    Raises:
        FsclError: as a worker raised it, or workers died at a part, or the scheduler is gone.
    """
    model = cluster.kept(bundle)

    def submit(part: tuple[int, Regions]) -> "Future[Part]":
        regions = part[1]
        sizes = sizes_of(photo for photo in regions.photos if isinstance(photo, Path))
        return cluster.executor.submit(_on_worker, model, regions, sizes, workers, features, cluster.origin)

    with closing(completed(submit, deque(work), at_once=cluster.at_once, tick_seconds=LOOK_SECONDS)) as parts:
        for (number, _), future in filter(None, parts):
            yield number, cluster.result(future)


def _on_worker(
    bundle: AnyModel, regions: Regions, sizes: Mapping[Path, int], workers: int, features: bool, origin: Origin
) -> Part:
    """Compute a part in a worker, of photos that are of these sizes where they are asked for."""
    with as_task(origin):
        check_seen(sizes, origin)
        [part] = _parts_of(bundle, regions, [len(regions)], Runtime.start(workers), features=features)
        return part


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

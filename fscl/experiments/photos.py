"""The photos of a comparison: checked before anything is trained, and decoded once for all cells."""

from collections.abc import Sequence
from pathlib import Path

from fscl.config import Preprocessing
from fscl.errors import PhotosError
from fscl.experiments.cell import Task
from fscl.experiments.grid import is_undefined
from fscl.loading.store import PhotoStore, photo_store
from fscl.manifest.identity import check_unchanged
from fscl.manifest.table import Manifest
from fscl.progress import Listener
from fscl.run_folder import STORE
from fscl.training.subset import subset


def check_photos(work: Sequence[Task], manifest: Manifest) -> None:
    """Make sure, before anything is trained, that the photos are there that each pair and thinning asks for.

    Raises:
        PhotosError: nothing to test on, too few photos to train on, or photos that were replaced since the scan.
    """
    rows = manifest.usable
    pairs = {task.cell.pair: task.cell.classes for task in work}
    for name, classes in pairs.items():
        if not (rows["label"].isin(classes) & (rows["split"] == "test")).any():
            raise PhotosError(
                f"a comparison needs test photos, but {name} has none of {', '.join(classes)}: fscl split says why"
            )
    used = rows["label"].isin([label for classes in pairs.values() for label in classes])
    check_unchanged(Manifest(rows[used], manifest.root))
    seen = set()
    for task in work:
        thinned = (task.cell.pair, task.cell.ratio)
        if thinned not in seen and not is_undefined(task.cell):
            subset(manifest, task.config)
        seen.add(thinned)


def store_photos(
    work: Sequence[Task], manifest: Manifest, out: Path, listener: Listener
) -> dict[Preprocessing, PhotoStore]:
    """Decode the photos of all cells, finished or not, once for all: a call that goes on finds the same store.

    Photos that were changed since are decoded again. Without room there is no store.
    """
    wanted: dict[Preprocessing, set[str]] = {}
    seen = set()
    for task in work:
        cell, preprocessing = task.cell, task.config.preprocessing
        shared = (preprocessing, cell.pair, cell.ratio, cell.seed)
        if shared in seen or is_undefined(cell) or not may_store(task):
            continue
        seen.add(shared)
        wanted.setdefault(preprocessing, set()).update(subset(manifest, task.config).manifest.rows["region_id"])
    stores = {}
    for preprocessing, regions in wanted.items():
        rows = manifest.usable[manifest.usable["region_id"].isin(regions)]
        store = photo_store(rows, manifest.root, preprocessing, out / STORE, listener)
        if store is not None:
            stores[preprocessing] = store
    return stores


def may_store(task: Task) -> bool:
    """Whether the configuration of a cell lets its photos be stored."""
    return task.config.training.store is not False

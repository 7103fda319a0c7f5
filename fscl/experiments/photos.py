"""The photos of a comparison: checked before anything is trained, and decoded once for all cells."""

from collections.abc import Sequence
from pathlib import Path

from fscl.config import Augmentation, Model, Preprocessing
from fscl.errors import PhotosError
from fscl.experiments.cell import Task
from fscl.experiments.grid import is_undefined
from fscl.loading.features import FeatureStore
from fscl.loading.store import PhotoStore, photo_store
from fscl.manifest.identity import check_unchanged
from fscl.manifest.table import Manifest
from fscl.progress import Listener
from fscl.runtime import Runtime
from fscl.training.frozen import feature_store
from fscl.training.start import untrained
from fscl.training.subset import subset

StoreKey = tuple[Preprocessing, Model | None, int | None, Augmentation | None]
Thinned = tuple[str, float | None, int]


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
    work: Sequence[Task], manifest: Manifest, folder: Path | None, listener: Listener
) -> dict[StoreKey, PhotoStore | FeatureStore]:
    """Decode the photos of all cells, finished or not, once for all: a call that goes on finds the same store.

    Where nothing of the backbone changes, it is the features of the photos that are stored, in the cache. Photos
    that were changed since are decoded again. Without room there is no store of photos.
    """
    sharing: dict[StoreKey, dict[Thinned, Task]] = {}
    for task in work:
        key, cell = store_key(task), task.cell
        if key is not None and not is_undefined(cell):
            sharing.setdefault(key, {}).setdefault((cell.pair, cell.ratio, cell.seed), task)
    stores: dict[StoreKey, PhotoStore | FeatureStore] = {}
    for key, tasks in sharing.items():
        subsets = [subset(manifest, task.config) for task in tasks.values()]
        regions = {region for photos in subsets for region in photos.manifest.rows["region_id"]}
        rows = manifest.usable[manifest.usable["region_id"].isin(regions)]
        config = next(iter(tasks.values())).config
        if config.frozen:
            runtime = Runtime.start(config.training.workers)
            start = untrained(config, subsets[0], runtime)
            how = listener, runtime.workers, config.augmentation
            stores[key] = feature_store(start, rows, manifest.root, *how)
        elif folder and (store := photo_store(rows, manifest.root, config.preprocessing, folder, listener)):
            stores[key] = store
    return stores


def store_key(task: Task) -> StoreKey | None:
    """Return what cells with the same stored photos, or features of these, have in common; None without a store."""
    config = task.config
    if config.frozen:
        start = config.model.model_copy(update={"head": None, "layers": (-1,), "frozen": None})
        drawn = None if start.weights or start.bundle or start.pretrained else config.seed
        views = config.augmentation if config.augmentation.feature_views is not None else None
        return config.preprocessing, start, drawn, views
    return (config.preprocessing, None, None, None) if config.training.store is not False else None

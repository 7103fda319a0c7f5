"""The files of the feature cache: features of photos by content, and what was computed when and from which file."""

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from platformdirs import user_cache_path

from fscl.archives import content_hash, photo_version
from fscl.atomic import replacing
from fscl.config import Augmentation, Preprocessing
from fscl.loading.loader import Batch, InferencePhotos, PhotoViews, in_order
from fscl.loading.regions import Regions
from fscl.models import Classifier
from fscl.printable import number_of

FOLDER = "FSCL_CACHE"  # environment variable: where the cache lies, in place of the user's cache folder
VERSION = 1
SECONDS_BETWEEN_FILES = 30.0  # what a killed process loses at most; one that is interrupted loses nothing
PHOTOS_PER_FILE = 4096
BATCH = 64
KNOWN = ".known.parquet"  # ends the name of a table that says whose features a file has
NOWHERE = -1
SAID_FROM = 1.0  # GB: less than this is no news, if it is free
SEED_DIGITS = 15  # hexadecimal, of a view's key: below 2^63
FloatMatrix = np.ndarray[tuple[int, int], np.dtype[np.float32]]
Progress = Callable[[int, int], None]


def cache_folder() -> Path:
    """Return the folder of all features: `FSCL_CACHE`, or the user's cache folder."""
    own = os.environ.get(FOLDER)
    return (Path(own) if own else user_cache_path("fscl")) / "features"


def disk_note(features: int, dim: int) -> str | None:
    """Say what features of photos and views take on the disk; None where it is little and there.

    Args:
        features: how many are wanted, those of the cache among them.
        dim: numbers of each.
    """
    folder, gigabytes = cache_folder(), 4 * features * dim / 1e9
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free / 1e9
    if gigabytes < min(SAID_FROM, free):
        return None
    short = f"; only {free:.1f} GB are free there" if free < gigabytes else ""
    return (
        f"features of {number_of(features, 'photo')}, views counted: up to {gigabytes:.1f} GB in {folder}{short} "
        f"({FOLDER} names another folder; it can be deleted at any time)"
    )


def backbone_fingerprint(classifier: Classifier, preprocessing: Preprocessing) -> str:
    """Return 32 hexadecimal digits of all that features depend on besides the photo."""
    settings = [VERSION, classifier.architecture, preprocessing.model_dump(mode="json", exclude_none=True)]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, weight in classifier.backbone_weights().items():
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


class FeatureCache:
    """All features of one backbone and preprocessing: files of them, each with a table of whose they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places: dict[str, tuple[str, int]] = {}  # key of a photo and box → file, row
        self.contents: dict[str, str] = {}  # where a file was, how large and how old → the hash of its bytes
        there = {path.name for path in folder.glob("*.npy")}
        for path in folder.glob(f"*{KNOWN}"):
            try:
                known = pd.read_parquet(path, columns=["key", "version", "content", "file", "row"])
            except (OSError, ValueError, LookupError, pa.ArrowException):
                continue  # damaged: what it tells of is computed again
            known = known[known["file"].isin(there)]
            self.places |= dict(zip(known["key"], zip(known["file"], known["row"], strict=True), strict=True))
            self.contents |= dict(zip(known["version"], known["content"], strict=True))

    def content_keys(self, table: pd.DataFrame) -> list[str]:
        """Return what each photo and box is known by; bytes are hashed where a file is not known by path and time."""
        contents: dict[str, str] = {}
        seen_anew = set()
        for path in table["path"].unique():
            version = _version_key(path)
            if version not in self.contents:
                self.contents[version] = content_hash(Path(path)) or f"unread {path}"
                seen_anew.add(path)
            contents[path] = self.contents[version]
        boxes = zip(table["path"], *(table[side] for side in "xywh"), strict=True)
        table = table.assign(key=[_short(contents[path], *box) for path, *box in boxes])
        moved = table[table["path"].isin(seen_anew) & table["key"].isin(self.places)]
        if len(moved):  # known by their bytes, so not computed again, nor hashed another time
            self._write_known(moved, [self.places[key] for key in moved["key"]])
        return table["key"].tolist()

    def fill(
        self,
        classifier: Classifier,
        regions: Regions,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        missing: pd.DataFrame,
        total: int,
        workers: int,
        progress: Progress | None,
    ) -> dict[str, str]:
        """Compute the features that are missing, and keep them; return why photos could not be read, by key.

        `missing` has a row for each photo, or view of one: `key`, `path`, `region` (its place in the regions) and
        `view`, 0 of the plain photo; `total` are those wanted.
        """
        at = missing["region"].to_numpy()
        chosen = Regions([regions.photos[i] for i in at], regions.boxes[at], regions.labels[at])
        table = missing.reset_index(drop=True)
        views = InferencePhotos(chosen, preprocessing)
        if augmentation is not None:
            seeds = [
                int(key[:SEED_DIGITS], 16) if view else None
                for key, view in zip(table["key"], table["view"], strict=True)
            ]
            views = PhotoViews(chosen, preprocessing, augmentation, seeds)
        problems: dict[str, str] = {}
        rows: list[int] = []
        computed: list[FloatMatrix] = []
        kept, done = time.monotonic(), total - len(table)
        try:
            for batch, features in _pooled(classifier, views, workers):
                problems |= {str(table["key"].iloc[row]): reason for row, reason in batch.failures}
                rows += batch.rows
                computed += [features] if batch.rows else []
                done += len(batch.rows) + len(batch.failures)
                if progress is not None:
                    progress(done, total)
                if len(rows) >= PHOTOS_PER_FILE or time.monotonic() - kept > SECONDS_BETWEEN_FILES:
                    self._keep(table.iloc[rows], computed)
                    rows, computed, kept = [], [], time.monotonic()
        finally:
            self._keep(table.iloc[rows], computed)
        return problems

    def _keep(self, table: pd.DataFrame, computed: Sequence[FloatMatrix]) -> None:
        """Write a file of features, then whose they are: what has no such table is not there."""
        if not len(table):
            return
        name = f"{uuid.uuid4().hex}.npy"
        with replacing(self.folder / name) as path, path.open("wb") as file:
            np.save(file, np.concatenate(computed))
        places = [(name, row) for row in range(len(table))]
        self._write_known(table, places)
        self.places |= dict(zip(table["key"], places, strict=True))

    def _write_known(self, table: pd.DataFrame, places: Sequence[tuple[str, int]]) -> None:
        versions = table["path"].map({path: _version_key(path) for path in table["path"].unique()})
        known = pd.DataFrame({"key": table["key"], "version": versions, "content": versions.map(self.contents)})
        known["file"], known["row"] = zip(*places, strict=True)
        with replacing(self.folder / f"{uuid.uuid4().hex}{KNOWN}") as path:
            known.to_parquet(path, index=False)

    def write_index(self, table: pd.DataFrame, problems: Mapping[str, str]) -> Path:
        """Write where the features of these photos are; return the file."""
        nowhere = (None, NOWHERE)
        found = [self.places.get(key, nowhere) for key in table["key"]]
        index = table[["path", *"xywh", "view"]].assign(
            file=pd.array([file for file, _ in found], dtype="string"),
            row=[row for _, row in found],
            problem=table["key"].map(problems).astype("string"),
        )
        digest = hashlib.sha256(index.to_csv(index=False).encode()).hexdigest()[:32]
        path = self.folder / f"index-{digest}.parquet"
        with replacing(path) as target:
            index.to_parquet(target, index=False)
        return path


def _pooled(classifier: Classifier, photos: InferencePhotos, workers: int) -> Iterator[tuple[Batch, FloatMatrix]]:
    """Yield the batches of some photos, and what the backbone makes of them."""
    if not len(photos):
        return
    was_training = classifier.training
    classifier.eval()
    try:
        for batch in in_order(photos, batch_size=BATCH, workers=workers):
            with torch.inference_mode():
                pooled = classifier.pooled(batch.photos.to(classifier.device)) if batch.rows else torch.empty(0, 0)
            yield batch, pooled.float().cpu().numpy()
    finally:
        classifier.train(was_training)


def view_keys(keys: Sequence[str], augmentation: Augmentation, view: int) -> list[str]:
    """Return what a view of photos and boxes of these keys is known by; what is done to it follows from that, too."""
    settings = augmentation.model_dump_json(exclude={"classes", "feature_views"})
    return [_short(key, settings, view) for key in keys]


def _version_key(path: str) -> str:
    return _short(str(Path(path).absolute()), *photo_version(Path(path)))


def _short(*parts: Any) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]

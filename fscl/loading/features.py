"""The feature cache: what a frozen backbone makes of each photo, computed once and kept for every later run.

Features are found by the bytes of the photo, its box, the weights of the backbone and the preprocessing, wherever the
photo lies and whatever the run is called. They lie in memory-mapped files in the user's cache folder, which can be
deleted at any time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray

from fscl.config import Augmentation, Preprocessing
from fscl.errors import OutputError
from fscl.images import UnreadableError
from fscl.loading.batches import Batches
from fscl.loading.feature_files import (
    NOWHERE,
    FeatureCache,
    FloatMatrix,
    Progress,
    backbone_fingerprint,
    cache_folder,
    view_keys,
)
from fscl.loading.loader import Batch, ReadResult, TrainingPhotos
from fscl.loading.regions import Failure, Regions
from fscl.loading.store_files import IntArray, keys
from fscl.models import Classifier

INFERENCE_BATCH = 4096  # features are small


class FeatureStore:
    """The features of some photos, in place of the photos; made by `build`, travels to other processes as its path.

    Args:
        index: the file that `build` has left.

    Raises:
        OutputError: no such file, or features that are gone.
    """

    def __init__(self, index: Path) -> None:
        self.index = index
        try:
            table = pd.read_parquet(index)
            self._file, names = pd.factorize(table["file"])  # −1: none
            self._files = [np.load(index.parent / name, mmap_mode="r") for name in names]
        except (OSError, ValueError, pa.ArrowException, AttributeError, LookupError) as error:
            raise OutputError(f"{index}: expected the features of photos ({error}); run the command again") from None
        self._row = table["row"].to_numpy()
        photos = list(zip(*(table[c] for c in ("path", *"xywh")), strict=True))
        plain = (table["view"] == 0).to_numpy()
        self._places = {photos[place]: place for place in np.flatnonzero(plain).tolist()}
        own = np.array([self._places[photo] for photo in photos], dtype=np.int64)
        self._views = np.full((len(table), int(table["view"].max())), NOWHERE)
        self._views[own[~plain], table["view"].to_numpy()[~plain] - 1] = np.flatnonzero(~plain)
        told = zip(own.tolist(), table["problem"], strict=True)
        self.problems = {place: str(why) for place, why in told if pd.notna(why)}

    def __reduce__(self) -> tuple[Callable[[Path], "FeatureStore"], tuple[Path]]:
        return _opened, (self.index,)

    def __len__(self) -> int:
        return len(self._places)

    @classmethod
    def build(
        cls,
        classifier: Classifier,
        regions: Regions,
        preprocessing: Preprocessing,
        *,
        views: "Views | None" = None,
        folder: Path | None = None,
        workers: int = 0,
        progress: Progress | None = None,
    ) -> "FeatureStore":
        """Compute the features that are not in the cache yet, and return those of the regions.

        What an interrupted call has computed is used. Photos that cannot be read are tried again by the next call.

        Args:
            classifier: its backbone is used, without the head, as in evaluation, on the device where it is.
            regions: of which the features are wanted, at least one.
            preprocessing: how photos become the model's input.
            views: that are wanted beside the plain photos.
            folder: of the cache; `cache_folder()` by default.
            workers: processes that read photos.
            progress: called with (photos done, photos) as it goes on.

        Raises:
            OSError: the folder cannot be written.
        """
        own = (folder or cache_folder()) / backbone_fingerprint(classifier, preprocessing)
        cache = FeatureCache(own)
        table = pd.DataFrame(keys(regions), columns=["path", *"xywh"])
        table["region"] = np.arange(len(table))
        viewed = (
            set() if views is None else set(zip(*(table[c].iloc[views.rows] for c in ("path", *"xywh")), strict=True))
        )
        table = table.drop_duplicates(["path", *"xywh"]).reset_index(drop=True).assign(view=0)
        table["key"] = cache.content_keys(table)
        augmentation = None if views is None else views.settings
        if augmentation is not None:
            of_views = table[[photo in viewed for photo in zip(*(table[c] for c in ("path", *"xywh")), strict=True)]]
            numbers = range(1, (augmentation.feature_views or 0) + 1)
            drawn = [
                of_views.assign(view=n, key=view_keys(of_views["key"].tolist(), augmentation, n)) for n in numbers
            ]
            table = pd.concat([table, *drawn], ignore_index=True)
        missing = table[~table["key"].isin(cache.places)].drop_duplicates("key").sort_values(["region", "view"])
        problems = cache.fill(
            classifier, regions, preprocessing, augmentation, missing, len(table), workers, progress
        )
        return cls(cache.write_index(table, problems))

    def view(self, regions: Regions) -> "FeatureRegions":
        """Return the same regions, whose features are known."""
        places = np.array([self._places.get(key, NOWHERE) for key in keys(regions)], dtype=np.int64)
        return FeatureRegions(regions.photos, regions.boxes, regions.labels, self, places)

    def features(self, places: IntArray) -> FloatMatrix:
        """Return the features at places that have some: (places, dim) float32."""
        assert (places >= 0).all(), "made for these"
        file, row = self._file[places], self._row[places]
        found = np.empty((len(places), self._files[0].shape[1] if self._files else 0), dtype=np.float32)
        for number in np.unique(file):
            here = file == number
            found[here] = self._files[number][row[here]]
        return found

    def views(self, places: IntArray, count: int) -> NDArray[np.int64]:
        """Return where the first views of photos at these places are: (places, count)."""
        return self._views[places, :count]


class Views(NamedTuple):
    """Augmented views of photos, as many as `feature_views` of the settings says."""

    settings: Augmentation
    rows: IntArray  # of the regions whose photos have them


@lru_cache(maxsize=4)
def _opened(index: Path) -> FeatureStore:
    """Open a store once in each process, however many cells of a comparison take from it."""
    return FeatureStore(index)


@dataclass(frozen=True)
class FeatureRegions(Regions):
    """Regions of which the features are known; `places` says where in the store they are."""

    store: FeatureStore
    places: IntArray

    @property
    def known(self) -> IntArray:
        """The rows that have features."""
        return np.flatnonzero(~np.isin(self.places, [NOWHERE, *self.store.problems]))

    def at(self, rows: IntArray) -> Self:
        """Return some of the regions."""
        return replace(super().at(rows), places=self.places[rows])

    def seen(self, settings: Augmentation, minority: Sequence[int]) -> NDArray[np.int64]:
        """Return where the plain photo of each region is, then its views: (regions, 1 + k).

        Of classes that are not augmented the plain photo stands for each view.

        Args:
            settings: say how many views there are.
            minority: the rare classes, for `settings.classes = "minority"`.
        """
        plain = self.places[:, None]
        views = self.store.views(self.places, settings.feature_views or 0)
        if settings.classes == "minority":
            views = np.where(np.isin(self.labels, minority)[:, None], views, plain)
        return np.concatenate([plain, views], axis=1)

    def problem(self, row: int) -> str | None:
        """Return why a region has no features; None where it has."""
        place = int(self.places[row])
        return "its features were not computed" if place == NOWHERE else self.store.problems.get(place)

    def unread(self) -> Iterator[tuple[str, str]]:
        """Yield the regions without features, and why."""
        for row in sorted({*range(len(self))} - {*self.known.tolist()}):
            yield self.name(row), self.problem(row) or ""

    def batches(self) -> Iterator[Batch]:
        """Yield all regions in order, features in place of photos; those without are listed as failures."""
        known = self.known
        for start in range(0, len(self), INFERENCE_BATCH):
            rows = list(range(start, min(start + INFERENCE_BATCH, len(self))))
            read = known[(known >= start) & (known < start + INFERENCE_BATCH)].tolist()
            failures = [Failure(row, self.problem(row) or "") for row in sorted({*rows} - {*read})]
            features = torch.from_numpy(self.store.features(self.places[read]))
            yield Batch(features, torch.from_numpy(self.labels[read]), read, failures)


class TrainingFeatures:
    """Training batches of features: what `training_loader` gives, of photos or of views that were augmented earlier.

    Which view is taken follows from the seed of the draw.

    Args:
        photos: all of them in a feature store.
        settings: say how many views there are.
        minority: the rare classes, for `settings.classes = "minority"`.
        device: where batches are put together.
    """

    def __init__(
        self, photos: TrainingPhotos, settings: Augmentation, minority: Sequence[int], device: torch.device
    ) -> None:
        assert isinstance(photos.regions, FeatureRegions), "made for these"
        self.photos, self.regions = photos, photos.regions
        known = self.regions.known
        self._place = np.full(len(self.regions), NOWHERE)
        self._place[known] = np.arange(len(known))
        self._known = self._place != NOWHERE
        seen = self.regions.seen(settings, minority)
        self._views = seen.shape[1]
        self._features = torch.from_numpy(self.regions.store.features(seen[known].ravel())).to(device)
        self._labels = torch.from_numpy(self.regions.labels).to(device)

    def batches(self, batches: Batches) -> Iterator[Batch]:
        """Yield the batches of a run."""
        for samples in batches:
            results = [
                ReadResult(sample.row, []) if known else self.photos.readable(sample.row, self._checked)
                for sample, known in zip(samples, self._known[[sample.row for sample in samples]], strict=True)
            ]
            rows = [row for row, _ in results if row is not None]
            drawn = [
                sample.seed % self._views
                for sample, (row, _) in zip(samples, results, strict=True)
                if row is not None
            ]
            places = torch.from_numpy(self._place[rows] * self._views + drawn).to(self._features.device)
            kept = torch.tensor(rows, dtype=torch.int64).to(self._features.device)
            yield Batch(
                photos=self._features.index_select(0, places),
                labels=self._labels.index_select(0, kept),
                rows=rows,
                failures=[failure for _, failures in results for failure in failures],
                exhausted="" if len(rows) == len(samples) else self.photos.exhausted(results),
            )

    def _checked(self, row: int) -> int:
        """The row, if it has features."""
        problem = self.regions.problem(row)
        if problem is not None:
            raise UnreadableError(problem)
        return row

"""Real photos that an exported model is checked on, and those that int8 is calibrated on, never of the test."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fscl import formats
from fscl.bundle import Bundle
from fscl.errors import PhotosError
from fscl.evaluation.evaluate import unchanged
from fscl.evaluation.known_photos import part_of, photos_of
from fscl.formats.reading import Reading
from fscl.loading.regions import UNLABELLED, Regions
from fscl.manifest.table import BOX, Manifest
from fscl.prediction.photos import list_photos
from fscl.scoring.some_of_each import some_of_each

CHECKED = 256  # photos that a check takes where nobody says how many
CALIBRATED = 128  # more photos hardly move the ranges of the activations
FEWEST = 10  # validation photos of each class, to calibrate on them


@dataclass(frozen=True)
class ExportPhotos:
    """Photos to check or calibrate on, what they are called, and which part of the run they are, if any.

    Unlabelled ones have the label −1.
    """

    regions: Regions
    name: str
    split: str | None = None


def to_check(run: Path, model: Bundle, source: Path | None, most: int, root: Path | None) -> ExportPhotos:
    """Return the photos that the exported model is compared on.

    Args:
        run: the folder.
        model: of it.
        source: photos that are given, in any format; None: the run's test photos, else those of validation.
        most: of each class as many as there are, together at most this many.
        root: the folder that the run's photos are in now.

    Raises:
        PhotosError: none are at hand.
    """
    if source is not None:
        return _given(source, model, most)
    own = _of_run(run, root, "check it on others: --photos FOLDER")
    for split, name in (("test", "test"), ("val", "validation")):
        rows = _of_classes(part_of(own, split).usable, model)
        if not rows.empty:
            return _some(rows, own.root, model, most, f"{name} photos of the run", split)
    raise PhotosError(f"{run}: has no test or validation photos; give some: --photos FOLDER")


def to_calibrate(run: Path, model: Bundle, root: Path | None, checked: ExportPhotos) -> ExportPhotos:
    """Return validation photos of a run, or training photos where a class has too few of these or they are `checked`.

    Raises:
        PhotosError: none are at hand.
    """
    own = _of_run(run, root, "leave --int8 out, which is calibrated on them")
    rows = {split: _of_classes(part_of(own, split).usable, model) for split in ("val", "train")}
    fewest = rows["val"]["label"].value_counts().reindex(list(model.classes), fill_value=0).min()
    free = checked.split != "val"  # what int8 loses is to be seen on photos that it was not calibrated on
    split, name = ("val", "validation") if free and fewest >= FEWEST else ("train", "training")
    if rows[split].empty:
        raise PhotosError(f"{run}: has neither validation nor training photos, which int8 is calibrated on")
    return _some(rows[split], own.root, model, CALIBRATED, f"{name} photos of the run", split)


def _of_run(run: Path, root: Path | None, fix: str) -> Manifest:
    own, gone = photos_of(run, [root])
    if own is None:
        raise PhotosError(f"expected the photos of the run, but {gone}; {fix}")
    if gone:
        raise PhotosError(f"expected the photos of the run, but {gone}; say where they are: --root FOLDER, or {fix}")
    return own


def _of_classes(rows: pd.DataFrame, model: Bundle) -> pd.DataFrame:
    return rows[rows["label"].isin(model.classes)].reset_index(drop=True)


def _some(
    rows: pd.DataFrame, root: Path, model: Bundle, most: int, name: str, split: str | None = None
) -> ExportPhotos:
    rows, changed = unchanged(rows, root)
    if rows.empty:
        path, why = next(iter(changed.items()))
        raise PhotosError(f"expected the {name} as they were, got none, such as {path}: {why}; scan and train again")
    rows = rows.iloc[some_of_each(rows["label"].tolist(), most)].reset_index(drop=True)
    return ExportPhotos(Regions.of(rows, root, model.classes), name, split)


def _given(source: Path, model: Bundle, most: int) -> ExportPhotos:
    """Photos of the user, with their labels where some of these are classes of the model."""
    photos = None
    with suppress(PhotosError):  # a folder of photos without classes
        photos = formats.read(source, Reading(unlabelled=True))
    if photos is not None and not (rows := _of_classes(photos.usable, model)).empty:
        return _some(rows, photos.root, model, most, f"photos of {source}")
    listing = list_photos(source, Reading())
    places = np.unique(np.linspace(0, len(listing.regions) - 1, min(most, len(listing.regions))).round()).astype(int)
    chosen = listing.regions.iloc[places]
    paths = [Path(path) for path in listing.photos["path"].iloc[chosen["photo"]]]
    boxes = chosen[BOX].to_numpy(dtype=np.float64)
    unlabelled = np.full(len(paths), UNLABELLED, dtype=np.int64)
    return ExportPhotos(Regions(paths, boxes, unlabelled, fractions=listing.fractions), f"photos of {source}")

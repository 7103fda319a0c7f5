"""Photos of the run whose labels look wrong, with thumbnails and as a table."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fscl.atomic import write_text
from fscl.bundle import Bundle
from fscl.explain.features import directions_of
from fscl.explain.pictures import Pictures, thumbnail
from fscl.manifest.groups import By, groups
from fscl.manifest.table import SPLITS, Manifest
from fscl.progress import Listener
from fscl.records import LabelToCheck
from fscl.scoring.label_noise import suspects

MOST_PICTURES = 60  # on the page; the table has all
COLUMNS = ["path", "region", "split", "label", "suggested", "score", "agree", "neighbours"]


class Checked(NamedTuple):
    """Doubtful labels, in the order in which to look at them, and how many labels were looked at."""

    photos: list[LabelToCheck]
    checked: int


def labels_to_check(bundle: Bundle, own: Manifest, pictures: Pictures, told: Listener, workers: int) -> Checked:
    """Look at the labels of all photos of a run: training, validation and test alike.

    Args:
        bundle: of the run; its backbone makes the features.
        own: the photos of the run.
        pictures: where the thumbnails of the first ones go.
        told: hears how far it is, and what could not be looked at.
        workers: processes that read photos.
    """
    rows = own.usable[own.usable["split"].isin(SPLITS)]
    found = directions_of(bundle, rows, own.root, told, workers, most=None)
    if found.unread:
        told.note(f"{found.unread:,} photos could not be read, so their labels were not looked at")
    rows, labels = found.rows, found.regions.labels
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        return Checked([], 0)
    of = groups(rows.iloc[known].reset_index(drop=True), _by(rows.iloc[known]))
    doubtful = suspects(found.features[known], labels[known], of.number.to_numpy())
    checked = []
    for rank, (row, suggested, score, agree, asked) in enumerate(zip(*doubtful, strict=True)):
        place = int(known[row])
        make = partial(thumbnail, found.regions, place, bundle.preprocessing)
        checked.append(
            LabelToCheck(
                path=str(found.regions.photos[place]),
                region=str(rows["region_id"].iloc[place]),
                split=str(rows["split"].iloc[place]),
                label=str(rows["label"].iloc[place]),
                suggested=bundle.classes[int(suggested)],
                score=round(float(score), 4),
                agree=int(agree),
                neighbours=int(asked),
                picture=pictures.write(f"check-{rank + 1:03}", make) if rank < MOST_PICTURES else None,
            )
        )
    return Checked(checked, len(known))


def _by(rows: pd.DataFrame) -> By:
    """What is kept in one fold: a site, where each class is known from several, else a sequence, else a photo."""
    if rows["site"].notna().all() and rows.groupby("label")["site"].nunique().min() > 1:
        return "site"
    return "sequence" if rows["sequence"].notna().any() else "photo"


def write_labels(path: Path, photos: list[LabelToCheck]) -> None:
    """Write them as CSV, whole or not at all."""
    table = pd.DataFrame([{name: getattr(photo, name) for name in COLUMNS} for photo in photos], columns=COLUMNS)
    write_text(path, table.to_csv(index=False, lineterminator="\n"))

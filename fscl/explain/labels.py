"""Photos of the run whose labels look wrong, with thumbnails and as a table."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fscl.atomic import write_text
from fscl.bundle import Bundle
from fscl.explain.features import directions_of
from fscl.explain.out_of_fold import out_of_fold
from fscl.explain.pictures import Pictures, thumbnail
from fscl.manifest.groups import By, groups
from fscl.manifest.table import SPLITS, Manifest
from fscl.progress import Listener
from fscl.records import LabelToCheck
from fscl.scoring.label_noise import nearest_others, share_of, suspects

MANY = 0.1  # of the labels: sets that people made have 1 to 10 % wrong ones (Northcutt et al. 2021)
MOST_PICTURES = 60  # on the page; the table has all
COLUMNS = ["path", "region", "split", "label", "suggested", "score", "agree", "neighbours"]


class Checked(NamedTuple):
    """Doubtful labels, in the order in which to look at them, and how many labels were looked at."""

    photos: list[LabelToCheck]
    checked: int


class Doubtful(NamedTuple):
    """A photo, by its row, with a doubtful label: what it rather shows, and its neighbours with the same label."""

    row: int
    suspicion: float
    rather: int
    agree: int
    neighbours: int


def doubtful(features: NDArray[np.floating], labels: NDArray[np.int64], groups: NDArray[np.int64]) -> list[Doubtful]:
    """Return the photos whose label their neighbours and the out-of-fold model contradict, each class in turn.

    The most suspect photo of every class comes first, those of the rarest class before the others, then the second
    ones: a common class with many wrong labels does not drown a rare one.

    Args:
        features: (photos, dim) of a backbone.
        labels: (photos,) ≥ 0.
        groups: (photos,) what shares its labels, such as a sequence: no neighbours, and in one fold.
    """
    _, codes = np.unique(labels, return_inverse=True)
    if len(labels) < 2 or not codes.any():
        return []
    classes, counts = np.unique(labels), np.bincount(codes)
    x = np.asarray(features, dtype=np.float64)
    nearest = nearest_others(x, groups=groups)
    same = (codes[nearest] == codes[:, None]) & (nearest >= 0)
    agree, asked = same.sum(axis=1), (nearest >= 0).sum(axis=1)
    found, rank = [], dict.fromkeys(range(len(classes)), 0)
    for one in suspects(share_of(nearest, codes), out_of_fold(x, codes, groups), codes, most=1.0):
        own = int(codes[one.row])
        if 2 * agree[one.row] < min(asked[one.row], counts[own] - 1):  # nobody is doubted for a class being small
            found.append((rank[own], int(counts[own]), one))
            rank[own] += 1
    order = sorted(found, key=lambda each: each[:2])
    return [
        Doubtful(one.row, one.suspicion, int(classes[one.rather]), int(agree[one.row]), int(asked[one.row]))
        for _, _, one in order
    ]


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
    of = groups(rows.iloc[known].reset_index(drop=True), fold_by(rows.iloc[known])).number.to_numpy()
    checked = []
    for rank, one in enumerate(doubtful(found.features[known], labels[known], of)):
        place = int(known[one.row])
        make = partial(thumbnail, found.regions, place, bundle.preprocessing)
        checked.append(
            LabelToCheck(
                path=str(found.regions.photos[place]),
                region=str(rows["region_id"].iloc[place]),
                split=str(rows["split"].iloc[place]),
                label=str(rows["label"].iloc[place]),
                suggested=bundle.classes[one.rather],
                score=round(one.suspicion, 4),
                agree=one.agree,
                neighbours=one.neighbours,
                picture=pictures.write(f"check-{rank + 1:03}", make) if rank < MOST_PICTURES else None,
            )
        )
    if len(checked) > MANY * len(known):
        told.note(own_errors(len(checked), len(known), from_scratch=bundle.start is None))
    return Checked(checked, len(known))


def own_errors(doubted: int, checked: int, *, from_scratch: bool) -> str:
    """Say that most of the labels that are doubted will be right, and what doubts fewer where it is known."""
    fewer = (
        "; a run on pretrained features, as fscl train makes without --method, doubts fewer" if from_scratch else ""
    )
    return (
        f"{doubted:,} of {checked:,} labels are doubted, for the features of this model tell the classes badly: most "
        f"of these are its own errors{fewer}"
    )


def fold_by(rows: pd.DataFrame) -> By:
    """Return what is kept in one fold: a site, where each class has several, else a sequence, else a photo."""
    if rows["site"].notna().all() and rows.groupby("label")["site"].nunique().min() > 1:
        return "site"
    return "sequence" if rows["sequence"].notna().any() else "photo"


def write_labels(path: Path, photos: list[LabelToCheck]) -> None:
    """Write them as CSV, whole or not at all."""
    table = pd.DataFrame([{name: getattr(photo, name) for name in COLUMNS} for photo in photos], columns=COLUMNS)
    write_text(path, table.to_csv(index=False, lineterminator="\n"))

"""Whether photos are the same as before: those of a run or study that goes on, and those that were scanned."""

import numpy as np
import pandas as pd

from fscl.archives import ArchiveError, size
from fscl.errors import PhotosError
from fscl.manifest.table import BOX, Manifest
from fscl.printable import number_of

LISTED = 3  # examples in a message


def differences(before: Manifest, now: Manifest) -> list[str]:
    """Say in what the photos of two manifests differ: a run or study of the one may not go on with the other.

    The regions in their order, and each region's label, split, file and box are compared; where both manifests know
    them, also the bytes of the files, their hashes, and the width and height of the photos. Photos may have moved to
    another root where both manifests know the bytes of each file.

    >>> from pathlib import Path
    >>> was = Manifest.build(pd.DataFrame({"path": ["a.jpg", "b.jpg"], "label": "fox", "bytes": [10, 20]}), Path("."))
    >>> differences(was, was)
    []
    >>> differences(was, Manifest(was.rows.assign(label=["fox", "hare"], bytes=[10, 21]), was.root))
    ['label of 1 region (b.jpg#0 was fox, is hare)', '1 photo was replaced: other size (b.jpg)']
    """
    old, new = (photos.rows.set_index("region_id") for photos in (before, now))
    differing: list[str] = []
    gone, added = old.index.difference(new.index), new.index.difference(old.index)
    for regions, what in ((gone, "gone"), (added, "new")):
        if len(regions):
            differing.append(f"{number_of(len(regions), 'region')} {what} ({regions[0]})")
    if not (len(gone) or len(added) or old.index.equals(new.index)):
        differing.append("the order of the rows")
    shared = old.index.intersection(new.index)
    old, new = old.loc[shared], new.loc[shared]
    for column in ("label", "split", "path"):
        regions = shared[_differ(old[[column]], new[[column]])]
        if len(regions):
            example = f"{regions[0]} was {old[column][regions[0]]!s}, is {new[column][regions[0]]!s}"
            differing.append(f"{column} of {number_of(len(regions), 'region')} ({example})")
    regions = shared[_differ(old[BOX], new[BOX])]
    if len(regions):
        differing.append(f"boxes of {number_of(len(regions), 'region')} ({regions[0]})")
    if before.root != now.root and (unknown := int((old["bytes"].isna() | new["bytes"].isna()).sum())):
        sizes = f"the sizes of {number_of(unknown, 'region')} are not known"
        differing.append(f"the root was {before.root}, is {now.root}, and {sizes}")
    return differing + _replacements(old, new)


def replaced(photos: Manifest) -> dict[str, str]:
    """Return the photos whose files are not as large as at the scan: path → their bytes then and now.

    Asks for the size of each file, also in zip archives. Files that are not there are told when they are read.
    """
    reasons = {}
    known = photos.rows[["path", "bytes"]].dropna().drop_duplicates("path")
    for path, scanned in known.itertuples(index=False, name=None):
        try:
            present = size(photos.photo(path))
        except (OSError, ArchiveError):
            continue
        if present != scanned:
            reasons[path] = f"{scanned:,} bytes at the scan, {present:,} now"
    return reasons


def check_unchanged(photos: Manifest) -> None:
    """Make sure that the photos are those that were scanned, as far as the sizes of their files tell.

    Raises:
        PhotosError: some were replaced.
    """
    changed = replaced(photos)
    if changed:
        listed = "; ".join(f"{path}: {reason}" for path, reason in list(changed.items())[:LISTED])
        more = f"; and {len(changed) - LISTED:,} more" if len(changed) > LISTED else ""
        raise PhotosError(
            f"{photos.root}: expected the photos that were scanned, but {number_of(len(changed), 'file')} changed: "
            f"{listed}{more}; labels and boxes may not fit, scan the photos again or put the old ones back"
        )


def _replacements(old: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    """Say which photos of the same rows were replaced, each once, by the first sign of it."""
    said: list[str] = []
    named: set[str] = set()
    signs = {"size": ["bytes"], "content": ["content_hash"], "width or height": ["width", "height"]}
    for sign, columns in signs.items():
        known = (old[columns].notna() & new[columns].notna()).all(axis=1).to_numpy()
        differing = new["path"][known & _differ(old[columns], new[columns])]
        photos = [path for path in differing.unique() if path not in named]
        named.update(photos)
        if photos:
            were = "was" if len(photos) == 1 else "were"
            said.append(f"{number_of(len(photos), 'photo')} {were} replaced: other {sign} ({photos[0]})")
    return said


def _differ(old: pd.DataFrame, new: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell the rows in which any column differs; what is missing in both does not."""
    unequal = (old != new).fillna(True) & ~(old.isna() & new.isna())
    return unequal.any(axis=1).to_numpy(dtype=bool)

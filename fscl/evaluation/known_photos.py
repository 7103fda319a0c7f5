"""Which photos a run knows: its own, those of a split, and those among others that it was trained on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fscl.errors import PhotosError
from fscl.manifest.table import Manifest
from fscl.run_folder import RunFolder
from fscl.scanning.copies import seen_before


def photos_of(run: Path, roots: Sequence[Path | None]) -> tuple[Manifest | None, str]:
    """Return what is known of the photos of a run, and why they are in none of the roots, if so.

    Args:
        run: its folder.
        roots: folders that the photos may be in now, in this order; None: where the run had them.
    """
    path = RunFolder(run).photos
    if not path.exists():
        return None, f"{path} does not exist"
    reasons = []
    for root in roots:
        try:
            return Manifest.read(path, root=root), ""
        except PhotosError as error:
            reasons.append(str(error).split(";")[0])
    gone = reasons[0]
    try:
        return Manifest.read(path, anywhere=True), gone
    except PhotosError:
        return None, gone


def part_of(photos: Manifest, split: str) -> Manifest:
    """Return the photos of a split."""
    return Manifest(photos.rows[photos.rows["split"] == split], photos.root)


def learnt(photos: Manifest, own: Manifest) -> NDArray[np.bool_]:
    """Tell which rows show a photo that a run was trained or validated on.

    Args:
        photos: usable rows.
        own: the photos of the run.
    """
    used = Manifest(own.rows[own.rows["split"].isin(["train", "val"])], own.root)
    return np.array(seen_before(photos, used), dtype=bool)

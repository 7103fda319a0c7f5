"""Formats that photos and labels come in: one file each; `read` decides by what the source is."""

from pathlib import Path

from fscl.archives import is_archive
from fscl.errors import PhotosError
from fscl.formats import aihub, folders, tabular
from fscl.manifest.table import Manifest, is_manifest


def read(source: Path) -> Manifest:
    """Read class folders (a folder or a zip of them), AI Hub's wildlife set, a table (CSV, Parquet) or a manifest.

    No photo is checked here: `fscl.formats.scan` does that.

    Raises:
        PhotosError: the source does not exist, is of no known kind, or cannot be understood.
    """
    if not source.exists():
        raise PhotosError(f"{source} does not exist")
    if source.is_dir() or is_archive(source):
        return aihub.read(source) if aihub.is_layout(source) else folders.read(source)
    suffix = source.suffix.lower()
    if suffix not in (".csv", ".tsv", ".parquet"):
        raise PhotosError(
            f"{source}: expected a folder or .zip of class folders, a .csv or a .parquet; give one of these"
        )
    if suffix == ".parquet" and is_manifest(source):
        return Manifest.read(source)
    return tabular.read(source)

"""A manifest that `fscl scan` wrote before: docs/schema.md has its columns."""

from pathlib import Path

from fscl.formats.reading import Reading
from fscl.manifest.table import Manifest, is_manifest


def recognises(source: Path) -> bool:
    """Tell a manifest from other parquet tables.

    Raises:
        PhotosError: a file of that name that is not parquet.
    """
    return source.suffix.lower() == ".parquet" and source.is_file() and is_manifest(source)


def read(source: Path, reading: Reading) -> Manifest:
    """Read a manifest, with its photos where they are now.

    Raises:
        PhotosError: as `Manifest.read`.
    """
    return Manifest.read(source, root=reading.root)


def write(photos: Manifest, target: Path) -> None:
    """Write a manifest, whole or not at all.

    Raises:
        PhotosError: as `Manifest.write`.
    """
    photos.write(target)

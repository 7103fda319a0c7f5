"""Formats that photos and labels come in: one file each; `read` decides by what the source is."""

from dataclasses import replace
from pathlib import Path

from fscl.archives import is_archive
from fscl.errors import ConfigurationError, PhotosError
from fscl.formats import aihub, beside, folders, tabular
from fscl.manifest.table import Manifest, is_manifest


def read(source: Path, *, layout: str | None = None) -> Manifest:
    """Read class folders (a folder or a zip of them), AI Hub's wildlife set, a table (CSV, Parquet) or a manifest.

    No photo is checked here: `fscl.formats.scan` does that.

    Args:
        source: what to read.
        layout: what the folders of class folders mean, such as `site/class`; see `fscl.formats.layouts`.

    Raises:
        PhotosError: the source does not exist, is of no known kind, or cannot be understood.
        ConfigurationError: a layout that is none, or one of a table.
    """
    if not source.exists():
        raise PhotosError(f"{source} does not exist")
    if source.is_dir() or is_archive(source):
        return aihub.read(source) if layout is None and aihub.is_layout(source) else _of_folders(source, layout)
    if layout is not None:
        raise ConfigurationError(f"--layout says what folders mean, and {source} is none; leave it out")
    suffix = source.suffix.lower()
    if suffix not in (".csv", ".tsv", ".parquet"):
        raise PhotosError(
            f"{source}: expected a folder or .zip of class folders, a .csv or a .parquet; give one of these"
        )
    if suffix == ".parquet" and is_manifest(source):
        return Manifest.read(source)
    return tabular.read(source)


def _of_folders(source: Path, layout: str | None) -> Manifest:
    """Class folders; other labels that lie there are mentioned, most of all where there are no class folders."""
    try:
        manifest = folders.read(source, layout=layout)
    except PhotosError as error:
        raise type(error)("\n  ".join([str(error), *beside.remarks(source)])) from error.__cause__
    return replace(manifest, remarks=(*manifest.remarks, *beside.remarks(source)))

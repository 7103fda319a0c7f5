"""Formats that photos and labels come in: one file each; `read` decides by what the source is."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fscl import archives
from fscl.errors import ConfigurationError, PhotosError
from fscl.formats.aihub import reader as aihub
from fscl.formats.class_folders import labels_beside as beside
from fscl.formats.class_folders import reader as folders
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.formats.tables import reader as tabular
from fscl.manifest.table import Manifest, is_manifest


def read(source: Path, reading: Reading = NOTHING_SAID) -> Manifest:
    """Read class folders (a folder or a zip of them), AI Hub's wildlife set, a table (CSV, Parquet) or a manifest.

    No photo is checked here: `fscl.scanning.scan` does that.

    Args:
        source: what to read.
        reading: what the user says of the source.

    Raises:
        PhotosError: the source does not exist, is of no known kind, or cannot be understood.
        ConfigurationError: a layout that is none, or something is said of the reading that this kind of source has
            no use for.
    """
    if not source.exists():
        raise PhotosError(f"{source} does not exist")
    if source.is_dir() or archives.is_archive(source):
        if reading.layout is None and aihub.is_layout(source):
            _check(source, reading, "AI Hub's wildlife set", "box_frame", "zip_encoding")
            frame = reading.box_frame or "stored"
            return _with_code_pages(aihub.read(source, frame=frame, code_page=reading.zip_encoding), reading)
        packed = archives.is_archive(source)
        _check(source, reading, "class folders", "layout", *(["zip_encoding"] if packed else []))
        return _with_code_pages(_of_folders(source, reading), reading)
    suffix = source.suffix.lower()
    if suffix not in (".csv", ".tsv", ".parquet"):
        raise PhotosError(
            f"{source}: expected a folder or .zip of class folders, a .csv or a .parquet; give one of these"
        )
    if suffix == ".parquet" and is_manifest(source):
        _check(source, reading, "a manifest")
        return Manifest.read(source)
    _check(source, reading, "a table", "box_unit", "box_frame", "date_order")
    return tabular.read(source, reading)


def _of_folders(source: Path, reading: Reading) -> Manifest:
    """Class folders; other labels that lie there are mentioned, most of all where there are no class folders."""
    try:
        manifest = folders.read(source, layout=reading.layout, code_page=reading.zip_encoding)
    except PhotosError as error:
        raise type(error)("\n  ".join([str(error), *beside.remarks(source)])) from error.__cause__
    return replace(manifest, remarks=(*manifest.remarks, *beside.remarks(source)))


def _check(source: Path, reading: Reading, kind: str, *used: str) -> None:
    """Refuse what would be without effect: the user expects one."""
    for name in ("layout", "box_unit", "box_frame", "date_order", "zip_encoding"):
        if getattr(reading, name) is not None and name not in used:
            raise ConfigurationError(f"--{name.replace('_', '-')} says nothing of {kind}: leave it out for {source}")


def _with_code_pages(manifest: Manifest, reading: Reading) -> Manifest:
    """Say in which code page names in zips are read, where they do not say theirs."""
    if reading.zip_encoding is not None:
        return manifest
    paths = manifest.rows["path"].str.extract(r"(?i)^(.*?\.zip)/")[0].dropna().unique()
    guessed: dict[str, list[str]] = {}
    for archive in [manifest.root, *(manifest.root / path for path in paths)]:
        with suppress(archives.ArchiveError, OSError):
            if archives.is_archive(archive) and (code_page := archives.code_page(archive)):
                guessed.setdefault(code_page, []).append(archive.name)
    said = [
        f"names in {names[0]}{f' and {len(names) - 1} more zips' if len(names) > 1 else ''} are read as {code_page}; "
        "name another code page with --zip-encoding"
        for code_page, names in guessed.items()
    ]
    return replace(manifest, remarks=(*manifest.remarks, *said))

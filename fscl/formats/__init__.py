"""Formats that photos and labels come in: the table `FORMATS`, and `read`, which finds the one of a source."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path

from fscl import archives
from fscl.errors import ConfigurationError, PhotosError
from fscl.formats import manifest_file
from fscl.formats.aihub import reader as aihub
from fscl.formats.class_folders import reader as class_folders
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.formats.tables import reader as tables
from fscl.manifest.table import Manifest


@dataclass(frozen=True, kw_only=True)
class Format:
    """A form that photos and labels are kept in.

    Attributes:
        title: what messages call it.
        recognises: tells whether a source is in it, by names alone.
        read: reads a source as the user says.
        options: those of `Reading` that make a difference to it.
        write: writes photos in it; None where there is no writer.
    """

    title: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Reading], Manifest]
    options: tuple[str, ...] = ()
    write: Callable[[Manifest, Path], None] | None = None

    def unused(self, reading: Reading) -> list[str]:
        """Return the options that the user gives and that make no difference to this format."""
        given = [field.name for field in fields(reading) if getattr(reading, field.name)]
        return [name for name in given if name not in (*self.options, "labels")]


FORMATS = {
    "aihub": Format(
        title="AI Hub's wildlife set",
        recognises=aihub.recognises,
        read=aihub.read,
        options=("box_frame", "zip_encoding"),
    ),
    "class_folders": Format(
        title="class folders", recognises=Path.is_dir, read=class_folders.read, options=("layout",)
    ),
    "zip": Format(
        title="class folders in a zip",
        recognises=archives.is_archive,
        read=class_folders.read,
        options=("layout", "zip_encoding"),
    ),
    "manifest": Format(
        title="a manifest",
        recognises=manifest_file.recognises,
        read=manifest_file.read,
        options=("root",),
        write=manifest_file.write,
    ),
    "table": Format(
        title="a table",
        recognises=tables.recognises,
        read=tables.read,
        options=("root", "box_unit", "box_frame", "date_order"),
    ),
}
"""Each format by its name. The first that recognises a source reads it, the others where it has no use for what the
user says: with `--layout` AI Hub's folders are read as class folders."""


def read(source: Path, reading: Reading = NOTHING_SAID) -> Manifest:
    """Read photos and labels in whatever format of `FORMATS` they are.

    No photo is checked here: `fscl.scan` does that.

    Args:
        source: what to read.
        reading: what the user says of the source.

    Raises:
        PhotosError: the source does not exist, is of no known format, or cannot be understood.
        ConfigurationError: a layout that is none, or an option that makes no difference to this format.
    """
    if not source.exists():
        raise PhotosError(f"{source} does not exist")
    formats = [format for format in FORMATS.values() if format.recognises(source)]
    if not formats:
        raise PhotosError(
            f"{source}: expected a folder or .zip of class folders, a .csv or a .parquet; give one of these"
        )
    format = next((format for format in formats if not format.unused(reading)), formats[0])
    for name in format.unused(reading):  # the user expects an effect
        option = f"--{name.replace('_', '-')}"
        raise ConfigurationError(f"{option} says nothing of {format.title}: leave it out for {source}")
    photos = format.read(source, reading)
    if "zip_encoding" not in format.options or reading.zip_encoding is not None:
        return photos
    return replace(photos, remarks=(*photos.remarks, *_code_pages(photos)))


def _code_pages(photos: Manifest) -> list[str]:
    """Say in which code page names in zips are read, where they do not say theirs."""
    paths = photos.rows["path"].str.extract(r"(?i)^(.*?\.zip)/")[0].dropna().unique()
    guessed: dict[str, list[str]] = {}
    for archive in [photos.root, *(photos.root / path for path in paths)]:
        with suppress(archives.ArchiveError, OSError):
            if archives.is_archive(archive) and (code_page := archives.code_page(archive)):
                guessed.setdefault(code_page, []).append(archive.name)
    return [
        f"names in {names[0]}{f' and {len(names) - 1} more zips' if len(names) > 1 else ''} are read as {code_page}; "
        "name another code page with --zip-encoding"
        for code_page, names in guessed.items()
    ]

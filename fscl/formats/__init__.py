"""Formats that photos and labels come in: the table `FORMATS`, and `read`, which finds the one of a source."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path

from fscl import archives
from fscl.errors import ConfigurationError, PhotosError, did_you_mean, shown
from fscl.formats import (
    answer_tables,
    coco,
    json_document,
    manifest_file,
    megadetector,
    megadetector_writer,
    speciesnet,
    speciesnet_writer,
    timelapse_writer,
    videos,
)
from fscl.formats.aihub import reader as aihub
from fscl.formats.answers import About, PhotoAnswer
from fscl.formats.camtrap_dp import reader as camtrap_dp
from fscl.formats.camtrap_dp import writer as camtrap_dp_writer
from fscl.formats.class_folders import reader as class_folders
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.formats.tables import reader as tables
from fscl.formats.walk import PHOTO_SUFFIXES
from fscl.manifest.table import Manifest


@dataclass(frozen=True, kw_only=True)
class Format:
    """A form that photos and labels are kept in.

    Attributes:
        title: what messages call it.
        recognises: tells whether a source is in it, by names, or by how a file begins.
        read: reads a source as the user says.
        options: those of `Reading` that make a difference to it, beside those that do to all.
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
        of_detections = ("detection_confidence", "blanks") if reading.detections is not None else ()
        return [name for name in given if name not in (*self.options, *of_detections, *FOR_ALL)]


FOR_ALL = ("labels", "unlabelled", "source_format", "detections", "frames_of", "site_from")
"""Options of `Reading` that do not depend on the format."""

FORMATS = {
    "aihub": Format(
        title="AI Hub's wildlife set",
        recognises=aihub.recognises,
        read=aihub.read,
        options=("box_frame", "zip_encoding"),
    ),
    "camtrap_dp": Format(
        title="Camtrap DP",
        recognises=camtrap_dp.recognises,
        read=camtrap_dp.read,
        options=("root", "box_frame", "blanks", "frames_per_second"),
    ),
    "megadetector": Format(
        title="results of MegaDetector",
        recognises=megadetector.recognises,
        read=megadetector.read,
        options=("root", "box_frame", "blanks", "detection_confidence", "frames_per_second"),
    ),
    "speciesnet": Format(
        title="SpeciesNet",
        recognises=speciesnet.recognises,
        read=speciesnet.read,
        options=("root", "box_frame", "blanks", "detection_confidence", "frames_per_second"),
    ),
    "coco": Format(
        title="COCO",
        recognises=coco.recognises,
        read=coco.read,
        options=("root", "box_frame", "date_order", "blanks", "frames_per_second"),
    ),
    "class_folders": Format(
        title="class folders",
        recognises=Path.is_dir,
        read=class_folders.read,
        options=("layout", "frames_per_second"),
    ),
    "zip": Format(
        title="class folders in a zip",
        recognises=archives.is_archive,
        read=class_folders.read,
        options=("layout", "zip_encoding", "frames_per_second"),
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
        options=(
            *("root", "box_unit", "box_frame", "date_order", "blanks", "detection_confidence"),
            "frames_per_second",
        ),
    ),
}
"""Each format by its name. The first that recognises a source reads it, the others where it has no use for what the
user says: with `--layout` AI Hub's folders are read as class folders."""


@dataclass(frozen=True, kw_only=True)
class AnswerFormat:
    """A form that the answers of a model are written in.

    Attributes:
        title: what messages call it.
        suffix: of its files.
        write: writes answers as they come.
        scientific: it has scientific names.
        folder: it is a folder, or a zip where the name says so; tells whether one that is there may be replaced.
        times: it says when photos were taken: EXIF is asked where the source does not say it.
        groups: it has a field for the genus or family that an unsure answer became.
    """

    title: str
    suffix: str
    write: Callable[[Path, Iterable[PhotoAnswer], About], None]
    times: bool = False
    scientific: bool = False
    folder: Callable[[Path], bool] | None = None
    groups: bool = True


ANSWER_FORMATS = {
    "megadetector": AnswerFormat(
        title="MegaDetector's format", suffix=".json", write=megadetector_writer.write, groups=False
    ),
    "speciesnet": AnswerFormat(
        title="SpeciesNet's format", suffix=".json", write=speciesnet_writer.write, scientific=True
    ),
    "timelapse": AnswerFormat(title="Timelapse's table", suffix=".csv", write=timelapse_writer.write, times=True),
    "camtrap-dp": AnswerFormat(
        title="a Camtrap DP package",
        suffix=".zip",
        write=camtrap_dp_writer.write,
        times=True,
        scientific=True,
        folder=camtrap_dp_writer.is_ours,
    ),
    "csv": AnswerFormat(title="CSV", suffix=".csv", write=answer_tables.write_csv),
    "parquet": AnswerFormat(title="Parquet", suffix=".parquet", write=answer_tables.write_parquet),
}
"""Each form of answers by its name."""


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
    check_there(source)
    format = format_of(source, reading)
    for name in format.unused(reading):  # the user expects an effect
        option = f"--{name.replace('_', '-')}"
        raise ConfigurationError(f"{option} says nothing of {format.title}: leave it out for {source}")
    photos = format.read(source, reading)
    if "zip_encoding" in format.options and reading.zip_encoding is None:
        photos = replace(photos, remarks=(*photos.remarks, *_code_pages(photos)))
    results, by_file = None, reading.frames_of
    if reading.detections is not None:
        check_there(reading.detections)
        results = megadetector.read_results(reading.detections)
        by_file = results.by_file
    if format not in (FORMATS["manifest"], FORMATS["megadetector"]):  # which have the frames already
        looked_at = None if by_file is None else megadetector.frames_looked_at(photos.rows["path"], by_file)
        photos = videos.with_frames(photos, reading.frames_per_second, looked_at)
    if reading.detections is not None and results is not None:
        photos = megadetector.join(photos, results, reading.detections, reading)
    return photos


def format_of(source: Path, reading: Reading) -> Format:
    """The format that the user names, else the first that recognises the source and has a use for what is said."""
    if reading.source_format is not None:
        if reading.source_format not in FORMATS:
            known = did_you_mean(reading.source_format, FORMATS)
            raise ConfigurationError(f"--source-format {reading.source_format}: no such format{known}")
        return FORMATS[reading.source_format]
    formats = [format for format in FORMATS.values() if format.recognises(source)]
    if not formats:
        keys = sorted(json_document.keys_of(source))
        photo = ", got a single photo" if source.suffix.lower() in PHOTO_SUFFIXES else ""
        got = f", got JSON with the keys {shown(keys)}" if keys else photo
        raise PhotosError(
            f"{source}: expected a folder or .zip of class folders, a .csv or a .parquet, or JSON of COCO, "
            f"MegaDetector, SpeciesNet or Camtrap DP{got}; give one of these, or name its format with --source-format"
        )
    return next((format for format in formats if not format.unused(reading)), formats[0])


def check_there(source: Path) -> None:
    """Raise PhotosError where there is no such file or folder."""
    if not source.exists():
        raise PhotosError(f"{source} does not exist")


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

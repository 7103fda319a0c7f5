"""Which photos are to be predicted, and which boxes of them: every photo of a source is listed, also a broken one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fscl import archives, formats
from fscl.archives import photo_version
from fscl.errors import ConfigurationError, PhotosError
from fscl.formats import megadetector, videos
from fscl.formats.class_folders import passed_over
from fscl.formats.detections import ANIMAL, Detected, matched
from fscl.formats.reading import Reading
from fscl.formats.walk import MEDIA_SUFFIXES, escaped, not_utf8, walk
from fscl.frames import video_of
from fscl.manifest import reasons
from fscl.manifest.table import BOX, Manifest
from fscl.printable import number_of

CONFIDENCE = 0.2  # of a box of a detector to predict: a missed animal costs more than a box too many
NOT_LOOKED_AT = "the detections do not name this photo"
LIST = ".txt"
OF_LABELS = ("no label", "several labels for one photo", "observed as unknown", "an animal without scientificName")
"""How problems begin that are of labels, which a model has no need of."""

OF_PHOTO = [
    *("file", "path", "problem", "found", "detected_as", "site", "sequence", "datetime", "deployment", "frame_rate"),
]
OF_REGION = ["photo", *BOX, "confidence", "place"]


@dataclass(frozen=True)
class Listing:
    """Photos in the order of their names, those of a video together, and the boxes of each that are to be predicted.

    Attributes:
        photos: a row each, `OF_PHOTO`: the name in the result, where it lies, why it cannot be used, what a detector
            found that is no animal, how the detector calls the photo, and, of a frame, its video's frames a second.
        regions: a row each, `OF_REGION`: the photo's place in `photos`, the box (missing: the whole photo), the
            detector's confidence, and the detection's place among all of its photo.
        fractions: boxes are fractions of the upright photo, not pixels.
        document: the file of detections, where there is one.
        remarks: what is to be said.
    """

    photos: pd.DataFrame
    regions: pd.DataFrame
    fractions: bool = False
    document: Mapping[str, Any] | None = None
    remarks: tuple[str, ...] = ()

    def fingerprint(self) -> bytes:
        """Return what tells this listing from another, also of photos that others of the same name have replaced."""
        versions = pd.DataFrame([photo_version(Path(path)) for path in self.photos["path"]])
        columns = [self.photos[["file", "path", "problem"]].astype("str"), versions, self.regions]
        return b"".join(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes() for table in columns)


def list_photos(source: Path, reading: Reading) -> Listing:
    """List the photos of a folder or zip, of a `.txt` with a path per line, or of any format that is read; or one.

    Of videos the frames are photos.

    Args:
        source: the photos.
        reading: what the user says of the source. With `detections` of MegaDetector each animal is predicted by
            itself, those below `detection_confidence` (0.2) are left out; without, the boxes of the source, else
            whole photos.

    Raises:
        PhotosError: no photos, or none that the detections name.
        ConfigurationError: a confidence without detections, or detections of photos that have boxes.
    """
    formats.check_there(source)
    itself = source if source.is_file() and megadetector.recognises(source) else None
    detections, confidence = reading.detections or itself, reading.detection_confidence
    if confidence is not None and detections is None:
        raise ConfigurationError("--detection-confidence is of the boxes of --detections: give these, too")
    if reading.detections is not None:
        formats.check_there(reading.detections)
    results = None if detections is None else megadetector.read_results(detections)
    frames_of = None if results is None else results.by_file
    reading = replace(reading, detections=None, detection_confidence=None, frames_of=frames_of)
    photos, boxes, remarks = _photos_of(source, reading, results if detections == source else None)
    photos["problem"] = photos["problem"].astype("str").str.removeprefix(reasons.UNREADABLE)
    if detections is None or results is None:
        return replace(_as_given(photos, boxes), remarks=remarks)
    if boxes["x"].notna().any():
        raise ConfigurationError(f"{source} has boxes of its own: leave --detections out")
    listing = _with_detections(photos, results, detections, CONFIDENCE if confidence is None else confidence)
    return replace(listing, remarks=(*remarks, *listing.remarks))


def _photos_of(
    source: Path, reading: Reading, itself: megadetector.Results | None
) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """The photos of a source, a row for each of their boxes, and what is to be said of videos and other files.

    Args:
        source: the photos.
        reading: what the user says of it.
        itself: the source where it is results of a detector, and is read already.
    """
    others: list[str] = []
    if source.is_dir() or archives.is_archive(source):
        found, problems, others = _found(source)
        photos = _below(source, found, problems)
    elif source.suffix.lower() in MEDIA_SUFFIXES:
        photos = _below(source.parent, [source.name], {})
    elif source.suffix.lower() == LIST:
        photos = _listed(source, reading)
    elif megadetector.recognises(source):
        given = megadetector.read_results(source) if itself is None else itself
        photos = _named(given.by_file, source, reading)
    else:
        blanks = reading.blanks or _has_blanks(source, reading)
        return (*_of_manifest(formats.read(source, replace(reading, blanks=blanks, unlabelled=True))), ())
    photos = photos.reindex(columns=OF_PHOTO).drop_duplicates("file")
    files = [Path(path) for path in photos["path"]]
    by_file = reading.frames_of
    looked_at = None if by_file is None else megadetector.frames_looked_at(photos["file"], by_file)
    photos, said = videos.expanded(photos, files, ("file", "path"), reading.frames_per_second, looked_at)
    photos = _in_order(photos.reindex(columns=OF_PHOTO), "file")
    none = pd.DataFrame({"photo": np.arange(len(photos))}).reindex(columns=["photo", *BOX])
    return photos, none, (*others, *said)


def _in_order(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows by their names; frames of a video, and what is wrong with it, one after the other."""
    ordered = rows.assign(_media=rows[name].map(video_of)).sort_values(["_media", name], kind="stable")
    return ordered.drop(columns="_media").reset_index(drop=True)


def _has_blanks(source: Path, reading: Reading) -> bool:
    """Blank photos are to be predicted, too, where a format tells them."""
    return "blanks" in formats.format_of(source, reading).options


def _found(folder: Path) -> tuple[list[str], dict[str, str], list[str]]:
    """The photos below a folder or in a zip, why some of them cannot be read, and which other files there are."""
    contents = walk(folder)
    problems = {**contents.unreadable, **contents.closed}
    files = [*contents.files, *problems]
    if not files:
        others = f", only other files ({', '.join(sorted(contents.others))})" if contents.others else ""
        raise PhotosError(f"expected photos below {escaped(str(folder))}, found none{others}; give another folder")
    return files, problems, passed_over.files(contents)


def _below(folder: Path, files: Sequence[str], problems: Mapping[str, str]) -> pd.DataFrame:
    why = [not_utf8(file) or problems.get(file) for file in files]
    table = {"file": [escaped(file) for file in files], "path": [escaped(str(folder / file)) for file in files]}
    return pd.DataFrame({**table, "problem": pd.array(why, dtype="str")})


def _listed(source: Path, reading: Reading) -> pd.DataFrame:
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise PhotosError(f"{source}: expected a list of paths in UTF-8, got other bytes; save it so") from None
    files = [line.strip().replace("\\", "/") for line in lines if line.strip()]
    if not files:
        raise PhotosError(f"{source}: expected a path per line, got none")
    root = reading.root or source.parent
    return pd.DataFrame({"file": files, "path": [str(root / file) for file in files]})


def _named(files: Mapping[str, Detected], source: Path, reading: Reading) -> pd.DataFrame:
    root = reading.root or source.parent
    return pd.DataFrame({"file": list(files), "path": [str(root / file.replace("\\", "/")) for file in files]})


def _of_manifest(manifest: Manifest) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = _in_order(manifest.rows, "path")
    rows = rows.assign(file=rows["path"], path=[str(manifest.photo(path)) for path in rows["path"]])
    rows["problem"] = reasons.without(rows["problem"], OF_LABELS)
    photos = rows.drop_duplicates("file").reset_index(drop=True)
    place = dict(zip(photos["file"], photos.index, strict=True))
    boxes = rows[BOX].assign(photo=rows["file"].map(place))
    usable = rows["problem"].isna() & ~boxes.duplicated()
    photos["problem"] = photos["problem"].mask(photos["file"].isin(rows.loc[usable, "file"]))
    return photos.reindex(columns=OF_PHOTO), boxes[usable].reset_index(drop=True)


def _as_given(photos: pd.DataFrame, boxes: pd.DataFrame) -> Listing:
    readable = photos["problem"].isna()
    regions = boxes[boxes["photo"].map(readable)].reset_index(drop=True)
    return Listing(photos, regions.reindex(columns=OF_REGION).astype({"photo": "int64"}))


def _with_detections(photos: pd.DataFrame, results: megadetector.Results, source: Path, confidence: float) -> Listing:
    by_file = results.by_file
    names = matched(photos["file"], by_file)
    photos = photos.assign(detected_as=photos["file"].map(names).astype("str"))
    if photos["detected_as"].isna().all():
        raise PhotosError(
            f"{source}: expected detections of these photos, such as {photos['file'][0]}, got none of them, but such "
            f"as {next(iter(by_file))}; give the detections of these photos"
        )
    regions: list[tuple[Any, ...]] = []
    problem = photos["problem"].tolist()
    found: list[str | None] = [None] * len(photos)
    for number, file in enumerate(photos["detected_as"]):
        detected = by_file.get(file, Detected(problem=NOT_LOOKED_AT)).of(photos["file"].iloc[number])
        problem[number] = problem[number] if isinstance(problem[number], str) else detected.problem
        if isinstance(problem[number], str):
            continue
        animals, found[number], problem[number] = _animals(detected, confidence)
        regions += [(number, *animal) for animal in animals]
    others = len(set(by_file) - set(photos["detected_as"]))
    remarks = [f"the detections name {number_of(others, 'more photo')}, which are not among these"]
    photos = photos.assign(problem=pd.array(problem, dtype="str"), found=pd.array(found, dtype="str"))
    table = pd.DataFrame(regions, columns=OF_REGION).astype({"photo": "int64"})
    return Listing(photos, table, fractions=True, document=results.document, remarks=tuple(remarks if others else ()))


def _animals(detected: Detected, confidence: float) -> tuple[Sequence[tuple[float, ...]], str | None, str | None]:
    """The boxes of a photo that are sure enough to show animals, with confidence and place; what it shows if none.

    And what is wrong with the box of an animal that cannot be cropped: its photo is not blank.
    """
    sure = [each for each in detected.found if each.confidence >= confidence]
    animals = [each for each in sure if each.kind == ANIMAL]
    whole = [(*each.box, each.confidence, each.place) for each in animals if not isinstance(each.box, str)]
    broken = next((f"detections: {each.box}" for each in animals if isinstance(each.box, str)), None)
    kinds = sorted({each.kind for each in sure} - {ANIMAL})
    return whole, None if animals else " and ".join(kinds) or "blank", broken

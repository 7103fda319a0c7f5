"""Answers as a Camtrap DP package, 1.0.2: a folder or a zip, with every column of its tables in their order."""

import csv
import json
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pandas as pd

from fscl.errors import ConfigurationError
from fscl.formats.answers import About, Animal, PhotoAnswer, by_media, surest
from fscl.formats.blanks import is_blank
from fscl.formats.camtrap_dp.deployments import Packaging
from fscl.formats.camtrap_dp.package import DESCRIPTION
from fscl.formats.detections import ANIMAL, kind_of
from fscl.frames import is_video

VERSION = "1.0.2"
ADDRESS = f"https://raw.githubusercontent.com/tdwg/camtrap-dp/{VERSION}"
MEDIA = (
    *("mediaID", "deploymentID", "captureMethod", "timestamp", "filePath", "filePublic", "fileName"),
    *("fileMediatype", "exifData", "favorite", "mediaComments"),
)
OBSERVATIONS = (
    *("observationID", "deploymentID", "mediaID", "eventID", "eventStart", "eventEnd", "observationLevel"),
    *("observationType", "cameraSetupType", "scientificName", "count", "lifeStage", "sex", "behavior"),
    *("individualID", "individualPositionRadius", "individualPositionAngle", "individualSpeed", "bboxX", "bboxY"),
    *("bboxWidth", "bboxHeight", "classificationMethod", "classifiedBy", "classificationTimestamp"),
    *("classificationProbability", "observationTags", "observationComments"),
)
LEFT_OUT = ("filePath", "deploymentID", "problem")  # of photos without a time, which the table of media cannot hold
TYPES = {"jpg": "jpeg", "tif": "tiff", "": "unknown"}  # where the type is not called as the ending
VIDEO_TYPES = {"mov": "quicktime", "avi": "x-msvideo", "asf": "x-ms-asf", "mkv": "x-matroska", "m4v": "x-m4v"}
TAG = "class:"  # before the model's class among the tags of an observation
PLACES = 6  # of a box
OF_BOX = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
OF_KIND = ("observationType", "scientificName", "observationTags")
MADE_BY = "fscl"
OURS = ("resources", "profile", "spatial", "temporal", "taxonomic")  # of datapackage.json
FILES = {DESCRIPTION, "deployments.csv", "media.csv", "observations.csv", "left_out.csv"}


def write(path: Path, answers: Iterable[PhotoAnswer], about: About) -> None:
    """Write answers into a folder that is there, or else as a zip.

    A photo is a medium, each of its animals an observation of it. A video is a medium, too, with the answer of its
    surest frame as observations of its event, one of each kind of animal; what of it is damaged is its comment. The
    class of the model is a tag, `class:NAME`; the scientific name is empty where it is not known. An answer that was
    rolled up has the name of its genus or family there, and the tag `rank:RANK`. Photos without a time are in
    left_out.csv.

    Raises:
        ConfigurationError: no deployments.
    """
    if about.packaging is None:
        raise ConfigurationError("Camtrap DP says where photos were taken: give --deployments deployments.csv")
    if path.is_dir():
        _write(path, answers, about, about.packaging)
        return
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), answers, about, about.packaging)
        with ZipFile(path, "w", ZIP_DEFLATED) as packed:
            for file in sorted(Path(folder).iterdir()):
                with file.open("rb") as source, packed.open(_member(file.name), "w", force_zip64=True) as target:
                    while block := source.read(2**20):
                        target.write(block)


def is_ours(folder: Path) -> bool:
    """Tell a package that `write` wrote, and nothing was added to."""
    if not folder.is_dir() or not {file.name for file in folder.iterdir()} <= FILES:
        return False
    try:
        document = json.loads((folder / DESCRIPTION).read_bytes())
        return bool(document["sources"][0]["title"].startswith(MADE_BY))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return not any(folder.iterdir())


def _member(name: str) -> ZipInfo:
    """A file of a zip, without the time of the clock: the same answers are the same bytes."""
    member = ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    member.compress_type = ZIP_DEFLATED
    return member


def _write(folder: Path, answers: Iterable[PhotoAnswer], about: About, packaging: Packaging) -> None:
    packaging.deployments.to_csv(folder / "deployments.csv", index=False, lineterminator="\n", encoding="utf-8")
    species: set[str] = set()
    tables = {"media": MEDIA, "observations": OBSERVATIONS, "left_out": LEFT_OUT}
    files = {name: (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") for name in tables}
    writers = {name: csv.DictWriter(files[name], tables[name], lineterminator="\r\n") for name in tables}
    try:
        for writer in writers.values():
            writer.writeheader()
        left_out = 0
        for frames in by_media(answers):
            photo = surest(frames)
            if photo.time is None:
                writers["left_out"].writerow(_left_out(photo))
                left_out += 1
                continue
            medium = _medium(photo, packaging)
            writers["media"].writerow(medium)
            for row in _observations(photo, medium, about, packaging, until=frames[-1].time):
                writers["observations"].writerow(row)
                species.add(str(row.get("scientificName", "")))
    finally:
        for file in files.values():
            file.close()
    if not left_out:
        (folder / "left_out.csv").unlink()
    document = _description(about, packaging, sorted(species - {""}), left_out=bool(left_out))
    text = json.dumps(document, ensure_ascii=False, indent=2)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8", newline="\n")


def _left_out(photo: PhotoAnswer) -> dict[str, Any]:
    return {"filePath": photo.file, "deploymentID": photo.deployment, "problem": photo.problem or "no time"}


def _medium(photo: PhotoAnswer, packaging: Packaging) -> dict[str, Any]:
    path = PurePosixPath(photo.file)
    kind = path.suffix.lower().removeprefix(".")
    return {
        "mediaID": photo.file,
        "deploymentID": photo.deployment,
        "timestamp": _timestamp(photo.time, photo, packaging),
        "filePath": photo.file,
        "filePublic": "false",
        "fileName": path.name,
        "fileMediatype": f"video/{VIDEO_TYPES.get(kind, kind)}"
        if is_video(photo.file)
        else f"image/{TYPES.get(kind, kind)}",
        "mediaComments": photo.problem or "",
    }


def _timestamp(time: datetime | None, photo: PhotoAnswer, packaging: Packaging) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}{packaging.zones[photo.deployment or '']}"


def _observations(
    photo: PhotoAnswer, medium: dict[str, Any], about: About, packaging: Packaging, *, until: datetime | None
) -> Iterator[dict[str, Any]]:
    event = photo.sequence or ""
    if event in packaging.repeated:
        event = f"{photo.deployment}/{event}"
    rows = [_of_animal(animal, photo, about) for animal in photo.animals]
    of_video = is_video(photo.file)
    rows = _of_event(rows) if of_video else rows
    if not rows:
        found = (photo.found or "").replace("person", "human").split(" and ")
        by = (about.document or {}).get("info")
        detector = by.get("detector") if isinstance(by, dict) else None
        kinds = ["unclassified"] if photo.failure is not None else found
        machine = {} if photo.failure is not None else {"classificationMethod": "machine"}
        rows = [{"observationType": kind, **machine, "classifiedBy": machine and (detector or "")} for kind in kinds]
        rows = [{**row, "classifiedBy": row["classifiedBy"] or ""} for row in rows]
    for place, row in enumerate(rows):
        yield {
            "observationID": f"{photo.file}#{place}",
            "deploymentID": photo.deployment,
            "mediaID": photo.file,
            "eventID": event,
            "eventStart": medium["timestamp"],
            "eventEnd": _timestamp(until or photo.time, photo, packaging) if of_video else medium["timestamp"],
            "observationLevel": "event" if of_video else "media",
            **row,
        }


def _of_event(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The observations of a frame as those of its event: one of each kind, without a box, with how many there are."""
    kinds: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        unboxed = {name: value for name, value in row.items() if name not in OF_BOX}
        kind = tuple(row.get(name, "").removesuffix(" | unsure") for name in OF_KIND)
        known = kinds.setdefault(kind, unboxed)
        if known is not unboxed and known.get("count"):
            known["count"] += 1
    return list(kinds.values())


def _of_animal(animal: Animal, photo: PhotoAnswer, about: About) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if animal.box is not None:
        row |= _box(animal)
    said = about.said(animal)
    if animal.answer is None or said is None:
        return {**row, "observationType": "unclassified", "observationComments": photo.failure or ""}
    name = about.classes[animal.answer]
    kind = "blank" if is_blank(name) else kind_of(name)[0].replace("person", "human")
    tags = [f"{TAG}{name}", *(["unsure"] if said.unsure else [])]
    scientific = about.latin.get(name, "")
    if animal.group is not None:
        tags, scientific = [*tags, f"rank:{said.rank}"], said.name
    return {
        **row,
        "observationType": kind,
        "scientificName": scientific if kind == ANIMAL else "",
        "count": 1 if animal.box is not None and kind == ANIMAL else "",
        "classificationMethod": "machine",
        "classifiedBy": about.model,
        "classificationTimestamp": "" if about.stamp is None else f"{about.stamp:%Y-%m-%dT%H:%M:%SZ}",
        "classificationProbability": said.probability,
        "observationTags": " | ".join(tags),
    }


def _box(animal: Animal) -> dict[str, float]:
    """The box within the photo; none where nothing of it is."""
    x, y, w, h = animal.box or (0.0, 0.0, 0.0, 0.0)
    left, top = max(x, 0.0), max(y, 0.0)
    sides = [round(side, PLACES) for side in (left, top, min(x + w, 1.0) - left, min(y + h, 1.0) - top)]
    return dict(zip(OF_BOX, sides, strict=True)) if min(sides[2:]) > 0 else {}


def _description(about: About, packaging: Packaging, species: list[str], *, left_out: bool) -> dict[str, Any]:
    """What is known of the package; who made it, and the design of the study, are for people to say."""
    table = packaging.deployments
    resources: list[dict[str, Any]] = [
        {
            "name": name,
            "path": f"{name}.csv",
            "profile": "tabular-data-resource",
            "format": "csv",
            "mediatype": "text/csv",
            "encoding": "utf-8",
            "schema": f"{ADDRESS}/{name}-table-schema.json",
        }
        for name in ("deployments", "media", "observations")
    ]
    if left_out:
        resources.append({"name": "left_out", "path": "left_out.csv", "encoding": "utf-8"})
    given = {name: value for name, value in packaging.description.items() if name not in OURS}
    theirs = given.pop("sources", [])
    return {
        "resources": resources,
        "profile": f"{ADDRESS}/camtrap-dp-profile.json",
        **given,
        **({} if about.stamp is None else {"created": f"{about.stamp:%Y-%m-%dT%H:%M:%SZ}"}),
        "sources": [{"title": about.model}, *(theirs if isinstance(theirs, list) else [])],
        "spatial": _spatial(pd.to_numeric(table["longitude"]), pd.to_numeric(table["latitude"])),
        "temporal": {"start": table["deploymentStart"].min()[:10], "end": table["deploymentEnd"].max()[:10]},
        "taxonomic": [{"scientificName": name} for name in species],
    }


def _spatial(longitude: pd.Series, latitude: pd.Series) -> dict[str, Any]:
    west, east, south, north = longitude.min(), longitude.max(), latitude.min(), latitude.max()
    if (west, south) == (east, north):
        return {"type": "Point", "coordinates": [float(west), float(south)]}
    ring = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return {"type": "Polygon", "coordinates": [[[float(x), float(y)] for x, y in ring]]}

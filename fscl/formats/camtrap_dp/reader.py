"""Photos of a Camtrap DP package: media with the observations of each, or of the event that it belongs to."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fscl.errors import PhotosError
from fscl.formats import boxes, json_document
from fscl.formats.blanks import BLANK
from fscl.formats.camtrap_dp.package import Package, description_of, leads_out, read_package
from fscl.formats.json_document import Record
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.formats.records import OF_SEQUENCE, Drawn, manifest_of, of_one_photo
from fscl.formats.tables.paths import URL
from fscl.frames import is_video
from fscl.manifest.table import Manifest
from fscl.printable import number_of

BOX = ["bboxX", "bboxY", "bboxWidth", "bboxHeight"]
EVENT = ("eventID", "sequenceID")  # of 1.0, and of the versions before it
USED = {
    *("filePath", "timestamp", "eventID", "sequenceID", "scientificName", "eventStart", "eventEnd", "mediaID"),
    *("deploymentID", "observationLevel", *BOX),
}
LABELS = {"blank": BLANK, "human": "human", "vehicle": "vehicle"}
PROBLEMS = {"unknown": "observed as unknown", "animal": "an animal without scientificName"}
OUTSIDE = "unreadable: its path leads out of the package"


def recognises(source: Path) -> bool:
    """Tell a package by how its datapackage.json begins: other packages of tables name no media."""
    description = description_of(source) if source.exists() else None
    if description is None or "resources" not in json_document.keys_of(description):
        return False
    head = json_document.head_of(description)
    return "camtrap-dp" in head or '"media"' in head


def read(source: Path, reading: Reading = NOTHING_SAID) -> Manifest:
    """Read the media of a package with a row per observation, in the order of the table.

    Site is the location of the deployment, or the deployment; sequence the event; the label the scientific name, or
    `blank`, `human` or `vehicle`. A photo without observations of its own takes those of its event, with a note: the
    one that an observation of it names, or that it falls into by its time. Other columns are kept as `media_…` and
    `observation_…`. A photo that lies on the web or outside the package is a row with a `problem`. A box on a
    video is left out, for no frame is known that it is of.

    Args:
        source: the folder or zip of the package, or its datapackage.json.
        reading: `root`, `box_frame` and `blanks` of it.

    Raises:
        PhotosError: no package, a table that is not there, or one without the columns that are needed.
    """
    package = read_package(source)
    _check(package, source)
    sites = _sites(package.deployments)
    observed = _Observed.of(package)
    rows = [row for medium in _records(package.media) for row in _rows(medium, sites, observed, package.folder)]
    remarks = [*package.remarks, *observed.remarks(package.media)]
    return manifest_of(rows, source, reading, start=package.root, remarks=remarks)


def _check(package: Package, source: Path) -> None:
    needed = {"media": ("mediaID", "filePath"), "observations": ("observationType",)}
    for name, columns in needed.items():
        table: pd.DataFrame = getattr(package, name)
        lacking = [column for column in columns if column not in table.columns]
        if lacking and (name == "media" or len(table.columns)):
            got = ", ".join(map(str, table.columns))
            raise PhotosError(f"{source}: {name}: expected the column {' and '.join(lacking)}, got {got}")


def _records(table: pd.DataFrame) -> Iterator[Record]:
    """The rows of a table, without its empty cells."""
    columns = list(map(str, table.columns))
    for cells in table.itertuples(index=False, name=None):
        yield {name: cell for name, cell in zip(columns, cells, strict=True) if isinstance(cell, str)}


def _sites(deployments: pd.DataFrame) -> Mapping[str, str]:
    """Deployment → where it is; several deployments of one location are at one site."""
    return {
        each["deploymentID"]: each["locationID"]
        for each in _records(deployments)
        if "deploymentID" in each and "locationID" in each
    }


class _Observed(NamedTuple):
    """Observations by what they are of."""

    of_media: Mapping[str, list[Record]]
    of_events: Mapping[str, list[Record]]
    events: Mapping[str, str]
    """Medium → event."""
    duplicates: frozenset[str]
    """Media ids that several media have."""

    @classmethod
    def of(cls, package: Package) -> "_Observed":
        of_media: dict[str, list[Record]] = defaultdict(list)
        of_events: dict[str, list[Record]] = defaultdict(list)
        events: dict[str, str] = _events_by_time(package)
        for each in _records(package.observations):
            event = next((each[name] for name in EVENT if name in each), None)
            if "mediaID" in each:
                of_media[each["mediaID"]].append(each)
                if event is not None:
                    events[each["mediaID"]] = event
            elif event is not None:
                of_events[event].append(each)
        ids = package.media["mediaID"]
        if "sequenceID" in package.media:
            events |= {
                each["mediaID"]: each["sequenceID"]
                for each in _records(package.media)
                if len({*EVENT, "mediaID"} & set(each)) > 1
            }
        return cls(of_media, of_events, events, frozenset(ids[ids.duplicated()].dropna()))

    def remarks(self, media: pd.DataFrame) -> list[str]:
        nowhere = sum(len(self.of_media[medium]) for medium in set(self.of_media) - set(media["mediaID"]))
        empty = set(self.of_events) - set(self.events.values())
        lost = sum(len(self.of_events[event]) for event in empty)
        said = [f"{number_of(nowhere, 'observation')} of media that are not there"] if nowhere else []
        return said + ([f"{number_of(lost, 'observation')} of events without media"] if lost else [])


def _events_by_time(package: Package) -> dict[str, str]:
    """Medium → the event of its deployment that it falls into; events are found by their observations."""
    media, events = package.media, package.observations
    if not {"deploymentID", "timestamp"} <= set(media) or not {
        "deploymentID",
        "eventID",
        "eventStart",
        "eventEnd",
    } <= set(events):
        return {}
    events = events.assign(start=_instant(events["eventStart"]), end=_instant(events["eventEnd"]))
    events = events.dropna(subset=["deploymentID", "eventID", "start", "end"])
    media = media.assign(start=_instant(media["timestamp"])).dropna(subset=["deploymentID", "mediaID", "start"])
    if events.empty or media.empty:
        return {}
    events = events.groupby("eventID", as_index=False).agg({"deploymentID": "first", "start": "min", "end": "max"})
    both = pd.merge_asof(
        media[["mediaID", "deploymentID", "start"]].sort_values("start", kind="stable"),
        events.sort_values("start", kind="stable"),
        on="start",
        by="deploymentID",
    )
    media_start = both["start"]
    within = both[both["eventID"].notna() & (media_start <= both["end"])]
    return dict(zip(within["mediaID"], within["eventID"], strict=True))


def _instant(times: pd.Series) -> pd.Series:
    return pd.to_datetime(times, utc=True, errors="coerce", format="ISO8601").astype("datetime64[us, UTC]")


def _rows(medium: Record, sites: Mapping[str, str], observed: _Observed, folder: str) -> Iterator[Record]:
    number, path, deployment = (medium.get(name) for name in ("mediaID", "filePath", "deploymentID"))
    path = path or (f"({number})" if number else "(a medium without mediaID)")
    is_url = bool(URL.match(path))
    problem = None
    if number is None or "filePath" not in medium:
        problem = f"unreadable record media: no {'mediaID' if number is None else 'filePath'}"
    elif number in observed.duplicates:
        problem = "several media have its mediaID"
    elif not is_url and leads_out(path):
        problem = OUTSIDE
    about = {
        "path": path if is_url or problem == OUTSIDE else f"{folder}{path}",
        "site": sites.get(deployment or "", deployment),
        "sequence": observed.events.get(number or ""),
        "time": medium.get("timestamp"),
        **_kept(medium, "media_"),
        "media_mediaID": number,
        "media_deploymentID": deployment,
    }
    if problem is not None:
        yield about | {"problem": problem}
        return
    own = observed.of_media.get(number or "", [])
    of_event = observed.of_events.get(observed.events.get(number or "", ""), [])
    said = [_said(each, of_event=not own) for each in own or of_event]
    if is_video(path):
        said = [{name: value for name, value in each.items() if name != "drawn"} for each in said]
    yield from (about | row for row in of_one_photo(said) or [{}])


def _said(observation: Record, *, of_event: bool) -> Record:
    """What an observation says of a photo."""
    kind = observation.get("observationType", "").strip().lower()
    label = LABELS.get(kind) or (_animal(observation) if kind in ("", "animal") else None)
    given = [observation[name] for name in BOX if name in observation]
    return {
        "label": label,
        "problem": PROBLEMS.get(kind) if label is None else None,
        "note": OF_SEQUENCE if of_event else None,
        "drawn": _drawn(given) if given and not of_event else None,
        **_kept(observation, "observation_"),
    }


def _animal(observation: Record) -> str | None:
    """The scientific name, else the class that a model gave it, which `fscl predict` keeps among the tags."""
    tags = observation.get("observationTags", "")
    tag = tags.removeprefix("class:").removesuffix(" | unsure") if tags.startswith("class:") else None
    return observation.get("scientificName") or tag


def _drawn(given: list[str]) -> Drawn | str:
    try:
        box = boxes.read_box([float(number) for number in given], "fraction")
    except ValueError:
        return "box needs four numbers: bboxX, bboxY, bboxWidth, bboxHeight"
    return box if isinstance(box, str) else Drawn(box, "fraction")


def _kept(record: Record, prefix: str) -> Record:
    return {f"{prefix}{name}": value for name, value in record.items() if name not in USED}

"""What a Camtrap DP package needs beside the answers: where and when cameras stood, and which photo is of which."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from fscl.errors import ConfigurationError, PhotosError
from fscl.formats.tables import delimited
from fscl.manifest.names import tidy
from fscl.printable import number_of

COLUMNS = (
    *("deploymentID", "locationID", "locationName", "latitude", "longitude", "coordinateUncertainty"),
    *("deploymentStart", "deploymentEnd", "setupBy", "cameraID", "cameraModel", "cameraDelay", "cameraHeight"),
    *("cameraDepth", "cameraTilt", "cameraHeading", "detectionDistance", "timestampIssues", "baitUse", "featureType"),
    *("habitat", "deploymentGroups", "deploymentTags", "deploymentComments"),
)
NEEDED = ("deploymentID", "latitude", "longitude", "deploymentStart", "deploymentEnd")
TIMES = ("deploymentStart", "deploymentEnd")
INTEGERS = {
    "coordinateUncertainty": (1, math.inf),
    "cameraDelay": (0, math.inf),
    "cameraTilt": (-90, 90),
    "cameraHeading": (0, 360),
}
NUMBERS = {
    "latitude": (-90, 90),
    "longitude": (-180, 180),
    **dict.fromkeys(("cameraHeight", "cameraDepth", "detectionDistance"), (0, math.inf)),
}
BOOLEANS = ("timestampIssues", "baitUse")
FEATURES = (
    *("roadPaved", "roadDirt", "trailHiking", "trailGame", "roadUnderpass", "roadOverpass", "roadBridge", "culvert"),
    *("burrow", "nestSite", "carcass", "waterSource", "fruitingTree"),
)
NOTHING = ("", "NA", "NaN", "nan")  # what the format reads as an empty cell
ZONE = re.compile(r"[+-]\d\d:\d\d|Z")
PATH = re.compile(r"[^./~](?!.*\.\.).*")  # as the format wants a path, beside its first character
LISTED = 3


@dataclass(frozen=True)
class Packaging:
    """Deployments of cameras.

    Attributes:
        deployments: the table as the format wants it, all its columns.
        zones: deployment → offset of its times from UTC, such as `+09:00`.
        remarks: what was done to read it.
        description: what the user says of the package, in the form of datapackage.json.
        repeated: sequences that are called the same in several deployments.
    """

    deployments: pd.DataFrame
    zones: Mapping[str, str]
    remarks: tuple[str, ...] = ()
    description: Mapping[str, Any] = field(default_factory=dict)
    repeated: frozenset[str] = field(default_factory=frozenset)


def read_deployments(path: Path, timezone: str | None) -> Packaging:
    """Read a table of deployments.

    Args:
        path: a CSV with the columns of the format: `NEEDED`, and any other one.
        timezone: of times that have none, and of the photos: `+09:00` or `Z`; none: photos have that of the
            `deploymentStart` of their deployment.

    Raises:
        PhotosError: no such table, or a cell that is not as the format has it.
        ConfigurationError: a timezone that is none.
    """
    if timezone is not None and not ZONE.fullmatch(timezone):
        raise ConfigurationError(f"--timezone: expected an offset from UTC such as +09:00, or Z, got {timezone}")
    table, said = delimited.read(path)
    table = table.rename(columns=str.strip)
    lacking = [name for name in NEEDED if name not in table]
    if lacking:
        raise PhotosError(
            f"{path}: expected the column {' and '.join(lacking)}, got {', '.join(map(str, table.columns))}"
        )
    remarks, zones, rows = list(said), {}, []
    for place, cells in enumerate(table.astype(object).where(table.notna(), "").to_dict("records")):
        given = {name: str(cells.get(name, "")).strip() for name in COLUMNS}
        where = f"{path}: row {place + 1}"
        empty = [name for name in NEEDED if given[name] in NOTHING]
        if empty:
            raise PhotosError(f"{where}: {empty[0]}: expected a value, got none; add it")
        row = {name: _cell(name, text, timezone, where) for name, text in given.items()}
        if row["deploymentEnd"] and _instant(row["deploymentEnd"]) < _instant(row["deploymentStart"]):
            raise PhotosError(
                f"{where}: expected a deploymentEnd after deploymentStart, got {given['deploymentEnd']}"
            )
        if row["deploymentID"] in zones:
            raise PhotosError(f"{where}: deploymentID {row['deploymentID']}: is there twice; name each once")
        zones[row["deploymentID"]] = timezone or _zone(row["deploymentStart"])
        rows.append(row)
    if not rows:
        raise PhotosError(f"{path}: expected a row per deployment, got none")
    others = [name for name in table if name not in COLUMNS]
    if others:
        remarks.append(
            f"{path.name}: columns that Camtrap DP does not have are left out: {', '.join(map(str, others))}"
        )
    by = f"--timezone {timezone}" if timezone else "the deploymentStart of their deployment"
    remarks.append(f"times of photos have no zone: they get that of {by}")
    return Packaging(pd.DataFrame(rows, columns=list(COLUMNS), dtype="str"), zones, tuple(remarks))


def deployments_of(photos: pd.DataFrame, packaging: Packaging) -> pd.Series:
    """Return the deployment of each photo.

    It is the one that the photo's site names, by its deploymentID or else by its locationID; else the one whose
    deploymentID, or else locationID, is a folder of the photo's path. Of several deployments at one location it is
    the one that stood there at the photo's time.

    Args:
        photos: `file`, `path`, `site`, `datetime`, `problem`.
        packaging: the deployments.

    Raises:
        PhotosError: photos of no deployment or of several, without a time, or with a path that the format does not
            allow.
    """
    known = _Known(packaging)
    columns = zip(photos["file"], photos["path"], photos["site"], photos["datetime"], strict=True)
    found = [known.of(file, path, site, time) for file, path, site, time in columns]
    chosen = [each[0] if len(each) == 1 else None for each in found]
    files = photos["file"].tolist()
    _refuse(
        [file for file, each in zip(files, found, strict=True) if not each],
        "without a deployment: a column site, or a folder of their path, must be a deploymentID or a locationID of "
        "--deployments",
    )
    _refuse(
        [file for file, each in zip(files, found, strict=True) if len(each) > 1], "with several possible deployments"
    )
    _refuse(
        [file for file, why in zip(files, photos["datetime"].isna() & photos["problem"].isna(), strict=True) if why],
        "without a time in EXIF, name or table: give them as a table with a column datetime",
    )
    _refuse([file for file in files if not PATH.fullmatch(file)], "with a path that Camtrap DP refuses: rename them")
    return pd.Series(chosen, index=photos.index, dtype="str")


def repeated_sequences(photos: pd.DataFrame, deployments: pd.Series) -> frozenset[str]:
    """Return the sequences that are called the same in several deployments."""
    pairs = pd.DataFrame({"sequence": photos["sequence"], "deployment": deployments}).dropna().drop_duplicates()
    return frozenset(name for name, count in Counter(pairs["sequence"]).items() if count > 1)


class _Known:
    """Deployments by what photos may call them."""

    def __init__(self, packaging: Packaging) -> None:
        table = packaging.deployments
        self._by_id = {tidy(name): [name] for name in table["deploymentID"]}
        self._by_location: dict[str, list[str]] = defaultdict(list)
        for name, location in zip(table["deploymentID"], table["locationID"], strict=True):
            if location:
                self._by_location[tidy(location)].append(name)
        spans = zip(table["deploymentID"], table["deploymentStart"], table["deploymentEnd"], strict=True)
        self._span = {name: (_clock(start), _clock(end)) for name, start, end in spans}

    def of(self, file: str, path: str, site: Any, time: Any) -> list[str]:
        named = [tidy(site)] if isinstance(site, str) else []
        below, whole = file.split("/")[:-1], re.split(r"[/\\]", path)[:-1]
        for names in (named, list(map(tidy, below)), list(map(tidy, whole))):
            for known in (self._by_id, self._by_location):
                fitting = list(dict.fromkeys(each for name in names for each in known.get(name, ())))
                if len(fitting) > 1 and not pd.isna(time):
                    fitting = [each for each in fitting if self._stood(each, time)] or fitting
                if fitting:
                    return fitting
        return []

    def _stood(self, deployment: str, time: Any) -> bool:
        start, end = self._span[deployment]
        return bool(start <= time <= end)


def _refuse(files: list[str], why: str) -> None:
    """Raise where there are such photos: how many, and some of them."""
    if files:
        more = "" if len(files) <= LISTED else f" and {len(files) - LISTED:,} more"
        raise PhotosError(f"{number_of(len(files), 'photo')} {why}: {', '.join(files[:LISTED])}{more}")


def _cell(name: str, text: str, timezone: str | None, where: str) -> str:
    """A cell as the format wants it."""
    if text in NOTHING:
        return ""
    if name in TIMES:
        return _time(text, timezone, f"{where}: {name}")
    if name in BOOLEANS:
        said = {"true": "true", "1": "true", "yes": "true", "false": "false", "0": "false", "no": "false"}
        if text.lower() not in said:
            raise PhotosError(f"{where}: {name}: expected true or false, got {text}")
        return said[text.lower()]
    if name == "featureType" and text not in FEATURES:
        raise PhotosError(f"{where}: featureType: expected one of {', '.join(FEATURES)}, got {text}")
    bounds = INTEGERS.get(name) or NUMBERS.get(name)
    if bounds is None:
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not bounds[0] <= value <= bounds[1] or math.isinf(value) or (name in INTEGERS and not value.is_integer()):
        kind = "a whole number" if name in INTEGERS else "a number"
        raise PhotosError(f"{where}: {name}: expected {kind} from {bounds[0]} to {bounds[1]}, got {text}")
    return str(int(value)) if name in INTEGERS else text


def _time(text: str, timezone: str | None, where: str) -> str:
    try:
        time = datetime.fromisoformat(text.replace(" ", "T", 1))
        assert ":" in text
    except (ValueError, AssertionError):
        raise PhotosError(f"{where}: expected a time such as 2021-05-31T08:25:38+09:00, got {text}") from None
    if time.tzinfo is None and timezone is None:
        raise PhotosError(f"{where}: expected a time with its zone, got {text}; say it with --timezone +09:00")
    zone = timezone if time.tzinfo is None else time.isoformat()[-6:]
    return f"{time:%Y-%m-%dT%H:%M:%S}{zone}"


def _zone(time: str) -> str:
    return "Z" if time.endswith("Z") else time[-6:]


def _instant(time: str) -> datetime:
    return datetime.fromisoformat(time)


def _clock(time: str) -> datetime:
    """The time on the clock, which is what cameras know."""
    return _instant(time).replace(tzinfo=None)

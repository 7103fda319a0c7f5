"""What formats say of photos beside their answers: when they were taken, and by the camera of which deployment."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pandas as pd

from fscl.errors import ConfigurationError, PhotosError
from fscl.formats import ANSWER_FORMATS, json_document
from fscl.formats.answers import About
from fscl.formats.camtrap_dp.deployments import (
    Packaging,
    deployments_of,
    read_deployments,
    repeated_sequences,
)
from fscl.formats.photo_times import taken
from fscl.formats.tables import delimited
from fscl.images import UnreadableError, read_facts
from fscl.manifest.names import tidy
from fscl.prediction.photos import Listing
from fscl.progress import Listener
from fscl.species import plain, scientific_names

ASKED = ("contributors", "project", "created")  # of a package, which nobody but its maker knows
TOGETHER = 1024  # photos between two words of progress


def packaging_of(format: str, deployments: str | None, timezone: str | None, package: str | None) -> Packaging | None:
    """Return the deployments that a format asks for; None where it asks for none.

    Raises:
        ConfigurationError: it asks for them and none are given, or the other way round.
        PhotosError: a table that is not as it should be.
    """
    if ANSWER_FORMATS[format].folder is None:
        for name, given in (("deployments", deployments), ("timezone", timezone), ("package", package)):
            if given is not None:
                raise ConfigurationError(f"--{name} is for --format camtrap-dp: leave it out")
        return None
    if deployments is None:
        raise ConfigurationError(
            "Camtrap DP says where and when cameras stood: give --deployments, a table with deploymentID, latitude, "
            "longitude, deploymentStart and deploymentEnd"
        )
    description = {} if package is None else json_document.load(Path(package))
    return replace(read_deployments(Path(deployments), timezone), description=description)


def latin_of(classes: Sequence[str], format: str, table: str | None) -> dict[str, str]:
    """Return class → scientific name, of the classes whose name is known or in the table.

    Args:
        classes: of the model.
        format: that is written.
        table: CSV with the columns class and scientificName; none: the names that are known alone.

    Raises:
        ConfigurationError: a table for a format without scientific names, or of other classes.
        PhotosError: no such table, or other columns.
    """
    known = scientific_names(classes)
    if table is None:
        return known
    if not ANSWER_FORMATS[format].scientific:
        raise ConfigurationError("--scientific-names is for --format speciesnet and camtrap-dp: leave it out")
    rows = delimited.read(Path(table)).rows.rename(columns=str.strip)
    if not {"class", "scientificName"} <= set(rows):
        raise PhotosError(f"{table}: expected the columns class,scientificName, got {', '.join(map(str, rows))}")
    rows = rows.dropna(subset=["class", "scientificName"])
    given = dict(zip(rows["class"].map(plain), rows["scientificName"].map(tidy), strict=True))
    named = {name: given[plain(name)] for name in classes if plain(name) in given}
    if not named:
        raise ConfigurationError(f"{table}: has none of the model's classes, {', '.join(classes)}: name these")
    return known | named


def with_facts(listing: Listing, about: About, format: str, listener: Listener) -> tuple[Listing, About]:
    """Return the photos with the times and deployments that a format asks for, and what all answers share."""
    if ANSWER_FORMATS[format].times:
        listing = with_times(listing, listener)
    if about.packaging is not None:
        listing, packaging = with_deployments(listing, about.packaging)
        about = replace(about, packaging=packaging)
        lacking = [name for name in ASKED if name not in packaging.description]
        if lacking:
            listener.note(
                f"datapackage.json says no {', '.join(lacking)}, which Camtrap DP asks for: give them in a JSON file "
                "by --package (created also by --stamp)"
            )
        unnamed = [name for name in about.classes if name not in about.latin]
        if unnamed:
            listener.note(
                f"no scientific name is known of {', '.join(unnamed)}: the field is empty, the class is a tag; "
                "say them with --scientific-names"
            )
        for remark in packaging.remarks:
            listener.note(remark)
    return listing, about


def with_times(listing: Listing, listener: Listener) -> Listing:
    """Return the photos with their times: of the source, else of EXIF or the file name; else none.

    Args:
        listing: the photos.
        listener: hears how many are read.
    """
    photos = listing.photos
    given = pd.to_datetime(photos["datetime"]).astype("datetime64[us]")
    lacking = photos.index[given.isna()]  # also where a detector failed: the photo itself may be whole
    if lacking.empty:
        return replace(listing, photos=photos.assign(datetime=given))
    times, problems = zip(*_times(photos.loc[lacking, "path"].tolist(), listener), strict=True)
    given.loc[lacking] = pd.Series(times, index=lacking, dtype="datetime64[us]")
    problem = photos["problem"].astype("str").fillna(pd.Series(problems, index=lacking, dtype="str"))
    return replace(listing, photos=photos.assign(datetime=given, problem=problem))


def with_deployments(listing: Listing, packaging: Packaging) -> tuple[Listing, Packaging]:
    """Return the photos with their deployments; those with times that can be read must have both."""
    photos = listing.photos
    deployments = deployments_of(photos, packaging)
    repeated = repeated_sequences(photos, deployments)
    return replace(listing, photos=photos.assign(deployment=deployments)), replace(packaging, repeated=repeated)


def _times(paths: list[str], listener: Listener) -> Iterator[tuple[datetime | None, str | None]]:
    """The time of each photo, and why it cannot be read."""
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(paths), TOGETHER):
            some = paths[start : start + TOGETHER]
            yield from threads.map(_time, some)
            listener.prepare(start + len(some), len(paths), "times of photos read")


def _time(path: str) -> tuple[datetime | None, str | None]:
    name = Path(path).name
    try:
        facts = read_facts(Path(path))
    except UnreadableError as error:
        return taken({}, name).time, str(error)
    return taken(facts.exif, name).time, facts.problem

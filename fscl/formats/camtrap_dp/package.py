"""A Camtrap DP package, a folder or a zip: its version and its tables."""

import re
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pandas as pd

from fscl import archives
from fscl.errors import PhotosError, shown
from fscl.formats import json_document
from fscl.formats.tables import delimited
from fscl.formats.tables.paths import URL

DESCRIPTION = "datapackage.json"
TABLES = ("deployments", "media", "observations")
VERSION = re.compile(r"(?<![\d.])\d+\.\d+(?:\.\d+)?")


class Package(NamedTuple):
    """The tables of a package, as text."""

    root: Path
    """The folder or zip that it is in."""
    folder: str
    """Where it lies in that: empty, or with a slash behind it."""
    deployments: pd.DataFrame
    media: pd.DataFrame
    observations: pd.DataFrame
    remarks: list[str]


def description_of(source: Path) -> Path | None:
    """Return the file that describes a package in a folder or zip, or the source itself; None where there is none."""
    try:
        if archives.is_archive(source):
            inside = [
                name for name, why in archives.members(source) if PurePosixPath(name).name == DESCRIPTION and not why
            ]
            return source / min(inside, key=lambda name: (name.count("/"), name)) if inside else None
    except (OSError, archives.ArchiveError):
        return None
    if source.is_dir():
        return source / DESCRIPTION if (source / DESCRIPTION).is_file() else None
    return source


def read_package(source: Path) -> Package:
    """Read the tables of a package, each of one file or of several.

    Raises:
        PhotosError: no package, one without the table of media, or a table that is not there or cannot be read.
    """
    description = description_of(source)
    if description is None:
        raise PhotosError(
            f"{source}: expected a package with a {DESCRIPTION}, got none; give the folder that holds it"
        )
    document = json_document.load(description)
    resources: dict[str, Any] = {}
    for place, resource in enumerate(json_document.records(document, "resources", description)):
        name = resource.get("name") if isinstance(resource, dict) else None
        if not isinstance(name, str):
            raise PhotosError(
                f"{description}: resources[{place}]: expected a table with a name, got {shown(resource)}"
            )
        resources.setdefault(name.strip().lower(), resource)
    if "media" not in resources:
        raise PhotosError(f"{description}: expected the tables {', '.join(TABLES)}, got {shown(sorted(resources))}")
    remarks = [_version(document)]
    tables = {}
    for name in TABLES:
        if name in resources:
            tables[name], said = _table(description, name, resources[name])
            remarks += said
        else:
            tables[name] = pd.DataFrame(dtype="str")
            remarks.append(f"{DESCRIPTION} names no table {name}")
    root = source if archives.is_archive(source) else description.parent
    folder = description.parent.relative_to(root).as_posix()
    return Package(root, "" if folder == "." else f"{folder}/", **tables, remarks=remarks)


def _version(document: json_document.Record) -> str:
    match = VERSION.search(str(document.get("profile", "")))
    if match is None:
        return f"{DESCRIPTION} does not say of which version of Camtrap DP it is: the columns tell"
    read_as = "" if match[0].startswith(("0.", "1.")) else ", which is read like 1.0"
    return f"Camtrap DP {match[0]}{read_as}"


def _table(description: Path, name: str, resource: json_document.Record) -> tuple[pd.DataFrame, list[str]]:
    """A table, and what was done to read it."""
    given = resource.get("path")
    paths = given if isinstance(given, list) else [given]
    parts, remarks = [], []
    for path in paths or [None]:
        if not isinstance(path, str) or not path.strip() or "\0" in path:
            raise PhotosError(f"{description}: {name}: path: expected the name of a file, got {shown(path)}")
        if URL.match(path) or leads_out(path):
            raise PhotosError(
                f"{description}: {name}: path: expected a file beside {DESCRIPTION}, got {path}; put it there"
            )
        part, said = delimited.read(description.parent / path.replace("\\", "/"))
        parts.append(part.rename(columns=str.strip))
        remarks += said
    table = pd.concat(parts, ignore_index=True)
    return table, remarks


def leads_out(path: str) -> bool:
    """Tell a path that is no file of its package: an absolute one, or one that goes up.

    >>> [leads_out(path) for path in ("media/1.jpg", "../1.jpg", "/1.jpg", "C:\\\\1.jpg", "~/1.jpg")]
    [False, True, True, True, True]
    """
    parts = path.replace("\\", "/").split("/")
    return parts[0] in ("", "~") or ".." in parts or parts[0][1:2] == ":"

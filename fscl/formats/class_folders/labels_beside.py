"""Files beside class folders that hold labels, too: tables and the JSON of other programs. A short look is enough."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fscl import archives
from fscl.formats.tables.reader import NAMES
from fscl.printable import number_of

KINDS = (".csv", ".tsv", ".json", ".xlsx", ".ods")
LOOKED_AT = 20  # files in each folder
HEAD_BYTES = 64 * 2**10
COUNTED_BYTES = 64 * 2**20  # the rows of larger tables are not counted
LISTED = 3  # sentences
LABELS = {"label", "species", "class", "category", "commonname", "scientificname", "genus"}
SPREADSHEET = re.compile(r"label|annot|species|photo|image|media|data|record|obs|class", re.IGNORECASE)
JSON_OF = {
    "MegaDetector": re.compile(rb'"detection_categories"|"detections"'),
    "COCO": re.compile(rb'"images".*"file_name"|"categories"|"annotations"', re.DOTALL),
    "SpeciesNet": re.compile(rb'"(?:instances|predictions)".*"filepath"', re.DOTALL),
}


def remarks(root: Path) -> list[str]:
    """Say which files in a folder or archive, or one folder below, name photos and labels as well."""
    try:
        said = [sentence for place in _places(root) if (sentence := _sentence(root, place)) is not None]
    except (OSError, archives.ArchiveError):
        return []  # what reads the photos says why
    return said[:LISTED] + ([f"and {len(said) - LISTED} more files with labels"] if len(said) > LISTED else [])


def _places(root: Path) -> Iterator[str]:
    """The files to look at, relative to the root."""
    if archives.is_archive(root):
        near = sorted(name for name, problem in archives.members(root) if problem is None and name.count("/") < 3)
        yield from [name for name in near if name.lower().endswith(KINDS)][:LOOKED_AT]
        return
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))]
    for folder in folders:
        files = sorted(path for path in folder.iterdir() if path.name.lower().endswith(KINDS))
        yield from (path.relative_to(root).as_posix() for path in files[:LOOKED_AT] if path.is_file())


def _sentence(root: Path, place: str) -> str | None:
    path = PurePosixPath(place)
    if path.suffix.lower() in (".xlsx", ".ods"):
        unread = f"there is also {place}, a spreadsheet, which is not read: save it as CSV"
        return unread if SPREADSHEET.search(path.stem) else None
    with archives.open_binary(root / place) as file:
        head = file.read(HEAD_BYTES)
        if path.suffix.lower() != ".json":
            return _of_table(root, place, head + file.read(COUNTED_BYTES))
    kind = "Camtrap DP" if path.name == "datapackage.json" else None
    kind = kind or next((name for name, signs in JSON_OF.items() if signs.search(head)), None)
    fix = "unpack it and give it to fscl scan" if archives.is_archive(root) else _shell(kind, root, root / place)
    return kind and f"there is also {place}, in the format of {kind}: {fix}"


def _shell(kind: str | None, root: Path, file: Path) -> str:
    return f"fscl scan {root} --detections {file}" if kind == "MegaDetector" else f"fscl scan {file}"


def _of_table(root: Path, place: str, content: bytes) -> str | None:
    header = content.partition(b"\n")[0].decode("utf-8-sig", errors="replace")
    names = {re.sub(r"[\s_\"-]+", "", name).lower() for name in re.split("[,;\t]", header)}
    paths = {name.replace(" ", "") for name in NAMES["path"]}
    if not (names & paths and names & LABELS):
        return None
    rows = content.rstrip().count(b"\n")
    count = f" in {number_of(rows, 'row')}" if len(content) <= COUNTED_BYTES else ""
    fix = "unpack it and give it to fscl scan" if archives.is_archive(root) else f"fscl scan {root / place}"
    return f"there is also {place}, which names photos and labels{count}: {fix}"

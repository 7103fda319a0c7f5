"""AI Hub's wildlife photos (dataSetSn 645) as they ship: photos and labels in folders apart, a JSON per photo.

    01.데이터/1.Training/원천데이터/TS_01.고라니/A01_F03_C074_C_200114_3001_20S_000001.061.jpg
    01.데이터/1.Training/라벨링데이터/TL_01.고라니/A01_F03_C074_C_200114_3001_20S_000001.061.json

The folders of species may still be packed, TS_01.고라니.zip: paths then go through the archive. Releases differ in
folder names and keys, so little is insisted on: what a label file lacks is noted, what it says beyond our columns is
kept.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path, PurePosixPath

import pandas as pd

from fscl import archives
from fscl.errors import PhotosError
from fscl.formats import boxes
from fscl.formats.aihub.label_files import LabelledPhoto, read_labels
from fscl.formats.json_document import Record
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.formats.walk import NOT_UTF8, PHOTO_SUFFIXES, Contents, escaped, walk
from fscl.manifest import reasons
from fscl.manifest.table import BOX, Manifest
from fscl.printable import number_of
from fscl.species import find_species, nfc, numbered_species, plain

PHOTOS, LABELS = "원천데이터", "라벨링데이터"
SPECIES_FOLDER = re.compile(
    r"(?P<split>[TV])(?P<kind>[LS])(?:[ ._-]*(?P<number>\d+)|(?=[ ._-]|$))[ ._-]*(?P<name>.*)", re.IGNORECASE
)
ZIP = re.compile(r"\.zip$", re.IGNORECASE)
ABOVE = re.compile(r"야생동물|데이터|training|validation", re.IGNORECASE)  # folders that may hold those

EXAMPLE = "A02_F02_C081_C_211026_6002_20S_000010.235"
PHOTO_NAME = re.compile(
    r"(?P<species>[A-Z]\d+)[ _-]+(?P<field>[A-Z]\d+)[ _-]+(?P<camera>[A-Z]\d+)[ _-]+(?P<light>[A-Z]+)[ _-]+"
    r"(?P<date>\d{6})[ _-]+(?P<clip>\d+)[ _-]+(?P<length>\d+S)[ _-]+(?P<frame>[\d.]+)",
    re.IGNORECASE,
)
INFRARED = {"C": False, "I": True, "IR": True}  # the letter in the name, where the label file does not tell
TIME = r"^\s*(\d{4})\D(\d\d)\D(\d\d)(?:[ T]+(\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?"  # 2021.10.26 20:22:20

ALWAYS = ["path", "label_file", "label", *BOX, "infrared", "time", "problem", "note"]


def recognises(source: Path, levels: int = 4) -> bool:
    """Tell the set by its folders of photos, labels or single species, packed or not, at most `levels` below."""
    try:
        if archives.is_archive(source):
            inside = {folder for member, _ in archives.members(source) for folder in _above(member)}
            return _has_parts({source.name, *inside})
        with os.scandir(source) as entries:
            below = [Path(entry.path) for entry in entries if entry.is_dir() or ZIP.search(entry.name)]
    except (OSError, archives.ArchiveError):
        return False
    if _has_parts({source.name, *(inner.name for inner in below)}):
        return True
    return levels > 1 and any(recognises(inner, levels - 1) for inner in below if ABOVE.search(nfc(inner.name)))


def read(root: Path, reading: Reading = NOTHING_SAID) -> Manifest:
    """Read photos and labels of the set, in sorted path order: a row per animal that is marked in a photo.

    Site is the camera, sequence a clip of it. Further columns: `label_file` (relative to the root), `date`
    (text, as 2021-10-26), `infrared` (true, false or missing), `field` (the second part of file names), and
    whatever the label files say as `aihub_…`, after its place in the JSON: `aihub_image_weather`.

    Rows that cannot be used stay, with a `problem`: photos without label file, label files without photo or
    that cannot be read, boxes that are none, animals that label file and folder call by different names,
    archives that cannot be opened. The `note` says what a label file lacks; without a name the label is that of
    the folder, without a box it is the whole photo. What lies both packed and unpacked is read unpacked.

    Args:
        root: the folder or zip.
        reading: `box_frame` and `zip_encoding` of it.

    Raises:
        PhotosError: no photos or no label files.
    """
    root = root.resolve()
    contents = walk(root, (*PHOTO_SUFFIXES, ".json"), into_zips=True, code_page=reading.zip_encoding)
    files = _unpacked_first(root, [*contents.files, *contents.unreadable])
    labels = [path for path in files if path.lower().endswith(".json")]
    photos = sorted(set(files) - set(labels))
    _check(root, photos, labels, contents)
    with ThreadPoolExecutor() as threads:
        entries = threads.map(lambda file: read_labels(root, file, _folder_species(file)), labels)
        told = list(chain.from_iterable(entries))
    nameless = {escaped(path): NOT_UTF8 for path in photos if escaped(path) != path}
    rows = list(_matched([path for path in photos if escaped(path) == path], told))
    rows += [{"path": path, "problem": why} for path, why in (nameless | contents.closed).items()]
    columns = pd.DataFrame(rows).sort_values("path", kind="stable", ignore_index=True)
    columns = columns.reindex(columns=list(dict.fromkeys([*ALWAYS, *columns])))
    splits = [(root.name + "/" + columns[name]).map(_split, na_action="ignore") for name in ("path", "label_file")]
    columns["split"] = splits[0].fillna(splits[1])
    columns["problem"] = reasons.added(columns["problem"], columns["path"].map(contents.unreadable))
    columns = _with_times(_with_name_parts(_without_mixtures(columns)))
    return Manifest.build(
        boxes.turn_upright(columns, boxes.read_headers(columns, root), frame=reading.box_frame or "stored"), root
    )


def _unpacked_first(root: Path, files: list[str]) -> list[str]:
    """Leave out the packed copies of files that lie unpacked, too; the others, sorted."""

    def identity(path: str) -> tuple[str, str | None]:
        return nfc(path.rsplit("/", 1)[-1]), _split(f"{root.name}/{path}")

    packed = {path for path in files if ".zip/" in path.lower()}
    unpacked = {identity(path) for path in files if path not in packed} if packed else set()
    return sorted(path for path in files if path not in packed or identity(path) not in unpacked)


def _check(root: Path, photos: list[str], labels: list[str], contents: Contents) -> None:
    if photos and labels:
        return
    others = [f"{count} {suffix}" for suffix, count in contents.others.most_common(5)]
    closed = [f"{path}: {why}" for path, why in list(contents.closed.items())[:1]]
    also = f" (also {', '.join([*others, *closed])})" if others or closed else ""
    in_parts = any(suffix.startswith(".part") for suffix in contents.others)
    fix = "join the parts of each zip to one file" if in_parts else "give the folder that holds both"
    raise PhotosError(
        f"{root}: expected photos (in {PHOTOS}) and their label files (.json, in {LABELS}), got "
        f"{number_of(len(photos), 'photo')} and {number_of(len(labels), 'label file')}{also}; {fix}"
    )


def _matched(photos: list[str], entries: list[LabelledPhoto]) -> Iterator[Record]:
    """Rows of the photos with what the label files say of them, and of label files without photo."""
    paths: dict[str, list[str]] = defaultdict(list)
    told: dict[str, list[LabelledPhoto]] = defaultdict(list)
    for path in photos:
        paths[_key(path)].append(path)
    for entry in entries:
        keys = [_key(name) for name in entry.photo_names]
        told[next((key for key in keys if key in paths), keys[0])].append(entry)
    for key, same_name in paths.items():
        for path in same_name:
            everywhere = told.get(key, [])
            here = [entry for entry in everywhere if _split(entry.file) == _split(path)] or everywhere
            rows = [row for entry in here for row in entry.rows] or [{"problem": "no label"}]
            yield from _rows(path, rows, "several label files" if len(here) > 1 else None)
    for entry in (entry for key, those in told.items() if key not in paths for entry in those):
        yield from _rows(_photo_beside(entry), entry.rows, "missing file")


def _rows(path: str, rows: list[Record], problem: str | None) -> Iterator[Record]:
    for row in rows:
        problems = [reason for reason in (row.get("problem"), problem) if reason is not None]
        yield row | {"path": path, "problem": reasons.SEPARATOR.join(problems) or None}


def _photo_beside(entry: LabelledPhoto) -> str:
    """Where the photo of a label file should be."""
    folders = [nfc(part).replace(LABELS, PHOTOS) for part in entry.file.split("/")[:-1]]
    folders = [re.sub(r"^([TV])L(?=[ ._-]|\d|$)", r"\1S", part) for part in folders]
    return "/".join([*folders, _stem(entry.photo_names[0]) + ".jpg"])


def _with_name_parts(columns: pd.DataFrame) -> pd.DataFrame:
    """Site, sequence, field, date and light, from the names of the photos."""
    matches = [PHOTO_NAME.match(_stem(path)) for path in columns["path"]]
    parts = pd.DataFrame([match.groupdict() if match else {} for match in matches], columns=[*PHOTO_NAME.groupindex])
    parts = parts.astype("str").apply(lambda part: part.str.upper())
    date = _day(parts["date"], "%y%m%d")
    strange = date.isna() & columns["problem"].isna()
    letter = parts["light"].map(INFRARED).astype("boolean")
    return columns.assign(
        # The camera alone: if two fields shared a number, one site too few would still part no place in two.
        site=parts["camera"],
        sequence=parts["camera"] + "_" + parts["date"] + "_" + parts["clip"],
        field=parts["field"],
        date=date,
        infrared=columns["infrared"].astype("boolean").fillna(letter),
        note=reasons.added(
            columns["note"], reasons.where(strange, f"file name not understood (expected such as {EXAMPLE})")
        ),
    )


def _with_times(columns: pd.DataFrame) -> pd.DataFrame:
    """`datetime` where the label file has a time of day; a date alone is no midnight."""
    given = columns["time"].astype("str")
    parts = given.str.extract(TIME)
    day = _day(parts[0] + parts[1] + parts[2], "%Y%m%d")
    date = columns["date"].fillna(day)
    other_day = day.notna() & (day != date)
    times = pd.to_datetime(day + " " + parts[3], format="ISO8601", errors="coerce")
    strange = given.notna() & times.isna() & (day.isna() | parts[3].notna())
    note = ("time not understood (expected 2021-10-26 20:22:20): " + given).where(strange)
    note = note.mask(other_day, "time of another day than the file name, left out: " + given)
    return columns.drop(columns="time").assign(
        datetime=times.mask(other_day), date=date, note=reasons.added(columns["note"], note)
    )


def _day(text: pd.Series, pattern: str) -> pd.Series:
    return pd.to_datetime(text, format=pattern, errors="coerce").dt.strftime("%Y-%m-%d").astype("str")


def _without_mixtures(columns: pd.DataFrame) -> pd.DataFrame:
    """What is a number in some label files and a text in others becomes text."""
    mixed = [str(name) for name in columns if str(name).startswith("aihub_") and columns[name].dtype == object]
    return columns.astype(dict.fromkeys(mixed, "str"))


def _split(path: str) -> str | None:
    for folder in _above(path):
        if species := SPECIES_FOLDER.match(ZIP.sub("", folder)):
            return "train" if species["split"].upper() == "T" else "val"
        if match := re.search("training|validation", folder.lower()):
            return "train" if match[0] == "training" else "val"
    return None


def _has_parts(folders: Iterable[str]) -> bool:
    """Tell the set by a folder of photos, labels or one species, or by two that are both of the same, TS and TL."""
    names = [ZIP.sub("", nfc(folder)) for folder in folders]
    if any(PHOTOS in plain(name) or LABELS in plain(name) for name in names):
        return True
    parts = [match for match in map(SPECIES_FOLDER.match, names) if match]
    kinds = {(part["split"].upper(), part["kind"].upper(), part["number"], part["name"]) for part in parts}
    both = any((split, "L", *of) in kinds for split, kind, *of in kinds if kind == "S")
    return both or any(find_species(part["name"]) for part in parts)


def _folder_species(path: str) -> str | None:
    """The label that the folders of a file stand for. The number helps where unpacking garbled the name."""
    for folder in _above(path):
        name = ZIP.sub("", folder)
        part = SPECIES_FOLDER.match(name)
        label = find_species(part["name"]) or numbered_species(part["number"]) if part else find_species(name)
        if label:
            return label
    return None


def _above(path: str) -> list[str]:
    """The folders and archives that a path goes through, in composed letters, the innermost first."""
    return [nfc(part) for part in reversed(path.split("/")[:-1])]


def _key(path: str) -> str:
    return plain(_stem(path))


def _stem(path: str) -> str:
    """The name of a file without folders and suffix; what follows other points belongs to the name."""
    name = PurePosixPath(nfc(path).replace("\\", "/"))
    while name.suffix.lower() in (".json", *PHOTO_SUFFIXES):
        name = name.with_suffix("")
    return name.name

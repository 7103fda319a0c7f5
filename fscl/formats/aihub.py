"""AI Hub's wildlife photos (dataSetSn 645) as they ship: photos and labels in folders apart, a JSON per photo.

    01.데이터/1.Training/원천데이터/TS_01.고라니/A01_F03_C074_C_200114_3001_20S_000001.061.jpg
    01.데이터/1.Training/라벨링데이터/TL_01.고라니/A01_F03_C074_C_200114_3001_20S_000001.061.json

Releases differ in folder names and keys, so little is insisted on: what a label file lacks is noted, what it says
beyond our columns is kept.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pandas as pd

from fscl.errors import PhotosError
from fscl.formats import boxes, reasons
from fscl.formats.aihub_labels import Entry, Record, read_labels
from fscl.formats.aihub_species import SPECIES, Species, find_species, nfc, numbered_species, plain, species_name
from fscl.formats.folders import PASSED_OVER, PHOTO_SUFFIXES, walk
from fscl.manifest.table import BOX, Manifest

__all__ = ["SPECIES", "Species", "is_layout", "read", "species_name"]

PHOTOS, LABELS = "원천데이터", "라벨링데이터"
SPECIES_FOLDER = re.compile(r"(?P<split>[TV])[LS][ ._-]*(?P<number>\d+)[ ._-]*(?P<name>.*)", re.IGNORECASE)
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


def is_layout(folder: Path, levels: int = 4) -> bool:
    """Tell the set by its folders of photos, labels or single species, at most `levels` below this one."""
    try:
        with os.scandir(folder) as entries:
            below = [Path(entry.path) for entry in entries if entry.is_dir()]
    except OSError:
        return False
    if any(_is_part(inner.name) for inner in (folder, *below)):
        return True
    return levels > 1 and any(is_layout(inner, levels - 1) for inner in below if ABOVE.search(nfc(inner.name)))


def read(root: Path) -> Manifest:
    """Read photos and labels of the set, in sorted path order: a row per animal that is marked in a photo.

    Site is the camera, sequence a clip of it. Further columns: `label_file` (relative to the root), `date`
    (text, as 2021-10-26), `infrared` (true, false or missing), `field` (the second part of file names), and
    whatever the label files say as `aihub_…`, after its place in the JSON: `aihub_image_weather`.

    Rows that cannot be used stay, with a `problem`: photos without label file, label files without photo or
    that cannot be read, boxes that are none, animals that label file and folder call by different names. The
    `note` says what a label file lacks; without a name the label is that of the folder, without a box it is
    the whole photo.

    Raises:
        PhotosError: no photos or no label files; they may still be packed.
    """
    root = root.resolve()
    photos, unreadable, _ = walk(root)
    files = _label_files(root)
    _check(root, [*photos, *unreadable], files)
    with ThreadPoolExecutor() as threads:
        found = list(threads.map(lambda file: read_labels(root, file, _folder_species(file)), files))
    rows = list(_matched(photos, [entry for entries in found for entry in entries]))
    rows += [{"path": folder, "problem": why} for folder, why in unreadable.items()]
    columns = pd.DataFrame(rows).sort_values("path", kind="stable", ignore_index=True)
    columns = columns.reindex(columns=list(dict.fromkeys([*ALWAYS, *columns])))
    splits = [(root.name + "/" + columns[name]).map(_split, na_action="ignore") for name in ("path", "label_file")]
    columns["split"] = splits[0].fillna(splits[1])
    columns = _with_times(_with_name_parts(_without_mixtures(columns)))
    return Manifest.build(boxes.turn_upright(columns, root, relative=False), root)


def _label_files(root: Path) -> list[str]:
    """Sorted paths of the JSON files, relative to `root`, in the folders that `walk` enters."""
    files, entered = [], set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(n for n in subfolders if not n.startswith(".") and n not in PASSED_OVER)
        labels = (n for n in names if n.lower().endswith(".json") and not n.startswith("."))
        files += [(Path(folder).relative_to(root) / name).as_posix() for name in labels]
    return sorted(files)


def _check(root: Path, photos: list[str], files: list[str]) -> None:
    if photos and files:
        return
    expected = f"{root}: expected photos (in {PHOTOS}) and their label files (.json, in {LABELS})"
    packed = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.zip*"))
    if packed:
        raise PhotosError(
            f"{expected}, got {len(packed)} packed files, such as {packed[0]}; unpack each into a folder of its "
            "name beside it (with unzip -O cp949 where names come out garbled)"
        )
    raise PhotosError(
        f"{expected}, got {len(photos)} photos and {len(files)} label files; give the folder that holds both"
    )


def _matched(photos: list[str], entries: list[Entry]) -> Iterator[Record]:
    """Rows of the photos with what the label files say of them, and of label files without photo."""
    paths: dict[str, list[str]] = defaultdict(list)
    told: dict[str, list[Entry]] = defaultdict(list)
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


def _photo_beside(entry: Entry) -> str:
    """Where the photo of a label file should be."""
    folders = [nfc(part).replace(LABELS, PHOTOS) for part in entry.file.split("/")[:-1]]
    folders = [re.sub(r"^([TV])L(?=[ ._-]*\d)", r"\1S", part) for part in folders]
    return "/".join([*folders, _stem(entry.photo_names[0]) + ".jpg"])


def _with_name_parts(columns: pd.DataFrame) -> pd.DataFrame:
    """Site, sequence, field, date and light, from the names of the photos."""
    found = [PHOTO_NAME.match(_stem(path)) for path in columns["path"]]
    parts = pd.DataFrame([match.groupdict() if match else {} for match in found], columns=[*PHOTO_NAME.groupindex])
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
    for folder in reversed(path.split("/")[:-1]):
        if species := SPECIES_FOLDER.match(folder):
            return "train" if species["split"].upper() == "T" else "val"
        if found := re.search("training|validation", folder.lower()):
            return "train" if found[0] == "training" else "val"
    return None


def _is_part(folder: str) -> bool:
    species = SPECIES_FOLDER.match(nfc(folder))
    return PHOTOS in plain(folder) or LABELS in plain(folder) or bool(species and find_species(species["name"]))


def _folder_species(path: str) -> str | None:
    """The label that the folders of a file stand for. The number helps where unpacking garbled the name."""
    for folder in reversed(nfc(path).split("/")[:-1]):
        if found := SPECIES_FOLDER.match(folder):
            return find_species(found["name"]) or numbered_species(found["number"])
        if label := find_species(folder):
            return label
    return None


def _key(path: str) -> str:
    return plain(_stem(path))


def _stem(path: str) -> str:
    """The name of a file without folders and suffix; what follows other points belongs to the name."""
    name = PurePosixPath(nfc(path).replace("\\", "/"))
    while name.suffix.lower() in (".json", *PHOTO_SUFFIXES):
        name = name.with_suffix("")
    return name.name

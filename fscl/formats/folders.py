"""Class folders: root/CLASS/…/photo.jpg, or root/{train,val,test}/CLASS/…/photo.jpg."""

import os
import unicodedata
from collections import Counter
from pathlib import Path, PurePath

import pandas as pd

from fscl.errors import PhotosError
from fscl.manifest.table import Manifest

PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".heic", ".heif"),
    *(".tif", ".tiff", ".bmp", ".gif"),
)
NOT_UTF8 = "file name is not UTF-8, rename it"
# Folders that cameras, archives and systems leave behind; they hold thumbnails and forks, no photos.
PASSED_OVER = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information")

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""How sources call a split → how we do. Compared in lower case."""


def read(root: Path) -> Manifest:
    """Read a folder of class folders, in sorted path order. Labels are the folder names.

    A photo beside the class folders, a folder that may not be opened and a name that is not UTF-8 become
    rows with a `problem`.

    Raises:
        PhotosError: no photos, no class folders, or class folders beside split folders.
    """
    root = root.resolve()
    paths, unreadable, other_suffixes = walk(root)
    if not paths and not unreadable:
        found = ", ".join(f"{count} {suffix}" for suffix, count in other_suffixes.most_common(5))
        raise PhotosError(
            f"{root}: expected photos in {root.name}/CLASS/photo.jpg, got none ({found or 'the folder is empty'})"
        )
    by_split = _is_by_split(root, [*paths, *unreadable])
    photos = dict.fromkeys(paths) | {path: why for path, why in unreadable.items() if why == NOT_UTF8}
    folders = {path: why for path, why in unreadable.items() if path not in photos}
    rows: list[tuple[str | None, ...]]
    rows = [(path, *_label_and_split(path.split("/")[:-1], by_split), why) for path, why in photos.items()]
    rows += [(path, *_label_and_split(path.split("/"), by_split), why) for path, why in folders.items()]
    columns = pd.DataFrame(rows, columns=["path", "label", "split", "problem"]).sort_values("path")
    if columns["label"].isna().all():
        example = f"{root.name}/train/CLASS/photo.jpg" if by_split else f"{root.name}/CLASS/photo.jpg"
        raise PhotosError(
            f"{root}: expected {example}, got {len(columns)} photos without a class folder, such as "
            f"{columns['path'].iloc[0]}; make a folder for each class, or give a table (CSV) with the columns "
            "filepath,label"
        )
    columns.loc[columns["label"].isna() & columns["problem"].isna(), "problem"] = "no label"
    return Manifest.build(columns, root)


def walk(root: Path) -> tuple[list[str], dict[str, str], Counter[str]]:
    """Find all photos below a folder, linked folders included.

    Returns:
        Sorted paths of the photos, relative to `root`, with forward slashes; folders that cannot be opened
        and photos whose name is not UTF-8 (in the path, its bytes are escaped), with the reason; and how
        many other files there are of each suffix.
    """
    paths: list[str] = []
    unreadable: dict[str, str] = {}
    others: Counter[str] = Counter()
    entered: set[str] = set()

    def note(error: OSError) -> None:
        folder = _escaped(Path(error.filename).relative_to(root).as_posix())
        unreadable[folder] = f"unreadable folder: {(error.strerror or 'unknown').lower()}"

    for folder, subfolders, files in os.walk(root, onerror=note, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:  # a link in a circle, or to photos that are read already
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(n for n in subfolders if not n.startswith(".") and n not in PASSED_OVER)
        place = Path(folder).relative_to(root)
        for name in files:
            suffix = PurePath(name).suffix.lower()
            if name.startswith(".") or suffix not in PHOTO_SUFFIXES:
                others[suffix or name] += 1
            else:
                path = (place / name).as_posix()
                if _escaped(path) == path:
                    paths.append(path)
                else:  # unpacked from an archive of another system, such as EUC-KR; no table can hold it
                    unreadable[_escaped(path)] = NOT_UTF8
    return sorted(paths), unreadable, others


def _escaped(path: str) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")


def _is_by_split(root: Path, paths: list[str]) -> bool:
    tops = sorted({path.split("/")[0] for path in paths if "/" in path})
    splits = [top for top in tops if top.lower() in SPLIT_NAMES]
    classes = [top for top in tops if top.lower() not in SPLIT_NAMES]
    if splits and classes:
        raise PhotosError(
            f"{root}: expected class folders, or split folders that hold class folders, got both: "
            f"{', '.join(splits)} beside {', '.join(classes[:3])}; move one kind elsewhere"
        )
    return bool(splits)


def _label_and_split(folders: list[str], by_split: bool) -> tuple[str | None, str | None]:
    split = SPLIT_NAMES[folders[0].lower()] if by_split and folders else None
    classes = folders[1:] if by_split else folders
    # macOS stores names decomposed: the same label must be the same text everywhere.
    return (unicodedata.normalize("NFC", classes[0]) if classes else None), split

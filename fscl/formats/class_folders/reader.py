"""Class folders: root/CLASS/…/photo.jpg, or root/{train,val,test}/CLASS/…/photo.jpg; the root may be a zip."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from fscl.errors import PhotosError
from fscl.formats.class_folders import labels_beside, layouts, passed_over
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.formats.walk import UNREADABLE_FOLDER, escaped, not_utf8, walk
from fscl.manifest.table import Manifest
from fscl.printable import number_of


def read(root: Path, reading: Reading = NOTHING_SAID) -> Manifest:
    """Read a folder of class folders, or a zip of them, in sorted path order. Labels are the folder names.

    Folders that hold all others are looked through. A photo beside the class folders, one that its zip does not
    yield, a folder that may not be opened and a name that is not UTF-8 become rows with a `problem`. What is passed
    over, how the folders were understood, and which other files name labels is said in the manifest's `remarks`.

    Args:
        root: the folder or zip.
        reading: `layout` and `zip_encoding` of it.

    Raises:
        PhotosError: no photos, no class folders, class folders beside split folders, or folders of which several hold
            folders of the same names; a damaged zip.
        ConfigurationError: a layout that is none.
    """
    root = root.resolve()
    try:
        manifest = _read(root, reading)
    except PhotosError as error:  # most of all where there are no class folders other labels are worth a word
        raise type(error)("\n  ".join([str(error), *labels_beside.remarks(root)])) from error.__cause__
    return replace(manifest, remarks=(*manifest.remarks, *labels_beside.remarks(root)))


def _read(root: Path, reading: Reading) -> Manifest:
    given = None if reading.layout is None else layouts.parse(reading.layout)
    contents = walk(root, code_page=reading.zip_encoding)
    if not (contents.files or contents.unreadable or contents.closed):
        others = ", ".join(f"{count} {suffix}" for suffix, count in contents.others.most_common(5))
        fix = "; give one zip at a time, or unpack them" if contents.others[".zip"] else ""
        raise PhotosError(
            f"{root}: expected photos in {root.name}/CLASS/photo.jpg, got none ({others or 'it is empty'}){fix}"
        )
    problems = dict.fromkeys(contents.files) | contents.unreadable | contents.closed
    folders = {path: _folders(escaped(path), why) for path, why in problems.items()}
    layout = given or layouts.guess(root, folders.values())
    rows = [
        (escaped(path), *layouts.place(root, folders[path], layout), why or not_utf8(path))
        for path, why in problems.items()
    ]
    columns = pd.DataFrame(rows, columns=["path", "label", "site", "split", "problem"]).sort_values("path")
    if columns["label"].isna().all():
        path, problem = columns[["path", "problem"]].iloc[0]
        raise PhotosError(
            f"{root}: expected {_example(root, layout)}, got {number_of(len(columns), 'photo')} without a class "
            f"folder, such as {path if pd.isna(problem) else f'{path} ({problem})'}; make a folder for each class, "
            "or give a table (CSV) with the columns filepath,label"
        )
    columns.loc[columns["label"].isna() & columns["problem"].isna(), "problem"] = "no label"
    return Manifest.build(columns, root, (*layout.remarks, *passed_over.remarks(contents, columns["label"], layout)))


def _folders(path: str, problem: str | None) -> tuple[str, ...]:
    parts = path.split("/")
    is_folder = problem is not None and problem.startswith(UNREADABLE_FOLDER)
    return tuple(parts if is_folder else parts[:-1])


def _example(root: Path, layout: layouts.Layout) -> str:
    """The path of a photo under a layout, its class and split in capitals unless the user did not name them."""
    names = {"class": "CLASS", "site": "SITE", "split": "train", "-": "FOLDER"}
    return "/".join([root.name, *(names[word] for word in layout.words), "photo.jpg"])

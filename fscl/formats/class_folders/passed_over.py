"""What a walk over folders passed over, in sentences: a class of RAW files must not vanish without a word."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import pandas as pd

from fscl.formats.class_folders import layouts
from fscl.formats.walk import FORK, HIDDEN, Contents
from fscl.frames import OTHER_VIDEO_SUFFIXES, VIDEO_SUFFIXES

# Beside photos these are no loss.
CLUTTER = {
    *("thumbs.db", "desktop.ini", ".ds_store", "readme", "license", "makefile", "picasa.ini"),
    *(".db", ".ini", ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".geojson", ".xml", ".xmp", ".html", ".htm"),
    *(".log", ".parquet", ".xls", ".xlsx", ".ods", ".doc", ".docx", ".pdf", ".yaml", ".yml", ".toml", ".py", ".r"),
    *(".ipynb", ".sh", ".pt", ".pth", ".npy", ".npz", ".pkl", ".thm", ".ctg", ".lnk", ".url", ".sqlite", ".ddb"),
}
RAW = {
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".kdc", ".mef", ".mrw", ".nef", ".nrw", ".orf"),
    *(".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
}
HINTS = {
    "camera raw is not read, convert it to JPEG": RAW,
    f"of videos {', '.join(VIDEO_SUFFIXES)} are read, convert the others": set(OTHER_VIDEO_SUFFIXES),
}
# Hidden folders of programs that everybody has.
KNOWN_HIDDEN = {
    *(".git", ".svn", ".cache", ".ipynb_checkpoints", ".thumbnails", ".thumbs", ".appledouble", ".ds_store"),
    *(".trash", ".trashes", ".trash-1000", ".spotlight-v100", ".fseventsd", ".temporaryitems", ".@__thumb", ".dvc"),
    *(".picasaoriginals", ".idea", ".vscode", ".venv"),
}
NO_SUFFIX = "without a suffix"
LISTED = 3  # folders in a sentence
SUFFIXES = 6  # in a sentence


def remarks(contents: Contents, labels: pd.Series, layout: layouts.Layout) -> list[str]:
    """Say what was passed over: class folders without a photo, files by suffix, linked and hidden folders.

    Args:
        contents: of the folder or zip.
        labels: of the photos, those that cannot be read included.
        layout: what its folders mean.
    """
    by_class: dict[str | None, Counter[str]] = defaultdict(Counter)
    for (folder, suffix), count in contents.passed_over.items():
        if not _is_clutter(suffix):
            by_class[_label(folder, layout)][_kind(suffix)] += count
    empty = {label for folder in contents.empty if (label := _label(folder, layout)) is not None}
    photos = set(labels.dropna())
    lost = {
        label: _counted(by_class.get(label, Counter()), SUFFIXES) for label in {*by_class, *empty} - photos if label
    }
    said = []
    if lost:
        each = [f"{label} ({what or 'empty'})" for label, what in sorted(lost.items())]
        said.append(f"class folders without a photo: {_listed(each, len(each))}")
    total = sum(by_class.values(), Counter())
    if total:
        said.append(f"passed over: {_counted(total, SUFFIXES)}{_where(by_class, photos)}{_hints(contents)}")
    if contents.links:
        each = [f"{link} → {target}" for link, target in sorted(contents.links.items())]
        said.append(f"linked folders whose photos are read where they lie: {_listed(each, LISTED)}")
    hidden = [folder for folder in sorted(contents.hidden) if PurePosixPath(folder).name.lower() not in KNOWN_HIDDEN]
    if hidden:
        said.append(f"hidden folders are passed over: {_listed(hidden, LISTED)}")
    return said


def files(contents: Contents) -> list[str]:
    """Say which other files were passed over where folders mean no classes, and what helps."""
    kinds: Counter[str] = Counter()
    for suffix, count in contents.others.items():
        if not _is_clutter(suffix):
            kinds[_kind(suffix)] += count
    return [f"passed over: {_counted(kinds, SUFFIXES)}{_hints(contents)}"] if kinds else []


def _label(folder: str, layout: layouts.Layout) -> str | None:
    return layouts.label_of(tuple(part for part in folder.split("/") if part not in ("", ".")), layout)


def _is_clutter(suffix: str) -> bool:
    return suffix.lower() in CLUTTER or suffix == FORK


def _kind(suffix: str) -> str:
    return suffix if suffix.startswith(".") or suffix == HIDDEN else NO_SUFFIX


def _counted(kinds: Counter[str], most: int) -> str:
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {kind}" for kind, count in ordered[:most]]
    more = sum(count for _, count in ordered[most:])
    return ", ".join([*shown, *([f"{more:,} others"] if more else [])])


def _where(by_class: dict[str | None, Counter[str]], photos: Iterable[str]) -> str:
    """The classes that miss most, of those with photos; none where all of it lies beside the classes."""
    missed = Counter({label: kinds.total() for label, kinds in by_class.items() if label in set(photos)})
    each = [f"{count:,} in {label}" for label, count in sorted(missed.items(), key=lambda item: (-item[1], item[0]))]
    return f" ({_listed(each, LISTED)})" if each else ""


def _hints(contents: Contents) -> str:
    suffixes = {suffix for _, suffix in contents.passed_over}
    return "".join(f"; {hint}" for hint, kinds in HINTS.items() if kinds & suffixes)


def _listed(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

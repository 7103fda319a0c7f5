"""Which folder of a path is the class, which the site, which the split; where that is doubtful, the user is asked."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fscl.errors import ConfigurationError, PhotosError, did_you_mean
from fscl.manifest.names import tidy

SPLIT_NAMES = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val", "dev": "val", "eval": "val"},
    **{"test": "test", "testing": "test"},
}
"""How sources call a split → how we do. Compared in lower case."""

WORDS = ("class", "site", "split", "-")
SPLIT_IN_NAME = re.compile(rf"(?:.*[-_. ])?({'|'.join(SPLIT_NAMES)})(?:[-_. ].*)?", re.IGNORECASE)  # seg_train
INNER = {"images", "imgs", "img", "photos", "pictures", "data"}  # folders in those of a split that hold the classes
# What cameras and their owners call folders: DCIM and 100RECNX (the DCF standard), 2021, 2021-05-31.
NO_NAME = re.compile(r"DCIM|\d{3}[A-Z0-9_]{5}|(?:19|20)\d\d(?:[-_. ]?\d\d){0,2}")
PLACE = re.compile(
    r"(?i:cam|camera|site|station|stn|loc|location|trap|ct|deployment|plot|grid|transect)"
    r"(?:[\W_]*\d+[A-Za-z]?|[\W_]+[A-Za-z]|[A-Z])"
)
MOST_LOOSE = 0.5  # of all photos, beside the folders in the only top folder: from there on it is a class
LEAST_SHARED = 0.25  # of the top folders that hold a folder of the same name
LISTED = 3  # names in a sentence

Folders = tuple[str, ...]
"""Of a photo, from the root on."""


class Layout(NamedTuple):
    """What the folders from the root on mean, a word of `WORDS` each, and what is to be said about it."""

    words: tuple[str, ...]
    remarks: tuple[str, ...] = ()


class Place(NamedTuple):
    """What the folders of a photo say."""

    label: str | None
    site: str | None
    split: str | None


def parse(text: str) -> Layout:
    """Read a layout as the user writes it.

    Raises:
        ConfigurationError: other words, a word twice, or no class.

    >>> parse("split/site/class").words
    ('split', 'site', 'class')
    """
    words = tuple(word.strip() for word in text.strip("/ ").split("/"))
    for word in words:
        if word not in WORDS:
            raise ConfigurationError(f"--layout {text}: unknown word '{word}'{did_you_mean(word, WORDS)}")
    twice = [word for word in WORDS[:3] if words.count(word) > 1]
    if twice or "class" not in words:
        raise ConfigurationError(
            f"--layout {text}: expected what each folder from the source on means, with class once, such as class,"
            f" site/class or split/-/class (- is any folder), got {f'{twice[0]} twice' if twice else 'no class'}"
        )
    return Layout(words)


def guess(root: Path, folders: Collection[Folders]) -> Layout:
    """Tell what the folders of the photos mean: classes, perhaps in folders of splits, perhaps in one that holds all.

    Raises:
        PhotosError: classes beside splits, or folders of which several hold folders of the same names, so that either
            may be the classes.
    """
    above = _folders_above(folders)
    inner = [inner[above:] for inner in folders if len(inner) > above]
    words = ["-"] * above
    by_split = _is_by_split(root, {names[0] for names in inner})
    remarks = []
    if above:
        name = "/".join(next(iter(folders))[:above])
        remarks.append(f"{name}/ holds all photos: the folders in it are the {'splits' if by_split else 'classes'}")
    if by_split:
        words.append("split")
        inner = [names[1:] for names in inner]
        if _holds_inner(inner, folders, above):
            words.append("-")
            inner = [names[1:] for names in inner]
    _ask(root, words, [names for names in inner if names])
    tops = sorted({names[0] for names in inner if names})
    if len(tops) > 1 and all(map(_is_of_cameras, tops)):
        remarks.append(f"the class folders have names like cameras ({_listed(tops)}): are these the classes?")
    return Layout((*words, "class"), tuple(remarks))


def place(root: Path, folders: Folders, layout: Layout) -> Place:
    """Return what the folders of a photo say under a layout.

    Raises:
        PhotosError: a folder that should be a split is called otherwise.
    """
    names = _named(folders, layout)
    split = names.get("split")
    if split is not None and split_of(split) is None:
        raise PhotosError(
            f"{root}: expected the folders of splits to be called {', '.join(SPLIT_NAMES)}, got {split}; rename it"
        )
    return Place(names.get("class"), names.get("site"), split and split_of(split))


def label_of(folders: Folders, layout: Layout) -> str | None:
    """Return the class that folders stand for, of photos or not."""
    return _named(folders, layout).get("class")


def split_of(name: str) -> str | None:
    """Return the split that a folder stands for, by its name or a part of it.

    >>> split_of("Training"), split_of("seg_test"), split_of("fox")
    ('train', 'test', None)
    """
    match = SPLIT_IN_NAME.fullmatch(tidy(name))
    return SPLIT_NAMES[match[1].lower()] if match else None


def _named(folders: Folders, layout: Layout) -> dict[str, str | None]:
    return {word: tidy(name) or None for word, name in zip(layout.words, folders, strict=False)}


def _is_split(name: str) -> bool:
    return tidy(name).lower() in SPLIT_NAMES


def _folders_above(folders: Collection[Folders]) -> int:
    """Count the folders that hold all others: the classes, or the splits, and not just what is in one class."""
    shared = 0
    while all(len(names) > shared for names in folders) and len({names[shared] for names in folders}) == 1:
        if any(_is_split(names[shared]) for names in folders):
            return shared
        shared += 1
    below = {names[shared] for names in folders if len(names) > shared}
    deeper = {names[shared + 1] for names in folders if len(names) > shared + 1}
    of_places = len(below) > 1 and all(map(PLACE.fullmatch, below)) and not all(map(NO_NAME.fullmatch, deeper))
    holds = len({name for name in below if not _is_of_cameras(name)}) > 1 or any(map(_is_split, below)) or of_places
    loose = sum(len(names) == shared for names in folders)
    return shared if holds and loose <= MOST_LOOSE * len(folders) else 0


def _is_of_cameras(name: str) -> bool:
    return bool(PLACE.fullmatch(name) or NO_NAME.fullmatch(name))


def _is_by_split(root: Path, tops: set[str]) -> bool:
    exact = sorted(filter(_is_split, tops))
    named = sorted(top for top in tops if split_of(top))
    splits = named if len({split_of(top) for top in named}) > 1 else exact  # not freight_train, passenger_train
    classes = sorted(tops - set(splits))
    if splits and classes:
        raise PhotosError(
            f"{root}: expected class folders, or split folders that hold class folders, got both: "
            f"{', '.join(splits)} beside {', '.join(classes[:LISTED])}; move one kind elsewhere, or, if all are "
            f"classes, say so: fscl scan {root} --layout class"
        )
    return bool(splits)


def _holds_inner(inner: Sequence[Folders], folders: Collection[Folders], above: int) -> bool:
    """Tell whether each split holds a single folder with the classes in it: seg_train/seg_train, train/images."""
    splits = [names[above] for names in folders if len(names) > above]
    deep = all(names for names in inner) and any(len(names) > 1 for names in inner)
    return deep and all(
        names[0] == split or names[0].lower() in INNER for names, split in zip(inner, splits, strict=True)
    )


def _ask(root: Path, above: Sequence[str], inner: Collection[Folders]) -> None:
    """Stop where top folders hold folders of the same names: sites of species, or species at sites."""
    between = _between(inner)
    held = _held(inner, 1 + len(between))
    shared = _shared(held)
    if not shared:
        between, held = (), _held(inner, 1)
        shared = _shared(held)
    places = all(map(PLACE.fullmatch, held)) and all(held.values())
    if not held or not (shared or places):
        return
    tops, below = sorted(held), shared or sorted(set().union(*held.values()))
    site_class, class_site = "/".join(["site", *between, "class"]), "/".join(["class", *between, "site"])
    classes = "class/split" if between[:1] == ("split",) else "class"
    readings = {
        site_class: f"classes such as {_listed(below)}, at the sites {_listed(tops)}",
        class_site: f"classes {_listed(tops)}, at sites such as {_listed(below)}",
        classes: f"classes {_listed(tops)}; the other folders in them mean nothing",
    }
    if all(map(_is_split, below)):
        readings = {"class/split": f"classes {_listed(tops)}, each with its splits"} | readings
        del readings["site/class"], readings["class/site"]
    elif sum(bool(PLACE.fullmatch(name)) for name in below) > len(below) / 2:
        readings = {word: readings[word] for word in (class_site, site_class, classes)}
    options = [f"{_flag('/'.join([*above, layout]))}: {meaning}" for layout, meaning in readings.items()]
    why = "hold folders of the same names" if shared else "have names like cameras, and hold folders"
    raise PhotosError(
        f"{root}: the folders {_listed(tops)} {why} ({_listed(below)}), so that either may be the classes; "
        f"say which: fscl scan {root}\n  " + "\n  ".join(options)
    )


def _flag(layout: str) -> str:
    return f"--layout={layout}" if layout.startswith("-") else f"--layout {layout}"  # "-/class" looks like a flag


def _between(inner: Collection[Folders]) -> tuple[str, ...]:
    """Return what lies between the top folders and those with names: splits, dates, one folder in all of them."""
    between: list[str] = []
    while True:
        depth = 1 + len(between)
        here = {names[depth] for names in inner if len(names) > depth}
        if not any(len(names) > depth + 1 for names in inner):
            return tuple(between)
        if all(map(_is_split, here)) and "split" not in between:
            between.append("split")
        elif len(here) == 1 or all(map(NO_NAME.fullmatch, here)):
            between.append("-")
        else:
            return tuple(between)


def _held(inner: Collection[Folders], depth: int) -> dict[str, set[str]]:
    """Return top folder → the names below it at a depth, without those that cameras give."""
    held: dict[str, set[str]] = defaultdict(set)
    for names in inner:
        held[names[0]] |= {name for name in names[depth : depth + 1] if not NO_NAME.fullmatch(name)}
    return held


def _shared(held: Mapping[str, set[str]]) -> list[str]:
    """Return the names that many top folders hold, where these are two or more, and half of what most tops hold."""
    counts: dict[str, int] = defaultdict(int)
    for names in held.values():
        for name in names:
            counts[name] += 1
    shared = {name for name, count in counts.items() if count >= max(2, LEAST_SHARED * len(held))}
    alike = sum(2 * len(names & shared) >= len(names) > 0 for names in held.values())
    return sorted(shared, key=lambda name: (-counts[name], name)) if len(shared) > 1 and 2 * alike > len(held) else []


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "")

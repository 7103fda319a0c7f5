"""Where the photos of a manifest are: also known relative to the manifest, so that both can be moved together."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import pandas as pd

from fscl import archives
from fscl.errors import PhotosError, shown

ROOT_KEY = b"fscl_root"
RELATIVE_KEY = b"fscl_root_relative"
LOOKED_FOR = 200  # photos, spread over the rows, of which one is enough to know the place by


class Root(NamedTuple):
    """What a manifest file says of the root of its photos; `relative` is None where it does not say."""

    absolute: str
    relative: str | None


def root_metadata(root: Path, manifest: Path) -> dict[bytes, bytes]:
    """Return what is written into a manifest about the root of its photos.

    >>> root_metadata(Path("/data/photos"), Path("/data/photos.parquet"))[RELATIVE_KEY]
    b'photos'
    """
    metadata = {ROOT_KEY: str(root).encode()}
    with suppress(ValueError):  # on another drive
        relative = os.path.relpath(root, manifest.parent.resolve())
        metadata[RELATIVE_KEY] = Path(relative).as_posix().encode()
    return metadata


def read_root(metadata: Mapping[bytes, bytes], manifest: Path) -> Root:
    """Read what a manifest says about the root of its photos.

    Raises:
        PhotosError: it says no folder.
    """
    absolute = _text(metadata.get(ROOT_KEY, b""))
    if not _is_absolute(absolute) or "\0" in absolute:
        raise _no_root(manifest, ROOT_KEY, absolute)
    if RELATIVE_KEY not in metadata:
        return Root(absolute, None)
    relative = _text(metadata[RELATIVE_KEY])
    if not relative or _is_absolute(relative) or PureWindowsPath(relative).drive or "\0" in relative:
        raise _no_root(manifest, RELATIVE_KEY, relative)
    return Root(absolute, relative)


def find_root(manifest: Path, said: Root, rows: pd.DataFrame, given: Path | None, *, anywhere: bool) -> Path:
    """Return the folder or zip that holds the photos of a manifest now.

    Args:
        manifest: the file.
        said: what it says.
        rows: of it; those with a problem are not looked for.
        given: the root that the user gives, in place of what the manifest says.
        anywhere: where no photo is found, return the root that is given or said, instead of raising.

    Raises:
        PhotosError: no photo is found.
    """
    places = [given] if given is not None else _places(manifest, said)
    photos = rows.loc[rows["problem"].isna(), ["path", "bytes"]].dropna(subset="path").drop_duplicates("path")
    sample = photos.iloc[:: max(1, len(photos) // LOOKED_FOR)].astype({"bytes": "object"})
    expected = dict(zip(sample["path"], sample["bytes"].where(sample["bytes"].notna(), None), strict=True))
    present = [place for place in places if place.is_dir() or archives.is_archive(place)]
    for place in present:
        if any(size is not None and _size(place / path) == size for path, size in expected.items()):
            return place
    for place in present:  # of photos that were replaced, or whose size is not known
        if not expected or any(_size(place / path) is not None for path in expected):
            return place
    if anywhere:
        return places[-1] if places else Path(said.absolute)
    raise _missing(manifest, said, given, present, next(iter(expected), "them"))


def _places(manifest: Path, said: Root) -> list[Path]:
    relative = [] if said.relative is None else [manifest.parent.resolve() / said.relative]
    places = [Path(os.path.normpath(place)) for place in relative]  # one name, as zips are listed once for each
    return places + ([Path(said.absolute)] if Path(said.absolute).is_absolute() else [])


def _size(photo: Path) -> int | None:
    """The bytes of a photo, None where it is not there, -1 where it is and cannot be opened: scanning says why."""
    try:
        return archives.size(photo)
    except archives.ArchiveError:
        return -1
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a name that no file can have
        return None
    except OSError:
        return -1


def _missing(manifest: Path, said: Root, given: Path | None, present: list[Path], photo: str) -> PhotosError:
    if given is not None:
        why = "which has none of them" if present else "which is no folder and no zip"
        return PhotosError(
            f"{manifest}: expected its photos in {given} (--root), {why}; give the folder that holds {photo}"
        )
    if present:
        why = f"where none of them is, such as {photo}"
    else:
        why = "which is not there" if Path(said.absolute).is_absolute() else "which is no folder of this system"
    return PhotosError(
        f"{manifest}: its photos were in {said.absolute}, {why}; say where they are now with --root FOLDER (in Python"
        f" root=), the folder that holds {photo}"
    )


def _no_root(manifest: Path, key: bytes, text: str) -> PhotosError:
    return PhotosError(
        f"{manifest}: expected the folder of its photos as `{key.decode()}`, got {shown(text)}; scan the photos again"
    )


def _is_absolute(folder: str) -> bool:
    """Tell an absolute path of any system."""
    return PurePosixPath(folder).is_absolute() or PureWindowsPath(folder).is_absolute()


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return ""

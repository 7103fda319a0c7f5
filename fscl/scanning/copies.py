"""Photos that another manifest holds, too, perhaps under other names and in other folders."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from fscl import archives
from fscl.manifest.table import Manifest
from fscl.scanning.scan import files_of, hashes


class _File(NamedTuple):
    """A photo, or the video of frames."""

    path: str
    place: str
    size: int
    content: str | None


def seen_before(photos: Manifest, before: Manifest) -> list[bool]:
    """Tell which rows show a photo that `before` holds; of a frame, the video: whichever frames were taken of it.

    Where photos of both have one size, their contents are compared: by the hashes that are known, else by those of
    the files as they lie now, in zips too. Where one of the two hashes is missing, for its file is gone or was
    changed since, a photo of the same size is taken for the same under the same path, or at the same place.

    Args:
        photos: to tell, usable rows.
        before: to compare with. Only files whose size occurs on both sides are read.
    """
    old = _files(before)
    sizes = {file.size for file in old}
    known = {file.content for file in old if file.content}
    unhashed = {(file.place, file.size) for file in old if file.content is None}
    seen, undecided = set(), []
    for file in _files(photos):
        if file.content in known or (file.place, file.size) in unhashed:  # the file itself; nothing tells more of it
            seen.add(file.path)
        elif file.size in sizes:
            undecided.append(file)
    shared = {file.size for file in undecided}
    old = _hashed([file for file in old if file.size in shared], before)
    contents = {file.content for file in old if file.content}
    namesakes = {(name, file.size): file for file in old for name in (file.path, file.place)}
    for file in _hashed(undecided, photos):
        namesake = namesakes.get((file.path, file.size)) or namesakes.get((file.place, file.size))
        untold = namesake is not None and not (file.content and namesake.content)
        if untold or file.content in contents:
            seen.add(file.path)
    return files_of(photos.rows).isin(seen).tolist()


def _files(photos: Manifest) -> list[_File]:
    """Return the files of the rows; their sizes are those of the scan, or of now where that did not ask."""
    files = []
    rows = photos.rows.assign(path=files_of(photos.rows))
    if "video_id" in rows:
        rows["content_hash"] = rows["content_hash"].mask(rows["video_id"].notna(), rows["video_hash"])
    columns = rows[["path", "bytes", "content_hash"]].drop_duplicates("path")
    for path, scanned, content in columns.itertuples(index=False, name=None):
        size = _size(photos, path) if pd.isna(scanned) else int(scanned)
        if size:
            files.append(_File(path, f"{photos.root}/{path}", size, None if pd.isna(content) else content))
    return files


def _hashed(files: Sequence[_File], photos: Manifest) -> list[_File]:
    """Return the files with their hashes, where they are known or the file is still as large as it was."""
    unknown = [file.path for file in files if file.content is None and _size(photos, file.path) == file.size]
    now = hashes(photos, unknown)
    return [file._replace(content=file.content or now.get(file.path)) for file in files]


def _size(photos: Manifest, path: str) -> int | None:
    try:
        return archives.size(photos.photo(path))
    except (OSError, archives.ArchiveError):
        return None

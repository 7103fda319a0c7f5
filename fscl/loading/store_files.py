"""The files of a photo store: what they are called, what is in them, and how they are written."""

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from fscl.archives import photo_version
from fscl.atomic import replacing, write_text
from fscl.config import Preprocessing, Section
from fscl.errors import OutputError
from fscl.images import UnreadableError
from fscl.loading.regions import Pixels, Regions

VERSION: Literal[1] = 1
PIXELS, DONE, INDEX, RECORD = "pixels.bin", "done.bin", "regions.parquet", "store.json"
INDEX_TYPES = pa.schema([("path", pa.large_string()), *((side, pa.float64()) for side in "xywh")])
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
CANNOT_RESERVE = {errno.EOPNOTSUPP, errno.EINVAL}  # says a file system that only takes room as it is written
SPARE_BYTES = 2**30  # of the disk, left to checkpoints and models
PHOTOS_PER_TASK = 16  # a small photo takes hardly longer than to hand out a task
SECONDS_BETWEEN_FLUSHES = 30.0  # what a power cut costs at most; a killed process costs less

Progress = Callable[[int, int], None]
IntArray = np.ndarray[tuple[int], np.dtype[np.int64]]


class StoreRecord(Section):
    """`store.json`, as it is written and read."""

    format: Literal["fscl-store"]
    version: Literal[1]
    image_size: Annotated[int, Field(ge=1)]
    crop_margin: Annotated[float, Field(ge=0)]
    interpolation: Literal["bicubic"] | None = None  # absent: bilinear, as in stores of earlier releases
    problems: dict[int, str]


class NoRoomError(OutputError):
    """A disk too full for the store, or one that takes no file so large."""


def write_store(
    regions: Regions,
    preprocessing: Preprocessing,
    folder: Path,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Decode what is not there yet, as `PhotoStore.build` says; return the folder of this one store."""
    index, chosen = _index(regions)
    own = folder / (_prefix(preprocessing) + _fingerprint(index))
    for other in set(folder.glob(f"{_prefix(preprocessing)}*")) - {own}:
        shutil.rmtree(other)
    own.mkdir(parents=True, exist_ok=True)
    shape = (len(index), preprocessing.image_size, preprocessing.image_size, 3)
    if not has(own / PIXELS, prod(shape)):
        for name in (DONE, RECORD):  # of photos that are not there
            (own / name).unlink(missing_ok=True)
    for name, size in ((PIXELS, prod(shape)), (DONE, len(index))):
        _reserve(own / name, size)
    with replacing(own / INDEX) as path:
        index.drop(columns=["bytes", "modified_ns"]).to_parquet(path)
    problems = _decode(
        lambda place: regions.resized(int(chosen[place]), preprocessing),
        mapped(own / PIXELS, shape, mode="r+"),
        mapped(own / DONE, shape[:1], mode="r+"),
        progress or _say_nothing,
        threads,
    )
    record = StoreRecord(
        format="fscl-store",
        version=VERSION,
        image_size=preprocessing.image_size,
        crop_margin=preprocessing.crop_margin,
        interpolation="bicubic" if preprocessing.resampling == "bicubic" else None,
        problems=problems,
    )
    write_text(own / RECORD, json.dumps(record.model_dump(exclude_none=True), indent=1, ensure_ascii=False) + "\n")
    return own


def _decode(
    read: Callable[[int], Pixels],
    pixels: "np.memmap[Any, Any]",
    done: "np.memmap[Any, Any]",
    progress: Progress,
    threads: int | None,
) -> dict[int, str]:
    """Fill in what is not done yet; return what could not be read and why, by place.

    `done` is marked once the pixels are on the disk, so that no photo is ever taken for one that is half there.
    """

    def fill(places: IntArray) -> dict[int, str]:
        reasons = {}
        for place in places.tolist():
            try:
                pixels[place] = read(place)
            except UnreadableError as error:
                reasons[place] = str(error)
        return reasons

    def keep(finished: Sequence[IntArray]) -> None:
        pixels.flush()
        for places in finished:
            done[places] = ~np.isin(places, list(problems))
        done.flush()

    todo = np.flatnonzero(np.asarray(done) == 0)
    tasks = np.split(todo, range(PHOTOS_PER_TASK, len(todo), PHOTOS_PER_TASK))
    problems: dict[int, str] = {}
    pending: list[IntArray] = []
    flushed, finished = time.monotonic(), len(done) - len(todo)
    pool = ThreadPoolExecutor(threads)
    try:
        for task, reasons in zip(tasks, pool.map(fill, tasks), strict=True):
            problems |= reasons
            pending.append(task)
            finished += len(task)
            progress(finished, len(done))
            if time.monotonic() - flushed > SECONDS_BETWEEN_FLUSHES:
                keep(pending)
                pending, flushed = [], time.monotonic()
    finally:
        pool.shutdown(cancel_futures=True)
        keep(pending)
    return problems


def _index(regions: Regions) -> tuple[pd.DataFrame, IntArray]:
    """The distinct regions, sorted, with size and time of their files; and which row each is taken from."""
    index = pd.DataFrame(keys(regions), columns=["path", *"xywh"])
    index = index.drop_duplicates().sort_values(["path", *"xywh"])
    versions = {path: photo_version(Path(path)) for path in index["path"].unique()}
    index["bytes"], index["modified_ns"] = zip(*index["path"].map(versions), strict=True)
    return index.reset_index(drop=True), index.index.to_numpy()


def keys(regions: Regions) -> list[tuple[str, float, float, float, float]]:
    """Path and box of each region; −1 in place of a missing box, which would not equal itself."""
    boxes = np.where(np.isnan(regions.boxes), -1.0, regions.boxes).tolist()
    return [(regions.name(row), *box) for row, box in enumerate(boxes)]


def read_keys(index: Path) -> list[tuple[str, float, float, float, float]] | None:
    """Return path and box of each stored region; None where there is no such table."""
    try:
        table = pq.read_table(index, columns=["path", *"xywh"]).cast(INDEX_TYPES)
    except (OSError, ValueError, pa.ArrowException):
        return None
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _prefix(preprocessing: Preprocessing) -> str:
    kind = "" if preprocessing.resampling == "bilinear" else f"-{preprocessing.resampling}"
    return f"{preprocessing.image_size}px{kind}-margin{preprocessing.crop_margin:g}-"


def _fingerprint(index: pd.DataFrame) -> str:
    """16 hexadecimal digits of which regions there are, and which files they are in."""
    return hashlib.sha256(f"{VERSION}\n{index.to_csv(index=False)}".encode()).hexdigest()[:16]


def read_record(folder: Path) -> StoreRecord | None:
    """Return what `store.json` says; None where there is none or another."""
    try:
        return StoreRecord.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError):
        return None


def has(path: Path, size: int) -> bool:
    """Tell whether a file of at least `size` bytes is there."""
    return path.exists() and path.stat().st_size >= size


def _reserve(path: Path, size: int) -> None:
    """Make a file of `size` zeros, or lengthen the one that is there. Its room on the disk is taken at once.

    A map into a file for which the disk has no room ends the process.
    """
    if has(path, size):
        return
    free = shutil.disk_usage(path.parent).free
    reason = f"{free / 1e9:.1f} GB are free"
    if free > size + SPARE_BYTES:
        try:
            with path.open("ab") as file:  # never cut short: another process may have mapped it
                _allocate(file, size)
            return
        except OSError as error:
            path.unlink()
            if error.errno not in NO_ROOM:
                raise
            reason += f" ({error.strerror})"
    raise NoRoomError(
        f"{path.parent.parent}: no room for the photo store, it needs {size / 1e9:.1f} GB and "
        f"{SPARE_BYTES / 1e9:.1f} GB to spare, {reason}"
    )


def _allocate(file: BinaryIO, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in CANNOT_RESERVE:
                raise
    file.truncate(size)


def mapped(path: Path, shape: tuple[int, ...], mode: Literal["r", "r+"]) -> "np.memmap[Any, Any]":
    """Return a file of bytes as an array."""
    return np.memmap(path, dtype=np.uint8, mode=mode, shape=shape)


def _say_nothing(done: int, photos: int) -> None:
    pass

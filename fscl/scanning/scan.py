"""Scan: read a source, look at every photo, and say what is wrong before anything is trained."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd

from fscl import archives, formats
from fscl.archives import content_hash
from fscl.errors import PhotosError
from fscl.formats.photo_times import taken, times_of_source
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.formats.walk import NOT_UTF8
from fscl.frames import split_frame
from fscl.images import UnreadableError, read_facts
from fscl.manifest import reasons
from fscl.manifest.table import BOX, COLUMNS, Manifest
from fscl.printable import number_of
from fscl.scanning import sequences
from fscl.scanning.labels import apply_class_map, read_class_map
from fscl.scanning.sequences import GAP_S
from fscl.scanning.summary import Verify

Result = TypeVar("Result")
BATCH = 64  # photos per task of the pool: a header takes less time than to hand out a task
ROUNDING_PX = 1.0  # detectors round: a box that leaves the photo by less is clipped without a note


class Look(NamedTuple):
    """What a look at a photo found."""

    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    problem: str | None = None
    note: str | None = None
    time: datetime | None = None
    model: str | None = None
    camera: str | None = None


LOOK_DTYPES = {name: COLUMNS.get(name, "str") for name in Look._fields} | {"time": COLUMNS["datetime"]}


def scan(
    source: Path,
    *,
    verify: Verify = "header",
    class_map: Path | None = None,
    reading: Reading = NOTHING_SAID,
    gap_s: float = GAP_S,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Read photos and labels of any known format and check every photo.

    A bad photo does not end the scan: its row gets a `problem`. A column `note` says what was changed or
    left out in a row that can be used. Where the source has no time or sequence, EXIF and file names give the times,
    and times the sequences.

    Args:
        source: photos in any format of `fscl.formats.FORMATS`.
        verify: "none" asks for the size of the files only; "header" also opens each photo, which gives
            width, height and time, and finds JPEG, PNG, WebP and GIF files that are cut off; "decode" also reads
            all pixels, and so finds every damaged photo.
        class_map: CSV `label,class` that renames or merges labels; rows whose class is blank are left out.
        reading: what the user says of the source.
        gap_s: seconds up to which a photo is of the same sequence as the one before of the same camera; 0 makes no
            sequences.
        progress: called with (photos looked at, photos) as the scan goes on.

    Raises:
        PhotosError: the source or the class map cannot be understood, or no photo can be opened.
        ConfigurationError: a layout that is none, or a negative gap.
    """
    sequences.check_gap(gap_s)
    renamed = {} if class_map is None else read_class_map(class_map)
    manifest = formats.read(source, replace(reading, labels=frozenset(renamed)))
    rows = manifest.rows if class_map is None else _mapped(manifest.rows, renamed, class_map)
    known_unreadable = rows["problem"].str.startswith(("unreadable", NOT_UTF8), na=False)
    paths = rows.loc[~known_unreadable, "path"].unique().tolist()
    looks = _look_at_all(paths, manifest, verify, progress)
    if paths and looks["bytes"].isna().all():
        raise PhotosError(
            f"{source}: none of its {number_of(len(paths), 'photo')} can be opened, such as "
            f"{manifest.photo(paths[0])} ({looks['problem'].iloc[0]}); paths are relative to the "
            "folder of the table, or to --root FOLDER"
        )
    looked = rows[["path"]].join(looks, on="path")
    as_read = manifest.rows.loc[rows.index]  # with the labels that the folders have
    of_cameras: list[str] = []
    if reading.site_from == "camera":
        rows, of_cameras = _at_cameras(rows, looked["camera"])
    times, notes = times_of_source(rows["datetime"])
    rows = rows.assign(
        **{column: looked[column].fillna(rows[column]) for column in ("bytes", "width", "height")},
        datetime=times.fillna(looked["time"]),
        problem=reasons.added(rows["problem"], looked["problem"]),
        **_hashes(rows, looked["bytes"], manifest),
        note=reasons.added(reasons.added(rows.get("note", notes), notes), looked["note"]),
        clock=as_read["clock"].astype("str") if "clock" in as_read else sequences.clocks(as_read, looked),
    )
    rows = sequences.with_sequences(_clipped(rows), gap_s)
    return Manifest.build(rows, manifest.root, (*manifest.remarks, *of_cameras, *sequences.remarks(rows, gap_s)))


def _at_cameras(rows: pd.DataFrame, camera: pd.Series) -> tuple[pd.DataFrame, list[str]]:
    """The rows with the camera as the site where they have none, and a remark on those that name no camera."""
    site = rows["site"].fillna(camera)
    count = rows.loc[rows["site"].isna() & site.notna(), "path"].nunique()
    without = rows.loc[site.isna(), "path"].nunique()
    said = f"the site of {number_of(count, 'photo')} is the camera that EXIF or the file name tells"
    more = f"; {number_of(without, 'photo')} without" if without else ""
    return rows.assign(site=site), [said + more] if count or without else []


def _mapped(rows: pd.DataFrame, renamed: dict[str, str | None], class_map: Path) -> pd.DataFrame:
    label = apply_class_map(rows["label"], renamed, class_map)
    dropped = rows["label"].notna() & label.isna()
    if dropped.all():
        raise PhotosError(f"{class_map}: leaves no photo; give at least one label a class")
    return rows.assign(label=label)[~dropped]


def _look_at_all(
    paths: list[str], manifest: Manifest, verify: Verify, progress: Callable[[int, int], None] | None
) -> pd.DataFrame:
    """Look at photos in threads; a row per path, with the fields of `Look`."""
    looks: list[Look] = []
    for batch in in_threads(lambda path: _look(manifest.photo(path), verify), paths):
        looks += batch
        if progress is not None:
            progress(len(looks), len(paths))
    return pd.DataFrame(looks, index=paths, columns=list(LOOK_DTYPES)).astype(LOOK_DTYPES)


def in_threads(work: Callable[[str], Result], paths: list[str]) -> Iterator[list[Result]]:
    """Do the work for each path, in order, a batch at a time."""
    batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    with ThreadPoolExecutor() as threads:
        yield from threads.map(lambda batch: [work(path) for path in batch], batches)


def _look(photo: Path, verify: Verify) -> Look:
    try:
        look = Look(bytes=archives.size(photo))
    except (FileNotFoundError, NotADirectoryError):
        return Look(problem="missing file")
    except archives.ArchiveError as error:
        return Look(problem=f"unreadable: {error}")
    except OSError as error:
        return Look(problem=f"unreadable: {(error.strerror or str(error)).lower()}")
    exif = {}
    if verify != "none":
        try:
            facts = read_facts(photo, decode=verify == "decode")
        except UnreadableError as error:
            return look._replace(problem=reasons.of_unreadable(error))
        exif = facts.exif
        problem = facts.problem and reasons.of_unreadable(UnreadableError(facts.problem))
        width, height, _ = facts.header
        look = look._replace(width=width, height=height, problem=problem, note=reasons.joined(facts.notes))
    time, note, model, camera = taken(exif, archives.file_of(photo).name)
    return look._replace(time=time, note=reasons.joined([look.note, note]), model=model, camera=camera)


def hashes(manifest: Manifest, paths: list[str]) -> dict[str, str | None]:
    """Return the SHA-256 of photos as their files lie now, by path; None where a file cannot be read."""
    digests = chain.from_iterable(in_threads(lambda path: content_hash(manifest.photo(path)), paths))
    return dict(zip(paths, digests, strict=True))


def files_of(rows: pd.DataFrame) -> pd.Series:
    """Return the path of each row's file: the photo, of a frame the video."""
    return rows["video_id"].fillna(rows["path"]) if "video_id" in rows else rows["path"]


def _hashes(rows: pd.DataFrame, sizes: pd.Series, manifest: Manifest) -> dict[str, pd.Series]:
    """The columns of hashes, of files that share their size with another file: only these can be byte copies."""
    files = files_of(rows)
    size = sizes.set_axis(files).dropna()
    size = size[~size.index.duplicated()]
    shared = size.index[size.duplicated(keep=False) & size.gt(0)]
    of_file = files.map(hashes(manifest, shared.tolist())).astype("str")
    if "video_id" not in rows:
        return {"content_hash": of_file}
    of_video = of_file.where(rows["video_id"].notna())
    of_frame = [
        archives.hash_of_frame(video, frame[1]) if isinstance(video, str) and (frame := split_frame(path)) else None
        for video, path in zip(of_video, rows["path"], strict=True)
    ]
    return {
        "content_hash": of_file.mask(of_video.notna(), pd.Series(of_frame, rows.index, dtype="str")),
        "video_hash": of_video,
    }


def _clipped(rows: pd.DataFrame) -> pd.DataFrame:
    """Clip boxes to their photos, where the size of the photo is known."""
    rows = rows.copy()
    x, y, w, h = (rows[column].astype("float64") for column in BOX)
    width, height = rows["width"].astype("float64"), rows["height"].astype("float64")
    left, top = x.clip(lower=0), y.clip(lower=0)
    right, bottom = (x + w).clip(upper=width), (y + h).clip(upper=height)
    known = x.notna() & width.notna()
    inside = known & (left < right) & (top < bottom)
    cut_px = pd.concat([left - x, top - y, x + w - right, y + h - bottom], axis=1).max(axis=1)
    clipped = inside & (cut_px > 0)
    rows.loc[clipped, BOX] = pd.concat([left, top, right - left, bottom - top], axis=1)[clipped].to_numpy()
    rows["problem"] = reasons.added(rows["problem"], reasons.where(known & ~inside, "box outside the photo"))
    rows["note"] = reasons.added(
        rows["note"], reasons.where(clipped & (cut_px > ROUNDING_PX), "box clipped to the photo")
    )
    return rows

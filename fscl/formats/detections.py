"""Boxes of a detector joined to photos: a photo's label goes to its animal, never to people or vehicles."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fscl.errors import PhotosError
from fscl.formats import boxes
from fscl.formats.blanks import BLANK, LEFT_OUT, is_blank
from fscl.frames import is_video, split_frame, video_of
from fscl.images import Box
from fscl.manifest import reasons
from fscl.manifest.table import BOX, Manifest
from fscl.printable import number_of
from fscl.species import nfc, plain

CONFIDENCE = 0.3  # of a box to train on: MegaDetector finds most animals from .2 on, and less that is none from .3 on
ANIMAL = "animal"
OTHERS = {"person": "person", "human": "person", "people": "person", "vehicle": "vehicle"}
SEVERAL = "several animals, and nothing says which of them is the label's"
NOT_LOOKED_AT = "the detections do not name this photo"


class Detection(NamedTuple):
    """A box of a detector.

    Attributes:
        kind: animal, person or vehicle.
        confidence: from 0 to 1.
        box: x, y, w, h as fractions of the upright photo, or why there is none.
        label: what a classifier calls the animal, None where it does not say.
        place: among the detections of its photo or video, counted from 0.
        frame: of a video.
    """

    kind: str
    confidence: float
    box: Box | str
    label: str | None = None
    place: int = 0
    frame: int | None = None


class Detected(NamedTuple):
    """What a detector says of a photo or a video.

    Attributes:
        found: its boxes.
        problem: why they cannot be used.
        looked: whether it looked at all.
        frames: of a video those that it looked at, ascending; None: a photo.
    """

    found: tuple[Detection, ...] = ()
    problem: str | None = None
    looked: bool = True
    frames: tuple[int, ...] | None = None

    def of(self, path: str) -> "Detected":
        """Return what it says of the frame that a path names; of a photo all."""
        frame = split_frame(path)
        if self.frames is None or self.problem is not None:
            return self
        if frame is None or frame[1] not in self.frames:
            return Detected(problem="the detector did not look at this frame")
        return Detected(tuple(each for each in self.found if each.frame == frame[1]))


class Joined(NamedTuple):
    """Rows of photos with boxes, and remarks."""

    rows: pd.DataFrame
    """A row per box: those of the photos with `x`, `y`, `w`, `h`, `problem`, `detection_conf`, and `detected`, which
    tells the rows whose box is a fraction of the upright photo."""
    remarks: list[str]


def kind_of(category: str) -> tuple[str, str | None]:
    """Return what a category of a detector is, and its name as a label where it is a species of its own.

    >>> kind_of("Human"), kind_of("animal"), kind_of("red fox")
    (('person', None), ('animal', None), ('animal', 'red fox'))
    """
    name = category.strip().lower()
    if name in OTHERS:
        return OTHERS[name], None
    return ANIMAL, None if name == ANIMAL else category.strip()


def matched(paths: Iterable[str], files: Iterable[str]) -> dict[str, str | None]:
    """Return path → file of a detector that is the same photo, None where none is or several may be.

    Of a frame it is the file that is the same video, or the frame itself where a detector has it as a photo.

    A path and a file are of one photo where the one ends in all of the other: detectors are run above or below the
    folder of the photos, and on other machines. Drive, case of the letters and their form do not count.

    >>> matched(["C1/a.jpg", "C2/a.jpg", "C3/b.jpg"], ["D:\\\\photos\\\\C1\\\\a.jpg", "photos/C2/a.jpg", "C4/b.jpg"])
    {'C1/a.jpg': 'D:\\\\photos\\\\C1\\\\a.jpg', 'C2/a.jpg': 'photos/C2/a.jpg', 'C3/b.jpg': None}
    """
    names, known = dict.fromkeys(paths), dict.fromkeys(files)
    frames = [path for path in names if split_frame(path) is not None]
    chosen = _matched(frames, filter(split_frame, known))
    videos = {path: video_of(path) for path in frames if chosen[path] is None}
    same = _matched(dict.fromkeys(videos.values()), filter(is_video, known))
    chosen |= {path: same[video] for path, video in videos.items()}
    left = [path for path in names if chosen.get(path) is None]
    taken = set(map(chosen.get, frames))
    chosen |= _matched(left, [file for file in known if file not in taken or is_video(file)])
    return {path: chosen[path] for path in names}


def _matched(paths: Iterable[str], files: Iterable[str]) -> dict[str, str | None]:
    by_name: dict[str, dict[tuple[str, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        parts = _parts(file)
        by_name[parts[-1] if parts else ""][parts].append(file)
    chosen: dict[str, str | None] = {}
    for path in paths:
        parts = _parts(path)
        fitting = [
            (min(len(parts), len(other)), len(parts) == len(other), same)
            for other, same in by_name.get(parts[-1] if parts else "", {}).items()
            if _ends_in(parts, other)
        ]
        best = max((fit[:2] for fit in fitting), default=None)
        files_of_best = [file for *fit, same in fitting if tuple(fit) == best for file in same]
        chosen[path] = files_of_best[0] if len(files_of_best) == 1 else None
    times = Counter(chosen.values())
    return {path: file if times[file] == 1 else None for path, file in chosen.items()}


def joined(
    rows: pd.DataFrame,
    detected: Mapping[str, Detected],
    *,
    confidence: float = CONFIDENCE,
    blanks: bool = False,
) -> Joined:
    """Return the rows of photos with the boxes of their animals.

    The label of a photo goes to its one animal. Of several animals each needs a label of its own that is the photo's;
    else the photo cannot be used. A photo without a label gives a row per animal, with the label that a classifier
    has for it. Photos that have a box, and rows with a problem, stay as they are.

    Args:
        rows: of photos: `path`, `label`, `x`, `problem`.
        detected: path → what a detector says of the photo; a photo that it lacks was not looked at.
        confidence: from 0 to 1: boxes below it are left out.
        blanks: a photo without label in which nothing was found is of the class `blank`.

    >>> rows = pd.DataFrame({"path": ["1.jpg"], "label": ["fox"], "x": [None], "problem": [None]})
    >>> found = (Detection("animal", 0.9, (0.1, 0.2, 0.3, 0.4)), Detection("person", 0.9, (0.5, 0.2, 0.3, 0.4)))
    >>> joined(rows, {"1.jpg": Detected(found)}).rows[["label", *BOX]].values.tolist()
    [['fox', 0.1, 0.2, 0.3, 0.4]]
    """
    places: list[int] = []
    taken: list[_Taken] = []
    boxed = rows["x"].notna().groupby(rows["path"]).transform("any")
    given = zip(rows["path"], rows["label"], boxed | rows["problem"].notna(), strict=True)
    for place, (path, label, stays) in enumerate(given):
        each = [_Taken(label)] if stays else _of_photo(label, detected.get(path), confidence, blanks)
        places += [place] * len(each)
        taken += each
    columns = rows.iloc[places].reset_index(drop=True)
    found = pd.Series([each.detection is not None for each in taken], dtype="bool")
    drawn = pd.DataFrame(
        [each.detection.box if each.detection else boxes.NO_BOX for each in taken], columns=BOX, dtype="float64"
    )
    old = columns.reindex(columns=BOX).astype("float64")
    problem = pd.Series([each.problem for each in taken], dtype="str")
    conf = [each.detection.confidence if each.detection else float("nan") for each in taken]
    columns = columns.assign(
        label=pd.Series([each.label for each in taken], dtype="str"),
        problem=reasons.added(columns["problem"].astype("str"), problem),
        detection_conf=pd.Series(conf, dtype="float64").fillna(columns.get("detection_conf")),
        detected=found,
        **{name: drawn[name].where(found, old[name]) for name in BOX},
    )
    return Joined(columns, _remarks(columns, confidence))


def with_detections(
    manifest: Manifest,
    detected: Mapping[str, Detected],
    *,
    confidence: float | None = None,
    blanks: bool = False,
    frame: boxes.Frame | None = None,
) -> Manifest:
    """Return photos with the boxes of their animals, in pixels: `joined`, with the size of each photo.

    Args:
        manifest: the photos.
        detected: as of `joined`.
        confidence: from 0 to 1: boxes below it are left out (0.3).
        blanks: as of `joined`.
        frame: what the boxes are drawn on: detectors turn photos upright.
    """
    least = CONFIDENCE if confidence is None else confidence
    rows = manifest.rows.drop(columns="region_id")
    columns, remarks = joined(rows, detected, confidence=least, blanks=blanks)
    columns = columns.assign(note=columns["note"].astype("str") if "note" in columns else None)
    ours = columns.pop("detected")
    if ours.any():
        headers = boxes.read_headers(columns[ours], manifest.root)
        columns[ours] = boxes.turn_upright(columns[ours], headers, unit="fraction", frame=frame or "upright")
    made = Manifest.build(columns, manifest.root)
    return replace(made, remarks=(*manifest.remarks, *remarks))


class _Taken(NamedTuple):
    """A row that becomes of a photo."""

    label: object
    detection: Detection | None = None
    problem: str | None = None


def _of_photo(label: object, of_photo: Detected | None, confidence: float, blanks: bool) -> list[_Taken]:
    if of_photo is None or of_photo.problem is not None:
        return [_Taken(label, problem=NOT_LOOKED_AT if of_photo is None else of_photo.problem)]
    if not of_photo.looked:
        return [_Taken(label)]
    sure = [each for each in of_photo.found if each.confidence >= confidence]
    animals = [each for each in sure if each.kind == ANIMAL]
    broken = next((each.box for each in animals if isinstance(each.box, str)), None)
    if broken is not None:
        return [_Taken(label, problem=f"detections: {broken}")]
    if not animals:
        return [_without_animal(label, sure, of_photo, blanks)]
    if is_blank(label):
        return [_Taken(label, problem="said to be blank, and an animal was found")]
    if not isinstance(label, str):
        return [_Taken(each.label, each) for each in animals]
    if len(animals) > 1 and not all(each.label and plain(each.label) == plain(label) for each in animals):
        return [_Taken(label, problem=SEVERAL)]
    return [_Taken(label, each) for each in animals]


def _without_animal(label: object, sure: list[Detection], of_photo: Detected, blanks: bool) -> _Taken:
    if is_blank(label):
        return _Taken(label)
    if not sure and not isinstance(label, str):
        return _Taken(BLANK, problem=None if blanks else LEFT_OUT)
    if sure:
        kinds = " and a ".join(sorted({each.kind for each in sure}))
        return _Taken(label, problem=f"no animal was found, a {kinds}")
    return _Taken(label, problem="no animal was found" + (", or none so surely" if of_photo.found else ""))


def _remarks(columns: pd.DataFrame, confidence: float) -> list[str]:
    animals = number_of(int(columns["detected"].sum()), "animal")
    photos = number_of(columns.loc[columns["detected"], "path"].nunique(), "photo")
    said = [f"{animals} found at a confidence of {confidence:g} or more, in {photos} (--detection-confidence)"]
    several = int((columns["problem"] == SEVERAL).sum())
    if several:
        said.append(
            f"{number_of(several, 'photo')} with several animals and one label cannot be used: box them by hand"
        )
    return said


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in nfc(path).replace("\\", "/").casefold().split("/") if part not in ("", "."))


def _ends_in(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shared = min(len(one), len(other))
    return shared > 0 and one[-shared:] == other[-shared:]


def of_paths(manifest: Manifest, by_file: Mapping[str, Detected], source: Path) -> dict[str, Detected]:
    """Return path → what the detector says of the photo, as `matched` finds it; without photos that it lacks."""
    paths = manifest.rows["path"].unique().tolist()
    found = {path: by_file[file].of(path) for path, file in matched(paths, by_file).items() if file is not None}
    if not found and paths and by_file:
        raise PhotosError(
            f"{source}: expected detections of these photos, such as {paths[0]}, got none of them, but such as "
            f"{next(iter(by_file))}; give the detections of these photos"
        )
    return found

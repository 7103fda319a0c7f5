"""What a model says of photos, in the form that writers of formats take: a photo at a time, animal by animal."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from fscl.formats.camtrap_dp.deployments import Packaging
from fscl.frames import split_frame, video_of
from fscl.images import Box
from fscl.manifest import reasons
from fscl.printable import number_of
from fscl.scoring.taxonomy import Taxonomy

PLACES = 4  # of a probability that is written
CLASS_RANK = "class"  # of an answer that is a class of the model


class Group(NamedTuple):
    """The genus, family and so on that an unsure answer became.

    Attributes:
        level: in the taxonomy, from 1.
        rank: what the taxonomy calls that level.
        name: of the group.
        probability: that it is one of the classes in it, rounded to `PLACES`.
    """

    level: int
    rank: str
    name: str
    probability: float


class Said(NamedTuple):
    """What is written of an animal: a name, its rank (`CLASS_RANK`, or one of the taxonomy), how probable it is."""

    name: str
    rank: str
    probability: float
    unsure: bool


@dataclass(frozen=True)
class Animal:
    """An animal of a photo, or the whole photo.

    Attributes:
        box: x, y, w, h as fractions of the upright photo; None: the whole photo.
        scores: a probability for each class, in their order, rounded to `PLACES`; None: without an answer.
        answer: the class decided for, an index; None: without an answer.
        confidence: of the detector, from 0 to 1; None: there was none.
        place: of the detection among those that the detector gave for the photo, counted from 0.
        accepted: the answer may be accepted unseen; None where that was not asked.
        species_set: names of the classes that it may be, with `|` between them; None where the model has no sets.
        unknown: it is like none of the classes; None where the model cannot say.
        group: what the answer became along a taxonomy, as it was unsure; None: it stays as it is.
    """

    box: Box | None = None
    scores: tuple[float, ...] | None = None
    answer: int | None = None
    confidence: float | None = None
    place: int | None = None
    accepted: bool | None = None
    species_set: str | None = None
    unknown: bool | None = None
    group: Group | None = None

    @property
    def probability(self) -> float | None:
        """Of the answer."""
        return None if self.scores is None or self.answer is None else self.scores[self.answer]


@dataclass(frozen=True)
class PhotoAnswer:
    """A photo and what was found on it.

    Attributes:
        file: relative to the folder of the photos, with forward slashes.
        animals: none where a detector found none.
        failure: why it is without an answer; None where it has one.
        found: what a detector found that is no animal: `person`, `vehicle`, `blank`; None: animals, or not looked at.
        detected_as: what the file of detections calls it; None: there is none, or it does not name the photo.
        site: of the camera, where it is known.
        sequence: of the burst, where it is known.
        time: of the photo, where it is known.
        deployment: of the camera, where a format asks for it.
        frame_rate: of a frame of a video, the frames a second of that.
        damage: of a video, what of it could not be read beside the frame whose answer this is.
    """

    file: str
    animals: Sequence[Animal] = ()
    failure: str | None = None
    found: str | None = None
    detected_as: str | None = None
    site: str | None = None
    sequence: str | None = None
    time: datetime | None = None
    deployment: str | None = None
    frame_rate: float | None = None
    damage: str | None = None

    @property
    def problem(self) -> str | None:
        """Why it is without an answer, and what of the video could not be read; None: neither."""
        return reasons.joined([self.failure, self.damage])

    @property
    def media(self) -> str:
        """The file: of a frame its video."""
        return self.file if self.frame_rate is None else video_of(self.file)

    @property
    def frame(self) -> int | None:
        """The number of a frame of a video; None of a photo."""
        parts = None if self.frame_rate is None else split_frame(self.file)
        return None if parts is None else parts[1]

    @property
    def main(self) -> Animal | None:
        """The animal that stands for the photo where a format has room for one: the surest that has an answer."""
        answered = [animal for animal in self.animals if animal.probability is not None]
        return max(answered, key=lambda animal: (animal.confidence or 0.0, animal.probability), default=None)


def by_media(answers: Iterable[PhotoAnswer]) -> Iterator[list[PhotoAnswer]]:
    """Yield the answers of each file: of a photo one, of a video those of its frames, in their order."""
    for _, frames in groupby(answers, key=lambda photo: photo.media):
        yield list(frames)


def surest(frames: Sequence[PhotoAnswer]) -> PhotoAnswer:
    """Return the answer of a file: of a video that of the frame whose main animal is surest.

    Without an animal on any frame it is that of the first on which something was found, a person before a vehicle
    before nothing. Its time is that of the first frame, and its `damage` says which others could not be read.

    Args:
        frames: those of `by_media`, one or more.
    """
    if len(frames) == 1 and frames[0].frame_rate is None:
        return frames[0]
    found = ("blank", "vehicle", "person")

    def rank(photo: PhotoAnswer) -> tuple[float, ...]:
        main = photo.main
        if main is not None:
            return (2.0, main.confidence or 0.0, main.probability or 0.0)
        there = [place for place, name in enumerate(found) if name in (photo.found or "")]
        return (1.0 if photo.failure is None else 0.0, float(max(there, default=-1)))

    best = max(frames, key=rank)
    first = next((each.time for each in frames if each.time is not None), None)
    return replace(best, file=best.media, time=first, damage=_damage([each for each in frames if each is not best]))


def _damage(frames: Sequence[PhotoAnswer]) -> str | None:
    """What is wrong with a video, and with how many of its frames."""
    of_video = dict.fromkeys(each.failure for each in frames if each.frame is None)
    of_frames = Counter(each.failure for each in frames if each.frame is not None and each.failure is not None)
    return reasons.joined(
        [*of_video, *(f"{number_of(count, 'frame')}: {why}" for why, count in of_frames.items())],
    )


@dataclass(frozen=True)
class About:
    """What all answers have in common.

    Attributes:
        classes: names, in the order of the scores.
        model: what the model is called.
        unsure_below: the probability below which an answer is marked as unsure.
        document: the file of detections as it was read, which is written again with the answers in it; None: none.
        stamp: when it was done, for the file; None: files of the same answers are the same bytes.
        latin: class → scientific name, where it is known.
        packaging: the deployments of a Camtrap DP package; None: none are given.
        accepting: tables say which answers may be accepted unseen.
        taxonomy: of the classes, along which unsure answers were rolled up; None: none were.
    """

    classes: Sequence[str]
    model: str
    unsure_below: float
    document: Mapping[str, Any] | None = None
    stamp: datetime | None = None
    latin: Mapping[str, str] = field(default_factory=dict)
    packaging: Packaging | None = None
    accepting: bool = False
    taxonomy: Taxonomy | None = None

    def said(self, animal: Animal) -> Said | None:
        """Return what is written of an animal; None where it is without an answer."""
        if animal.answer is None or animal.probability is None:
            return None
        if animal.group is not None:
            return Said(animal.group.name, animal.group.rank, animal.group.probability, unsure=False)
        unsure = animal.probability < self.unsure_below
        return Said(self.classes[animal.answer], CLASS_RANK, animal.probability, unsure)

    def all_said(self, photo: PhotoAnswer) -> list[Said]:
        """Return what is written of the animals of a photo that have an answer."""
        return [said for said in map(self.said, photo.animals) if said is not None]

"""What a model says of photos, in the form that writers of formats take: a photo at a time, animal by animal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fscl.formats.camtrap_dp.deployments import Packaging
from fscl.images import Box

PLACES = 4  # of a probability that is written


@dataclass(frozen=True)
class Animal:
    """An animal of a photo, or the whole photo.

    Attributes:
        box: x, y, w, h as fractions of the upright photo; None: the whole photo.
        scores: a probability for each class, in their order, rounded to `PLACES`; None where it was not classified.
        answer: the class decided for, an index; None where it was not classified.
        confidence: of the detector, from 0 to 1; None: there was none.
        place: of the detection among those that the detector gave for the photo, counted from 0.
        accepted: the answer may be accepted unseen; None where that was not asked.
        species_set: names of the classes that it may be, with `|` between them; None where the model has no sets.
        unknown: it is like none of the classes; None where the model cannot say.
    """

    box: Box | None = None
    scores: tuple[float, ...] | None = None
    answer: int | None = None
    confidence: float | None = None
    place: int | None = None
    accepted: bool | None = None
    species_set: str | None = None
    unknown: bool | None = None

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
        failure: why there is no answer; None where there is one.
        found: what a detector found that is no animal: `person`, `vehicle`, `blank`; None: animals, or not looked at.
        detected_as: what the file of detections calls it; None: there is none, or it does not name the photo.
        site: of the camera, where it is known.
        sequence: of the burst, where it is known.
        time: of the photo, where it is known.
        deployment: of the camera, where a format asks for it.
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

    @property
    def main(self) -> Animal | None:
        """The animal that stands for the photo where a format has room for one: the surest that has an answer."""
        answered = [animal for animal in self.animals if animal.probability is not None]
        return max(answered, key=lambda animal: (animal.confidence or 0.0, animal.probability), default=None)

    def unsure(self, below: float) -> bool:
        """Tell whether any of its answers has a probability below this."""
        return any(animal.probability is not None and animal.probability < below for animal in self.animals)


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
    """

    classes: Sequence[str]
    model: str
    unsure_below: float
    document: Mapping[str, Any] | None = None
    stamp: datetime | None = None
    latin: Mapping[str, str] = field(default_factory=dict)
    packaging: Packaging | None = None
    accepting: bool = False

"""From the logits of all parts to the answers of all photos: decisions of the model, species list, bursts."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fscl.decisions import Decisions
from fscl.formats.answers import PLACES, Animal, Group, PhotoAnswer
from fscl.formats.boxes import read_headers
from fscl.images import Box, Header
from fscl.manifest.table import BOX
from fscl.prediction.accepting import Accepting
from fscl.prediction.parts import Parts
from fscl.prediction.photos import OF_PHOTO, Listing
from fscl.scoring.taxonomy import Taxonomy, lowest_sure, summed

FloatMatrix = NDArray[np.float64]


class Deciding:
    """How logits become probabilities and answers.

    Args:
        classes: of the model.
        decisions: of the model; nothing chosen leaves the logits as they are.
        species: the classes that can be there; None: all.
    """

    def __init__(self, classes: Sequence[str], decisions: Decisions, species: Sequence[str] | None = None) -> None:
        self.classes, self.decisions = tuple(classes), decisions
        self.accepting: Accepting | None = None
        self.rolling_up: RollingUp | None = None
        self.out = np.array([species is not None and name not in species for name in classes])

    def __call__(self, logits: NDArray[np.floating]) -> FloatMatrix:
        """Return the calibrated probability of each class, (regions, classes), whose largest is the answer's."""
        allowed = logits.astype(np.float64)
        allowed[:, self.out] = -np.inf
        return self.decisions.probabilities(allowed, self.classes)


class RollingUp(NamedTuple):
    """Along which taxonomy answers are rolled up whose probability is below a bar."""

    taxonomy: Taxonomy
    bar: float

    def groups(self, probabilities: FloatMatrix, answers: NDArray[np.intp]) -> list[Group | None]:
        """Return the lowest group that is sure of each animal; None: its answer stays as it is.

        Args:
            probabilities: (animals, classes).
            answers: (animals,), index of the class.
        """
        sums = summed(probabilities, answers, self.taxonomy).round(PLACES)
        found: list[Group | None] = []
        for answer, level, likely in zip(answers.tolist(), lowest_sure(sums, self.bar).tolist(), sums, strict=True):
            if level < 1:
                found.append(None)
                continue
            name = self.taxonomy.lineages[answer][level - 1]
            assert name is not None, "a level without a name is as likely as the one below"
            found.append(Group(level, self.taxonomy.ranks[level - 1], name, float(likely[level])))
        return found


def answers(
    listing: Listing, parts: Parts, deciding: Deciding, *, by_sequence: bool = False
) -> Iterator[PhotoAnswer]:
    """Yield the answer of each photo, in order; memory does not grow with the number of photos.

    Args:
        listing: the photos.
        parts: all of them computed.
        deciding: how logits become answers.
        by_sequence: all animals of a burst get the answer of the mean of their logits.
    """
    means = _means(listing, parts) if by_sequence else {}
    of_region = _regions(listing, parts, deciding, means)
    region = next(of_region, None)
    facts = zip(*(listing.photos[name] for name in OF_PHOTO if name != "path"), strict=True)
    for number, (file, problem, found, detected_as, site, sequence, time, deployment, rate) in enumerate(facts):
        animals, failure = [], _text(problem)
        while region is not None and region[0] == number:
            animals.append(region[1])
            failure = failure or region[2]
            region = next(of_region, None)
        without_answer = failure is not None and all(animal.scores is None for animal in animals)
        yield PhotoAnswer(
            file=file,
            animals=[] if without_answer else animals,
            failure=failure,
            found=_text(found),
            detected_as=_text(detected_as),
            site=_text(site),
            sequence=_text(sequence),
            deployment=_text(deployment),
            frame_rate=_number(rate),
            time=None if pd.isna(time) else pd.Timestamp(time).to_pydatetime(),
        )


def _regions(
    listing: Listing, parts: Parts, deciding: Deciding, means: dict[str, NDArray[np.float64]]
) -> Iterator[tuple[int, Animal, str | None]]:
    """The photo, the animal and the problem of each region."""
    sequence = listing.photos["sequence"]
    for number in range(parts.count):
        part, rows = parts.read(number), parts.rows(number)
        table = listing.regions.iloc[rows.start : rows.stop]
        logits = part.logits.astype(np.float64)
        for row, photo in enumerate(table["photo"]):
            if row not in part.problems and sequence[photo] in means:
                logits[row] = means[sequence[photo]]
        exact = deciding(logits)
        scores, accepting = exact.round(PLACES), deciding.accepting
        more = None if accepting is None else accepting.of(logits, exact)
        chosen = scores.argmax(axis=1)
        rolling_up = deciding.rolling_up
        groups = [None] * len(chosen) if rolling_up is None else rolling_up.groups(exact, chosen)
        boxes = _fractions(table, listing)
        columns = zip(table["photo"], boxes, table["confidence"], table["place"], strict=True)
        for row, (photo, box, confidence, place) in enumerate(columns):
            animal = Animal(box=box, confidence=_number(confidence), place=None if pd.isna(place) else int(place))
            if row in part.problems:
                yield photo, animal, part.problems[row]
            else:
                scored = tuple(scores[row].tolist())
                answered = replace(animal, scores=scored, answer=int(chosen[row]), group=groups[row])
                yield photo, answered if more is None else replace(answered, **more[row]), None


def _means(listing: Listing, parts: Parts) -> dict[str, NDArray[np.float64]]:
    """The mean of the logits of each sequence."""
    total: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(0))
    count: dict[str, int] = defaultdict(int)
    sequences = listing.photos["sequence"]
    for number in range(parts.count):
        part = parts.read(number)
        photos = listing.regions["photo"].iloc[parts.rows(number).start : parts.rows(number).stop]
        for row, photo in enumerate(photos):
            name = sequences[photo]
            if row in part.problems or not isinstance(name, str):
                continue
            logits = part.logits[row].astype(np.float64)
            total[name] = logits if not count[name] else total[name] + logits
            count[name] += 1
    return {name: logits / count[name] for name, logits in total.items()}


def _fractions(table: pd.DataFrame, listing: Listing) -> list[Box | None]:
    """The boxes as fractions of the upright photo; None: the whole photo, or one that cannot be opened."""
    boxed = table[table["x"].notna()]
    if boxed.empty:
        return [None] * len(table)
    boxes: list[Box | None] = [
        None if pd.isna(box[0]) else (box[0], box[1], box[2], box[3])
        for box in table[BOX].itertuples(index=False, name=None)
    ]
    if listing.fractions:
        return boxes
    paths = listing.photos["path"].iloc[table["photo"]].tolist()
    headers = read_headers(pd.DataFrame({"path": paths, "x": table["x"].to_numpy()}), Path())
    return [_share(box, headers.get(path)) for path, box in zip(paths, boxes, strict=True)]


def _share(box: Box | None, header: object) -> Box | None:
    if box is None or not isinstance(header, Header):
        return None
    x, y, w, h = box
    return x / header.width, y / header.height, w / header.width, h / header.height


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: float) -> float | None:
    return None if pd.isna(value) else float(value)

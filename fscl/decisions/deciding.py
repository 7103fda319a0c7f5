"""What was chosen for a model, and how its logits become probabilities and answers by it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from fscl.config import Section
from fscl.decisions.parts import Accept, CrossFittedBias, MinorityThreshold, Sets, Temperature, Unknown
from fscl.scoring.conformal import prediction_sets
from fscl.scoring.thresholds import MIN_VALIDATION_PHOTOS, choose_threshold
from fscl.scoring.unknown import energy

UNSURE_BELOW = 0.6  # the probability of an answer that is hardly more than a guess between two


class Decisions(Section):
    """How the logits of a model become an answer; `decisions` of a bundle.

    Each part is a key of its own, and a part that is not there changes nothing: others can be added to it.

    Attributes:
        threshold: of the rare one of two classes; None where none was chosen.
        no_threshold: why none was chosen; None where there is one, and where there are more than two classes.
        bias: of every class, where validation has too few photos for a threshold; None where none was chosen.
        note: what the choice had to leave out.
        temperature: of the shifted logits; None: as they are.
        accept: which answers may be accepted unseen; None where nothing says.
        sets: of classes that a photo may show; None where there are none.
        unknown: which photos are like none of the classes; None where nothing says.
    """

    threshold: MinorityThreshold | None = None
    bias: CrossFittedBias | None = None
    no_threshold: str | None = None
    note: str | None = None
    temperature: Temperature | None = None
    accept: Accept | None = None
    sets: Sets | None = None
    unknown: Unknown | None = None

    @classmethod
    def fit(
        cls,
        logits: NDArray[np.floating],
        labels: NDArray[np.integer],
        *,
        classes: Sequence[str],
        minority: Sequence[str],
        photos: Mapping[str, int],
    ) -> "Decisions":
        """Choose on validation, where it has enough photos.

        Args:
            logits: (regions, classes).
            labels: (regions,), index into `classes`.
            classes: names, in the order of the logits.
            minority: the rare ones among them.
            photos: class → validation photos; boxes of one photo count once.

        >>> logits, labels = np.array([[0.0, -3.0], [0.0, -1.0]] * 20), np.array([0, 1] * 20)
        >>> given = {"classes": ["boar", "bear"], "minority": ["bear"]}
        >>> decisions = Decisions.fit(logits, labels, photos={"boar": 20, "bear": 20}, **given)
        >>> decisions.threshold.margin, decisions.apply(logits[:2], ["boar", "bear"])
        (-2.0, array([0, 1]))
        """
        reason = why_no_threshold(classes, minority, photos)
        if len(classes) != 2 or reason:
            return cls(no_threshold=reason)
        if not np.isfinite(logits).all():
            return cls(no_threshold="scores of validation photos are not finite")
        rare = classes.index(minority[0])
        margins = logits[:, rare].astype(np.float64) - logits[:, 1 - rare]
        margin = choose_threshold(margins, labels == rare)
        assert margin is not None, "both classes have validation photos"
        return cls(threshold=MinorityThreshold(minority=minority[0], margin=margin))

    def shifted(self, logits: NDArray[np.floating], classes: Sequence[str]) -> NDArray[np.float64]:
        """Return logits whose argmax is the decision; the ranking of photos within a class stays as it is."""
        shifted: NDArray[np.float64] = logits.astype(np.float64)
        if self.threshold is not None:
            shifted[:, classes.index(self.threshold.minority)] -= self.threshold.margin
        if self.bias is not None:
            shifted += [self.bias.bias[name] for name in classes]
        return shifted

    def probabilities(self, logits: NDArray[np.floating], classes: Sequence[str]) -> NDArray[np.float64]:
        """Return calibrated probabilities, (photos, classes), whose argmax is the decision."""
        by = 1.0 if self.temperature is None else self.temperature.value
        probabilities: NDArray[np.float64] = softmax(self.shifted(logits, classes) / by, axis=1)
        return probabilities

    def by_class(self) -> dict[str, Mapping[str, object]]:
        """Return what is said of each class, by the name of the part."""
        parts: dict[str, Mapping[str, object]] = {}
        if self.bias is not None:
            parts["bias"] = self.bias.bias
        if self.accept is not None:
            parts |= {"accept.species": self.accept.species, "accept.photos": self.accept.photos}
        if self.sets is not None:
            parts |= {"sets.quantiles": self.sets.quantiles, "sets.photos": self.sets.photos}
        return parts

    def at_argmax(self) -> "Decisions":
        """Return the same without threshold and bias: the answer is the argmax of the logits."""
        return Decisions(temperature=self.temperature, unknown=self.unknown)

    def in_sets(self, probabilities: NDArray[np.floating], classes: Sequence[str]) -> NDArray[np.bool_] | None:
        """Return which classes are in the set of each photo, (photos, classes); None without sets."""
        return None if self.sets is None else prediction_sets(probabilities, self.sets.bounds(classes))

    def like_none(self, logits: NDArray[np.floating]) -> NDArray[np.bool_] | None:
        """Return which photos are like none of the classes, (photos,); None where nothing says."""
        if self.unknown is None:
            return None
        by = 1.0 if self.temperature is None else self.temperature.value
        like_none: NDArray[np.bool_] = energy(logits, by) > self.unknown.threshold
        return like_none

    def apply(self, logits: NDArray[np.floating], classes: Sequence[str]) -> NDArray[np.intp]:
        """Return the class decided for, (photos,), index into `classes`; the argmax where nothing was chosen."""
        decided: NDArray[np.intp] = self.shifted(logits, classes).argmax(axis=1)
        return decided


def why_no_threshold(classes: Sequence[str], minority: Sequence[str], photos: Mapping[str, int]) -> str | None:
    """Say why no threshold can be chosen for two classes; None where one can, and for more classes.

    >>> why_no_threshold(["boar", "bear"], ["bear"], {"boar": 30, "bear": 7})
    'it takes 20 validation photos of each class, and there are 30 of boar and 7 of bear'
    """
    if len(classes) != 2:
        return None
    if len(minority) != 1:
        return "neither class is the rare one"
    if min(photos.values()) >= MIN_VALIDATION_PHOTOS:
        return None
    has = " and ".join(f"{photos[name]} of {name}" for name in classes)
    return f"it takes {MIN_VALIDATION_PHOTOS} validation photos of each class, and there are {has}"


def decisions_table(decisions: Decisions, logits: NDArray[np.floating], classes: Sequence[str]) -> pd.DataFrame:
    """Return what the decisions make of photos, a row each.

    Returns:
        `decision`, its calibrated `decision_probability`, and where the decisions say so `accepted`, `set` (names,
        with `|` between them) and `unknown`.

    >>> table = decisions_table(Decisions(), np.array([[0.0, 2.0]]), ["boar", "deer"])
    >>> table.round(2).to_dict("records")
    [{'decision': 'deer', 'decision_probability': 0.88}]
    """
    probabilities = decisions.probabilities(logits, classes)
    answers, scores = probabilities.argmax(axis=1), probabilities.max(axis=1, initial=0)
    table = pd.DataFrame({"decision": pd.Series([classes[place] for place in answers], dtype="str")})
    table["decision_probability"] = scores
    if decisions.accept is not None:
        table["accepted"] = pd.array(scores >= decisions.accept.bars(classes)[answers], dtype="boolean")
    inside, like_none = decisions.in_sets(probabilities, classes), decisions.like_none(logits)
    if inside is not None:
        table["set"] = pd.Series([set_name(row, classes) for row in inside], dtype="str")
    if like_none is not None:
        table["unknown"] = pd.array(like_none, dtype="boolean")
    return table


def set_name(inside: NDArray[np.bool_], classes: Sequence[str]) -> str:
    """Return the names of a set, with `|` between them.

    >>> set_name(np.array([True, False, True]), ["boar", "deer", "hare"])
    'boar|hare'
    """
    return "|".join(name for name, there in zip(classes, inside, strict=True) if there)

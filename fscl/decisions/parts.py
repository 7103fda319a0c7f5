"""The parts of a model's decisions, as `bundle.json` has them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit

from fscl.config import Section
from fscl.scoring.auto_accept import Rung, certify

Count = Annotated[int, Field(ge=0, le=2**53)]
Share = Annotated[float, Field(gt=0, lt=1)]
Unit = Literal["photos", "sequences"]


class MinorityThreshold(Section):
    """Of two classes: a photo shows the rare one where its logit exceeds the other's by more than `margin`."""

    minority: str
    margin: float

    @property
    def value(self) -> float:
        """The same as a probability of the rare class, in [0, 1]."""
        return float(expit(self.margin))


class CrossFittedBias(Section):
    """What is added to the logit of each class, chosen on training photos by models that had not seen them."""

    bias: dict[str, float]
    photos: int  # that it was chosen on
    folds: int  # into which these were divided; as many as photos: each was left out by itself

    @property
    def origin(self) -> str:
        """Where it is from, in words."""
        if self.folds == self.photos:
            return f"leave-one-out over {self.photos:,} training photos"
        return f"cross-fitted on {self.photos:,} training photos in {self.folds:,} folds"


class Temperature(Section):
    """By which logits are divided, once they are shifted, so that probabilities are right as often as they say."""

    value: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    photos: Count  # that it was fitted to
    origin: str


class AcceptRung(Section):
    """A bar that was tried, and the photos of each class above it; classes without one are left out."""

    score: float
    counts: dict[str, Count]


class AcceptedSpecies(Section):
    """From which probability on answers of a species may be accepted unseen, or why from none."""

    score: float | None
    accepted: Count = 0  # calibration photos at that bar
    wrong: Count = 0  # of these
    missed: Count = 0  # photos of the species that are not among them
    reason: str | None = None
    rungs: tuple[AcceptRung, ...] = ()


class Accept(Section):
    """Which answers may be accepted unseen: those whose precision is at least `target`, but for 1 − `confidence`."""

    target: Share
    confidence: Share
    unit: Unit  # that are counted
    photos: dict[str, Count]  # of each class
    origin: str
    species: dict[str, AcceptedSpecies]

    def bars(self, classes: Sequence[str], shares: Mapping[str, float] | None = None) -> NDArray[np.float64]:
        """Return from which probability on each class is accepted, (classes,); ∞: never.

        Args:
            classes: in the wanted order.
            shares: of the classes where the model is used; None: those of the calibration photos.
        """
        if shares is None:
            scores = (self.species[name].score for name in classes)
            return np.array([np.inf if score is None else score for score in scores])
        bars, photos = np.full(len(classes), np.inf), np.array([self.photos[name] for name in classes])
        for place, name in enumerate(classes):
            tried = [
                Rung(rung.score, np.array([rung.counts.get(other, 0) for other in classes]))
                for rung in self.species[name].rungs
            ]
            given = np.array([shares[other] for other in classes])
            bar = certify(tried, place, photos, target=self.target, confidence=self.confidence, shares=given)
            bars[place] = np.inf if bar is None else bar.score
        return bars


class Sets(Section):
    """Which classes are in the set of a photo: those with 1 − p of at most their quantile; None: in every set."""

    alpha: Share  # of the photos of each class that may be missed
    quantiles: dict[str, float | None]
    unit: Unit
    photos: dict[str, Count]
    origin: str

    def bounds(self, classes: Sequence[str]) -> NDArray[np.float64]:
        """Return the quantiles in the order of the classes, ∞ for none."""
        quantiles = (self.quantiles[name] for name in classes)
        return np.array([np.inf if quantile is None else quantile for quantile in quantiles])


class Unknown(Section):
    """Above which energy of its logits a photo is like none of the classes."""

    kind: Literal["energy"]
    threshold: float
    rate: Share  # of photos of known classes that are above it, at most
    photos: Count
    unit: Unit
    origin: str

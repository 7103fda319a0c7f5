"""How far a model can be relied on: parts of an evaluation."""

from dataclasses import field
from typing import Literal

from pydantic.dataclasses import dataclass

from fscl.records.values import CHECKED, Amount, Count

Span = tuple[float, float]  # of an interval: low, high


@dataclass(frozen=True, config=CHECKED)
class CalibrationErrors:
    """Of probabilities; None without photos."""

    ece: float | None
    classwise_ece: float | None
    brier: Amount | None


@dataclass(frozen=True, config=CHECKED)
class ReliabilityBin:
    """Photos to which a class was given a probability of one bin: its mean, and the share that is the class."""

    photos: Count
    probability: float
    share: float


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Calibration:
    """Probabilities as the model gives them, and as its decisions calibrate them."""

    temperature: Amount | None
    origin: str | None
    before: CalibrationErrors
    after: CalibrationErrors
    reliability: dict[str, list[ReliabilityBin]]  # after, by class


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class AcceptedAnswers:
    """Answers of a species at its certified bar, on the evaluated photos; or why no bar is certified."""

    score: float | None
    reason: str | None
    photos: Count  # of the species
    accepted: Count
    wrong: Count
    missed: Count
    curve: list[tuple[float, int, int]] = field(default_factory=list)  # bar, accepted, wrong


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Acceptance:
    """What auto-accepting would have done on the evaluated photos, species by species."""

    target: float
    confidence: float
    origin: str
    species: dict[str, AcceptedAnswers]

    def below_target(self) -> list[str]:
        """Return the certified species of whose accepted answers fewer than promised are right here."""
        certified = ((name, one) for name, one in self.species.items() if one.score is not None)
        return [name for name, one in certified if one.wrong > (1 - self.target) * one.accepted]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class SetCoverage:
    """Of sets that promise to hold the true class of all but `alpha` of the photos of each class."""

    alpha: float
    origin: str
    coverage: dict[str, float | None]
    without_promise: list[str]  # classes with too few calibration photos, which are in every set
    mean_size: float | None
    single: float | None  # share of sets of one class


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class LikeNone:
    """Of how many evaluated photos the model says that they are like none of its classes."""

    kind: Literal["energy"]
    rate: float  # promised of known classes, at most
    flagged: Count
    photos: Count


@dataclass(frozen=True, config=CHECKED)
class AnsweredAt:
    """How many answers were given at a rank (`class`, or one of the taxonomy), and how many hold the true class."""

    rank: str
    answered: Count
    right: Count


@dataclass(frozen=True, config=CHECKED)
class Credit:
    """Partial credit, the mean over the photos of each class, and over the classes; None without photos."""

    by_class: dict[str, float | None]
    balanced: float | None
    wrong: Count  # answers without the true class


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class RollUp:
    """Unsure answers rolled up along a taxonomy, and the same photos without that."""

    unsure_below: float
    ranks: list[AnsweredAt]  # sure answers, from `class` to the coarsest rank
    unsure: AnsweredAt  # those that no rank makes sure; its rank is `class`
    credit: Credit
    without: Credit  # every answer a class, also the unsure ones

    @property
    def photos(self) -> int:
        """How many answers there are."""
        return sum(one.answered for one in (*self.ranks, self.unsure))


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class FigureIntervals:
    """95 % intervals of figures at argmax, were other groups drawn; None where undefined."""

    unit: Literal["sites", "sequences", "photos"]
    groups: dict[str, Count]  # by class
    balanced_accuracy: Span | None
    auroc: Span | None
    recall: dict[str, Span | None]
    precision: dict[str, Span | None]
    note: str | None = None

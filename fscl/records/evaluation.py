"""`evaluation.json`, and the same object in a cell: what one model scored on photos."""

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fscl.records.reliance import Acceptance, Calibration, FigureIntervals, LikeNone, RollUp, SetCoverage
from fscl.records.values import CHECKED, Amount, Count

# Of predictions.csv, beside one for each class.
PREDICTION_COLUMNS = (
    *("filepath", "region", "x", "y", "w", "h", "label", "prediction", "probability", "problem"),
    *("decision", "decision_probability", "accepted", "set", "unknown"),
)


@dataclass(frozen=True, config=CHECKED)
class Metrics:
    """The metrics of one evaluation, each in [0, 1] (log losses in nats); None where undefined."""

    minority_recall: float | None
    majority_recall: float | None
    balanced_accuracy: float | None
    macro_f1: float | None
    accuracy: float | None
    auroc: float | None
    average_precision: float | None
    ece: float | None
    log_loss: Amount | None
    balanced_log_loss: Amount | None
    recall_by_class: dict[str, float | None]
    recall_by_bin: dict[str, float | None]
    recall_by_shot: dict[str, float | None] = field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """Return the metric `name`, or the recall of the bin `name` (`<10` … `>=1000`, `many`, `medium`, `few`)."""
        bins = self.recall_by_bin | self.recall_by_shot
        if name in bins:
            return bins[name]
        metric: float | None = getattr(self, name, None)
        return metric


@dataclass(frozen=True, config=CHECKED)
class Threshold:
    """The score of the minority, chosen on validation, above which a photo counts as one; metrics at it."""

    value: float
    figures: Metrics


@dataclass(frozen=True, config=CHECKED)
class Bias:
    """What is added to the logit of each class, where it is from, and the metrics of the decisions that it gives."""

    value: dict[str, float]
    origin: str
    figures: Metrics


@dataclass(frozen=True, config=CHECKED)
class Failed:
    """A photo that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True, config=CHECKED)
class Amounts:
    """How many rows of a table, and how many photos they show."""

    rows: Count
    photos: Count


@dataclass(frozen=True, config=CHECKED)
class Reason:
    """Why rows cannot be used, how many, and up to three of their paths."""

    reason: str
    rows: Count
    paths: list[str]


@dataclass(frozen=True, config=CHECKED)
class Unusable:
    """How many rows cannot be used, and why, most rows first."""

    rows: Count
    reasons: list[Reason]


@dataclass(frozen=True, config=CHECKED)
class Difference:
    """Balanced accuracy of the evaluated model less that of another; regions that one of them alone names rightly."""

    value: float
    differ: Count
    p: Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Beside:
    """What another model scored on the photos of an evaluation, or why it is not there."""

    kind: Literal["start", "earlier"]
    what: str  # in words
    photos: Count = 0
    left_out: Count = 0
    figures: Metrics | None = None
    same_photos: Metrics | None = None
    difference: Difference | None = None
    note: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.figures is None) != (self.difference is None) or (self.figures is None) != (self.reason is not None):
            raise ValueError("beside: expected figures and a difference, or a reason why there are none")


@dataclass(frozen=True, config=CHECKED)
class Provenance:
    """Where metrics come from; what is not known, or a cell never reached, is None."""

    created: str | None = None
    seconds: Amount | None = None
    photos_per_second: Amount | None = None
    steps: Count | None = None
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    commit: str | None = None
    config_sha256: str | None = None


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Evaluation:
    """What one model scored on photos. What an earlier version did not write is None, or empty."""

    version: Literal[1]
    split: str = "test"
    classes: Annotated[list[str], Field(min_length=2)]
    minority: list[str] = field(default_factory=list)
    train_counts: dict[str, Count] = field(default_factory=dict)
    train_photos: dict[str, Count] | None = None
    counts: dict[str, Count]
    photos: dict[str, Count] | None = None
    figures: Metrics
    threshold: Threshold | None
    no_threshold: str | None = None
    bias: Bias | None = None
    confusion: list[list[Count]]  # rows true, columns predicted
    not_evaluable: list[str] = field(default_factory=list)
    failed: list[Failed]
    left_out: dict[str, Count] = field(default_factory=dict)
    given: Amounts | None = None
    provenance: Provenance | None = None
    scored: Amounts | None = None
    unusable: Unusable | None = None
    beside: list[Beside] = field(default_factory=list)
    note: str | None = None
    calibration: Calibration | None = None
    accept: Acceptance | None = None
    sets: SetCoverage | None = None
    unknown: LikeNone | None = None
    intervals: FigureIntervals | None = None
    rollup: RollUp | None = None

    def __post_init__(self) -> None:
        size = len(self.classes)
        if [len(row) for row in self.confusion] != [size] * size:
            raise ValueError(f"confusion: expected {size} rows of {size}, one for each class")
        if set(self.counts) != set(self.classes):
            raise ValueError("counts: expected one for each class")

    def by_decision(self) -> dict[str, Metrics]:
        """Return the metrics at `argmax` and, where one was chosen, at the `threshold` or the `bias`."""
        chosen = {"threshold": self.threshold, "bias": self.bias}
        return {"argmax": self.figures} | {name: choice.figures for name, choice in chosen.items() if choice}

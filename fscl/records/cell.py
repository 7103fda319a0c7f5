"""`cells/CELL.json`: one training run of a study, and its result."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer
from pydantic.dataclasses import dataclass

from fscl.config import Method
from fscl.records.evaluation import Evaluation, Failed, Provenance
from fscl.records.values import CHECKED, Amount, Cosine, Count, Epoch, Pair, Ratio, Seed

ALWAYS = ("version", "cell", "method", "status", "reason")  # what is written of a cell that is not done


@dataclass(frozen=True, config=CHECKED)
class Curve:
    """Training loss and its unweighted terms over the steps; a term is None where it was not trained with."""

    step: list[Count]
    loss: list[float]
    terms: dict[str, list[float | None]]

    def __post_init__(self) -> None:
        _check_lengths(self.step, {"loss": self.loss, **self.terms})


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ValidationCurve:
    """Validation metrics over the epochs; None where undefined."""

    epoch: list[Count]
    lacking: list[str] | None = None  # classes without validation photos; None in a cell of an earlier version
    balanced_accuracy: list[float | None]
    balanced_log_loss: list[Amount | None]
    minority_recall: list[float | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        given = {"balanced_accuracy": self.balanced_accuracy, "balanced_log_loss": self.balanced_log_loss}
        _check_lengths(
            self.epoch, given | ({"minority_recall": self.minority_recall} if self.minority_recall else {})
        )


@dataclass(frozen=True, config=CHECKED)
class CosineMatrices:
    """Cosines between features of a few test photos, before and after training: `similarity` of a cell.

    A layer's list is the upper triangle of its matrix without the diagonal, row by row, as
    `scipy.spatial.distance.squareform` takes it.
    """

    region_id: list[str]
    label: list[str]  # class by class
    before: dict[str, list[Cosine]]
    after: dict[str, list[Cosine]]

    def __post_init__(self) -> None:
        pairs = len(self.label) * (len(self.label) - 1) // 2
        given = {len(cosines) for layers in (self.before, self.after) for cosines in layers.values()}
        if given != {pairs} or self.before.keys() != self.after.keys():
            raise ValueError(f"expected {pairs} cosines for {len(self.label)} photos, in each layer before and after")


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class CellKey:
    """Which cell of a study this is: one training run, at majority : minority = 1 : ratio.

    In a long tail, which has a `profile`, `imbalance` is its largest class : smallest class, and `ratio` the inverse.
    """

    pair: Pair
    classes: tuple[str, ...]
    minority: tuple[str, ...]
    base: Count | None = None  # training photos of each common class; None where photos stay as they are
    method: str
    ratio: Ratio
    seed: Seed
    profile: str | None = None
    imbalance: float | None = None

    @property
    def name(self) -> str:
        """Name of the cell's files.

        >>> key = CellKey(pair="fine", classes=("a", "b"), minority=("b",), method="fscl", ratio=0.01, seed=0)
        >>> key.name
        'fine-fscl-r0.01-s0'
        >>> from dataclasses import replace
        >>> replace(key, pair="all", profile="exp", imbalance=100).name
        'all-fscl-exp100-s0'
        """
        thinned = f"r{self.ratio:g}" if self.profile is None else f"{self.profile}{1 / self.ratio:g}"
        return f"{self.pair}-{self.method}-{thinned}-s{self.seed}"

    @model_serializer(mode="wrap")
    def _without_the_long_tail_of_others(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = dump(self)
        return plain if self.profile else {k: v for k, v in plain.items() if k not in ("profile", "imbalance")}


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class CellRecord:
    """`cells/CELL.json`: a method trained on one subset with one seed, or why there are no metrics."""

    version: Literal[1]
    cell: CellKey
    method: Method
    status: Literal["done", "undefined", "failed"]
    reason: str | None = None
    train_counts: dict[str, Count] = field(default_factory=dict)
    kept: Epoch = "last"
    evaluations: dict[Epoch, Evaluation] = field(default_factory=dict)
    curve: Curve | None = None
    validation_curve: ValidationCurve | None = None
    similarity: CosineMatrices | None = None
    unreadable: list[Failed] = field(default_factory=list)  # of training and validation
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        if self.status == "done" and "last" not in self.evaluations:
            raise ValueError("a cell that is done has an evaluation of its last epoch")
        classes = set(self.cell.classes)
        if len(classes) < 2 or len(classes) < len(self.cell.classes) or not set(self.cell.minority) < classes:
            raise ValueError("cell.classes: expected two or more, each once, some of them in cell.minority")
        if any(set(evaluation.classes) != classes for evaluation in self.evaluations.values()):
            raise ValueError("evaluations: expected the classes of the cell")

    @model_serializer(mode="wrap")
    def _what_it_reached(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = dump(self)
        return plain if self.status == "done" else {key: plain[key] for key in ALWAYS}

    @property
    def result(self) -> Evaluation | None:
        """The evaluation of the epoch that the recipe keeps; of the last where no best one was chosen."""
        return self.evaluations.get(self.kept) or self.evaluations.get("last")


def _check_lengths(along: list[int], given: Mapping[str, list[Any]]) -> None:
    for name, values in given.items():
        if len(values) != len(along):
            raise ValueError(f"{name}: expected {len(along)} values, one for each step or epoch, got {len(values)}")

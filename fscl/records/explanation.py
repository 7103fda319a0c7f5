"""`explain.json`: why a model says what it says, photo by photo and layer by layer."""

from dataclasses import field
from typing import Literal

from pydantic.dataclasses import dataclass

from fscl.records.evaluation import Failed
from fscl.records.values import CHECKED, Cosine, Count

Share = float | None


@dataclass(frozen=True, config=CHECKED)
class Near:
    """A training photo that is similar to an explained one."""

    path: str
    region: str
    label: str
    similarity: Cosine
    picture: str | None = None  # None: it can no longer be read


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class ExplainedPhoto:
    """A photo, what the model says of it, where it looked, and the training photos most similar to it."""

    path: str
    region: str | None = None  # None: the whole photo of no manifest
    label: str | None = None  # None: not known
    answer: str
    probability: float
    runner_up: str
    runner_up_probability: float
    picture: str
    heat_map: str | None = None  # None: the backbone has no maps, or nothing in them speaks for the answer
    nearest: list[Near] = field(default_factory=list)


@dataclass(frozen=True, config=CHECKED)
class LayerMatrices:
    """Cosines between the features of a few test photos, a layer each; as in `CosineMatrices`, of one model."""

    region_id: list[str]
    label: list[str]
    layers: dict[str, list[Cosine]]

    def __post_init__(self) -> None:
        pairs = len(self.label) * (len(self.label) - 1) // 2
        if any(len(cosines) != pairs for cosines in self.layers.values()):
            raise ValueError(f"expected {pairs} cosines for {len(self.label)} photos, in each layer")


@dataclass(frozen=True, config=CHECKED)
class Embedding:
    """Test photos in the plane, neighbours in the features of a layer beside each other."""

    region_id: list[str]
    label: list[str]
    answer: list[str]
    layers: dict[str, list[tuple[float, float]]]

    def __post_init__(self) -> None:
        given = {len(self.label), len(self.answer), *(len(places) for places in self.layers.values())}
        if given != {len(self.region_id)}:
            raise ValueError(f"expected {len(self.region_id)} photos in each list")


@dataclass(frozen=True, config=CHECKED)
class Tightness:
    """How close the features of classes are, mean over them; None where undefined. See `fscl/scoring/collapse.py`."""

    within_cosine: Share
    between_cosine: Share
    scatter_ratio: Share


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class LayerMeasures:
    """How a layer holds the classes apart."""

    by_class: dict[str, Tightness]
    common: Tightness
    rare: Tightness
    mean_cosine: Share  # between the means of two classes, mean over all pairs
    mean_cosines: list[Cosine]  # between each two class means, as `LayerMatrices`; empty where a class is missing


@dataclass(frozen=True, config=CHECKED)
class CurvePoint:
    """What training noted of the features at the end of an epoch, layer by layer."""

    epoch: Count
    step: Count
    layers: dict[str, dict[str, float | None]]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class LabelToCheck:
    """A photo whose label disagrees with its neighbours and with a model that was not trained on it."""

    path: str
    region: str
    split: str | None
    label: str
    suggested: str
    score: float
    agree: Count  # neighbours of the same label
    neighbours: Count  # that were asked
    picture: str | None = None


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class Explanation:
    """`explain.json`."""

    version: Literal[1]
    run: str
    backbone: str
    classes: list[str]
    minority: list[str]
    train_counts: dict[str, Count]
    chosen: str  # how the photos were chosen, in words
    photos: list[ExplainedPhoto]
    failed: list[Failed]
    matrices: LayerMatrices | None = None
    embedding: Embedding | None = None
    measures: dict[str, LayerMeasures] = field(default_factory=dict)
    measured_on: Count = 0
    curve: list[CurvePoint] = field(default_factory=list)
    labels_to_check: list[LabelToCheck] | None = None  # None: not asked for
    labels_checked: Count = 0
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

"""The metadata of an exported model: all that predicting takes beside the graph, and what the checks of it gave."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from fscl.bundle import Architecture, Count, check_classes
from fscl.config import Preprocessing, Section
from fscl.decisions import Decisions
from fscl.errors import BundleError, in_words, shown

VERSION: Literal[1] = 1
KEY = "fscl"  # of the metadata
EXPORT_AGAIN = "export the run again with fscl export"
Share = Annotated[float, Field(ge=0, le=1)]


class OnnxCheck(Section):
    """What came of checking the exported model against PyTorch."""

    photos: Annotated[int, Field(ge=1)]
    origin: str  # which these are, in words
    largest_difference: Share  # of a probability
    changed: Count  # answers


class SpeciesLoss(Section):
    """How many photos of a species are named so by float32 and by int8."""

    photos: Annotated[int, Field(ge=1)]
    before: Count
    after: Count

    @property
    def loss(self) -> float:
        """How much of the recall is lost; below 0 where int8 finds more."""
        return (self.before - self.after) / self.photos


class Int8Loss(Section):
    """What int8 loses against float32."""

    photos: Annotated[int, Field(ge=1)]
    origin: str
    calibrated_on: str
    largest_difference: Share
    mean_difference: Share
    changed: Count
    labelled: bool  # else the classes of photos are those that float32 names
    species: dict[str, SpeciesLoss]


class OnnxRecord(Section):
    """The metadata of an exported model, as it is written and read; docs/schema.md has every key."""

    format: Literal["fscl-onnx"]
    version: Literal[1]
    classes: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=2)]
    minority: tuple[str, ...]
    train_counts: dict[str, Count]
    preprocessing: Preprocessing
    model: Architecture
    decisions: Decisions | None
    method: str | None
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    precision: Literal["float32", "int8"]
    checked: OnnxCheck
    loss: Int8Loss | None
    created: str
    versions: dict[str, str]

    @model_validator(mode="after")
    def _agrees(self) -> "OnnxRecord":
        check_classes(self.classes, self.minority, self.train_counts, self.decisions)
        if (self.precision == "int8") != (self.loss is not None):
            raise ValueError("loss: expected of int8, and of nothing else")
        if self.loss is not None and not set(self.loss.species) <= set(self.classes):
            raise ValueError("loss.species: expected some of the classes")
        return self


def read_record(metadata: Mapping[str, str], name: str) -> OnnxRecord:
    """Return the record of a model's metadata; messages call the model by `name`.

    Raises:
        BundleError: no record, one of another version, or a damaged one.
    """
    if KEY not in metadata:
        raise BundleError(f"{name}: ONNX, but not a model of ours: expected metadata '{KEY}', as fscl export writes")
    try:
        return OnnxRecord.model_validate_json(metadata[KEY], strict=True)
    except ValidationError as error:
        problems = {problem["loc"]: problem for problem in reversed(error.errors())}
        if unknown := problems.get(("version",)):
            version = "none" if unknown["type"] == "missing" else shown(unknown["input"])
            raise BundleError(f"{name}: version {version}, this fscl reads version {VERSION}; update fscl") from None
        why = in_words(error.errors()[0])
        raise BundleError(f"{name}: metadata '{KEY}' is damaged: {why}; {EXPORT_AGAIN}") from None

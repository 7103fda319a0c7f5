"""`study.json`: what a study was asked to run, and what all of its cells share."""

from dataclasses import field
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from fscl.errors import shown
from fscl.records.evaluation import Amounts, Unusable
from fscl.records.values import CHECKED, Pair, Ratio, Seed


@dataclass(frozen=True, config=CHECKED)
class Axes:
    """What the study was asked to run: every combination is a cell."""

    pairs: dict[Pair, list[str]]
    methods: list[str]
    ratios: list[Ratio]
    seeds: list[Seed]


@dataclass(frozen=True, kw_only=True, config=CHECKED)
class StudyHeader:
    """`study.json`: what all cells share."""

    version: Literal[1]
    title: str
    photos: Literal["real", "generated"]
    settings: dict[str, Any] = field(default_factory=dict)  # `section.key` → value
    axes: Axes
    commit: str | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    command: str | None = None
    given: Amounts | None = None
    unusable: Unusable | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, value in self.settings.items():
            if name.startswith("base.") and value is not None and (type(value) is not int or value < 1):
                raise ValueError(f"settings: expected a number of photos as {name}, got {shown(value)}")

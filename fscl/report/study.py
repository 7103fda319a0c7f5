"""A study folder as frozen objects: `study.json` and `cells/*.json`, checked while they are read."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import field
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from fscl.config import Method
from fscl.errors import OutputError, in_words, shown

VERSION = 1
CHECKED = ConfigDict(allow_inf_nan=False)
Amount = Annotated[float, Field(ge=0)]
Cosine = Annotated[float, Field(ge=-1 - 1e-9, le=1 + 1e-9)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Pair = Literal["fine", "coarse", "all"]
PAIRS: tuple[Pair, ...] = get_args(Pair)
Parsed = TypeVar("Parsed")


@dataclass(frozen=True, config=CHECKED)
class Figures:
    """The figures of one evaluation, each in [0, 1] (log losses in nats); None where undefined."""

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
        """Return the figure `name`, or the recall of the bin `name` (`<10` … `>=1000`, `many`, `medium`, `few`)."""
        bins = self.recall_by_bin | self.recall_by_shot
        if name in bins:
            return bins[name]
        figure: float | None = getattr(self, name, None)
        return figure


@dataclass(frozen=True, config=CHECKED)
class Threshold:
    """The score of the minority, chosen on validation, above which a photo counts as one; figures at it."""

    value: float
    figures: Figures


@dataclass(frozen=True, config=CHECKED)
class Failed:
    """A photo that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True, config=CHECKED)
class Evaluation:
    """What one model scored on the test photos."""

    classes: Annotated[list[str], Field(min_length=2)]
    counts: dict[str, Count]
    figures: Figures
    threshold: Threshold | None
    confusion: list[list[Count]]  # rows true, columns predicted
    failed: list[Failed]

    def __post_init__(self) -> None:
        size = len(self.classes)
        if [len(row) for row in self.confusion] != [size] * size:
            raise ValueError(f"confusion: expected {size} rows of {size}, one for each class")
        if set(self.counts) != set(self.classes):
            raise ValueError("counts: expected one for each class")

    def decisions(self) -> dict[str, Figures]:
        """Return the figures at `argmax` and, where one was chosen, at the `threshold`."""
        return {"argmax": self.figures} | ({"threshold": self.threshold.figures} if self.threshold else {})


@dataclass(frozen=True, config=CHECKED)
class Curve:
    """Training loss and its unweighted terms over the steps; a term is None where it was not trained with."""

    step: list[Count]
    loss: list[float]
    terms: dict[str, list[float | None]]

    def __post_init__(self) -> None:
        _check_lengths(self.step, {"loss": self.loss, **self.terms})


@dataclass(frozen=True, config=CHECKED)
class ValidationCurve:
    """Validation figures over the epochs; None where undefined."""

    epoch: list[Count]
    balanced_accuracy: list[float | None]
    balanced_log_loss: list[Amount | None]
    minority_recall: list[float | None] = field(default_factory=list)
    lacking: list[str] | None = None  # classes without validation photos; None in a cell of an earlier version

    def __post_init__(self) -> None:
        given = {"balanced_accuracy": self.balanced_accuracy, "balanced_log_loss": self.balanced_log_loss}
        _check_lengths(
            self.epoch, given | ({"minority_recall": self.minority_recall} if self.minority_recall else {})
        )


@dataclass(frozen=True, config=CHECKED)
class Similarity:
    """Cosines between features of a few test photos, before and after training.

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


@dataclass(frozen=True, config=CHECKED)
class Provenance:
    """Where a cell's figures come from; what a cell never reached is None."""

    created: str | None = None
    seconds: Amount | None = None
    photos_per_second: Amount | None = None
    steps: Count | None = None
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    commit: str | None = None
    config_sha256: str | None = None


@dataclass(frozen=True, config=CHECKED)
class Key:
    """Which cell of the study this is."""

    pair: Pair
    classes: list[str]
    minority: list[str]
    method: str
    ratio: Annotated[float, Field(gt=0, le=1e9)]
    seed: Annotated[int, Field(ge=0)]
    base: Count | None = None  # training photos of each common class; None where photos stay as they are
    profile: str | None = None  # of a long tail, whose smallest class : largest is the ratio

    def __str__(self) -> str:
        thinned = f"r{self.ratio:g}" if self.profile is None else f"{self.profile}{1 / self.ratio:g}"
        return f"{self.pair}-{self.method}-{thinned}-s{self.seed}"


@dataclass(frozen=True, config=CHECKED)
class Cell:
    """One finished cell: a method trained on one subset with one seed, or why it has no figures."""

    version: Literal[1]
    cell: Key
    status: Literal["done", "undefined", "failed"]
    method: Method
    reason: str | None = None
    train_counts: dict[str, Count] = field(default_factory=dict)
    kept: Literal["last", "best"] = "last"
    evaluations: dict[Literal["last", "best"], Evaluation] = field(default_factory=dict)
    curve: Curve | None = None
    validation_curve: ValidationCurve | None = None
    similarity: Similarity | None = None
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        if self.status == "done" and "last" not in self.evaluations:
            raise ValueError("a cell that is done has an evaluation of its last epoch")
        classes = set(self.cell.classes)
        if len(classes) < 2 or len(classes) < len(self.cell.classes) or not set(self.cell.minority) < classes:
            raise ValueError("cell.classes: expected two or more, each once, some of them in cell.minority")
        if any(set(evaluation.classes) != classes for evaluation in self.evaluations.values()):
            raise ValueError("evaluations: expected the classes of the cell")

    @property
    def result(self) -> Evaluation | None:
        """The evaluation of the epoch that the recipe keeps; of the last where no best one was chosen."""
        return self.evaluations.get(self.kept) or self.evaluations.get("last")


@dataclass(frozen=True, config=CHECKED)
class Axes:
    """What the study was asked to run: every combination is a cell."""

    pairs: dict[Pair, list[str]]
    methods: list[str]
    ratios: list[Annotated[float, Field(gt=0, le=1e9)]]
    seeds: list[Annotated[int, Field(ge=0)]]


@dataclass(frozen=True, config=CHECKED)
class Header:
    """`study.json`: what all cells share."""

    version: Literal[1]
    title: str
    photos: Literal["real", "generated"]
    axes: Axes
    settings: dict[str, Any] = field(default_factory=dict)  # `section.key` → value
    commit: str | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    command: str | None = None

    def __post_init__(self) -> None:
        for name, value in self.settings.items():
            if name.startswith("base.") and value is not None and (type(value) is not int or value < 1):
                raise ValueError(f"settings: expected a number of photos as {name}, got {shown(value)}")


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """A study and its finished cells, in the order of the axes: pair, ratio (1:1 first), method, seed."""

    header: Header
    cells: tuple[Cell, ...]
    folder: Path | None = None  # where the scores of single photos are

    @property
    def pairs(self) -> list[Pair]:
        """The pairs that have a cell."""
        present = {cell.cell.pair for cell in self.cells}
        return [pair for pair in PAIRS if pair in present]

    @property
    def methods(self) -> list[str]:
        """The methods asked for, then those that only a cell knows."""
        return list(dict.fromkeys([*self.header.axes.methods, *(cell.cell.method for cell in self.cells)]))

    @property
    def profile(self) -> str | None:
        """The profile that all cells are thinned to; None where they are thinned to a ratio or not at all."""
        return self.cells[0].cell.profile

    def ratios(self, pair: Pair) -> list[float]:
        """Return the ratios of a pair, from balanced to rarest.

        They are those asked for; where photos stay as they are, each pair has the one ratio that its photos have.
        """
        own = {cell.cell.ratio for cell in self.select(pair)}
        as_they_are = bool(own) and all(cell.cell.base is None for cell in self.select(pair))
        return sorted(own if as_they_are else own.union(self.header.axes.ratios), reverse=True)

    def recipe(self, method: str) -> Method | None:
        """Return what the cells say of a method; None before its first cell is finished."""
        return next((cell.method for cell in self.cells if cell.cell.method == method), None)

    def title(self, method: str) -> str:
        """Return the display title of a method."""
        recipe = self.recipe(method)
        return recipe.title if recipe else method

    def select(self, pair: Pair | None = None, ratio: float | None = None, method: str | None = None) -> list[Cell]:
        """Return the cells of a pair, ratio and method; None takes all."""
        return [
            cell
            for cell in self.cells
            if pair in (None, cell.cell.pair)
            and ratio in (None, cell.cell.ratio)
            and method in (None, cell.cell.method)
        ]

    def by_method(self, pair: Pair, ratio: float) -> dict[str, list[Cell]]:
        """Return the cells of a pair and ratio, a list for every method of the study."""
        return {method: self.select(pair, ratio, method) for method in self.methods}

    def missing(self) -> Iterator[str]:
        """Yield the names of the cells that were asked for and are not there yet."""
        axes = self.header.axes
        finished = {str(cell.cell) for cell in self.cells}
        for pair in axes.pairs:
            for ratio, method, seed in product(self.ratios(pair), axes.methods, axes.seeds):
                name = str(Key(pair, [], [], method, ratio, seed, profile=self.profile))
                if name not in finished:
                    yield name


def read_study(folder: Path) -> Study:
    """Read `study.json` and the finished cells of a study folder.

    Args:
        folder: as written by `fscl compare`.

    Raises:
        OutputError: the folder is no study, has no finished cell, or holds a damaged file, which is named.

    >>> read_study(Path("no/such/study"))
    Traceback (most recent call last):
    fscl.errors.OutputError: expected a study folder with study.json, got no/such/study; fscl compare writes one
    """
    path = folder / "study.json"
    if not path.is_file():
        raise OutputError(f"expected a study folder with study.json, got {folder}; fscl compare writes one")
    header = read_header(path)
    paths = sorted((folder / "cells").glob("[!.]*.json"))
    cells = {path: read_cell(path) for path in paths}
    if not cells:
        raise OutputError(f"expected a finished cell in {folder / 'cells'}, got none; let fscl compare finish one")
    _check_together(cells)
    methods = list(dict.fromkeys([*header.axes.methods, *(cell.cell.method for cell in cells.values())]))
    in_order = sorted(
        cells.values(),
        key=lambda cell: (
            PAIRS.index(cell.cell.pair),
            -cell.cell.ratio,
            methods.index(cell.cell.method),
            cell.cell.seed,
        ),
    )
    return Study(header, tuple(in_order), folder)


class DamagedError(OutputError):
    """A file of a study that is not what was written."""


def read_header(path: Path) -> Header:
    """Read a `study.json`.

    Raises:
        OutputError: damaged, or of another version.
    """
    return _parse(_HEADER, path, "write it again with fscl compare")


def read_cell(path: Path) -> Cell:
    """Read the file of a cell.

    Raises:
        OutputError: of another version; a `DamagedError` where it is damaged.
    """
    return _parse(_CELL, path, "delete it and run fscl compare again, which runs only what is missing")


_HEADER, _CELL = TypeAdapter(Header), TypeAdapter(Cell)


def _parse(adapter: TypeAdapter[Parsed], path: Path, fix: str) -> Parsed:
    try:
        return adapter.validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        problems = error.errors()
        unknown = next((problem for problem in problems if problem["loc"] == ("version",)), None)
        if unknown is not None and unknown["type"] != "missing":
            version = f"expected version {VERSION}, got {shown(unknown['input'])}"
            raise OutputError(f"{path}: {version}; read it with the fscl that wrote it") from None
        raise DamagedError(f"{path} is damaged: {in_words(problems[0])}; {fix}") from None


def _check_lengths(along: list[int], given: Mapping[str, list[Any]]) -> None:
    for name, values in given.items():
        if len(values) != len(along):
            raise ValueError(f"{name}: expected {len(along)} values, one for each step or epoch, got {len(values)}")


def _check_together(cells: Mapping[Path, Cell]) -> None:
    """Make sure that no cell is there twice and that those of a pair tell the same classes apart."""
    first: dict[str, Path] = {}
    classes: dict[Pair, tuple[set[str], str | None]] = {}
    for path, cell in cells.items():
        key = cell.cell
        if str(key) in first:
            raise DamagedError(f"{path}: the cell {key} is also in {first[str(key)].name}; delete one of the two")
        first[str(key)] = path
        if classes.setdefault(key.pair, (set(key.classes), key.profile)) != (set(key.classes), key.profile):
            raise DamagedError(f"{path}: has other classes than the cells beside it; delete it and run fscl compare")

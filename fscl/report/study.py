"""A study folder as one object: its header and its cells, in the order of the axes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from fscl.config import Method
from fscl.errors import OutputError
from fscl.records import PAIRS, CellKey, CellRecord, DamagedError, Pair, StudyHeader, read_cell, read_header

STUDY = "study.json"


@dataclass(frozen=True, eq=False)
class Study:
    """A study and its finished cells, in the order of the axes: pair, ratio (1:1 first), method, seed."""

    header: StudyHeader
    cells: tuple[CellRecord, ...]
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

    @property
    def unreadable(self) -> dict[str, str]:
        """The photos that a cell could not read, in training, validation or test: path → reason."""
        return {
            photo.path: photo.reason
            for cell in self.cells
            for photos in (cell.unreadable, *(evaluation.failed for evaluation in cell.evaluations.values()))
            for photo in photos
        }

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

    def select(
        self, pair: Pair | None = None, ratio: float | None = None, method: str | None = None
    ) -> list[CellRecord]:
        """Return the cells of a pair, ratio and method; None takes all."""
        return [
            cell
            for cell in self.cells
            if pair in (None, cell.cell.pair)
            and ratio in (None, cell.cell.ratio)
            and method in (None, cell.cell.method)
        ]

    def by_method(self, pair: Pair, ratio: float) -> dict[str, list[CellRecord]]:
        """Return the cells of a pair and ratio, a list for every method of the study."""
        return {method: self.select(pair, ratio, method) for method in self.methods}

    def missing(self) -> Iterator[str]:
        """Yield the names of the cells that were asked for and are not there yet."""
        axes = self.header.axes
        finished = {cell.cell.name for cell in self.cells}
        for pair in axes.pairs:
            for ratio, method, seed in product(self.ratios(pair), axes.methods, axes.seeds):
                key = CellKey(
                    pair=pair,
                    classes=tuple(axes.pairs[pair]),
                    minority=(),
                    method=method,
                    ratio=ratio,
                    seed=seed,
                    profile=self.profile,
                )
                if key.name not in finished:
                    yield key.name


def is_study(folder: Path) -> bool:
    """Tell the folder of a study from that of a run."""
    return (folder / STUDY).is_file()


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
    path = folder / STUDY
    if not is_study(folder):
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


def _check_together(cells: Mapping[Path, CellRecord]) -> None:
    """Make sure that no cell is there twice and that those of a pair tell the same classes apart."""
    first: dict[str, Path] = {}
    classes: dict[Pair, tuple[set[str], str | None]] = {}
    for path, cell in cells.items():
        key = cell.cell
        if key.name in first:
            raise DamagedError(
                f"{path}: the cell {key.name} is also in {first[key.name].name}; delete one of the two"
            )
        first[key.name] = path
        if classes.setdefault(key.pair, (set(key.classes), key.profile)) != (set(key.classes), key.profile):
            raise DamagedError(f"{path}: has other classes than the cells beside it; delete it and run fscl compare")

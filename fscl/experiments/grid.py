"""Which cells a comparison has: pairs × ratios, or imbalances of a long tail, × methods × seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import floor

from pydantic import ValidationError

from fscl.errors import ConfigurationError, in_words
from fscl.manifest.imbalance import MIN_MINORITY_PHOTOS, ROUNDING
from fscl.records import CellKey, Pair
from fscl.scanning.class_names import parts_of_pair

STUDY_RATIOS = (1.0, 0.1, 0.01, 0.005, 0.001)
LONG_TAIL = "exp"  # the profile of a cell that is thinned to an imbalance


@dataclass(frozen=True)
class ClassSet:
    """Classes to tell apart, and which of them are rare.

    `name` is `fine` (they look alike), `coarse` (they do not) or `all`; `base` is the training photos of a majority
    class, or of the first class of a long tail, None where the photos stay as they are and are not thinned.
    """

    name: Pair
    classes: tuple[str, ...]
    minority: tuple[str, ...]
    base: int | None = None

    @classmethod
    def parse(cls, name: Pair, text: str) -> "ClassSet":
        """Read `MAJORITY:MINORITY`; a colon that belongs to a name is written `\\:`.

        Raises:
            ConfigurationError: not two class names.

        >>> ClassSet.parse("fine", "water_deer:roe_deer").minority
        ('roe_deer',)
        """
        names = parts_of_pair(text)
        if len(names) != 2 or not all(names) or names[0] == names[1]:
            raise ConfigurationError(
                f"--{name} takes two classes as MAJORITY:MINORITY, e.g. water_deer:roe_deer; got '{text}'; write a "
                r"colon that belongs to a name as \:"
            )
        return cls(name, (names[0], names[1]), (names[1],))

    def cell(
        self, method: str, ratio: float, seed: int, *, profile: str | None = None, imbalance: float | None = None
    ) -> CellKey:
        """Return the cell of a method, ratio and seed, or of an imbalance of a long tail.

        Raises:
            ConfigurationError: a ratio or seed that no cell can have.

        >>> ClassSet.parse("fine", "water_deer:roe_deer").cell("fscl", 0.01, 0).name
        'fine-fscl-r0.01-s0'
        """
        try:
            return CellKey(
                pair=self.name,
                classes=self.classes,
                minority=self.minority,
                base=self.base,
                method=method,
                ratio=ratio,
                seed=seed,
                profile=profile,
                imbalance=imbalance,
            )
        except ValidationError as error:
            raise ConfigurationError(f"no such cell: {in_words(error.errors()[0])}") from None


def minority_photos(key: CellKey) -> int | None:
    """Return the training photos of each rare class, or of a long tail's last, after thinning.

    None where nothing is thinned.
    """
    return None if key.base is None else floor(key.base * key.ratio + ROUNDING)


def is_undefined(key: CellKey) -> bool:
    """Return whether the ratio leaves too few rare photos to train on; a long tail may end in a class of one."""
    photos = minority_photos(key)
    return photos is not None and key.profile is None and photos < MIN_MINORITY_PHOTOS


def cells(
    pairs: Iterable[ClassSet],
    methods: Sequence[str],
    ratios: Mapping[Pair, Sequence[float]],
    seeds: Sequence[int],
) -> list[CellKey]:
    """Return the grid, seed by seed, so that an unfinished comparison has whole tables of fewer seeds.

    `ratios` are those of each pair, by its name. What is given twice is one cell.
    """
    grid = [
        pair.cell(method, ratio, seed)
        for seed, pair in product(seeds, pairs)
        for ratio, method in product(ratios[pair.name], methods)
    ]
    return list(dict.fromkeys(grid))


def long_tail_cells(
    pairs: Iterable[ClassSet],
    methods: Sequence[str],
    profile: str,
    tails: Mapping[Pair, Mapping[float, tuple[str, ...]]],
    seeds: Sequence[int],
) -> list[CellKey]:
    """Return the grid of a long-tail comparison, seed by seed.

    `tails` are the imbalances of each pair, by its name, and the rare classes at each.
    """
    grid = [
        replace(pair, minority=tail).cell(method, 1 / imbalance, seed, profile=profile, imbalance=imbalance)
        for seed, pair in product(seeds, pairs)
        for (imbalance, tail), method in product(tails[pair.name].items(), methods)
    ]
    return list(dict.fromkeys(grid))

"""Which cells a comparison has: pairs × ratios, or imbalances of a long tail, × methods × seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import floor

from fscl.errors import ConfigurationError
from fscl.manifest.imbalance import MIN_MINORITY_PHOTOS, ROUNDING
from fscl.scanning.class_names import parts_of_pair

STUDY_RATIOS = (1.0, 0.1, 0.01, 0.005, 0.001)
LONG_TAIL = "exp"  # the profile of a cell that is thinned to an imbalance


@dataclass(frozen=True)
class Pair:
    """Classes to tell apart, and which of them are rare.

    `name` is `fine` (they look alike), `coarse` (they do not) or `all`; `base` is the training photos of a majority
    class, or of the first class of a long tail, None where the photos stay as they are and are not thinned.
    """

    name: str
    classes: tuple[str, ...]
    minority: tuple[str, ...]
    base: int | None = None

    @classmethod
    def parse(cls, name: str, text: str) -> "Pair":
        """Read `MAJORITY:MINORITY`; a colon that belongs to a name is written `\\:`.

        Raises:
            ConfigurationError: not two class names.

        >>> Pair.parse("fine", "water_deer:roe_deer").minority
        ('roe_deer',)
        """
        names = parts_of_pair(text)
        if len(names) != 2 or not all(names) or names[0] == names[1]:
            raise ConfigurationError(
                f"--{name} takes two classes as MAJORITY:MINORITY, e.g. water_deer:roe_deer; got '{text}'; write a "
                r"colon that belongs to a name as \:"
            )
        return cls(name, (names[0], names[1]), (names[1],))


@dataclass(frozen=True)
class Cell:
    """One training run of a comparison, at majority : minority = 1 : ratio.

    Under a `profile`, a long tail, `imbalance` is its largest class : smallest class, and `ratio` the inverse.
    """

    pair: Pair
    method: str
    ratio: float
    seed: int
    profile: str | None = None
    imbalance: float | None = None

    @property
    def id(self) -> str:
        """Name of the cell's files.

        >>> Cell(Pair.parse("fine", "a:b"), "fscl", 0.01, 0).id
        'fine-fscl-r0.01-s0'
        >>> Cell(Pair("all", ("a", "b", "c"), ("c",)), "fscl", 0.01, 0, "exp", 100).id
        'all-fscl-exp100-s0'
        """
        thinned = f"r{self.ratio:g}" if self.profile is None else f"{self.profile}{self.imbalance:g}"
        return f"{self.pair.name}-{self.method}-{thinned}-s{self.seed}"

    @property
    def minority_photos(self) -> int | None:
        """Training photos of each rare class, or of a long tail's last, after thinning; None: nothing is thinned."""
        return None if self.pair.base is None else floor(self.pair.base * self.ratio + ROUNDING)

    @property
    def is_undefined(self) -> bool:
        """Whether the ratio leaves too few rare photos to train on; a long tail may end in a class of one."""
        photos = self.minority_photos
        return photos is not None and self.profile is None and photos < MIN_MINORITY_PHOTOS

    def record(self) -> dict[str, object]:
        """Return the axes as JSON types; `profile` and `imbalance` where they are."""
        record: dict[str, object] = {
            "pair": self.pair.name,
            "classes": list(self.pair.classes),
            "minority": list(self.pair.minority),
            "base": self.pair.base,
            "method": self.method,
            "ratio": self.ratio,
            "seed": self.seed,
        }
        if self.profile is not None:
            record |= {"profile": self.profile, "imbalance": self.imbalance}
        return record


def cells(
    pairs: Iterable[Pair], methods: Sequence[str], ratios: Mapping[str, Sequence[float]], seeds: Sequence[int]
) -> list[Cell]:
    """Return the grid, seed by seed, so that an unfinished comparison has whole tables of fewer seeds.

    `ratios` are those of each pair, by its name. What is given twice is one cell.
    """
    grid = [
        Cell(pair, method, ratio, seed)
        for seed, pair in product(seeds, pairs)
        for ratio, method in product(ratios[pair.name], methods)
    ]
    return list(dict.fromkeys(grid))


def long_tail_cells(
    pairs: Iterable[Pair],
    methods: Sequence[str],
    profile: str,
    tails: Mapping[str, Mapping[float, tuple[str, ...]]],
    seeds: Sequence[int],
) -> list[Cell]:
    """Return the grid of a long-tail comparison, seed by seed.

    `tails` are the imbalances of each pair, by its name, and the rare classes at each.
    """
    grid = [
        Cell(replace(pair, minority=tail), method, 1 / imbalance, seed, profile, imbalance)
        for seed, pair in product(seeds, pairs)
        for (imbalance, tail), method in product(tails[pair.name].items(), methods)
    ]
    return list(dict.fromkeys(grid))

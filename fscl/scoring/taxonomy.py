"""Unsure answers rolled up to genus, family and so on: the lowest rank that is sure enough, and what it is worth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from fscl.errors import ConfigurationError

UNSURE = -1  # the level of an answer that no rank makes sure


@dataclass(frozen=True)
class Taxonomy:
    """The groups that classes are in. Level 0 is the class itself, level r + 1 its group at `ranks[r]`.

    Attributes:
        ranks: names, from the finest to the coarsest.
        lineages: of each class, in the order of the scores, the name of its group at each rank; None: it has none.
    """

    ranks: tuple[str, ...]
    lineages: tuple[tuple[str | None, ...], ...]

    @classmethod
    def of(cls, ranks: Sequence[str], lineages: Sequence[Sequence[str | None]]) -> "Taxonomy":
        """Return the taxonomy of classes. What is said of a group in one lineage holds in all.

        Args:
            ranks: names, from the finest to the coarsest.
            lineages: as above; a group that is in a coarser one in some lineage and in none in another is in it.

        Raises:
            ConfigurationError: a group is in two coarser ones of one rank.

        >>> Taxonomy.of(["genus", "family"], [["Canis", "Canidae"], ["Canis", None], ["Ursus", None]]).lineages
        (('Canis', 'Canidae'), ('Canis', 'Canidae'), ('Ursus', None))
        """
        rows = [list(lineage) for lineage in lineages]
        for fine, rank in enumerate(ranks):
            for name in dict.fromkeys(row[fine] for row in rows if row[fine] is not None):
                own = [row for row in rows if row[fine] == name]
                for coarse in range(fine + 1, len(ranks)):
                    parents = list(dict.fromkeys(row[coarse] for row in own if row[coarse] is not None))
                    if len(parents) > 1:
                        both = " and ".join(f"{ranks[coarse]} {parent}" for parent in parents[:2])
                        raise ConfigurationError(
                            f"{rank} {name} is in {both}: a name is in one group of a rank, and columns go from the "
                            "finest to the coarsest"
                        )
                    for row in own:
                        row[coarse] = parents[0] if parents else None
        return cls(tuple(ranks), tuple(map(tuple, rows)))

    def groups(self, level: int) -> Int[np.ndarray, "classes"]:
        """Return the number of the group of each class at a level; of its group below where it has none there.

        >>> Taxonomy.of(["genus", "family"], [["Canis", "C"], ["Canis", None], [None, "C"], [None, None]]).groups(2)
        array([0, 0, 0, 1])
        """
        keys: list[object] = list(range(len(self.lineages)))
        for rank in range(level):
            named = [lineage[rank] for lineage in self.lineages]
            keys = [key if name is None else (rank, name) for key, name in zip(keys, named, strict=True)]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        return np.array([numbers[key] for key in keys])

    def lineage(self, place: int, level: int = 0) -> dict[str, str]:
        """Return rank → name of the groups that a class is in, from a level on.

        >>> taxonomy = Taxonomy.of(["genus", "family"], [["Canis", "Canidae"], [None, None]])
        >>> taxonomy.lineage(0), taxonomy.lineage(0, level=2)
        ({'genus': 'Canis', 'family': 'Canidae'}, {'family': 'Canidae'})
        """
        named = list(zip(self.ranks, self.lineages[place], strict=True))[max(level - 1, 0) :]
        return {rank: name for rank, name in named if name is not None}


def summed(
    probabilities: Float[np.ndarray, "photos classes"], answers: Int[np.ndarray, "photos"], taxonomy: Taxonomy
) -> Float[np.ndarray, "photos levels"]:
    """Return how likely the class answered is, and each group that it is in: these never fall from level to level.

    Args:
        probabilities: of each class, calibrated, in [0, 1].
        answers: index of the class.
        taxonomy: of the classes.

    >>> taxonomy = Taxonomy.of(["genus"], [["Canis"], ["Canis"], ["Ursus"]])
    >>> summed(np.array([[0.5, 0.25, 0.25]]), np.array([0]), taxonomy).tolist()
    [[0.5, 0.75]]
    """
    photos = np.arange(len(answers))
    levels = [probabilities[photos, answers].astype(np.float64)]
    for level in range(1, len(taxonomy.ranks) + 1):
        groups = taxonomy.groups(level)
        of_groups = probabilities @ np.eye(groups.max() + 1)[groups]
        levels.append(np.minimum(of_groups[photos, groups[answers]], 1.0))
    sums: Float[np.ndarray, "photos levels"] = np.maximum.accumulate(np.stack(levels, axis=1), axis=1)
    return sums


def lowest_sure(sums: Float[np.ndarray, "photos levels"], bar: float) -> Int[np.ndarray, "photos"]:
    """Return the lowest level at which each answer is at least as likely as the bar; `UNSURE` where none is.

    >>> lowest_sure(np.array([[0.7, 0.9], [0.5, 0.75], [0.3, 0.5]]), 0.6).tolist()
    [0, 1, -1]
    """
    sure = sums >= bar
    levels: Int[np.ndarray, photos] = np.where(sure.any(axis=1), sure.argmax(axis=1), UNSURE)
    return levels


def right(
    answers: Int[np.ndarray, "photos"],
    levels: Int[np.ndarray, "photos"],
    labels: Int[np.ndarray, "photos"],
    taxonomy: Taxonomy,
) -> Float[np.ndarray, "photos"]:
    """Return 1 where the class or group answered has the true class, else 0.

    Args:
        answers: index of the class.
        levels: of the answers; `UNSURE` is the class itself.
        labels: index of the true class.
        taxonomy: of the classes.
    """
    found = np.zeros(len(answers))
    for level in range(len(taxonomy.ranks) + 1):
        own, groups = np.maximum(levels, 0) == level, taxonomy.groups(level)
        found[own] = groups[answers[own]] == groups[labels[own]]
    return found


def credit(
    answers: Int[np.ndarray, "photos"],
    levels: Int[np.ndarray, "photos"],
    labels: Int[np.ndarray, "photos"],
    taxonomy: Taxonomy,
) -> Float[np.ndarray, "photos"]:
    """Return the partial credit of each answer, in [0, 1]: the share of what there is to know that it tells rightly.

        1 − log(classes in the group) / log(classes)  where the group has the true class, else 0

    The right class gets 1, a group of all classes 0. Of K classes, log K is what it takes to name one, and log k is
    what a group of k leaves open.

    Args:
        answers, levels, labels, taxonomy: as in `right`; two classes at least.

    >>> taxonomy = Taxonomy.of(["genus", "order"], [["Canis", "C"], ["Canis", "C"], ["Ursus", "C"], ["Sus", "A"]])
    >>> zeros = np.zeros(4, int)
    >>> credit(zeros, np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), taxonomy).round(2).tolist()
    [1.0, 0.5, 0.0, 0.21]
    """
    numbers = [taxonomy.groups(level) for level in range(len(taxonomy.ranks) + 1)]
    sizes = np.stack([np.bincount(groups)[groups] for groups in numbers])
    told = 1 - np.log(sizes[np.maximum(levels, 0), answers]) / np.log(len(taxonomy.lineages))
    credits: Float[np.ndarray, photos] = right(answers, levels, labels, taxonomy) * told
    return credits

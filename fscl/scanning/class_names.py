"""Classes as people call them: by the photos' labels, or by a Korean, English or scientific name of the species."""

import re
from collections.abc import Iterable, Sequence

from fscl.config import Config
from fscl.manifest.names import tidy
from fscl.species import find_species


def parts_of_pair(names: str) -> list[str]:
    r"""Return the names of MAJORITY:MINORITY. A colon that belongs to a name is written \:.

    >>> parts_of_pair(r"mammal\:deer:fox")
    ['mammal:deer', 'fox']
    """
    return [part.replace(r"\:", ":").strip() for part in re.split(r"(?<!\\):", names)]


def escaped(name: str) -> str:
    """Return a name as a part of MAJORITY:MINORITY."""
    return name.replace(":", r"\:")


class ClassNames:
    """Finds the labels that names stand for. A name that is itself a label stands for that label only.

    Names that stand for no label stay as they are: whoever looks for their photos says so.

    Args:
        labels: those of the photos.

    >>> names = ClassNames(["water_deer", "노루", "dog, stray"])
    >>> names.labels(["고라니,roe deer", "dog, stray"])
    ['water_deer', '노루', 'dog, stray']
    >>> names.pair("Hydropotes inermis:노루")
    'water_deer:노루'
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self._own = set(labels)
        self._of_species: dict[str | None, list[str]] = {}
        for label in sorted(self._own):
            self._of_species.setdefault(find_species(label), []).append(label)

    def labels(self, names: Sequence[str]) -> list[str]:
        """Return the labels of names, each of which may be several with commas between them."""
        words = (part for name in names for part in ([name] if tidy(name) in self._own else name.split(",")))
        return [self._label(word) for word in words if word.strip()]

    def pair(self, names: str | None) -> str | None:
        """Return the labels of MAJORITY:MINORITY, in the same form."""
        return None if names is None else ":".join(escaped(self._label(name)) for name in parts_of_pair(names))

    def configured(self, config: Config) -> Config:
        """Return a configuration with labels for its classes and rare classes."""
        minority = tuple(self.labels(config.imbalance.minority))
        return config.model_copy(
            update={
                "classes": tuple(self.labels(config.classes)),
                "imbalance": config.imbalance.model_copy(update={"minority": minority}),
            }
        )

    def _label(self, name: str) -> str:
        name = tidy(name)
        species = find_species(name)
        if name in self._own or species is None:
            return name
        if species in self._own:
            return species
        same = self._of_species.get(species, [])
        return same[0] if len(same) == 1 else name

"""The animals of AI Hub's wildlife set, under all the names that it and its readers use."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from fscl.errors import PhotosError, did_you_mean


@dataclass(frozen=True)
class Species:
    """An animal of the set.

    Attributes:
        number: in folder names and label files, 1 to 11.
        korean: its name in folder names and label files.
        english: its label in the manifest.
        scientific: genus and species; label files may give the latter alone.
    """

    number: int
    korean: str
    english: str
    scientific: str


SPECIES = (
    Species(1, "고라니", "water_deer", "Hydropotes inermis"),
    Species(2, "멧돼지", "wild_boar", "Sus scrofa"),
    Species(3, "너구리", "raccoon_dog", "Nyctereutes procyonoides"),
    Species(4, "다람쥐", "chipmunk", "Tamias sibiricus"),
    Species(5, "청설모", "red_squirrel", "Sciurus vulgaris"),
    Species(6, "반달가슴곰", "asiatic_black_bear", "Ursus thibetanus"),
    Species(7, "족제비", "weasel", "Mustela sibirica"),
    Species(8, "멧토끼", "korean_hare", "Lepus coreanus"),
    Species(9, "왜가리", "grey_heron", "Ardea cinerea"),
    Species(10, "중대백로", "great_egret", "Ardea alba"),
    Species(11, "노루", "roe_deer", "Capreolus pygargus"),
)


def species_name(text: str) -> str:
    """Return the label of a species that is given by its Korean, English or scientific name.

    Case, spaces, `_` and `-` do not count; of a scientific name the second word is enough.

    Raises:
        PhotosError: no species of the set.

    >>> [species_name(name) for name in ("고라니", "Roe deer", "Sus scrofa", "weasel")]
    ['water_deer', 'roe_deer', 'wild_boar', 'weasel']
    """
    label = find_species(text)
    if label is None:
        known = [name for s in SPECIES for name in (s.korean, s.english, s.scientific)]
        raise PhotosError(f"unknown species '{text}'{did_you_mean(nfc(text), known)}")
    return label


def find_species(text: str) -> str | None:
    """Return the label of a species by any of its names, None where it is no species of the set."""
    return _BY_NAME.get(plain(text))


def scientific_names(names: Iterable[str]) -> dict[str, str]:
    """Return name → genus and species, of those names that are a species of the set.

    >>> scientific_names(["roe deer", "fox"])
    {'roe deer': 'Capreolus pygargus'}
    """
    scientific = {species.english: species.scientific for species in SPECIES}
    return {name: scientific[label] for name in names if (label := find_species(name)) is not None}


def numbered_species(number: object) -> str | None:
    """Return the label of the species with a number as folders and label files write it, or None.

    >>> numbered_species("01"), numbered_species(11), numbered_species(None)
    ('water_deer', 'roe_deer', None)
    """
    return _BY_NUMBER.get(str(number).removesuffix(".0").lstrip("0"))


def plain(name: str) -> str:
    """Return a name as names are compared: without case, spaces and signs."""
    return re.sub(r"[\W_]+", "", nfc(name)).casefold()


def nfc(text: str) -> str:
    """Return text with composed letters. macOS stores names decomposed; one name must be one text everywhere."""
    return unicodedata.normalize("NFC", text)


_BY_NUMBER = {str(s.number): s.english for s in SPECIES}
_BY_NAME = {
    plain(n): s.english for s in SPECIES for n in (s.korean, s.english, s.scientific, s.scientific.split()[1])
}

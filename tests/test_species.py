import unicodedata
from pathlib import Path

import pytest

from fscl.errors import PhotosError
from fscl.species import SPECIES, species_name


@pytest.mark.parametrize("species", SPECIES, ids=lambda species: species.english)
def test_any_name_gives_the_label(species):
    names = [species.korean, species.english, species.scientific]
    names += [unicodedata.normalize("NFD", species.korean), species.scientific.split()[1]]
    names += [species.english.replace("_", sign).title() for sign in " -"]
    assert {species_name(name) for name in names} == {species.english}


def test_the_classes_of_the_study():
    labels = [species_name(name) for name in ("고라니", "노루", "멧돼지")]
    assert labels == ["water_deer", "roe_deer", "wild_boar"]


@pytest.mark.parametrize(
    ("text", "nearest"), [("고라이", "고라니"), ("water dear", "water_deer"), ("Sus scrofo", "Sus scrofa")]
)
def test_a_slip_is_met_with_the_nearest(text, nearest):
    with pytest.raises(PhotosError, match=f"unknown species '{text}'; did you mean '{nearest}'"):
        species_name(text)


@pytest.mark.parametrize("text", ["otter", "", "1", "deer"])
def test_what_is_no_species_of_the_set(text):
    with pytest.raises(PhotosError, match=f"unknown species '{text}'"):
        species_name(text)


def test_the_document_lists_them_all():
    document = (Path(__file__).parents[1] / "docs/aihub.md").read_text(encoding="utf-8")
    for s in SPECIES:
        assert f"| {s.number:02} | {s.korean} | `{s.english}` | *{s.scientific}* |" in document

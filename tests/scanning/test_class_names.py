import pytest

from fscl import methods
from fscl.config import resolve
from fscl.scanning.class_names import ClassNames
from fscl.species import SPECIES

ENGLISH = [species.english for species in SPECIES]


@pytest.mark.parametrize("labels", ["english", "korean", "scientific"])
@pytest.mark.parametrize("names", ["english", "korean", "scientific"])
def test_any_name_of_a_species_is_its_label_in_the_photos(labels, names):
    own = [getattr(species, labels) for species in SPECIES]
    given = [getattr(species, names) for species in SPECIES]
    assert ClassNames(own).labels(given) == own
    assert ClassNames(own).labels([",".join(given)]) == own
    assert ClassNames(own).pair(f"{given[0]}:{given[10]}") == f"{own[0]}:{own[10]}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["고라니,노루,멧돼지"], ["water_deer", "roe_deer", "wild_boar"]),
        (["고라니", "roe_deer", "Sus scrofa"], ["water_deer", "roe_deer", "wild_boar"]),
        (["고라니, 노루 ,", "멧돼지"], ["water_deer", "roe_deer", "wild_boar"]),
        (["노루", "고라니"], ["roe_deer", "water_deer"]),  # a long tail goes by the order
        ([], []),
    ],
)
def test_lists_with_commas_and_words_apart(given, expected):
    assert ClassNames(ENGLISH).labels(given) == expected


class TestOwnLabels:
    def test_win_over_the_species(self):
        names = ClassNames(["노루", "roe_deer", "water_deer"])
        assert names.labels(["노루", "roe_deer", "고라니"]) == ["노루", "roe_deer", "water_deer"]
        assert names.labels(["Capreolus pygargus"]) == ["roe_deer"]

    def test_may_have_a_comma(self):
        assert ClassNames(["deer, roe", "fox"]).labels(["deer, roe", "fox"]) == ["deer, roe", "fox"]

    def test_may_have_a_colon(self):
        names = ClassNames(["mammal:deer", "노루", "fox"])
        assert names.pair(r"mammal\:deer:roe deer") == r"mammal\:deer:노루"
        assert names.pair(r"fox:mammal\:deer") == r"fox:mammal\:deer"
        assert names.labels(["mammal:deer"]) == ["mammal:deer"]

    def test_are_compared_without_more_spaces(self):
        assert ClassNames(["red deer", "Füchse"]).labels([" red  deer", "Fu\u0308chse\u200b"]) == [
            "red deer",
            "Füchse",
        ]

    def test_that_share_a_species_are_not_guessed_between(self):
        assert ClassNames(["노루", "Roe Deer"]).labels(["Capreolus pygargus"]) == ["Capreolus pygargus"]

    def test_that_are_not_there_stay_as_they_were_called(self):
        names = ClassNames(["water_deer", "fox"])
        assert names.labels(["노루,otter"]) == ["노루", "otter"]
        assert names.pair("water_deer:노루") == "water_deer:노루"
        assert names.pair("water_deer") == "water_deer"
        assert names.pair(None) is None


def test_a_configuration_has_labels_for_names():
    settings = {"classes": ["고라니,노루"], "imbalance": {"minority": ["노루"], "ratio": 0.1}}
    config = resolve([("fscl", methods.read("fscl")), ("flags", settings)])
    named = ClassNames(ENGLISH).configured(config)
    assert named.classes == ("water_deer", "roe_deer")
    assert named.imbalance.minority == ("roe_deer",)
    assert named.imbalance.ratio == 0.1
    assert named == resolve([("fscl", named.record())])

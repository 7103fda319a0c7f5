import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fscl.errors import ConfigurationError
from fscl.scoring.taxonomy import UNSURE, Taxonomy, credit, lowest_sure, right, summed

RANKS = ("genus", "family", "order")


@st.composite
def taxonomies(draw):
    """Draw classes in a tree, some of whose names are left out."""
    classes = draw(st.integers(2, 7))
    numbers = np.arange(classes)
    rows: list[list[str | None]] = [[] for _ in range(classes)]
    for rank in RANKS:
        numbers = np.array(draw(st.lists(st.integers(0, 4), min_size=8, max_size=8)))[numbers]
        for row, number in zip(rows, numbers, strict=True):
            row.append(None if draw(st.integers(0, 5)) == 0 else f"{rank}{number}")
    return rows


@st.composite
def answered(draw):
    """Draw a taxonomy and probabilities of its classes."""
    taxonomy = Taxonomy.of(RANKS, draw(taxonomies()))
    weights = draw(arrays(np.float64, (5, len(taxonomy.lineages)), elements=st.floats(0.001, 1)))
    return taxonomy, weights / weights.sum(axis=1, keepdims=True)


@given(answered(), st.floats(0, 1))
def test_answers_are_rolled_up_to_the_lowest_sure_rank(drawn, bar):
    taxonomy, probabilities = drawn
    answers = probabilities.argmax(axis=1)
    sums = summed(probabilities, answers, taxonomy)
    assert (np.diff(sums, axis=1) >= 0).all(), "sums never fall going up"
    assert sums.max() <= 1
    levels = lowest_sure(sums, bar)
    sure = probabilities.max(axis=1) >= bar
    assert ((levels == 0) == sure).all(), "a sure answer never changes"
    for photo, level in enumerate(levels):
        if level == UNSURE:
            assert sums[photo].max() < bar
            continue
        assert sums[photo, level] >= bar
        assert level == 0 or sums[photo, level - 1] < bar
        if level > 0:
            name = taxonomy.lineages[answers[photo]][level - 1]
            assert name is not None, "the rank chosen has a name, and the answer is in it"
            inside = [lineage[level - 1] == name for lineage in taxonomy.lineages]
            assert sums[photo, level] == pytest.approx(probabilities[photo, inside].sum())


def test_sums_do_not_fall_by_rounding_either():
    taxonomy = Taxonomy.of(["genus", "family"], [["H", "F"], *[["G", "F"]] * 39])
    probabilities = np.random.default_rng(0).dirichlet(np.full(40, 0.3), 2000)
    probabilities[:, 0] *= 1e-17
    sums = summed(probabilities, np.ones(2000, dtype=int), taxonomy)
    assert (np.diff(sums, axis=1) >= 0).all()


@given(answered())
def test_credit_lies_between_none_and_all(drawn):
    taxonomy, probabilities = drawn
    answers = probabilities.argmax(axis=1)
    for label in range(len(taxonomy.lineages)):
        labels = np.full(len(answers), label)
        for level in range(len(RANKS) + 1):
            levels = np.full(len(answers), level)
            got, inside = credit(answers, levels, labels, taxonomy), right(answers, levels, labels, taxonomy)
            assert ((got >= 0) & (got <= inside)).all()
            if level:
                below = right(answers, levels - 1, labels, taxonomy)
                assert (inside >= below).all(), "a group holds the groups in it"
        assert credit(labels, np.full(len(labels), UNSURE), labels, taxonomy) == pytest.approx(1)


@given(taxonomies())
def test_every_group_is_inside_the_next(rows):
    taxonomy = Taxonomy.of(RANKS, rows)
    for level in range(len(RANKS)):
        below, above = taxonomy.groups(level), taxonomy.groups(level + 1)
        assert len(set(zip(below, above, strict=True))) == len(set(below))


def test_a_name_in_two_groups_is_an_error():
    with pytest.raises(ConfigurationError, match="genus Vulpes is in family Canidae and family Felidae"):
        Taxonomy.of(["genus", "family"], [["Vulpes", "Canidae"], ["Vulpes", "Felidae"]])


def test_columns_from_the_coarsest_on_are_an_error():
    with pytest.raises(ConfigurationError, match="from the finest to the coarsest"):
        Taxonomy.of(["order", "genus"], [["Carnivora", "Vulpes"], ["Carnivora", "Canis"]])

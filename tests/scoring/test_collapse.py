"""Measures of how features hold classes apart, against loops over pairs."""

import numpy as np
import pytest

from fscl.scoring.collapse import averages, class_features, mean_cosine
from fscl.scoring.some_of_each import some_of_each


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def drawn(spread=1.0, counts=(20, 7, 2)):
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(counts)), counts)
    return generator.normal(0, 3, (len(counts), 5))[labels] + generator.normal(0, spread, (len(labels), 5)), labels


def test_each_measure_is_that_of_a_loop_over_pairs():
    x, labels = drawn()
    found = class_features(x, labels, 3)
    means = [x[labels == c].mean(axis=0) for c in range(3)]
    centre = np.mean(means, axis=0)
    spread = np.mean([np.square(m - centre).sum() for m in means])
    for c in range(3):
        own, others = np.flatnonzero(labels == c), np.flatnonzero(labels != c)
        within = [cosine(x[i], x[j]) for i in own for j in own if i != j]
        between = [cosine(x[i], x[j]) for i in own for j in others]
        scatter = np.mean([np.square(x[i] - means[c]).sum() for i in own])
        assert found.within_cosine[c] == pytest.approx(np.mean(within))
        assert found.between_cosine[c] == pytest.approx(np.mean(between))
        assert found.scatter_ratio[c] == pytest.approx(scatter / spread)
    assert found.mean_cosines[0, 2] == pytest.approx(cosine(means[0], means[2]))
    assert mean_cosine(found) == pytest.approx(
        np.mean([cosine(means[a], means[b]) for a, b in ((0, 1), (0, 2), (1, 2))]), abs=1e-4
    )


def test_the_ratio_falls_to_nothing_as_a_class_becomes_one_point():
    ratios = [averages(class_features(*drawn(spread), 3), [0, 1, 2])["scatter_ratio"] for spread in (2.0, 0.5, 0.0)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] == 0


@pytest.mark.parametrize("counts", [(5, 1, 0), (0, 0, 4), (1, 1, 1)])
def test_a_class_with_too_few_photos_is_undefined_and_no_warning(counts):
    x, labels = drawn(counts=counts)
    found = class_features(x, labels, 3)
    for c, count in enumerate(counts):
        assert np.isfinite(found.within_cosine[c]) == (count > 1)
        assert np.isfinite(found.between_cosine[c]) == (0 < count < sum(counts))
    assert averages(found, [])["within_cosine"] is None


def test_features_that_are_all_the_same_or_all_zero_are_no_fault():
    for x in (np.zeros((4, 3)), np.ones((4, 3))):
        found = class_features(x, np.array([0, 0, 1, 1]), 2)
        assert averages(found, [0, 1])["scatter_ratio"] is None


def test_rare_classes_are_taken_whole_and_never_more_than_asked_for():
    labels = np.repeat([0, 1, 2], [1000, 5, 60])
    chosen = some_of_each(labels, 100)
    assert np.bincount(labels[chosen]).tolist() == [47, 5, 47] or np.bincount(labels[chosen]).tolist() == [48, 5, 47]
    assert len(chosen) == len(set(chosen.tolist())) == 100
    assert len(some_of_each(np.arange(50), 10)) <= 10
    assert some_of_each([], 5).tolist() == []
    assert some_of_each(labels, 10_000).tolist() == list(range(1065))

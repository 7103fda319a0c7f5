import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from fscl.scoring.calibration import (
    brier_score,
    classwise_calibration_error,
    expected_calibration_error,
    reliability,
)


def error_by_loop(probabilities, labels, bins):
    edges = np.linspace(0, 1, bins + 1)
    total = 0.0
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = [
            (row.max(), row.argmax() == label)
            for row, label in zip(probabilities, labels, strict=True)
            if low < row.max() <= high or (number == 0 and row.max() == 0)
        ]
        if inside:
            confidence, right = np.mean(inside, axis=0)
            total += len(inside) / len(labels) * abs(confidence - right)
    return total


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 5), st.integers(1, 20))
def test_agrees_with_a_loop(seed, photos, classes, bins):
    generator = np.random.default_rng(seed)
    # Twentieths fall on edges of bins.
    probabilities = generator.multinomial(20, np.ones(classes) / classes, size=photos) / 20
    labels = generator.integers(0, classes, photos)
    got = expected_calibration_error(probabilities, labels, bins)
    assert got == pytest.approx(error_by_loop(probabilities, labels, bins))


def test_calibrated_scores_have_no_error_and_sure_wrong_ones_all_of_it():
    four_of_five = np.tile([0.8, 0.2], (5, 1))
    assert expected_calibration_error(four_of_five, np.array([0, 0, 0, 0, 1])) == pytest.approx(0)
    assert expected_calibration_error(np.eye(2), np.array([1, 0])) == 1


def test_gaps_of_one_bin_cancel_but_those_of_two_do_not():
    probabilities, labels = np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([1, 0])
    assert expected_calibration_error(probabilities, labels, bins=1) == pytest.approx(0.25)
    assert expected_calibration_error(probabilities, labels) == pytest.approx((0.9 + 0.4) / 2)


def test_undefined_without_photos():
    assert expected_calibration_error(np.zeros((0, 2)), np.zeros(0, dtype=int)) is None


def test_there_are_fifteen_bins_as_in_the_paper():
    probabilities = np.array([[0.61, 0.39], [0.69, 0.31]])  # together in one of 10 bins
    assert expected_calibration_error(probabilities, np.array([1, 0])) == pytest.approx((0.61 + 0.31) / 2)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 5))
def test_brier_and_reliability_agree_with_scikit_learn(seed, photos, classes):
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(classes), size=photos)
    labels = generator.integers(0, classes, photos)
    wanted = brier_score_loss(labels, probabilities, labels=range(classes), scale_by_half=False)
    assert brier_score(probabilities, labels) == pytest.approx(wanted)
    shown = labels == 0
    bins = reliability(probabilities[:, 0], shown, bins=10)
    assert sum(one.photos for one in bins) == photos
    if shown.any() and not shown.all():
        share, mean = calibration_curve(shown, probabilities[:, 0], n_bins=10)
        assert [one.share for one in bins] == pytest.approx(share)
        assert [one.probability for one in bins] == pytest.approx(mean)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 5), st.integers(1, 20))
def test_classwise_error_is_the_mean_gap_of_the_reliability_bins(seed, photos, classes, bins):
    generator = np.random.default_rng(seed)
    probabilities = generator.multinomial(20, np.ones(classes) / classes, size=photos) / 20
    labels = generator.integers(0, classes, photos)
    gaps = [
        sum(one.photos * abs(one.share - one.probability) for one in reliability(column, labels == label, bins))
        / photos
        for label, column in enumerate(probabilities.T)
    ]
    assert classwise_calibration_error(probabilities, labels, bins) == pytest.approx(np.mean(gaps))


def test_a_rare_class_that_is_never_given_its_due_shows_class_by_class():
    labels = np.r_[np.zeros(95, int), np.ones(5, int)]
    never = np.tile([1.0, 0.0], (100, 1))
    assert classwise_calibration_error(never, labels) == pytest.approx(0.05)
    assert brier_score(never, labels) == pytest.approx(0.1)


def test_without_photos_nothing_is_defined():
    nothing = np.zeros((0, 2)), np.zeros(0, dtype=int)
    assert classwise_calibration_error(*nothing) is brier_score(*nothing) is None
    assert reliability(np.zeros(0), np.zeros(0, dtype=bool)) == []

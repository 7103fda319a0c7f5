import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from fscl.errors import ConfigurationError
from fscl.scoring.statistics import clopper_pearson, holm, mean_sd, paired_balanced_accuracy, paired_t

recalls = st.integers(0, 1000).map(lambda n: n / 1000)


@given(st.lists(st.tuples(recalls, recalls), min_size=2, max_size=10), st.sampled_from([0.9, 0.95]))
def test_paired_t_agrees_with_scipy(pairs, confidence):
    a, b = zip(*pairs, strict=True)
    assume(np.ptp(np.subtract(a, b)) > 1e-6)
    expected = stats.ttest_rel(a, b)
    low, high = expected.confidence_interval(confidence)
    assert paired_t(a, b, confidence) == pytest.approx((np.mean(a) - np.mean(b), low, high, expected.pvalue))


def test_paired_t_uses_the_pairs():
    easy_and_hard = [0.9, 0.5, 0.7, 0.1]
    a_little_better = [0.95, 0.54, 0.75, 0.16]
    assert paired_t(a_little_better, easy_and_hard).p < 0.01
    assert stats.ttest_ind(a_little_better, easy_and_hard).pvalue > 0.8


def test_equal_differences_prove_nothing():
    assert paired_t([0.5, 0.7], [0.5, 0.7]) == (0, 0, 0, 1)
    assert paired_t([0.75, 1.0], [0.5, 0.75]) == (0.25, 0.25, 0.25, None)
    for differences in (0.1, -0.3, 1e-3, 0.7):  # equal up to their rounding
        seeds = np.array([0.1, 0.25, 0.7, 0.3])
        assert paired_t(list(seeds + differences), list(seeds)).p is None
    assert paired_t([0.5 + 1e-9, 0.7, 0.6], [0.4, 0.6, 0.5]).p is not None  # as good as equal, and not equal


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([0.5], [0.4], "at least 2 seeds .* got 1"),
        ([], [], "at least 2 seeds .* got 0"),
        ([0.5, 0.6], [0.5], "same seeds of both methods, got 2 and 1"),
    ],
)
def test_paired_t_refuses(a, b, message):
    with pytest.raises(ConfigurationError, match=message):
        paired_t(a, b)


def holm_by_closure(p):
    """Adjust by the closed test that Holm's procedure shortcuts: Bonferroni on every subset of hypotheses."""
    indices = range(len(p))
    subsets = [s for size in range(1, len(p) + 1) for s in itertools.combinations(indices, size)]
    return [max(min(1, len(s) * min(p[j] for j in s)) for s in subsets if i in s) for i in indices]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_bonferroni_test(p):
    assert holm(p) == pytest.approx(holm_by_closure(p))


def test_holm_by_hand():
    assert holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([]) == []


@pytest.mark.parametrize("p", [[0.1, 1.1], [-0.1], [float("nan")]])
def test_holm_refuses_what_is_no_p_value(p):
    with pytest.raises(ConfigurationError, match=r"expected p-values in \[0, 1\]"):
        holm(p)


def test_mean_sd():
    assert mean_sd([1, 2, 3, 6]) == pytest.approx((3, (14 / 3) ** 0.5))
    assert mean_sd([0.5]) == (0.5, None)
    with pytest.raises(ConfigurationError, match="at least 1 value"):
        mean_sd([])


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (1, 1), (1, 5), (0, 7), (8, 9), (40, 40), (431, 4500)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_interval_of_a_share_is_that_of_the_exact_test(hits, trials, confidence):
    low, high = clopper_pearson(hits, trials, confidence)
    oracle = stats.binomtest(hits, trials).proportion_ci(confidence, method="exact")
    assert (low, high) == pytest.approx((oracle.low, oracle.high), abs=1e-9)
    tail = (1 - confidence) / 2  # by its definition: so few or so many hits are that improbable at its ends
    if hits:
        assert stats.binom.sf(hits - 1, trials, low) == pytest.approx(tail)
    if hits < trials:
        assert stats.binom.cdf(hits, trials, high) == pytest.approx(tail)


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_a_share_of_no_trials_is_an_error(hits, trials):
    with pytest.raises(ConfigurationError, match=f"got {hits} of {trials}"):
        clopper_pearson(hits, trials)


def paired(right, other, labels, bursts=None):
    bursts = np.arange(len(labels)) if bursts is None else bursts
    arrays = (np.asarray(array) for array in (right, other, labels, bursts))
    return paired_balanced_accuracy(*arrays, generator=np.random.default_rng(0))


@pytest.mark.parametrize(("wins", "losses"), [(5, 0), (0, 5), (6, 1), (8, 3), (40, 20), (2, 2), (0, 0)])
def test_in_equal_classes_it_is_the_exact_test_of_mcnemar(wins, losses):
    """Photos that both judge alike say nothing; of the others as many go either way, by a fair coin."""
    right = np.array([True] * wins + [False] * losses + [True] * 100)
    other = np.array([False] * wins + [True] * losses + [True] * 100)
    labels = np.zeros(len(right), dtype=int)
    found = paired(right, other, labels)
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert found.p == pytest.approx(expected, abs=0.005)
    assert found.differ == wins + losses
    assert found.difference == pytest.approx((wins - losses) / len(right))


def test_a_rare_photo_weighs_as_its_class():
    """By hand: of 2 rare and 8 common photos, one wins 2 rare (1/4 each) and loses 3 common ones (1/16 each).

    T = 1/2 - 3/16 = 5/16. Of 4 · 8 equally likely signs those with |T| ≥ 5/16: both rare photos on one side (2 of 4),
    5/16 or more with any of the common ones: p = 1/2.
    """
    labels = np.array([1] * 2 + [0] * 8)
    right = np.array([1, 1] + [0] * 3 + [1] * 5, dtype=bool)
    other = np.array([0, 0] + [1] * 3 + [1] * 5, dtype=bool)
    found = paired(right, other, labels)
    assert found.difference == pytest.approx(5 / 16)
    assert found.p == pytest.approx(0.5, abs=0.005)


def test_photos_of_a_burst_are_one():
    right, other, labels = np.ones(8, dtype=bool), np.zeros(8, dtype=bool), np.zeros(8, dtype=int)
    assert paired(right, other, labels).p == pytest.approx(2 / 2**8, abs=0.002)
    assert paired(right, other, labels, [7, 7, 7, 7, 9, 9, 9, 9]).p == pytest.approx(0.5, abs=0.005)


def test_paired_photos_are_the_same_ones():
    with pytest.raises(ConfigurationError, match="expected the same photos of both models, 1 or more, got 1 and 2"):
        paired([True], [True, False], [0])
    with pytest.raises(ConfigurationError, match="got 0 and 0"):
        paired(np.zeros(0, dtype=bool), np.zeros(0, dtype=bool), np.zeros(0, dtype=int))

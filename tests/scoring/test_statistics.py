import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from fscl.errors import ConfigurationError
from fscl.scoring.statistics import clopper_pearson, holm, mean_sd, paired_t

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

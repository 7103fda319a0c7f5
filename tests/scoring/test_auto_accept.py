from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from fscl.errors import ConfigurationError
from fscl.scoring.auto_accept import (
    Certified,
    certify,
    enough_without_error,
    lowest_certified,
    precision_bound,
    rungs,
)
from fscl.scoring.prevalence import all_shares, precision_at_shares, shares_of_unlabelled


def certified(right, *, photos=None, shares=None, scores=None, **bound):
    """Certify the answers of class 0, from the surest down: `right` says which are right."""
    right = np.asarray(right, dtype=bool)
    labels = np.where(right, 0, 1)
    scores = np.arange(len(right), 0, -1) / len(right) if scores is None else scores
    photos = np.bincount(labels, minlength=2) if photos is None else photos
    return certify(rungs(scores, labels, 2, enough_without_error(0.95, 0.95)), 0, photos, shares=shares, **bound)


def test_it_takes_59_without_an_error():
    assert enough_without_error(0.95, 0.95) == 59
    assert certified([True] * 58) is None
    assert certified([True] * 59) == Certified(score=1 / 59, accepted=59, wrong=0, missed=0)
    assert certified([True] * 20 + [False] + [True] * 38) is None


def test_the_bound_is_the_exact_binomial_one():
    for hits, accepted in ((59, 59), (90, 93), (300, 310)):
        bound = precision_bound(hits, accepted, 0.05)
        wanted = stats.binomtest(hits, accepted, alternative="greater").proportion_ci(0.95, method="exact").low
        assert bound == pytest.approx(wanted)
    assert precision_bound(0, 10, 0.05) == 0


def test_rungs_are_numbers_of_photos_and_equal_scores_stay_together():
    scores = np.r_[np.ones(70), np.linspace(0.9, 0.1, 50)]
    found = rungs(scores, np.zeros(120, int), 2, 59)
    assert [rung.counts.sum() for rung in found][:2] == [70, 74]
    assert found[-1].counts.sum() == 120
    assert all(a.score > b.score and a.counts.sum() < b.counts.sum() for a, b in pairwise(found))
    assert rungs(scores[:58], np.zeros(58, int), 2, 59) == []


def test_the_lowest_bar_is_taken_and_what_it_costs_is_counted():
    right = np.r_[np.ones(200, bool), np.zeros(100, bool)]
    found = certified(right, photos=np.array([230, 100]))
    assert 200 <= found.accepted < 210
    assert found.wrong == found.accepted - 200
    assert found.missed == 30
    assert (np.arange(300, 0, -1) / 300 >= found.score).sum() == found.accepted


def test_an_error_among_the_surest_does_not_end_it_where_hundreds_more_are_right():
    right = np.ones(600, bool)
    right[10] = False
    found = certified(right)
    assert found.accepted == 600
    assert found.wrong == 1


def test_what_a_rung_fails_is_not_tried_again_at_the_next():
    tried = []

    def bound(rung, level):
        tried.append((rung, round(level, 6)))
        return 0.0 if rung == 3 else 1.0

    accepted = [59 + 3 * place for place in range(20)]
    assert lowest_certified(accepted, bound, 0.95, 0.95) == 2
    assert tried == [(0, 0.05), (1, 0.05), (2, 0.05), (3, 0.05)]


def test_starts_share_the_chance_of_being_wrong():
    levels = []

    def bound(rung, level):
        levels.append(level)
        return 0.0

    assert lowest_certified(list(range(59, 3000, 10)), bound, 0.95, 0.95) is None
    assert len(levels) == 3
    assert sum(levels) == pytest.approx(0.05)


@pytest.mark.parametrize("falls", [0.1, 0.3])
def test_the_promise_is_broken_no_oftener_than_it_says(falls):
    """Of a score whose precision is known: from 1 down to 1 − `falls`, and so below the target from some bar on."""
    generator = np.random.default_rng(0)
    broken = held = 0
    for _ in range(400):
        scores = generator.random(1000)
        right = generator.random(1000) < 1 - falls * (1 - scores)
        labels = np.where(right, 0, 1)
        found = certify(rungs(scores, labels, 2, 59), 0, np.bincount(labels, minlength=2))
        if found is not None:
            held += 1
            broken += 1 - falls * (1 - found.score) / 2 < 0.95
    assert held > 100
    assert broken <= stats.binom(400, 0.05).ppf(0.999)


def test_precision_is_another_where_the_species_is_rare():
    right = [True] * 500 + [False] * 5
    photos = np.array([500, 500])
    half, rare = np.array([0.5, 0.5]), np.array([0.01, 0.99])
    assert certified(right, photos=photos).accepted == 505
    assert certified(right, photos=photos, shares=half) is not None
    assert certified(right, photos=photos, shares=rare) is None
    exact = [s[0] / (s[0] + s[1] * 0.01) for s in (half, rare)]  # TPR 1, FPR 5 of 500
    bounds = [precision_at_shares(np.array([500, 5]), photos, s, 0, 0.05) for s in (half, rare)]
    assert all(bound < value for bound, value in zip(bounds, exact, strict=True))
    assert bounds[1] < 0.5


def test_the_bound_at_shares_holds_with_both_parts_drawn():
    generator, shares = np.random.default_rng(1), np.array([0.2, 0.8])
    accepted = generator.binomial([100, 300], [0.7, 0.04], (2000, 2))
    true = 0.2 * 0.7 / (0.2 * 0.7 + 0.8 * 0.04)
    bounds = [precision_at_shares(one, np.array([100, 300]), shares, 0, 0.05) for one in accepted]
    assert np.mean(np.array(bounds) > true) <= 0.05
    assert np.mean(bounds) > true - 0.25


def test_shares_are_found_from_unlabelled_photos():
    generator = np.random.default_rng(0)
    labels = generator.choice(3, 4000, p=[0.7, 0.28, 0.02])
    x = generator.normal(0, 1, 4000) + 2 * labels  # equal shares give softmax(2 c x − 2 c²)
    log_p = 2 * x[:, None] * np.arange(3) - 2 * np.arange(3) ** 2
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    found = shares_of_unlabelled(p, np.ones(3) / 3)
    assert found == pytest.approx(np.bincount(labels) / 4000, abs=0.03)
    assert p.mean(axis=0) != pytest.approx(np.bincount(labels) / 4000, abs=0.03)
    assert shares_of_unlabelled(p[:0], np.ones(3) / 3) == pytest.approx(np.ones(3) / 3)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"wolf": 0.1}, "the model knows deer, boar, got wolf"),
        ({"deer": 1.2}, "shares from 0 to 1"),
        ({"deer": 0.2, "boar": 0.2}, "together 0.4"),
    ],
)
def test_shares_that_cannot_be_are_refused(named, said):
    with pytest.raises(ConfigurationError, match=said):
        all_shares(named, ["deer", "boar"], {"deer": 1, "boar": 1})

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from fscl.scoring.thresholds import choose_threshold

photos = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=30).filter(
    lambda rows: len({rare for _, rare in rows}) == 2
)


@given(photos)
def test_no_threshold_is_better(rows):
    scores, labels = map(np.array, zip(*rows, strict=True))
    at_chosen = balanced_accuracy_score(labels, scores > choose_threshold(scores, labels))
    for other in [-1.0, *scores]:
        assert at_chosen >= balanced_accuracy_score(labels, scores > other) - 1e-12


@given(photos, st.randoms(use_true_random=False))
def test_the_order_of_photos_plays_no_part(rows, random):
    shuffled = random.sample(rows, len(rows))
    first, second = (choose_threshold(*map(np.array, zip(*order, strict=True))) for order in (rows, shuffled))
    assert first == second


@pytest.mark.parametrize(
    ("common", "rare", "threshold"),
    [
        ([0.0, 0.25], [0.75, 1.0], 0.5),  # the middle of the gap
        ([0.0, 0.0, 0.0, 0.25, 0.75], [0.5, 1.0, 1.0, 2.0], 0.375),  # (4/5 + 1) / 2, above 0.75 (1 + 3/4) / 2
        ([0.0, 0.5], [0.25, 1.0], 0.75),  # as good as above 0, and wider
        ([0.0, 0.75], [0.5, 1.0], 0.25),  # as good as above 0.75, and wider
        ([0.8, 0.9], [0.1, 0.2], 0.9),  # upside down: none counts
        ([0.5], [0.5], 0.5),  # all alike: none counts
    ],
)
def test_chosen(common, rare, threshold):
    labels = np.array([False] * len(common) + [True] * len(rare))
    assert choose_threshold(np.array(common + rare), labels) == threshold


@pytest.mark.parametrize("score", [1.0, np.float32(0.7)])
def test_neighbouring_floats_are_told_apart(score):
    scores = np.array([np.nextafter(score, type(score)(0)), score])
    assert (scores > choose_threshold(scores, np.array([0, 1]))).tolist() == [False, True]


@pytest.mark.parametrize("labels", [[], [True, True], [False, False]])
def test_undefined_where_a_class_is_absent(labels):
    assert choose_threshold(np.linspace(0, 1, len(labels)), np.array(labels, dtype=bool)) is None

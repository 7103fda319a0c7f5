import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from fscl.errors import DivergenceError, PhotosError
from fscl.scoring.metrics import BINS, confusion, decision_figures, figures

KEYS = {
    "minority_recall",
    "majority_recall",
    "balanced_accuracy",
    "macro_f1",
    "accuracy",
    "auroc",
    "average_precision",
    "ece",
    "log_loss",
    "balanced_log_loss",
    "recall_by_class",
    "recall_by_bin",
    "recall_by_shot",
}
NAMES = ["boar", "water deer", "roe deer", "bear"]
COUNTS = {"boar": 1000, "water deer": 999, "roe deer": 9, "bear": 10}


def evaluate(logits, labels, minority=("roe deer",)):
    names = NAMES[: np.shape(logits)[1]]
    return figures(
        np.asarray(logits, float), np.asarray(labels), classes=names, minority=minority, train_counts=COUNTS
    )


two_to_four = st.integers(2, 4)


@st.composite
def scored_photos(draw, num_classes=two_to_four):
    """Few distinct logits, so that ties happen; classes may lack photos."""
    k = draw(num_classes)
    labels = draw(st.lists(st.integers(0, k - 1), min_size=1, max_size=30))
    seed = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(seed).integers(-3, 4, (len(labels), k)).astype(float), np.array(labels)


def test_the_keys_are_those_of_the_schema():
    assert set(evaluate([[1, 0], [0, 1]], [0, 1])) == KEYS


@given(scored_photos())
def test_decisions_agree_with_scikit_learn(photos):
    logits, labels = photos
    predicted, present = logits.argmax(axis=1), np.unique(labels)
    got = evaluate(logits, labels)
    recalls = oracle.recall_score(labels, predicted, labels=present, average=None)
    assert [r for r in got["recall_by_class"].values() if r is not None] == pytest.approx(list(recalls))
    assert got["balanced_accuracy"] == pytest.approx(recalls.mean())
    assert got["accuracy"] == pytest.approx(oracle.accuracy_score(labels, predicted))
    f1 = oracle.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    assert got["macro_f1"] == pytest.approx(f1)
    k = logits.shape[1]
    expected = oracle.confusion_matrix(labels, predicted, labels=range(k))
    assert confusion(predicted, labels, k).tolist() == expected.tolist()


@given(scored_photos())
def test_log_losses_agree_with_a_loop(photos):
    logits, labels = photos
    by_class = {}
    for row, label in zip(logits, labels, strict=True):
        by_class.setdefault(label, []).append(math.log(sum(map(math.exp, row))) - row[label])
    got = evaluate(logits, labels)
    assert got["log_loss"] == pytest.approx(np.mean(list(itertools.chain(*by_class.values()))))
    assert got["balanced_log_loss"] == pytest.approx(np.mean([np.mean(losses) for losses in by_class.values()]))


@given(scored_photos())
def test_auroc_is_the_mean_chance_over_pairs_that_the_right_class_wins(photos):
    logits, labels = photos
    areas = []
    for a, b in itertools.combinations(range(logits.shape[1]), 2):
        margin = logits[:, a] - logits[:, b]
        chances = [(x > y) + (x == y) / 2 for x in margin[labels == a] for y in margin[labels == b]]
        if chances:
            areas.append(np.mean(chances))
    got = evaluate(logits, labels)["auroc"]
    assert got == (pytest.approx(np.mean(areas)) if areas else None)


@given(scored_photos(), st.lists(st.integers(-50, 50), min_size=4, max_size=4))
def test_auroc_is_free_of_class_biases(photos, biases):
    logits, labels = photos
    biased = logits + np.array(biases[: logits.shape[1]])
    assert evaluate(biased, labels)["auroc"] == pytest.approx(evaluate(logits, labels)["auroc"])


@given(scored_photos(num_classes=st.just(2)), st.sampled_from([0, 1]))
def test_ranking_of_two_classes_agrees_with_scikit_learn(photos, rare):
    logits, labels = photos
    got = evaluate(logits, labels, minority=[NAMES[rare]])
    if len(np.unique(labels)) < 2:
        assert got["auroc"] is got["average_precision"] is None
        return
    scores = logits[:, rare] - logits[:, 1 - rare]
    assert got["auroc"] == pytest.approx(oracle.roc_auc_score(labels == rare, scores))
    assert got["average_precision"] == pytest.approx(oracle.average_precision_score(labels == rare, scores))


def precision_at_each_hit(positive, scores):
    """Average precision by its definition, for scores without ties."""
    ranked = positive[np.argsort(-scores)]
    return np.mean([ranked[: i + 1].mean() for i in np.flatnonzero(ranked)])


def test_average_precision_of_more_classes_is_the_mean_of_one_against_the_rest():
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(40, 4)), np.arange(40) % 3  # no bear
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.mean([precision_at_each_hit(labels == k, probabilities[:, k]) for k in range(3)])
    assert evaluate(logits, labels)["average_precision"] == pytest.approx(expected)


def test_average_precision_tells_photos_apart_whose_probability_rounds_to_one():
    logits = np.array([[0, 1000.0], [0, 900.0], [0, 800.0]])
    assert evaluate(logits, [1, 0, 0], minority=["water deer"])["average_precision"] == 1
    assert evaluate(logits, [0, 0, 1], minority=["water deer"])["average_precision"] == pytest.approx(1 / 3)


def test_recalls_of_minority_majority_and_bins():
    # boar 1/2, water deer 0/1, roe deer 1/1, bear 1/4
    labels = np.array([0, 0, 1, 2, 3, 3, 3, 3])
    predicted = np.array([0, 1, 0, 2, 3, 0, 0, 0])
    got = evaluate(np.eye(4)[predicted], labels, minority=["roe deer", "bear"])
    assert got["minority_recall"] == (1 + 0.25) / 2
    assert got["majority_recall"] == (0.5 + 0) / 2
    assert got["recall_by_bin"] == {"<10": 1, "10-99": 0.25, "100-999": 0, ">=1000": 0.5}
    assert list(got["recall_by_bin"]) == list(BINS)
    assert got["recall_by_shot"] == {"many": 0.25, "medium": None, "few": 0.625}


@pytest.mark.parametrize(
    ("photos", "shot"), [(0, "few"), (19, "few"), (20, "medium"), (100, "medium"), (101, "many"), (5000, "many")]
)
def test_shots_are_those_of_the_long_tail_benchmarks(photos, shot):
    got = decision_figures(
        np.array([0, 0]),
        np.array([0, 1]),
        classes=["a", "b"],
        minority=["b"],
        train_counts={"a": photos, "b": photos},
    )
    assert {name: recall for name, recall in got["recall_by_shot"].items() if recall is not None} == {shot: 0.5}


def test_a_class_without_photos_is_none_and_leaves_the_means_alone():
    got = evaluate([[1, 0, 0], [0, 1, 0], [1, 0, 0]], [0, 1, 1])
    assert got["recall_by_class"] == {"boar": 1, "water deer": 0.5, "roe deer": None}
    assert got["minority_recall"] is None
    assert got["balanced_accuracy"] == 0.75
    assert got["recall_by_bin"]["<10"] is None
    assert got["auroc"] == 0.75  # margins 1 against -1 and 1: one win and one tie


def test_without_photos_everything_is_none():
    got = evaluate(np.zeros((0, 2)), np.zeros(0, dtype=int))
    assert got.pop("recall_by_class") == {"boar": None, "water deer": None}
    assert set(got.pop("recall_by_bin").values()) == {None}
    assert set(got.pop("recall_by_shot").values()) == {None}
    assert set(got.values()) == {None}


def test_extreme_logits_stay_finite():
    got = evaluate([[1e30, -1e30], [-1e30, 1e30]], [0, 0])
    assert got["log_loss"] == pytest.approx(1e30)
    assert evaluate([[0, 800], [800, 0]], [0, 1])["log_loss"] == pytest.approx(800)


def test_figures_are_plain_python_for_json():
    values = evaluate(np.float32([[1, 0], [0, 1]]), np.array([0, 1], dtype=np.int32))
    for value in [*values.values(), *values["recall_by_class"].values()]:
        assert value is None or type(value) in (float, dict)


def test_decision_figures_are_those_of_argmax():
    logits, labels = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 3
    settings = {"classes": NAMES[:3], "minority": ["roe deer"], "train_counts": COUNTS}
    decided = decision_figures(logits.argmax(axis=1), labels, **settings)
    assert decided.items() <= figures(logits, labels, **settings).items()


@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        (np.zeros((2, 2)), [0, 1, 1], PhotosError, r"expected logits .* \(3, 2\), got \(2, 2\)"),
        (np.zeros((2, 2)), [0, 2], PhotosError, "expected labels from 0 to 1, got 0 to 2"),
        (np.zeros((2, 2)), [-1, 0], PhotosError, "expected labels from 0 to 1, got -1 to 0"),
        ([[0, math.nan], [0, 1]], [0, 1], DivergenceError, "for 1 of 2 photos"),
    ],
)
def test_what_does_not_fit_is_refused(logits, labels, error, message):
    with pytest.raises(error, match=message):
        evaluate(logits, labels)


@settings(max_examples=20)
@given(scored_photos(), st.randoms(use_true_random=False))
def test_the_order_of_photos_plays_no_part(photos, random):
    logits, labels = photos
    order = random.sample(range(len(labels)), len(labels))
    shuffled = evaluate(logits[order], labels[order])
    for name, value in evaluate(logits, labels).items():
        assert shuffled[name] == (pytest.approx(value) if isinstance(value, float) else value)


def test_log_odds_are_those_of_the_softmax_and_do_not_saturate():
    from scipy.special import softmax

    from fscl.scoring.metrics import _log_odds

    logits = np.random.default_rng(0).normal(0, 3, (50, 4))
    p = softmax(logits, axis=1)
    np.testing.assert_allclose(_log_odds(logits), np.log(p) - np.log1p(-p), rtol=1e-9)
    np.testing.assert_allclose(_log_odds(np.array([[900.0, 0.0, 0.0]]))[0, 0], 900 - np.log(2))

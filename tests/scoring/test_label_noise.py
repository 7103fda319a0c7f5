"""Planted wrong labels are found, those of a rare class, too; cleanlab is the oracle of the common ones."""

import numpy as np
import pytest

from fscl.scoring.label_noise import out_of_fold, suspects

COUNTS = (600, 300, 40)  # the last class is rare


def drawn(seed=0, wrong=0.05, spread=1.0, counts=COUNTS, dim=32):
    """Features of classes about their means, and labels of which a share of each class is wrong."""
    generator = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(counts)), counts)
    x = 4 * np.eye(dim)[truth] + generator.normal(0, spread, (len(truth), dim))
    labels = truth.copy()
    for c, count in enumerate(counts):
        planted = generator.choice(
            np.flatnonzero(truth == c), max(1, round(wrong * count)) if wrong else 0, replace=False
        )
        labels[planted] = (c + generator.integers(1, len(counts), len(planted))) % len(counts)
    return x, truth, labels


@pytest.mark.parametrize("seed", [0, 1])
def test_most_planted_labels_come_first_in_every_class(seed):
    x, truth, labels = drawn(seed)
    found = suspects(x, labels, np.arange(len(x)))
    planted = np.flatnonzero(truth != labels)
    first = found.rows[: round(1.2 * len(planted))]
    assert np.isin(planted, first).mean() > 0.8
    for given in range(3):  # by the label that they carry: of the rare class nearly half the labels may be wrong
        own = planted[labels[planted] == given]
        assert np.isin(own, first).mean() > 0.7
    hit = found.rows[np.isin(found.rows, planted)]
    suggested = dict(zip(found.rows.tolist(), found.suggested.tolist(), strict=True))
    assert np.mean([suggested[row] == truth[row] for row in hit]) > 0.95


def test_the_first_photos_are_of_all_classes_in_turn():
    x, _, labels = drawn(wrong=0.1)
    found = suspects(x, labels, np.arange(len(x)))
    assert set(labels[found.rows[:3]]) == {0, 1, 2}
    for c in range(3):
        scores = found.score[labels[found.rows] == c]
        assert (np.diff(scores) <= 0).all()
    assert ((found.score >= 0) & (found.score <= 1)).all()


def test_a_clean_small_class_is_not_doubted_for_being_small():
    x, _, labels = drawn(wrong=0, counts=(500, 500, 4))
    assert 2 not in labels[suspects(x, labels, np.arange(len(x))).rows]


def test_frames_of_a_burst_do_not_speak_for_each_other():
    x, _, labels = drawn(wrong=0)
    burst = np.flatnonzero(labels == 0)[:8]
    x[burst] = x[burst[0]] + 1e-3 * np.random.default_rng(0).normal(size=(8, x.shape[1]))
    labels = labels.copy()
    labels[burst] = 2
    groups = np.arange(len(x))
    alone = suspects(x, labels, groups).rows
    groups[burst] = groups[burst[0]]
    assert set(burst) <= set(suspects(x, labels, groups).rows)
    assert not set(burst) <= set(alone)


@pytest.mark.parametrize("labels", [[0] * 5, [0, 1], [0, 1, 2, 3], [0, 0, 1], [5, 5, 5, 9, 9]])
def test_few_photos_are_no_fault(labels):
    x = np.random.default_rng(0).normal(size=(len(labels), 3))
    for groups in (np.arange(len(labels)), np.zeros(len(labels), dtype=np.int64)):
        found = suspects(x, np.array(labels), groups)
        assert set(found.suggested) <= set(labels)


def test_cleanlab_finds_the_same_wrong_labels_of_common_classes():
    filters = pytest.importorskip("cleanlab.filter", reason="cleanlab, the oracle, is not installed")
    x, truth, labels = drawn()
    probability = out_of_fold(x, labels, np.arange(len(x)))
    theirs = filters.find_label_issues(labels, probability, return_indices_ranked_by="self_confidence", n_jobs=1)
    ours, planted = suspects(x, labels, np.arange(len(x))).rows, truth != labels
    common = [row for row in theirs if planted[row] and labels[row] < 2]
    assert len(common) > 15
    assert np.isin(common, ours).mean() > 0.9

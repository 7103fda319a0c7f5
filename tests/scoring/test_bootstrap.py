import numpy as np
import pytest

from fscl.scoring.bootstrap import bootstrap
from fscl.scoring.metrics import auroc


def scored(seed, photos=300, classes=3):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, photos)
    return 1.5 * np.eye(classes)[labels] + generator.normal(0, 1, (photos, classes)), labels


def by_loop(logits, labels, groups, generator, draws=600):
    """Draw groups, and compute every figure anew."""
    rows = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    found = []
    for _ in range(draws):
        some = np.concatenate([rows[place] for place in generator.integers(len(rows), size=len(rows))])
        answers, truth = logits[some].argmax(axis=1), labels[some]
        recall = [(answers[truth == c] == c).mean() for c in range(logits.shape[1])]
        found.append([np.mean(recall), auroc(logits[some], truth), recall[0], (truth[answers == 0] == 0).mean()])
    return np.quantile(found, [0.025, 0.975], axis=0).T


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("size", [1, 6])
def test_it_agrees_with_drawing_groups_and_computing_anew(classes, size):
    logits, labels = scored(0, classes=classes)
    groups = np.arange(300) // size
    own = bootstrap(logits, labels, groups, generator=np.random.default_rng(0))
    wanted = by_loop(logits, labels, groups, np.random.default_rng(1))
    for found, (low, high) in zip(
        (own.balanced_accuracy, own.auroc, own.recall[0], own.precision[0]), wanted, strict=True
    ):
        assert found.low == pytest.approx(low, abs=0.015)
        assert found.high == pytest.approx(high, abs=0.015)


def test_photos_of_a_burst_count_as_one():
    logits, labels = scored(1, photos=60)
    alone = bootstrap(logits, labels, np.arange(60), generator=np.random.default_rng(0))
    tenfold = np.repeat(logits, 10, axis=0), np.repeat(labels, 10), np.repeat(np.arange(60), 10)
    copies = bootstrap(*tenfold, generator=np.random.default_rng(0))
    naive = bootstrap(*tenfold[:2], np.arange(600), generator=np.random.default_rng(0))
    assert copies.balanced_accuracy == pytest.approx(alone.balanced_accuracy)
    assert naive.balanced_accuracy.high - naive.balanced_accuracy.low < 0.5 * (
        alone.balanced_accuracy.high - alone.balanced_accuracy.low
    )
    assert copies.groups == alone.groups


def test_what_is_not_defined_has_no_interval():
    logits, labels = np.array([[1.0, 0.0], [2.0, 0.0], [0.5, 0.0]]), np.zeros(3, int)
    found = bootstrap(logits, labels, np.arange(3), generator=np.random.default_rng(0))
    assert found.recall[1] is found.precision[1] is found.auroc is None
    assert found.balanced_accuracy == (1, 1)
    nothing = bootstrap(logits[:0], labels[:0], np.arange(0), generator=np.random.default_rng(0))
    assert nothing.balanced_accuracy is None

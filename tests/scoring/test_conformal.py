import numpy as np
import pytest

from fscl.scoring.conformal import class_quantiles, coverage_band, fewest_photos, prediction_sets


def drawn(seed, photos):
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, photos, p=[0.6, 0.3, 0.1])
    logits = 2.0 * np.eye(3)[labels] + generator.normal(0, 1.5, (photos, 3))
    p = np.exp(logits)
    return p / p.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_sets_are_those_of_crepes(alpha):
    crepes = pytest.importorskip("crepes", reason="crepes, the oracle of conformal sets, is not installed")
    p, labels = drawn(0, 600)
    new, _ = drawn(1, 300)
    own = prediction_sets(new, class_quantiles(p, labels, alpha))
    theirs = crepes.ConformalClassifier()
    theirs.fit(1 - p[np.arange(600), labels], bins=labels)
    for label in range(3):  # the p-value of a class is among calibration photos of it
        sets = theirs.predict_set(
            1 - new[:, [label]], bins=np.full(300, label), confidence=1 - alpha, smoothing=False
        )
        assert np.array_equal(own[:, label], sets[:, 0].astype(bool))


def test_a_class_with_too_few_photos_is_in_every_set():
    assert fewest_photos(0.05) == 19
    p = np.tile([0.99, 0.01], (37, 1))
    labels = np.r_[np.zeros(19, int), np.ones(18, int)]
    quantiles = class_quantiles(p, labels, 0.05)
    assert np.isfinite(quantiles).tolist() == [True, False]
    assert prediction_sets(np.array([[1.0, 0.0]]), quantiles).tolist() == [[True, True]]


def test_each_class_is_covered_as_often_as_promised():
    bands, covered = [], np.zeros((40, 3))
    for seed in range(40):
        p, labels = drawn(seed, 1000)
        new, truth = drawn(1000 + seed, 2000)
        inside = prediction_sets(new, class_quantiles(p, labels, 0.1))[np.arange(2000), truth]
        covered[seed] = [inside[truth == label].mean() for label in range(3)]
        bands.append([coverage_band((labels == c).sum(), (truth == c).sum(), 0.1) for c in range(3)])
    assert covered.mean(axis=0) == pytest.approx(0.9, abs=0.015)
    outside = sum(
        not low <= covered[seed, label] <= high for seed in range(40) for label, (low, high) in enumerate(bands[seed])
    )
    assert outside <= 6  # of 120, at 1 % each

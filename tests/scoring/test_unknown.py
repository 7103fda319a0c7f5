import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from fscl.scoring.unknown import class_mean_distance, energy, unknown_threshold


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_energy_is_that_of_pytorch_ood(temperature):
    detector = pytest.importorskip("pytorch_ood.detector", reason="pytorch-ood, the oracle, is not installed")
    logits = np.random.default_rng(0).normal(0, 3, (50, 4))
    theirs = detector.EnergyBased.score(torch.from_numpy(logits), t=temperature).numpy()
    assert energy(logits, temperature) == pytest.approx(theirs, rel=1e-6)


def test_species_that_were_never_shown_lie_further_from_the_class_means():
    generator = np.random.default_rng(0)
    centres = generator.normal(0, 1, (4, 30))
    labels = np.repeat([0, 1, 2], [200, 50, 5])
    known = centres[labels] + generator.normal(0, 0.7, (255, 30))
    new = centres[np.repeat([0, 1, 2, 3], 50)] + generator.normal(0, 0.7, (200, 30))
    distance = class_mean_distance(new, known, labels)
    assert ((distance >= 0) & (distance <= 2)).all()
    assert roc_auc_score(np.arange(200) >= 150, distance) > 0.95


def test_a_feature_that_is_the_same_in_all_photos_says_nothing():
    known = np.array([[1.0, 0.0, 7.0], [0.0, 1.0, 7.0]])
    assert np.isfinite(class_mean_distance(known, known, np.array([0, 1]))).all()


def test_the_threshold_flags_at_most_its_rate_of_known_photos():
    generator = np.random.default_rng(0)
    flagged = []
    for _ in range(300):
        threshold = unknown_threshold(generator.normal(0, 1, 99), rate=0.05)
        flagged.append((generator.normal(0, 1, 200) > threshold).mean())
    assert np.mean(flagged) == pytest.approx(0.05, abs=0.006)
    assert unknown_threshold(np.zeros(18), rate=0.05) == np.inf

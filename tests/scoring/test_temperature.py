import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from fscl.scoring.calibration import expected_calibration_error
from fscl.scoring.temperature import fit_temperature


def overconfident(seed, photos=400, classes=3, times=3.0):
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (photos, classes))
    labels = np.array([generator.choice(classes, p=p) for p in softmax(logits, axis=1)])
    return logits * times, labels


@pytest.mark.parametrize("classes", [3, 5])
def test_it_is_that_of_scikit_learn(classes):
    generator = np.random.default_rng(classes)
    labels = generator.integers(0, classes, 300)
    x = np.eye(classes)[labels] + generator.normal(0, 0.8, (300, classes))
    model = LogisticRegression(C=100).fit(x[:60], labels[:60])
    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(x[60:], labels[60:])
    beta = theirs.calibrated_classifiers_[0].calibrators[0].beta_
    own = fit_temperature(model.decision_function(x[60:]), labels[60:], pull=0)
    assert own == pytest.approx(1 / beta, rel=1e-3)
    wanted = theirs.predict_proba(x[:60])
    assert softmax(model.decision_function(x[:60]) / own, axis=1) == pytest.approx(wanted, abs=1e-3)


def test_it_undoes_overconfidence_and_so_the_calibration_error():
    logits, labels = overconfident(0, photos=2000)
    t = fit_temperature(logits, labels)
    assert t == pytest.approx(3, rel=0.1)
    errors = [expected_calibration_error(softmax(logits / by, axis=1), labels) for by in (1, t)]
    assert errors[0] > 0.15
    assert errors[1] < 0.04


def test_balanced_gives_every_class_the_same_say():
    logits, labels = overconfident(1)
    rare = np.r_[np.flatnonzero(labels == 0)[:5], np.flatnonzero(labels != 0)]
    logits, labels = logits[rare] + [0, 3, 3], labels[rare]  # which all but rules the rare class out
    grid = np.exp(np.linspace(-2, 4, 3001))
    counts = np.bincount(labels)
    of_true = [log_softmax(logits / t, axis=1)[np.arange(len(labels)), labels] for t in grid]
    best = grid[np.argmin([-(one / counts[labels]).sum() for one in of_true])]
    assert fit_temperature(logits, labels, balanced=True, pull=0) == pytest.approx(best, rel=0.005)
    assert fit_temperature(logits, labels, pull=0) != pytest.approx(best, rel=0.02)


def test_a_few_photos_without_an_error_do_not_make_certainties():
    logits, labels = np.array([[2.0, 0.0], [0.0, 2.0]] * 10), np.array([0, 1] * 10)
    t = fit_temperature(logits, labels)
    assert 0.2 < t < 1
    assert fit_temperature(logits, labels, pull=0) < 0.1

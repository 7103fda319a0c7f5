import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import NearestNeighbors

from fscl.scoring.label_noise import nearest_others, share_of, suspects

COUNTS = (200, 60, 12)


@pytest.fixture(scope="module")
def noisy():
    """Return features, labels with 6 % of them wrong in every class, and which are wrong."""
    generator = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], COUNTS)
    features = 4 * np.eye(8)[truth] + generator.normal(0, 1, (len(truth), 8))
    wrong = np.r_[0:12, 200:204, 260:261]
    labels = truth.copy()
    labels[wrong] = (truth[wrong] + 1) % 3
    model = LogisticRegression(class_weight="balanced", max_iter=500)
    return features, labels, wrong, cross_val_predict(model, features, labels, cv=4, method="predict_proba")


def test_neighbours_are_those_of_scikit_learn(noisy):
    features, labels, _, _ = noisy
    centred = features - features.mean(axis=0)
    nearest = NearestNeighbors(n_neighbors=6, metric="cosine").fit(centred).kneighbors(return_distance=False)
    weighed = np.zeros((len(labels), 3))
    for row, own in enumerate(nearest):
        for label in labels[own]:
            weighed[row, label] += np.sum(labels == label) ** -0.5
    assert share_of(nearest_others(features, 6), labels) == pytest.approx(
        weighed / weighed.sum(axis=1, keepdims=True)
    )


def test_wrong_labels_are_found_in_every_class_and_rare_ones_are_not_flooded(noisy):
    features, labels, wrong, p = noisy
    found = suspects(share_of(nearest_others(features), labels), p, labels, most=0.5)
    rows = {one.row for one in found}
    assert len(rows & set(wrong.tolist())) >= 0.9 * len(wrong)
    assert len(rows - set(wrong.tolist())) <= 8
    assert all(one.rather != labels[one.row] for one in found)
    assert 0 in {labels[one.row] for one in found}  # the photo of the rarest class that is labelled as the commonest
    few = suspects(share_of(nearest_others(features), labels), p, labels, most=0.01)
    per_class = np.bincount(labels[[one.row for one in few]], minlength=3)
    assert (per_class <= np.ceil(0.01 * np.bincount(labels))).all()


def test_cleanlab_finds_most_of_the_same(noisy):
    filters = pytest.importorskip("cleanlab.filter", reason="cleanlab, the oracle, is not installed")
    features, labels, _, p = noisy
    theirs = set(filters.find_label_issues(labels, p, return_indices_ranked_by="self_confidence", n_jobs=1).tolist())
    own = {one.row for one in suspects(share_of(nearest_others(features), labels), p, labels, most=0.5)}
    assert len(own & theirs) >= 0.8 * len(own)

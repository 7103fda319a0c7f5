"""Heads that are fitted at once, against scikit-learn and against their equations written out."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from torch.nn import functional

from fscl.errors import ConfigurationError
from fscl.models import Classifier
from fscl.models.adapter import AdapterHead, ClassMeansHead
from fscl.models.fitted_heads import LdaHead, LogisticHead, RidgeHead
from fscl.models.heads import HEADS, CosineMeansHead
from fscl.registry import build

FITTED = ["cosine_means", "class_means", "logistic", "lda", "ridge", "adapter"]


def photos(seed=0, counts=(40, 9, 3), dim=12):
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    spread = random.uniform(0.1, 5, dim)
    features = (random.normal(size=(len(labels), dim)) + 2 * random.normal(size=(len(counts), dim))[labels]) * spread
    return torch.from_numpy(features + 7).float(), torch.from_numpy(labels)


def standardised(features):
    x = features.double().numpy()
    return (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)


def head(name, dim=12, classes=3, **options):
    return build(HEADS, "head", name, {"in_features": dim, "out_features": classes}, options)


def test_logistic_regression_is_that_of_scikit_learn_on_standardised_features():
    features, labels = photos()
    fitted = LogisticHead(12, 3, strength=0.1)
    fitted.fit(features, labels)
    oracle = LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000, tol=1e-8)
    oracle.fit(standardised(features), labels.numpy())
    expected = oracle.predict_proba(standardised(features))
    assert fitted(features).softmax(dim=1).detach().numpy() == pytest.approx(expected, abs=2e-3)


def test_of_two_classes_the_probabilities_are_those_of_scikit_learn():
    features, labels = photos(counts=(40, 5))
    fitted = LogisticHead(12, 2)
    fitted.fit(features, labels)
    oracle = LogisticRegression(C=0.001, class_weight="balanced", tol=1e-8)
    expected = oracle.fit(standardised(features), labels.numpy()).predict_proba(standardised(features))
    assert fitted(features).softmax(dim=1).detach().numpy() == pytest.approx(expected, abs=1e-4)


def test_lda_decides_as_that_of_scikit_learn():
    features, labels = photos()
    fitted = LdaHead(12, 3, shrinkage=0.4)
    fitted.fit(features, labels)
    x = standardised(features)
    means = np.stack([x[labels == label].mean(axis=0) for label in range(3)])
    within = x - means[labels]
    covariance = within.T @ within / (len(x) - 3)
    shrunk = 0.6 * covariance + 0.4 * np.trace(covariance) / 12 * np.eye(12)

    class Known:
        def fit(self, _):
            self.covariance_ = shrunk
            return self

    oracle = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 3] * 3, covariance_estimator=Known())
    expected = oracle.fit(x, labels.numpy()).predict_proba(x)
    assert fitted(features).softmax(dim=1).detach().numpy() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("counts", [(40, 9, 3), (4, 3, 2)], ids=["more photos than features", "fewer"])
def test_ridge_is_that_of_scikit_learn(counts):
    features, labels = photos(counts=counts)
    fitted = RidgeHead(12, 3, alpha=0.5)
    fitted.fit(features, labels)
    weights = (1 / (3 * np.bincount(labels)))[labels]
    targets = np.where(labels[:, None].numpy() == np.arange(3), 1.0, -1.0)
    oracle = Ridge(alpha=0.5).fit(standardised(features), targets, sample_weight=weights)
    expected = oracle.predict(standardised(features))
    assert fitted(features).detach().numpy() == pytest.approx(expected, abs=1e-3)


def test_class_means_are_the_equation_written_out():
    features, labels = photos()
    fitted = ClassMeansHead(12, 3, scale=20)
    fitted.fit(features, labels)
    x = torch.from_numpy(standardised(features))
    means = torch.stack([x[labels == label].mean(dim=0) for label in range(3)])
    middle = means.mean(dim=0)
    for row in range(0, len(x), 7):
        for label in range(3):
            expected = 20 * functional.cosine_similarity(x[row] - middle, means[label] - middle, dim=0)
            assert fitted(features[row : row + 1])[0, label].item() == pytest.approx(expected.item(), abs=1e-3)
    assert not list(fitted.parameters())


def test_the_adapter_starts_as_class_means():
    features, labels = photos()
    adapter, means = AdapterHead(12, 3), ClassMeansHead(12, 3)
    adapter.fit(features, labels)
    means.fit(features, labels)
    assert torch.equal(adapter(features), means(features))


def test_class_means_follow_the_residual_map_without_a_look_at_the_photos():
    features, labels = photos()
    adapter = AdapterHead(12, 3)
    adapter.fit(features, labels)
    torch.nn.init.normal_(adapter.residual.weight, std=0.3)
    adapted = adapter.adapt(features)
    means = torch.stack([adapted[labels == label].mean(dim=0) for label in range(3)])
    expected = 30 * functional.normalize(adapted) @ functional.normalize(means - means.mean(dim=0)).T
    assert adapter(features).detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-3)
    assert means.mean(dim=0).detach().numpy() == pytest.approx(np.zeros(12), abs=1e-4)


@pytest.mark.parametrize(
    ("counts", "prior", "share"),
    [((8, 8), 32.0, 1 / 2), ((4, 36), 80.0, 0.3), ((8, 8), 2.0, 2.0), ((4, 36), 0.0, 1.0)],
)
@pytest.mark.parametrize("views", [1, 3])
def test_the_fewer_photos_the_less_the_map_counts(counts, prior, share, views):
    features, labels = photos(counts=counts)
    adapter, plain = AdapterHead(12, 2, prior=prior), AdapterHead(12, 2)
    for fitted in (adapter, plain):
        fitted.fit(features.repeat_interleave(views, dim=0), labels.repeat_interleave(views), views=views)
        torch.nn.init.constant_(fitted.residual.weight, 0.2)
    assert adapter.share.item() == pytest.approx(share)
    with torch.no_grad():
        plain.residual.weight *= share
    assert adapter(features).detach().numpy() == pytest.approx(plain(features).detach().numpy(), abs=1e-4)


def test_a_prior_is_kept_with_the_weights_and_its_absence_needs_none():
    features, labels = photos(counts=(4, 36))
    adapter, again = AdapterHead(12, 2, prior=180.0), AdapterHead(12, 2, prior=180.0)
    adapter.fit(features, labels)
    again.load_state_dict(adapter.state_dict())
    assert again.share.item() == adapter.share.item() == pytest.approx(0.2)
    assert "share" not in AdapterHead(12, 2).state_dict()


@pytest.mark.parametrize("name", FITTED)
@given(seed=st.integers(0, 2**16), scale=st.floats(0.01, 100))
def test_a_head_does_not_care_for_the_order_of_photos(name, seed, scale):
    features, labels = photos(seed)
    one, other = head(name), head(name)
    one.fit(features, labels)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    other.fit(features[order], labels[order])
    assert one(features).argmax(dim=1).tolist() == other(features).argmax(dim=1).tolist()


@pytest.mark.parametrize("name", FITTED)
@pytest.mark.parametrize("counts", [(1, 1), (30, 1), (1, 1, 1, 1)])
def test_a_class_of_one_photo_is_enough(name, counts):
    features, labels = photos(counts=counts)
    fitted = head(name, classes=len(counts))
    fitted.fit(features, labels)
    logits = fitted(features)
    assert logits.isfinite().all()
    assert logits.argmax(dim=1)[labels == len(counts) - 1].tolist() == [len(counts) - 1]


@pytest.mark.parametrize("name", FITTED)
def test_a_feature_that_is_the_same_in_all_photos_does_no_harm(name):
    features, labels = photos()
    features[:, 3] = 5.0
    fitted = head(name)
    fitted.fit(features, labels)
    assert fitted(features).isfinite().all()
    assert (fitted(features).argmax(dim=1) == labels).float().mean() > 0.8


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("logistic", {"strength": 0}, "strength must be > 0"),
        ("lda", {"shrinkage": 0.0}, "shrinkage must be > 0 and at most 1"),
        ("ridge", {"alpha": -1}, "alpha must be > 0"),
        ("adapter", {"scale": 0}, "scale must be > 0"),
        ("adapter", {"prior": -1.0}, "prior must be >= 0 photos"),
        ("class_means", {"scale": float("inf")}, "scale must be > 0"),
    ],
)
def test_options_out_of_range_are_said(name, options, said):
    with pytest.raises(ConfigurationError, match=said):
        head(name, **options)


def test_a_cosine_head_starts_from_the_class_means():
    features, labels = photos()
    cosine = CosineMeansHead(12, 3)
    cosine.fit(features, labels)
    assert cosine.weight[2].detach().numpy() == pytest.approx(features[labels == 2].mean(dim=0).numpy(), abs=1e-4)


@pytest.mark.parametrize("backbone", ["test_resnet", "cifar_resnet32", "test_vit"])
@pytest.mark.parametrize("name", [None, "logistic", "adapter"])
def test_pooled_features_give_the_logits_of_the_photos(backbone, name):
    component = None if name is None else {"name": name}
    size = 160 if backbone == "test_vit" else 64
    from fscl.config import Component

    own = None if component is None else Component(**component)
    model = Classifier(backbone, 2, (-1,), image_size=size, head=own).eval()
    batch = torch.rand(5, 3, size, size)
    with torch.no_grad():
        pooled = model.pooled(batch)
        if name is not None:
            model.head.fit(pooled, torch.tensor([0, 0, 1, 1, 1]))
        whole, of_features = model(batch), model(pooled)
    assert of_features.logits.numpy() == pytest.approx(whole.logits.numpy(), abs=1e-4)
    assert pooled.shape[0] == 5
    if name == "adapter":
        assert model.dims == [pooled.shape[1]]
        assert of_features.features[0].numpy() == pytest.approx(whole.features[0].numpy(), abs=1e-4)


@pytest.mark.parametrize("name", FITTED)
def test_views_of_each_photo_that_are_all_alike_change_nothing(name):
    features, labels = photos()
    one, other = head(name), head(name)
    one.fit(features, labels)
    other.fit(features.repeat(3, 1), labels.repeat(3), views=3)
    assert other(features).detach().numpy() == pytest.approx(one(features).detach().numpy(), rel=2e-3, abs=2e-3)

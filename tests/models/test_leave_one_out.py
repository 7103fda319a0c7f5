"""Closed forms against their slow oracle: the head fitted again without each photo."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fscl.models import leave_one_out
from fscl.models.heads import HEADS
from fscl.registry import build
from tests.models.test_fitted_heads import photos, standardised

COUNTS = [(40, 9), (40, 9, 3), (2, 2), (5, 2, 2, 3), (3, 60)]


def made(name, dim, classes, **options):
    return build(HEADS, "head", name, {"in_features": dim, "out_features": classes}, options)


def refitted(head, features, labels):
    """The logits of each photo by a head that was fitted without it, the standardisation of all photos kept."""
    logits = []
    for row in range(len(labels)):
        kept = np.arange(len(labels)) != row
        if head.__class__.__name__ == "ClassMeansHead":
            head.fit(features[kept], labels[kept])
            with torch.no_grad():
                logits.append(head(features[row : row + 1]).double().numpy()[0])
        else:
            x = standardised(features)
            weight, bias = head.solve(x[kept], labels.numpy()[kept])
            logits.append(weight @ x[row] + bias)
    return np.array(logits)


@pytest.mark.parametrize("dim", [12, 70], ids=["few features", "many features"])
@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize(
    ("name", "options"),
    [("ridge", {}), ("ridge", {"alpha": 0.3}), ("lda", {}), ("lda", {"shrinkage": 0.2}), ("class_means", {})],
)
def test_photos_are_left_out_as_by_fitting_again(name, options, counts, dim):
    features, labels = photos(counts=counts, dim=dim)
    head = made(name, dim, len(counts), **options)
    expected = refitted(head, features, labels)
    found = head.left_out(features, labels)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["ridge", "lda", "class_means"])
@given(seed=st.integers(0, 2**16))
def test_the_order_of_photos_and_their_number_at_once_change_nothing(name, seed):
    features, labels = photos(seed, counts=(12, 5, 3))
    head = made(name, 12, 3)
    order = np.random.default_rng(seed).permutation(20)
    whole = head.left_out(features, labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leave_one_out, "ROWS", 3)
        found = head.left_out(features[order], labels[order])
    assert found == pytest.approx(whole[order], rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", ["ridge", "lda", "class_means"])
def test_photos_that_are_all_alike_give_finite_logits(name):
    features = torch.ones(6, 4) * torch.tensor([1.0, 1, 1, 2, 2, 2])[:, None]
    assert np.isfinite(made(name, 4, 2).left_out(features, torch.tensor([0, 0, 0, 1, 1, 1]))).all()


@pytest.mark.parametrize("name", ["logistic", "cosine_means", "adapter"])
def test_heads_without_a_closed_form_say_so(name):
    assert not made(name, 4, 2).closed_form

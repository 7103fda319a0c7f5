import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fscl.losses import FeatureSimilarityLoss
from fscl.losses.feature_similarity import (
    FullPrecisionProduct,
    full_precision,
    pairwise_form,
    product,
    sum_form,
    unit_rows,
)


def oracle(features, labels):
    """The equation, pair by pair: S_ij = h_i·h_j / (|h_i||h_j|), T_ij = [c_i = c_j], mean of (S − T)²."""
    rows, total = features.tolist(), 0.0
    for h_i, c_i in zip(rows, labels.tolist(), strict=True):
        for h_j, c_j in zip(rows, labels.tolist(), strict=True):
            norms = math.sqrt(sum(a * a for a in h_i)) * math.sqrt(sum(b * b for b in h_j))
            similarity = sum(a * b for a, b in zip(h_i, h_j, strict=True)) / norms if norms else 0.0
            total += (similarity - (1.0 if c_i == c_j else 0.0)) ** 2
    return total / len(rows) ** 2


def batch(n, dim, classes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, dim, generator=generator, dtype=dtype)
    return features, torch.randint(classes, (n,), generator=generator)


@given(n=st.integers(1, 24), dim=st.integers(1, 12), classes=st.integers(2, 5), seed=st.integers(0, 999))
def test_both_forms_are_the_equation(n, dim, classes, seed):
    features, labels = batch(n, dim, classes, seed)
    expected = oracle(features, labels)
    directions = unit_rows(features)
    assert pairwise_form(directions, labels, classes).item() == pytest.approx(expected, abs=1e-12)
    assert sum_form(directions, labels, classes).item() == pytest.approx(expected, abs=1e-10)
    assert FeatureSimilarityLoss(classes)(features, labels).item() == pytest.approx(expected, abs=1e-10)


@given(n=st.integers(2, 40), dim=st.integers(2, 20), seed=st.integers(0, 999))
def test_both_forms_agree_in_float32_value_and_gradient(n, dim, seed):
    features, labels = batch(n, dim, 3, seed, torch.float32)
    values, gradients = [], []
    for form in (pairwise_form, sum_form):
        leaf = features.clone().requires_grad_()
        value = form(unit_rows(leaf), labels, 3)
        value.backward()
        values.append(value.item())
        gradients.append(leaf.grad)
    assert values[0] == pytest.approx(values[1], abs=4e-6)
    # Where photos agree with their target the gradient itself vanishes: what is left is rounding of terms of size
    # one, which the shortest feature divides.
    rounding = 8 * torch.finfo(torch.float32).eps / features.norm(dim=1).min()
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-5 * gradients[0].abs().max() + rounding


@pytest.mark.parametrize("n", [5, 12], ids=["pairwise", "sums"])
def test_gradient_is_that_of_the_value(n):
    features, labels = batch(n, 8, 3)
    assert torch.autograd.gradcheck(lambda h: FeatureSimilarityLoss(3)(h, labels), features.requires_grad_())


@pytest.mark.parametrize("n", [6, 30])
def test_order_of_photos_does_not_matter(n):
    features, labels = batch(n, 8, 3)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    loss = FeatureSimilarityLoss(3)
    assert loss(features, labels).item() == pytest.approx(loss(features[order], labels[order]).item(), abs=1e-12)


@pytest.mark.parametrize("n", [6, 30], ids=["pairwise", "sums"])
def test_a_zero_vector_has_similarity_zero_and_gradient_zero(n):
    features, labels = batch(n, 8, 2)
    features[2] = 0
    leaf = features.clone().requires_grad_()
    value = FeatureSimilarityLoss(2)(leaf, labels)
    value.backward()
    assert value.item() == pytest.approx(oracle(features, labels), abs=1e-10)
    assert torch.equal(leaf.grad[2], torch.zeros(8, dtype=torch.float64))
    assert leaf.grad.abs().max() > 0
    assert torch.isfinite(leaf.grad).all()


def test_all_vectors_zero():
    leaf = torch.zeros(4, 8, requires_grad=True)
    value = FeatureSimilarityLoss(2)(leaf, torch.tensor([0, 0, 1, 1]))
    value.backward()
    assert value.item() == pytest.approx(0.5)
    assert torch.equal(leaf.grad, torch.zeros(4, 8))


def test_one_class_in_the_batch_pulls_all_together():
    features, _ = batch(10, 4, 2)
    labels = torch.zeros(10, dtype=torch.int64)
    assert FeatureSimilarityLoss(2)(features, labels).item() == pytest.approx(oracle(features, labels), abs=1e-12)
    assert FeatureSimilarityLoss(2)(torch.ones(10, 4), labels).item() == pytest.approx(0, abs=1e-6)


def test_one_photo():
    assert FeatureSimilarityLoss(2)(torch.ones(1, 4), torch.tensor([1])).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("n", [16, 512], ids=["pairwise", "sums"])
def test_half_precision_features_are_computed_in_float32(n, dtype):
    features, labels = batch(n, 32, 3, dtype=torch.float32)
    leaf = (features * 200).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = FeatureSimilarityLoss(3)(leaf, labels)
    value.backward()
    expected = FeatureSimilarityLoss(3)(leaf.detach().double(), labels).item()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected, abs=4e-6)
    assert torch.isfinite(leaf.grad).all()


def test_layers_are_summed_and_named_from_the_end():
    loss = FeatureSimilarityLoss(3)
    (first, labels), (second, _) = batch(9, 4, 3, 0), batch(9, 16, 3, 1)
    parts = loss.parts([first, second], labels)
    assert list(parts) == ["-2", "-1"]
    assert parts["-2"].item() == pytest.approx(oracle(first, labels), abs=1e-10)
    assert loss([first, second], labels).item() == pytest.approx(sum(p.item() for p in parts.values()))


def test_value_knows_the_perfect_and_the_collapsed_batch():
    labels = torch.tensor([0] * 63 + [1])
    loss = FeatureSimilarityLoss(2)
    assert loss(torch.eye(2)[labels], labels).item() == 0
    collapsed = loss(torch.ones(64, 512), labels).item()
    assert collapsed == pytest.approx(2 * 63 / 64**2, rel=1e-4)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (torch.ones(2, 3), torch.tensor([0, 2]), "labels must be 0 … 1, got 0 … 2"),
        (torch.ones(2, 3), torch.tensor([-1, 0]), "labels must be 0 … 1, got -1 … 0"),
        (torch.ones(0, 3), torch.tensor([], dtype=torch.int64), "batch >= 1"),
        (torch.ones(3, 3), torch.tensor([0, 1]), r"got \(3, 3\) and \(2,\)"),
        (torch.ones(2, 3, 4), torch.tensor([0, 1]), r"features must be \(batch, dim\)"),
    ],
)
def test_bad_input(features, labels, message):
    with pytest.raises(ValueError, match=message):
        FeatureSimilarityLoss(2)(features, labels)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="num_classes must be >= 2, got 1"):
        FeatureSimilarityLoss(1)


@pytest.fixture
def tf32_settings():
    """Put the user's precision back after the test."""
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.fp32_precision = "none"
    torch.backends.mkldnn.matmul.fp32_precision = "none"


@pytest.mark.parametrize("chosen", ["default", "high", "medium", "allow_tf32", "fp32_precision"])
def test_full_precision_gives_the_users_setting_back(chosen, tf32_settings):
    cublas = torch.backends.cuda.matmul
    if chosen in ("high", "medium"):
        torch.set_float32_matmul_precision(chosen)
    elif chosen != "default":
        setattr(cublas, chosen, True if chosen == "allow_tf32" else "tf32")
    before = cublas.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision
    with full_precision():
        assert cublas.fp32_precision == "ieee"
    assert (cublas.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision) == before


def test_the_full_precision_product_has_the_gradient_of_a_product():
    left, right = batch(5, 4, 2, seed=0)[0], batch(4, 6, 2, seed=1)[0]
    assert torch.equal(FullPrecisionProduct.apply(left, right), left @ right)
    assert torch.autograd.gradcheck(FullPrecisionProduct.apply, (left.requires_grad_(), right.requires_grad_()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="TF32 is a thing of CUDA")
def test_tf32_changes_neither_value_nor_gradient(tf32_settings):
    features, labels = batch(64, 512, 2, dtype=torch.float32)
    found = []
    for allowed in (False, True):
        torch.backends.cuda.matmul.allow_tf32 = allowed
        leaf = features.cuda().requires_grad_()
        value = FeatureSimilarityLoss(2)(leaf, labels.cuda())
        value.backward()
        found.append((value.item(), leaf.grad))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize(("form", "products"), [(pairwise_form, 1), (sum_form, 2)])
def test_every_product_of_the_loss_is_a_full_precision_one(form, products, monkeypatch):
    calls = []
    monkeypatch.setattr("fscl.losses.feature_similarity.product", lambda a, b: calls.append(a) or product(a, b))
    features, labels = batch(6, 4, 2)
    form(unit_rows(features), labels, 2)
    assert len(calls) == products

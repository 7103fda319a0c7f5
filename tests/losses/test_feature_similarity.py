import importlib.util
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from fscl.losses import FeatureSimilarityLoss, study_loss


def _load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


similarity_loss = _load("similarity_oracle").similarity_loss
APART = {"affinity": "simplex", "centring": "batch"}


def study(features, labels):
    """The study's equation on numbers: S_ij = h_i·h_j / (|h_i||h_j|), T_ij = [c_i = c_j], mean of (S − T)²."""
    rows, total = features.tolist(), 0.0
    for h_i, c_i in zip(rows, labels.tolist(), strict=True):
        for h_j, c_j in zip(rows, labels.tolist(), strict=True):
            norms = math.sqrt(sum(a * a for a in h_i)) * math.sqrt(sum(b * b for b in h_j))
            similarity = sum(a * b for a, b in zip(h_i, h_j, strict=True)) / norms if norms else 0.0
            total += (similarity - (1.0 if c_i == c_j else 0.0)) ** 2
    return total / len(rows) ** 2


def batch(n, dim, classes, seed=0, dtype=torch.float64, soft=False):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, dim, generator=generator, dtype=dtype)
    if soft:
        shares = torch.rand(n, classes, generator=generator, dtype=dtype)
        shares = torch.where(torch.rand(n, classes, generator=generator) < 0.3, 0, shares) + 1e-3
        return features, shares / shares.sum(dim=1, keepdim=True)
    return features, torch.randint(classes, (n,), generator=generator)


def value_and_gradient(loss, features, labels):
    leaf = features.clone().requires_grad_()
    value = loss(leaf, labels)
    (gradient,) = torch.autograd.grad(value, leaf, allow_unused=True)
    return value.detach(), gradient


@given(n=st.integers(1, 24), dim=st.integers(1, 12), classes=st.integers(2, 5), seed=st.integers(0, 999))
def test_without_options_it_is_the_studys_equation(n, dim, classes, seed):
    features, labels = batch(n, dim, classes, seed)
    value = FeatureSimilarityLoss(classes)(features, labels).item()
    assert value == pytest.approx(study(features, labels), abs=1e-10)


@given(n=st.integers(1, 24), dims=st.lists(st.integers(1, 12), min_size=1, max_size=3), seed=st.integers(0, 999))
def test_the_formula_as_code_is_the_studys_equation_and_the_loss(n, dims, seed):
    """The numbers of `study` know nothing of either; the loss is also compared in its gradient."""
    layers = [batch(n, dim, 3, seed + place)[0].requires_grad_() for place, dim in enumerate(dims)]
    labels = batch(n, 1, 3, seed)[1]
    formula, loss = study_loss(layers, labels), FeatureSimilarityLoss(3)(layers, labels)
    assert formula.item() == pytest.approx(sum(study(layer, labels) for layer in layers), abs=1e-10)
    assert loss.item() == pytest.approx(formula.item(), abs=1e-10)
    expected, found = (torch.autograd.grad(value, layers) for value in (formula, loss))
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=1e-10 * max(1, one.abs().max().item()))
    assert study_loss(layers[0], labels).item() == study_loss(layers[:1], labels).item()


@settings(max_examples=60)
@given(
    n=st.integers(1, 9),
    dim=st.integers(2, 12),
    classes=st.integers(2, 4),
    seed=st.integers(0, 999),
    soft=st.booleans(),
    affinity=st.sampled_from(["identity", "simplex"]),
    centring=st.sampled_from(["none", "batch"]),
)
def test_every_option_is_the_equation(n, dim, classes, seed, soft, affinity, centring):
    features, labels = batch(n, dim, classes, seed, soft=soft)
    target = torch.eye(classes, dtype=torch.float64)
    if affinity == "simplex":  # cosines of directions at equal and widest angles, as the loss keeps them
        target = ((target * classes - 1) / (classes - 1)).float().double()
    leaf = features.clone().requires_grad_()
    expected = similarity_loss(leaf, labels, target, centred=centring == "batch")
    loss = FeatureSimilarityLoss(classes, affinity=affinity, centring=centring).double()
    value, gradient = value_and_gradient(loss, features, labels)
    assert value.item() == pytest.approx(expected.item(), abs=1e-10)
    if expected.requires_grad:
        (expected_gradient,) = torch.autograd.grad(expected, leaf)
        tolerance = 1e-10 * max(1, expected_gradient.abs().max().item())
        torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=tolerance)


def test_options_are_not_in_the_state():
    assert list(FeatureSimilarityLoss(2, **APART).state_dict()) == []


@pytest.mark.parametrize("n", [5, 12], ids=["pairwise", "sums"])
@pytest.mark.parametrize("options", [{}, APART])
def test_gradients_are_those_of_the_value_twice(n, options):
    features, labels = batch(n, 8, 3)
    loss = FeatureSimilarityLoss(3, **options)
    assert torch.autograd.gradcheck(lambda h: loss(h, labels), features.requires_grad_())
    assert torch.autograd.gradgradcheck(lambda h: loss(h, labels), features)


@pytest.mark.parametrize("n", [6, 30])
def test_order_of_photos_does_not_matter(n):
    features, labels = batch(n, 8, 3)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    loss = FeatureSimilarityLoss(3, **APART)
    assert loss(features, labels).item() == pytest.approx(loss(features[order], labels[order]).item(), abs=1e-12)


@pytest.mark.parametrize("n", [6, 30], ids=["pairwise", "sums"])
def test_a_zero_vector_has_similarity_zero_and_gradient_zero(n):
    features, labels = batch(n, 8, 2)
    features[2] = 0
    value, gradient = value_and_gradient(FeatureSimilarityLoss(2), features, labels)
    assert value.item() == pytest.approx(study(features, labels), abs=1e-10)
    assert torch.equal(gradient[2], torch.zeros(8, dtype=torch.float64))
    assert gradient.abs().max() > 0
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("n", [3, 50], ids=["pairwise", "sums"])
@pytest.mark.parametrize("seed", range(5))
def test_equal_features_have_no_direction_about_their_centre(n, seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.rand(1, 16, generator=generator).expand(n, 16) * 100
    loss = FeatureSimilarityLoss(3, centring="batch")
    _, gradient = value_and_gradient(loss, features, torch.arange(n) % 3)
    assert torch.equal(gradient, torch.zeros(n, 16))


def test_all_vectors_zero():
    value, gradient = value_and_gradient(FeatureSimilarityLoss(2), torch.zeros(4, 8), torch.tensor([0, 0, 1, 1]))
    assert value.item() == pytest.approx(0.5)
    assert torch.equal(gradient, torch.zeros(4, 8))


def test_one_class_in_the_batch_pulls_all_together():
    features, _ = batch(10, 4, 2)
    labels = torch.zeros(10, dtype=torch.int64)
    assert FeatureSimilarityLoss(2)(features, labels).item() == pytest.approx(study(features, labels), abs=1e-12)
    assert FeatureSimilarityLoss(2)(torch.ones(10, 4), labels).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("options", "expected"), [({}, 0), (APART, 1)])  # its own centre: no direction
def test_one_photo(options, expected):
    loss = FeatureSimilarityLoss(2, **options)
    for dim in (1, 4):
        value, gradient = value_and_gradient(loss, torch.rand(1, dim) + 1, torch.tensor([1]))
        assert value.item() == pytest.approx(expected, abs=1e-6)
        assert gradient.abs().max() < 1e-6


@pytest.mark.parametrize("n", [16, 64], ids=["pairwise", "sums"])
def test_hard_labels_are_soft_labels_of_one_class(n):
    features, labels = batch(n, 32, 3)
    loss = FeatureSimilarityLoss(3, **APART)
    soft = torch.eye(3, dtype=torch.float64)[labels]
    assert loss(features, labels).item() == pytest.approx(loss(features, soft).item(), abs=1e-12)


@pytest.mark.parametrize("n", [16, 64], ids=["pairwise", "sums"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_labels_may_be_any_integers(n, dtype):
    features, labels = batch(n, 32, 3)
    loss = FeatureSimilarityLoss(3)
    assert loss(features, labels).item() == loss(features, labels.to(dtype)).item()


def test_the_simplex_is_reached_by_opposite_centred_features():
    features = torch.tensor([[5.0, 1.0], [5.0, 3.0], [5.0, 3.0]])
    loss = FeatureSimilarityLoss(2, **APART)
    assert loss(features, torch.tensor([0, 1, 1])).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("n", [16, 16384], ids=["pairwise", "sums"])
@pytest.mark.parametrize("options", [{}, APART])
def test_half_precision_features_are_computed_in_float32(n, dtype, options):
    features, labels = batch(n, 32, 3, dtype=torch.float32)
    features[0] = 0
    features[1] = 60000
    features[2] = 1e-7
    loss = FeatureSimilarityLoss(3, **options)
    leaf = features.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(leaf, labels)
    value.backward()
    assert value.dtype == torch.float32
    assert leaf.grad.dtype == dtype
    assert torch.isfinite(leaf.grad).all()
    if dtype == torch.float16:
        leaf.data[2] = 0  # so short that its gradient would not fit float16: no direction
    assert value.item() == pytest.approx(loss(leaf.detach().double(), labels).item(), abs=1e-5)


@pytest.mark.parametrize("options", [{}, APART])
@pytest.mark.parametrize("spread", [1e-3, 1.0], ids=["collapsed", "spread"])
def test_rounding_does_not_grow_with_the_batch(options, spread):
    features, labels = batch(30000, 16, 3, dtype=torch.float32)
    features = 1 + spread * features
    loss = FeatureSimilarityLoss(3, **options)
    value, gradient = value_and_gradient(loss, features, labels)
    exact, exact_gradient = value_and_gradient(loss, features.double(), labels)
    assert value.item() == pytest.approx(exact.item(), abs=4e-6)
    # Near collapse the gradient is what remains of terms 1,000 × as large.
    assert (gradient - exact_gradient).abs().max() < 1e-5 / spread * exact_gradient.abs().max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gradients_of_short_features_are_finite(dtype):
    features = torch.tensor([[2e-4, 0.0], [0.0, 2e-4]], dtype=dtype, requires_grad=True)
    FeatureSimilarityLoss(2, affinity="simplex")(features + 1e-5, torch.tensor([0, 1])).backward()
    assert torch.isfinite(features.grad).all()
    assert features.grad.abs().max() > 0


def test_not_a_number_in_is_not_a_number_out():
    for n in (4, 40):
        features, labels = batch(n, 8, 2)
        features[1, 1] = math.nan
        assert math.isnan(FeatureSimilarityLoss(2)(features, labels).item())


def test_layers_are_summed_and_named_from_the_end():
    (first, labels), (second, _) = batch(9, 4, 3, 0), batch(9, 16, 3, 1)
    parts = FeatureSimilarityLoss(3).parts([first, second], labels)
    assert list(parts) == ["-2", "-1"]
    assert parts["-2"].item() == pytest.approx(study(first, labels), abs=1e-10)
    assert FeatureSimilarityLoss(3)([first, second], labels).item() == pytest.approx(sum(parts.values()).item())
    assert list(FeatureSimilarityLoss(3).parts(first, labels)) == ["-1"]


def test_value_knows_the_perfect_and_the_collapsed_batch():
    labels = torch.tensor([0] * 63 + [1])
    loss = FeatureSimilarityLoss(2)
    assert loss(torch.eye(2)[labels], labels).item() == 0
    collapsed = loss(torch.ones(64, 512), labels).item()
    assert collapsed == pytest.approx(2 * 63 / 64**2, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "soft"),
    [(8, False), pytest.param(64, True, marks=pytest.mark.slow)],
    ids=["pairwise", "sums of soft labels"],
)
def test_it_compiles_to_one_graph(n, soft):
    features, labels = batch(n, 16, 3, dtype=torch.float32, soft=soft)
    loss = FeatureSimilarityLoss(3, **APART)
    compiled = torch.compile(FeatureSimilarityLoss(3, **APART), fullgraph=True, backend="aot_eager")
    expected, expected_gradient = value_and_gradient(loss, features, labels)
    value, gradient = value_and_gradient(compiled, features, labels)
    assert value.item() == pytest.approx(expected.item(), abs=1e-6)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-7)


class NothingIsRead(TorchDispatchMode):
    """Refuse every operation for which the host would wait for an accelerator."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert name not in {"_local_scalar_dense", "nonzero", "masked_select", "equal", "unique"}, name
        return function(*args, **kwargs or {})


@pytest.mark.parametrize("n", [8, 64], ids=["pairwise", "sums"])
@pytest.mark.parametrize("soft", [False, True])
def test_the_host_never_waits_for_a_value(n, soft, monkeypatch):
    features, labels = batch(n, 16, 3, dtype=torch.float32, soft=soft)
    loss = FeatureSimilarityLoss(3, **APART)
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NothingIsRead():
        loss(features, labels)  # on a CPU labels are checked
    monkeypatch.setattr("fscl.losses.feature_similarity.check_labels", lambda *_: None)
    with NothingIsRead():
        value_and_gradient(loss, features, labels)


BAD_LABELS = [
    (torch.ones(2, 3), torch.tensor([0, 2]), "labels must be 0 … 1, got 0 … 2; is num_classes right"),
    (torch.ones(2, 3), torch.tensor([-1, 0]), "labels must be 0 … 1, got -1 … 0"),
    (torch.ones(0, 3), torch.tensor([], dtype=torch.int64), "batch >= 1"),
    (torch.ones(3, 3), torch.tensor([0, 1]), r"got \(3, 3\) and \(2,\)"),
    (torch.ones(2, 3, 4), torch.tensor([0, 1]), r"features must be \(batch, dim\)"),
    ([], torch.tensor([0, 1]), "a list of at least one, got an empty list"),
    (torch.ones(2, 3), torch.ones(2, 2), "sum to 1, got .* a row that sums to 2; divide each row by its sum"),
    (torch.ones(2, 3), torch.ones(2, 3) / 3, r"shares of classes \(2, 2\).*got \(2, 3\) float32"),
]


@pytest.mark.parametrize(("features", "labels", "message"), BAD_LABELS)
def test_bad_input(features, labels, message):
    with pytest.raises(ValueError, match=message):
        FeatureSimilarityLoss(2)(features, labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "num_classes must be >= 2, got 1"),
        (
            {"affinity": [[1, -1], [-1, 1]]},
            r"unknown affinity \[\[1, -1\], \[-1, 1\]\]; choose from: identity, simplex",
        ),
        ({"centring": True}, "unknown centring True; choose from: batch, none"),
        ({"affinity": "simplx"}, "unknown affinity 'simplx'; did you mean 'simplex'"),
        ({"centring": "mean"}, "unknown centring 'mean'; choose from: batch, none"),
        ({"across_processes": None}, "across_processes must be true or false, got None"),
    ],
)
def test_options_that_do_not_exist_or_fit(options, message):
    with pytest.raises(ValueError, match=message):
        FeatureSimilarityLoss(**{"num_classes": 3} | options)

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from fscl.losses.full_precision import full_product
from fscl.losses.similarity_forms import (
    Sums,
    no_direction,
    not_below_zero,
    pairwise_form,
    rows_of_length,
    squared_difference,
    sum_form,
    sums_of,
)


def random_case(n, dim, classes, seed, *, soft=False, dtype=torch.float64):
    """Return features, labels and affinity."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, dim, generator=generator, dtype=dtype)
    shares = torch.rand(n, classes, generator=generator, dtype=dtype)
    labels = shares / shares.sum(dim=1, keepdim=True) if soft else shares.argmax(dim=1)
    affinity = torch.rand(classes, classes, generator=generator, dtype=dtype) * 2 - 1
    return features, labels, (affinity + affinity.T) / 2


def length_of(features):
    return features.new_tensor(len(features)).rsqrt()


def sums(features, labels, classes):
    length = length_of(features)
    return sums_of(rows_of_length(features, length), length, labels, classes)


def gradient_of(form, features, labels, affinity):
    leaf, length = features.clone().requires_grad_(), length_of(features)
    value = form(rows_of_length(leaf, length), length, labels, affinity)
    value.backward()
    return value.item(), leaf.grad


CASES = {
    "n": st.integers(2, 40),
    "dim": st.integers(2, 20),
    "classes": st.integers(2, 5),
    "seed": st.integers(0, 999),
    "soft": st.booleans(),
}


@given(**CASES)
def test_both_forms_are_one_function(n, dim, classes, seed, soft):
    case = random_case(n, dim, classes, seed, soft=soft)
    pairs, pairs_gradient = gradient_of(pairwise_form, *case)
    summed, sums_gradient = gradient_of(sum_form, *case)
    assert pairs == pytest.approx(summed, abs=1e-10)
    torch.testing.assert_close(pairs_gradient, sums_gradient, rtol=1e-10, atol=1e-10)


@given(**CASES)
def test_both_forms_agree_in_float32_up_to_the_rounding_of_what_cancels(n, dim, classes, seed, soft):
    features, labels, affinity = random_case(n, dim, classes, seed, soft=soft, dtype=torch.float32)
    pairs, pairs_gradient = gradient_of(pairwise_form, features, labels, affinity)
    summed, sums_gradient = gradient_of(sum_form, features, labels, affinity)
    m, g, p = sums(features, labels, classes)
    p = torch.diag(p) if p.ndim == 1 else p
    cancelling = m.square().sum() + 2 * (affinity @ g * g).sum().abs() + (affinity @ p @ affinity * p).sum()
    assert pairs == pytest.approx(summed, abs=(1e-6 * cancelling).item())
    # Where photos agree with their target the gradient itself vanishes: what is left is rounding of terms of size
    # one, which the shortest feature divides.
    rounding = 8 * torch.finfo(torch.float32).eps / features.norm(dim=1).min()
    assert (pairs_gradient - sums_gradient).abs().max() <= 1e-5 * pairs_gradient.abs().max() + rounding


@pytest.mark.parametrize("soft", [False, True])
def test_the_difference_of_two_sets_is_the_mean_over_their_pairs(soft):
    features, labels, affinity = random_case(9, 4, 3, 0, soft=soft)
    others, other_labels, _ = random_case(7, 4, 3, 1, soft=soft)
    y, other_y = (c if soft else torch.eye(3, dtype=torch.float64)[c] for c in (labels, other_labels))
    expected = 0.0
    for i in range(9):
        for j in range(7):
            similarity = features[i] @ others[j] / (features[i].norm() * others[j].norm())
            expected += (similarity - y[i] @ affinity @ other_y[j]) ** 2 / (9 * 7)
    value = squared_difference(sums(features, labels, 3), sums(others, other_labels, 3), affinity)
    assert value.item() == pytest.approx(expected.item(), abs=1e-12)


def test_sums_of_the_parts_of_a_batch_add_up():
    features, labels, _ = random_case(9, 4, 3, 0)
    length = length_of(features)
    rows = rows_of_length(features, length)
    whole = sums_of(rows, length, labels, 3)
    halves = [sums_of(rows[part], length, labels[part], 3) for part in (slice(4), slice(4, None))]
    for total, first, second in zip(whole, *halves, strict=True):
        torch.testing.assert_close(total, first + second)
    assert Sums._fields == ("moments", "class_sums", "overlap")


def test_rows_have_their_length_and_zero_ones_no_gradient():
    features = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-13, 0.0], [1e-3, 0.0], [3e38, 3e38]], requires_grad=True)
    rows = rows_of_length(features, torch.tensor(0.5))
    expected = torch.tensor([[0.3, 0.4], [0, 0], [0, 0], [0.5, 0], [0, 0]])  # the last one's length overflows
    torch.testing.assert_close(rows.detach(), expected)
    rows[:, 1].sum().backward()
    torch.testing.assert_close(features.grad[0], torch.tensor([-0.048, 0.036]))
    assert torch.equal(features.grad[1:3], torch.zeros(2, 2))
    assert torch.isfinite(features.grad).all()


def test_float16_gradients_of_the_shortest_rows_fit():
    assert 3 * 3**0.5 / no_direction(torch.float16) < torch.finfo(torch.float16).max
    assert no_direction(torch.bfloat16) == no_direction(torch.float32) == 1e-12


def test_a_value_below_zero_becomes_zero_and_keeps_its_gradient():
    for start, expected in ((-1e-9, 0.0), (0.5, 0.5)):
        leaf = torch.tensor(start, requires_grad=True)
        value = not_below_zero(3 * leaf) / 3
        value.backward()
        assert value.item() == expected
        assert leaf.grad.item() == 1


def test_near_the_optimum_the_sums_still_have_the_gradient_of_the_pairs():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(48) % 3
    features = torch.eye(3)[labels] + 3e-5 * torch.randn(48, 3, generator=generator)
    pairs, pairs_gradient = gradient_of(pairwise_form, features, labels, torch.eye(3))
    summed, sums_gradient = gradient_of(sum_form, features, labels, torch.eye(3))
    assert 0 <= summed <= pairs + 4e-6
    # What is left of the gradient is 1e-5 of its terms: float32 keeps two digits of it.
    assert (pairs_gradient - sums_gradient).abs().max() < 0.05 * pairs_gradient.abs().max()


class Products(TorchDispatchMode):
    """Counts matrix products."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function.overloadpacket.__name__ in {"mm", "mv", "dot", "bmm", "baddbmm", "addmm", "matmul"}
        return function(*args, **kwargs or {})


@pytest.mark.slow
@pytest.mark.parametrize(("n", "dim", "most"), [(8192, 512, 8), (1000, 64, 8), (1001, 64, 12), (4096, 2048, 8)])
def test_a_long_sum_takes_few_products(n, dim, most):  # each of them waits for its slowest thread
    with Products() as products:
        gradient_of(sum_form, *random_case(n, dim, 3, 0, dtype=torch.float32))
    assert products.count <= most


@pytest.mark.parametrize("start", ["random", "collapsed", "optimum"])
@pytest.mark.parametrize(("n", "dim"), [(8192, 64), (1537, 100), (9000, 16), (700, 600)])
def test_long_sums_in_float32_have_the_value_and_gradient_of_float64(n, dim, start):
    features, labels, _ = random_case(n, dim, 3, 0, dtype=torch.float32)
    if start == "collapsed":
        features = features.abs() + 2
    if start == "optimum":
        features = torch.eye(dim)[labels] + 0.01 * features
    affinity = torch.eye(3)
    value, gradient = gradient_of(sum_form, features, labels, affinity)
    exact, exact_gradient = gradient_of(sum_form, features.double(), labels, affinity.double())
    m, g, p = sums(features.double(), labels, 3)
    cancelling = m.square().sum() + 2 * (g * g).sum() + p.square().sum()
    assert value == pytest.approx(exact, abs=1e-6 * cancelling.item())
    assert (gradient - exact_gradient).abs().max() <= 1e-5 * exact_gradient.abs().max()


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("form", [pairwise_form, sum_form])
def test_every_product_is_a_full_precision_one(form, soft, monkeypatch):
    products = []

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function.overloadpacket.__name__ in {"mm", "mv", "dot", "bmm", "addmm", "matmul"}:
                products.append("any")
            return function(*args, **kwargs or {})

    def counted(left, right):
        products.append("full precision")
        return full_product(left, right)

    for module in ("full_precision", "similarity_forms"):
        monkeypatch.setattr(f"fscl.losses.{module}.full_product", counted)
    with Counting():
        gradient_of(form, *random_case(6, 4, 2, 0, soft=soft))
    assert products.count("any") == products.count("full precision") >= 2

import pytest
import torch

from fscl.losses import FeatureSimilarityLoss
from fscl.losses.full_precision import full_precision, gram, product


def matrix(n, m, seed):
    return torch.randn(n, m, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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


def test_product_and_gram_are_products_with_their_gradients_twice():
    left, right = matrix(5, 4, 0).requires_grad_(), matrix(4, 6, 1).requires_grad_()
    assert torch.equal(product(left, right), left @ right)
    assert torch.equal(gram(left), left.T @ left)
    for function, inputs in ((product, (left, right)), (gram, (left,))):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def test_a_factor_without_gradient_gets_none():
    left, right = matrix(5, 4, 0), matrix(4, 6, 1).requires_grad_()
    product(left, right).sum().backward()
    assert left.grad is None
    torch.testing.assert_close(right.grad, left.sum(dim=0)[:, None].expand(4, 6))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="TF32 is a thing of CUDA")
@pytest.mark.parametrize("n", [64, 1024], ids=["pairwise", "sums"])
def test_tf32_changes_neither_value_nor_gradient(n, tf32_settings):
    features = torch.randn(n, 512, generator=torch.Generator().manual_seed(0)).cuda()
    labels = (torch.arange(n) % 2).cuda()
    found = []
    for allowed in (False, True):
        torch.backends.cuda.matmul.allow_tf32 = allowed
        leaf = features.clone().requires_grad_()
        value = FeatureSimilarityLoss(2)(leaf, labels)
        value.backward()
        found.append((value.item(), leaf.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-5, atol=1e-9)


def test_long_sums_keep_their_digits():  # one after another these terms lose 7e-4
    third = torch.full((65536, 1), 1 / 3)
    exact = 65536 * third[0, 0].double() ** 2
    for value in (product(third.T, third), gram(third)):
        assert value.item() == pytest.approx(exact.item(), rel=1e-5)


@pytest.mark.parametrize("terms", [512, 513, 1025, 8193])
def test_no_term_of_a_long_sum_is_lost(terms):
    left, right = matrix(3, terms, 0), matrix(terms, 2, 1)
    torch.testing.assert_close(product(left, right), left @ right, rtol=0, atol=1e-10)
    torch.testing.assert_close(gram(right), right.T @ right, rtol=0, atol=1e-10)

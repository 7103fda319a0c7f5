import pytest
import torch

from fscl.models.heads import Branches, CosineHead, LinearMap, LogitAdjustment, TauNormalisation


def linear_map(classes=3, dim=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return LinearMap(torch.randn(classes, dim, generator=generator), torch.randn(classes, generator=generator))


def test_cosine_head_is_the_cosine_pair_by_pair():
    head, features = CosineHead(5, 3, scale=16.0), torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    logits = head(features)
    for i, h in enumerate(features):
        for c, w in enumerate(head.weight):
            assert logits[i, c].item() == pytest.approx(16 * (h @ w / (h.norm() * w.norm())).item(), abs=1e-5)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_tau_normalisation_takes_a_power_of_the_length_away(tau):
    head = linear_map()
    normalised = TauNormalisation(tau=tau)(head, linear_map(seed=1))
    assert torch.equal(normalised.bias, torch.zeros(3))
    for before, after in zip(head.weight, normalised.weight, strict=True):
        assert after.norm().item() == pytest.approx(before.norm().item() ** (1 - tau), rel=1e-5)
        assert torch.cosine_similarity(before, after, dim=0).item() == pytest.approx(1)


def test_logit_adjustment_turns_the_posterior_into_the_balanced_one():
    """With f = log p(y|x) up to a constant, softmax of the adjusted logits is p(x|y) normalised over y."""
    likelihood, prior = torch.tensor([0.2, 0.5, 0.3]), torch.tensor([0.9, 0.09, 0.01])
    head = LinearMap(torch.zeros(3, 1), (likelihood * prior).log())
    adjusted = LogitAdjustment(class_counts=[900, 90, 10])(head, linear_map(dim=1))
    assert torch.allclose(adjusted.bias.softmax(dim=0), likelihood / likelihood.sum(), atol=1e-6)
    assert torch.equal(LogitAdjustment(class_counts=[900, 90, 10], tau=0.0)(head, head).bias, head.bias)


def test_logit_adjustment_leaves_a_class_without_photos_as_it_is():
    head = linear_map()
    adjusted = LogitAdjustment(class_counts=[75, 0, 25])(head, head)
    expected = head.bias - torch.tensor([0.75, 1.0, 0.25]).log()
    torch.testing.assert_close(adjusted.bias, expected)


def test_branches_decide_as_the_authors_code_does():
    """Cunha et al. 2023: the masked probabilities of both heads are added; the class with the largest is told."""
    rare, common = linear_map(seed=0), linear_map(seed=1)
    features = torch.randn(200, rare.weight.shape[1], generator=torch.Generator().manual_seed(2))
    mask = torch.tensor([1.0, 0.0, 1.0])
    inst_head, sqrt_head = ((features @ m.weight.T + m.bias).softmax(dim=1) for m in (common, rare))
    added = inst_head * mask + sqrt_head * (1 - mask)
    logits = Branches(class_counts=[1000, 999, 5000])(rare, common)(features)
    torch.testing.assert_close(logits.exp(), added)
    torch.testing.assert_close(logits.softmax(dim=1), added / added.sum(dim=1, keepdim=True))
    assert torch.equal(logits.argmax(dim=1), added.argmax(dim=1))
    assert len(logits.argmax(dim=1).unique()) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TauNormalisation(tau=-0.1), r"tau must be 0 … 1, got -0.1"),
        (lambda: LogitAdjustment([1, 1, 1], tau=-1), r"tau must be >= 0, got -1"),
        (lambda: CosineHead(5, 3, scale=0), r"scale must be > 0, got 0; papers use 16–30"),
    ],
)
def test_out_of_range_is_an_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()

from math import exp, log

import pytest
import torch

from fscl.losses import CrossEntropyLoss, FocalLoss

LOGITS = [[1.0, -2.0, 0.5], [0.0, 3.0, 1.0], [-1.0, 0.2, 0.1], [2.0, 2.0, -4.0]]
CLASSES = [0, 1, 2, 2]


def oracle(shares, gamma):
    """Return the mean of Lin et al. 2017, Eq. 4, photo by photo and class by class."""
    total = 0.0
    for row, of_photo in zip(LOGITS, shares, strict=True):
        for c, share in enumerate(of_photo):
            p = exp(row[c]) / sum(exp(logit) for logit in row)
            total += share * -((1 - p) ** gamma) * log(p)
    return total / len(LOGITS)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_equation(gamma):
    loss, logits = FocalLoss(3, gamma=gamma), torch.tensor(LOGITS)
    hard = [[float(c == of_photo) for c in range(3)] for of_photo in CLASSES]
    soft = [[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [0.7, 0.0, 0.3], [0.1, 0.1, 0.8]]
    assert loss(logits, torch.tensor(CLASSES)).item() == pytest.approx(oracle(hard, gamma), rel=1e-5)
    assert loss(logits, torch.tensor(soft)).item() == pytest.approx(oracle(soft, gamma), rel=1e-5)


def test_gamma_zero_is_cross_entropy():
    labels = torch.tensor(CLASSES)
    expected = CrossEntropyLoss(3)(torch.tensor(LOGITS), labels).item()
    assert FocalLoss(3, gamma=0)(torch.tensor(LOGITS), labels).item() == pytest.approx(expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_gradient_is_finite_where_a_photo_is_certain(gamma):
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    FocalLoss(2, gamma=gamma)(logits, torch.tensor([0, 0])).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0].tolist() == [0, 0]
    assert logits.grad[1, 0] == pytest.approx(-0.5)  # as in cross-entropy: a sure mistake counts in full


@pytest.mark.parametrize("gamma", [-1.0, float("nan"), float("inf")])
def test_gamma_out_of_range(gamma):
    with pytest.raises(ValueError, match="gamma must be >= 0 and finite"):
        FocalLoss(2, gamma=gamma)

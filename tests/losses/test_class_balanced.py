from math import exp, log

import pytest
import torch

from fscl.losses import ClassBalancedLoss, CrossEntropyLoss
from fscl.losses.class_balanced import class_balanced_weights

COUNTS = [5000, 400, 30]
LOGITS = [[1.0, -2.0, 0.5], [0.0, 3.0, 1.0], [-1.0, 0.2, 0.1], [2.0, 2.0, -4.0]]
CLASSES = [0, 1, 2, 2]


def log_softmax(row, c):
    return row[c] - log(sum(exp(logit) for logit in row))


def oracle(shares, beta):
    """Return the sum of Cui et al. 2019, photo by photo and class by class, over the number of photos."""
    effective = [(1 - beta**n) / (1 - beta) for n in COUNTS]
    unnormalised = [1 / e for e in effective]
    weights = [len(COUNTS) * u / sum(unnormalised) for u in unnormalised]
    total = 0.0
    for row, of_photo in zip(LOGITS, shares, strict=True):
        for c, share in enumerate(of_photo):
            total -= weights[c] * share * log_softmax(row, c)
    return total / len(LOGITS)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.9999])
def test_the_equation(beta):
    loss = ClassBalancedLoss(COUNTS, beta=beta)
    hard = [[float(c == of_photo) for c in range(3)] for of_photo in CLASSES]
    soft = [[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [0.7, 0.0, 0.3], [0.1, 0.1, 0.8]]
    logits = torch.tensor(LOGITS)
    assert loss(logits, torch.tensor(CLASSES)).item() == pytest.approx(oracle(hard, beta), rel=1e-5)
    assert loss(logits, torch.tensor(hard)).item() == pytest.approx(oracle(hard, beta), rel=1e-5)
    assert loss(logits, torch.tensor(soft)).item() == pytest.approx(oracle(soft, beta), rel=1e-5)


def test_its_two_ends():
    labels = torch.tensor(CLASSES)
    even = ClassBalancedLoss(COUNTS, beta=0.0)(torch.tensor(LOGITS), labels)
    assert even.item() == pytest.approx(CrossEntropyLoss(3)(torch.tensor(LOGITS), labels).item(), rel=1e-6)
    inverse = torch.tensor([1 / n for n in COUNTS])
    assert torch.allclose(class_balanced_weights(COUNTS, beta=1 - 1e-9), 3 * inverse / inverse.sum(), rtol=1e-4)


def test_a_batch_of_common_photos_weighs_little():
    common = ClassBalancedLoss([1000, 10])(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)).item()
    assert common < 0.05 * log(2)


@pytest.mark.parametrize("beta", [-0.1, 1.0, float("nan")])
def test_beta_out_of_range(beta):
    with pytest.raises(ValueError, match=r"beta must be in \[0, 1\), got"):
        ClassBalancedLoss(COUNTS, beta=beta)

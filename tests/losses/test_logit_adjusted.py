from math import exp, log

import pytest
import torch

from fscl.losses import LOSSES, CrossEntropyLoss, LogitAdjustedLoss
from fscl.registry import build

COUNTS = [5000, 400, 30]
LOGITS = [[1.0, -2.0, 0.5], [0.0, 3.0, 1.0], [-1.0, 0.2, 0.1], [2.0, 2.0, -4.0]]
CLASSES = [0, 1, 2, 2]
HARD = [[float(c == of_photo) for c in range(3)] for of_photo in CLASSES]
SOFT = [[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [0.7, 0.0, 0.3], [0.1, 0.1, 0.8]]


def oracle(shares, tau):
    """Return the mean of Menon et al. 2021, Eq. 10, in its right form: a pairwise margin of log prior ratios."""
    total = 0.0
    for row, of_photo in zip(LOGITS, shares, strict=True):
        for y, share in enumerate(of_photo):
            rivals = ((COUNTS[j] / COUNTS[y]) ** tau * exp(row[j] - row[y]) for j in range(len(row)) if j != y)
            total += share * log(1 + sum(rivals))
    return total / len(LOGITS)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
def test_the_equation(tau):
    loss, logits = LogitAdjustedLoss(COUNTS, tau=tau), torch.tensor(LOGITS)
    assert loss(logits, torch.tensor(CLASSES)).item() == pytest.approx(oracle(HARD, tau), rel=1e-5)
    assert loss(logits, torch.tensor(SOFT)).item() == pytest.approx(oracle(SOFT, tau), rel=1e-5)


def test_balanced_softmax_is_tau_one():
    loss = build(LOSSES, "loss", "balanced_softmax", {"class_counts": COUNTS}, {})
    total = 0.0
    for row, y in zip(LOGITS, CLASSES, strict=True):  # Ren et al. 2020, Eq. 4
        total -= log(COUNTS[y] * exp(row[y]) / sum(n * exp(logit) for n, logit in zip(COUNTS, row, strict=True)))
    assert loss(torch.tensor(LOGITS), torch.tensor(CLASSES)).item() == pytest.approx(total / 4, rel=1e-5)


def test_the_optimum_of_photos_that_nothing_tells_apart_favours_no_class():
    labels = torch.tensor([0] * 9 + [1])
    for loss, optimum in ((LogitAdjustedLoss([90, 10]), 0.0), (CrossEntropyLoss(2), log(9))):
        logits = torch.tensor([[optimum, 0.0]], requires_grad=True)
        loss(logits.expand(10, 2), labels).backward()
        assert logits.grad.abs().max() < 1e-6


@pytest.mark.parametrize("tau", [-1.0, float("nan"), float("inf")])
def test_tau_out_of_range(tau):
    with pytest.raises(ValueError, match="tau must be >= 0 and finite"):
        LogitAdjustedLoss(COUNTS, tau=tau)

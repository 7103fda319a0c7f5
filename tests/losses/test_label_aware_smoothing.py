from math import exp, log, pi, sin

import pytest
import torch

from fscl.losses import CrossEntropyLoss, LabelAwareSmoothingLoss

COUNTS = [5000, 400, 30]
LOGITS = [[1.0, -2.0, 0.5], [0.0, 3.0, 1.0], [-1.0, 0.2, 0.1], [2.0, 2.0, -4.0]]
CLASSES = [0, 1, 2, 2]


def oracle(shares, most, least):
    """Return the mean of Zhong et al. 2021, Sec. 3.2, with the concave form of ε, spread over all K classes."""
    epsilon = [
        least + (most - least) * sin(pi * (n - min(COUNTS)) / (2 * (max(COUNTS) - min(COUNTS)))) for n in COUNTS
    ]
    total = 0.0
    for row, of_photo in zip(LOGITS, shares, strict=True):
        log_p = [logit - log(sum(exp(other) for other in row)) for logit in row]
        for y, share in enumerate(of_photo):
            for j in range(len(row)):
                total -= share * ((1 - epsilon[y]) * (j == y) + epsilon[y] / len(row)) * log_p[j]
    return total / len(LOGITS)


@pytest.mark.parametrize(("most", "least"), [(0.3, 0.0), (0.4, 0.1)])
def test_the_equation(most, least):
    loss, logits = LabelAwareSmoothingLoss(COUNTS, most=most, least=least), torch.tensor(LOGITS)
    hard = [[float(c == of_photo) for c in range(3)] for of_photo in CLASSES]
    soft = [[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [0.7, 0.0, 0.3], [0.1, 0.1, 0.8]]
    assert loss(logits, torch.tensor(CLASSES)).item() == pytest.approx(oracle(hard, most, least), rel=1e-5)
    assert loss(logits, torch.tensor(soft)).item() == pytest.approx(oracle(soft, most, least), rel=1e-5)


def test_without_smoothing_or_imbalance_it_is_cross_entropy():
    logits, labels = torch.tensor(LOGITS), torch.tensor(CLASSES)
    expected = CrossEntropyLoss(3)(logits, labels).item()
    for loss in (LabelAwareSmoothingLoss(COUNTS, most=0.0), LabelAwareSmoothingLoss([50, 50, 50])):
        assert loss(logits, labels).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("most", "least"), [(0.1, 0.3), (1.0, 0.0), (0.3, -0.1), (float("nan"), 0.0), (0.3, float("nan"))]
)
def test_options_out_of_range(most, least):
    with pytest.raises(ValueError, match="expected 0 <= least <= most < 1"):
        LabelAwareSmoothingLoss(COUNTS, most=most, least=least)


def test_the_boundary_between_two_classes_is_that_of_the_authors():
    """A photo that is common with p = .588 gets even odds: .85 of a common label says common, none of a rare one."""
    loss, p = LabelAwareSmoothingLoss([1000, 10], most=0.3), 0.5 / 0.85
    logits = torch.zeros(1, 2, requires_grad=True)
    (p * loss(logits, torch.tensor([0])) + (1 - p) * loss(logits, torch.tensor([1]))).backward()
    assert logits.grad.abs().max().item() == pytest.approx(0, abs=1e-6)
    assert p == pytest.approx(0.588, abs=5e-4)

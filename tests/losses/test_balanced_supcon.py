from math import exp, log

import pytest
import torch
from torch.nn import functional

from fscl.losses import BalancedSupConLoss


def directions(n, width=4, seed=0):
    drawn = torch.randn(n, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(drawn, dim=1)


def oracle(z, classes, centres, temperature):
    """Return the balanced contrastive loss of Zhu et al. 2022, anchor by anchor and class by class."""
    points = [(*pair, i) for i, pair in enumerate(zip(z, classes, strict=True))]
    points += [(centre, c, None) for c, centre in enumerate(centres)]
    total = 0.0
    for i, y in enumerate(classes):

        def near(point, i=i):
            return exp(float(z[i] @ point) / temperature)

        others = [(point, c) for point, c, number in points if number != i]
        denominator = 0.0
        for c in range(len(centres)):
            of_class = [near(point) for point, other in others if other == c]
            denominator += sum(of_class) / len(of_class)
        positives = [near(point) for point, c in others if c == y]
        total -= sum(log(positive / denominator) for positive in positives) / len(positives)
    return total / len(classes)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("classes", [[0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 0, 1], [2, 2, 2, 2, 2, 2], [1]])
def test_the_equation(classes, temperature):
    loss = BalancedSupConLoss(3, [8], temperature=temperature, width=4).double()
    z, centres = directions(len(classes)), directions(3, seed=1)
    loss.centres.data = 5 * centres  # their length does not matter
    value = loss.value(z, torch.tensor(classes)).item()
    assert value == pytest.approx(oracle(z, classes, centres, temperature), rel=1e-10)


@pytest.mark.parametrize("classes", [[0, 1, 2], [0] * 50 + [1], [2]])
def test_at_collapse_it_is_log_k_however_the_batch_is_made_up(classes):
    loss = BalancedSupConLoss(3, [8], width=4).double()
    loss.centres.data = torch.ones(3, 4, dtype=torch.float64)
    together = torch.full((len(classes), 4), 0.5, dtype=torch.float64)
    assert loss.value(together, torch.tensor(classes)).item() == pytest.approx(log(3))


def test_the_centres_learn():
    loss = BalancedSupConLoss(3, [8])
    features = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    loss(features, torch.tensor([0, 0, 1, 1])).backward()
    assert (loss.centres.grad.abs().sum(dim=1) > 0).all()  # that of the missing class, too

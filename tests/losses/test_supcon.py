from math import exp, log

import pytest
import torch
from torch.nn import functional

from fscl.losses import BalancedSupConLoss, ProCoLoss, SupConLoss


def directions(n, width=4, seed=0):
    drawn = torch.randn(n, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(drawn, dim=1)


def oracle(z, classes, temperature):
    """Return Khosla et al. 2020, Eq. 2, anchor by anchor, over those anchors that have a positive."""

    def near(i, j):
        return exp(float(z[i] @ z[j]) / temperature)

    anchors = []
    for i, y in enumerate(classes):
        others = [a for a in range(len(classes)) if a != i]
        positives = [p for p in others if classes[p] == y]
        if positives:
            logs = [log(near(i, p) / sum(near(i, a) for a in others)) for p in positives]
            anchors.append(-sum(logs) / len(positives))
    return sum(anchors) / len(anchors)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("classes", [[0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 0, 1], [2, 2, 2, 2, 2, 2]])
def test_the_equation(classes, temperature):
    z = directions(6)
    value = SupConLoss(3, [8], temperature=temperature).value(z, torch.tensor(classes))
    assert value.item() == pytest.approx(oracle(z, classes, temperature), rel=1e-10)


def test_it_pulls_a_class_together():
    labels = torch.tensor([0, 0, 1, 1])
    apart = torch.eye(2)[labels]
    assert SupConLoss(2, [8]).value(apart, labels) < 1e-3 < SupConLoss(2, [8]).value(apart, labels.roll(1))


def test_photos_without_a_partner_give_zero():
    loss = SupConLoss(3, [8])
    features = torch.randn(3, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    value = loss(features, torch.tensor([0, 1, 2]))
    value.backward()
    assert value.item() == 0
    assert torch.equal(features.grad, torch.zeros(3, 8))


def test_the_last_of_several_layers_is_projected():
    loss, labels = SupConLoss(2, [4, 8]), torch.tensor([0, 1, 0, 1])
    first, last = (torch.randn(4, dim, generator=torch.Generator().manual_seed(0)) for dim in (4, 8))
    assert loss([first, last], labels).item() == loss(last, labels).item()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be > 0 and finite, got 0.0"),
        ({"temperature": float("nan")}, "temperature must be > 0 and finite, got nan"),
        ({"temperature": float("inf")}, "temperature must be > 0 and finite, got inf"),
        ({"width": 1}, "width must be a whole number >= 2, got 1"),
        ({"width": 2.5}, "width must be a whole number >= 2, got 2.5"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        SupConLoss(2, [8], **options)


@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (lambda: SupConLoss(2, [64]), ["Linear 64 512", "ReLU", "Linear 512 128"]),
        (lambda: BalancedSupConLoss(2, [64]), ["Linear 64 512", "BatchNorm1d 512", "ReLU", "Linear 512 128"]),
        (lambda: ProCoLoss(2, [64], [9, 3]), ["Linear 64 512", "BatchNorm1d 512", "ReLU", "Linear 512 128"]),
    ],
)
def test_projections_are_those_of_the_authors_code(make, layers):
    def shape(layer):
        sizes = [size for n in ("in_features", "out_features", "num_features") if (size := getattr(layer, n, None))]
        return " ".join([type(layer).__name__, *map(str, sizes)])

    assert [shape(layer) for layer in make().projection] == layers


def test_one_photo_has_no_spread_to_normalise_by():
    loss, one = BalancedSupConLoss(2, [8]), torch.randn(1, 8)
    with pytest.raises(ValueError, match=r"features must be \(batch, dim\) with batch >= 2, got \(1, 8\)"):
        loss(one, torch.tensor([0]))
    assert loss.eval()(one, torch.tensor([0])).isfinite()

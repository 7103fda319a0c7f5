from math import exp, log

import pytest
import torch

from fscl.errors import ConfigurationError
from fscl.losses import LOSSES, LDAMLoss
from fscl.losses.class_balanced import class_balanced_weights
from fscl.registry import build

COUNTS = [5000, 400, 30]
COSINES = [[0.3, -0.6, 0.1], [0.0, 0.9, 0.2], [-0.5, 0.2, 0.1], [0.4, 0.4, -0.8]]
CLASSES = [0, 1, 2, 2]


def oracle(scale, max_margin, weights):
    """Return the mean of Cao et al. 2019, Sec. 3.2: the scale stands in the loss, the margin is of the cosine."""
    constant = max_margin / max(n**-0.25 for n in COUNTS)
    total = 0.0
    for row, y in zip(COSINES, CLASSES, strict=True):
        own = exp(scale * (row[y] - constant / COUNTS[y] ** 0.25))
        others = sum(exp(scale * row[j]) for j in range(len(row)) if j != y)
        total -= weights[y] * log(own / (own + others))
    return total / len(COSINES)


@pytest.mark.parametrize(("scale", "max_margin"), [(30.0, 0.5), (10.0, 0.2)])
@pytest.mark.parametrize("weighting", ["none", "class_balanced"])
def test_the_equation(scale, max_margin, weighting):
    loss = LDAMLoss(COUNTS, head_scale=scale, max_margin=max_margin, weighting=weighting)
    weights = [1.0] * 3 if weighting == "none" else class_balanced_weights(COUNTS).tolist()
    logits = scale * torch.tensor(COSINES)
    expected = oracle(scale, max_margin, weights)
    assert loss(logits, torch.tensor(CLASSES)).item() == pytest.approx(expected, rel=1e-5)


def test_the_rarest_class_has_the_widest_margin():
    assert LDAMLoss([10_000, 625, 1]).margins.tolist() == pytest.approx([0.05, 0.1, 0.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_margin": 0.0}, "max_margin and head_scale must be > 0"),
        ({"max_margin": float("nan")}, "must be > 0 and finite, got nan and 30.0"),
        ({"head_scale": -1.0}, "max_margin and head_scale must be > 0"),
        ({"head_scale": float("inf")}, "must be > 0 and finite, got 0.5 and inf"),
        ({"head_scale": None}, "expected the logits of a cosine head, got a linear one; set model.head.name"),
        ({"weighting": "inverse"}, "weighting must be 'none' or 'class_balanced', got 'inverse'"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        LDAMLoss(COUNTS, **options)


def test_a_run_ties_the_scale_to_its_head():
    def in_a_run(head_scale, **options):
        context = {"num_classes": 3, "class_counts": COUNTS, "head_scale": head_scale}
        return build(LOSSES, "loss", "ldam", context, options)

    logits, labels = 10 * torch.tensor(COSINES), torch.tensor(CLASSES)
    assert in_a_run(10.0)(logits, labels).item() == pytest.approx(oracle(10.0, 0.5, [1.0] * 3), rel=1e-5)
    with pytest.raises(ConfigurationError, match="loss 'ldam': expected the logits of a cosine head"):
        in_a_run(None)
    with pytest.raises(ConfigurationError, match="unknown option 'scale' for loss 'ldam'"):
        in_a_run(30.0, scale=16.0)

from math import log, pi

import numpy as np
import pytest
import torch
from scipy.special import ive
from torch.nn import functional

from fscl.losses import ProCoLoss
from fscl.losses.proco import log_expected_exp

DTYPES = {torch.float32: 3e-5, torch.float64: 0.0}


def log_normaliser(kappa, dim):
    """Return log C_d(κ) = log( (2π)^(d/2) I_ν(κ) / κ^ν ), ν = d/2 − 1, by scipy's scaled Bessel function."""
    nu = dim / 2 - 1
    return dim / 2 * log(2 * pi) + np.log(ive(nu, kappa)) + kappa - nu * np.log(kappa)


def unit(n, dim, seed):
    drawn = torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(drawn, dim=1)


@pytest.mark.parametrize(("dim", "error"), [(16, 1e-4), (64, 1.2e-6), (128, 1.4e-7), (512, 3e-9)])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_closed_form_against_scipy(dim, error, temperature, dtype):
    kappas = dim * torch.tensor([0.25, 1.0, 10.0, 100.0, 1000.0], dtype=torch.float64)
    mu, z = unit(5, dim, seed=0), unit(6, dim, seed=1)
    z[:5] = functional.normalize(mu + 0.1 * z[:5], dim=1)
    computed = log_expected_exp(z.to(dtype), (kappas[:, None] * mu).to(dtype), temperature)
    for i in range(6):
        for c, kappa in enumerate(kappas):
            tilted = float((kappa * mu[c] + z[i] / temperature).norm())
            expected = log_normaliser(tilted, dim) - log_normaliser(float(kappa), dim)
            assert computed[i, c].item() == pytest.approx(expected, abs=error + DTYPES[dtype] * (1 + abs(expected)))


def test_the_closed_form_against_draws():
    dim, kappa, temperature = 16, 20.0, 0.5
    mu, z = unit(1, dim, seed=0)[0], unit(3, dim, seed=1)
    x = unit(100_000, dim, seed=2)  # evenly spread; weighted by the density they stand for draws of the vMF
    density = (kappa * (x @ mu - 1)).exp()
    expected = (((z @ x.T / temperature).exp() * density).sum(dim=1) / density.sum()).log()
    assert torch.allclose(log_expected_exp(z, kappa * mu[None], temperature)[:, 0], expected, atol=0.05)


def test_an_evenly_spread_class_says_the_same_of_every_direction():
    spread = log_expected_exp(unit(4, 32, seed=0), torch.zeros(1, 32, dtype=torch.float64), 0.1)
    assert torch.allclose(spread, spread[:1])
    expected = log_normaliser(10.0, 32) - log_normaliser(1e-6, 32)
    assert spread[0, 0].item() == pytest.approx(expected, abs=2e-5)


def oracle(z, classes, seen, seen_classes, class_counts, temperature):
    """Return L_in of Du et al. 2024 from what was seen of each class, photo by photo and class by class."""
    dim, prior = z.shape[1], [n / sum(class_counts) for n in class_counts]
    concentrated = []
    for c in range(len(class_counts)):
        mean = torch.stack([x for x, y in zip(seen, seen_classes, strict=True) if y == c]).mean(dim=0)
        length = float(mean.norm())
        concentrated.append(mean / length * length * (dim - length**2) / (1 - length**2))
    total = 0.0
    for i, y in enumerate(classes):
        logits = []
        for c, direction in enumerate(concentrated):
            tilted = float((direction + z[i] / temperature).norm())
            logits.append(log(prior[c]) + log_normaliser(tilted, dim) - log_normaliser(float(direction.norm()), dim))
        total -= logits[y] - np.logaddexp.reduce(logits)
    return total / len(classes)


@pytest.mark.parametrize("spread", [1.0, 0.2], ids=["wide", "tight"])
def test_the_equation(spread):
    counts, width = [6, 3, 3], 64
    loss = ProCoLoss(3, [8], counts, width=width).double()
    seen_classes = [0] * 6 + [1] * 3 + [2] * 3
    seen = functional.normalize(
        (1 - spread) * unit(3, width, seed=2)[seen_classes] + spread * unit(12, width, seed=0)
    )
    z, classes = unit(5, width, seed=1), [0, 0, 1, 2, 2]
    loss.value(seen, torch.tensor(seen_classes))
    value = loss.value(z, torch.tensor(classes)).item()
    assert value == pytest.approx(oracle(z, classes, seen, seen_classes, counts, 0.1), rel=1e-6)


def test_what_was_seen_an_epoch_ago_weighs_one_over_e():
    loss = ProCoLoss(2, [8], [20, 20], width=16).double()
    batches = [(unit(10, 16, seed=seed), torch.tensor([0] * 9 + [1])) for seed in range(5)]
    for z, labels in batches:
        loss.value(z, labels)
    fading = np.exp(-10 / 40)
    expected = sum(fading ** (4 - age) * z[9] for age, (z, _) in enumerate(batches))
    assert torch.allclose(loss.sums[1], expected)
    assert loss.seen[:, 0].tolist() == pytest.approx(
        [9 * sum(fading**a for a in range(5)), sum(fading**a for a in range(5))]
    )
    assert fading**4 == pytest.approx(1 / np.e)


def test_evaluation_leaves_the_state_and_a_saved_state_comes_back():
    loss, labels = ProCoLoss(2, [8], [3, 3]), torch.tensor([0, 0, 1])
    features = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    loss(features, labels)
    state = {name: value.clone() for name, value in loss.state_dict().items()}
    loss.eval()
    value = loss(features, labels)
    assert all(torch.equal(state[name], now) for name, now in loss.state_dict().items())
    again = ProCoLoss(2, [8], [3, 3])
    again.load_state_dict(state)
    assert again.eval()(features, labels).item() == value.item()


def test_a_class_known_from_one_photo_and_one_from_none():
    loss = ProCoLoss(3, [8], [50, 1, 0])
    features = torch.randn(8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.tensor([0] * 7 + [1])
    for _ in range(3):
        value = loss(features, labels)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(features.grad).all()
    assert features.grad.abs().max() > 0


def test_too_few_dimensions():
    with pytest.raises(ValueError, match="width must be >= 16, got 8"):
        ProCoLoss(2, [8], [3, 3], width=8)

import pytest
import torch

from fscl.losses.class_means import RunningClassMeans


def test_the_mean_is_weighted_by_age_and_free_of_its_start():
    means = RunningClassMeans(2, 1, momentum=0.75)
    for value in (1.0, 2.0, 4.0):
        means.update(torch.tensor([[3 * value], [0.0]]), torch.tensor([3.0, 0.0]))
    values, known = means()
    ages = [0.75**2, 0.75, 1.0]
    assert values[0].item() == pytest.approx((ages[0] * 1 + ages[1] * 2 + ages[2] * 4) / sum(ages))
    assert known.tolist() == [1, 0]
    assert values[1].item() == 0
    assert means.centre().item() == pytest.approx(values[0].item())


def test_a_share_of_a_photo_moves_its_class_by_that_share():
    means = RunningClassMeans(1, 1, momentum=0.5)
    means.update(torch.tensor([[0.0]]), torch.tensor([1.0]))
    means.update(torch.tensor([[0.8 * 0.1]]), torch.tensor([0.1]))
    # 0.05 of the new one beside 0.95 · 0.5 of the old
    assert means()[0].item() == pytest.approx(0.05 * 0.8 / (0.05 + 0.95 * 0.5))


def test_nothing_known_is_zero():
    means = RunningClassMeans(3, 2, momentum=0.9)
    assert means()[0].tolist() == [[0, 0]] * 3
    assert means.centre().tolist() == [0, 0]


def test_no_gradient_is_kept():
    means = RunningClassMeans(1, 2, momentum=0.9)
    means.update(torch.ones(1, 2, requires_grad=True), torch.ones(1))
    assert not means()[0].requires_grad

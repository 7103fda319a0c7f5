import numpy as np
import pytest
import torch

from fscl.losses import (
    ClassBalancedLoss,
    CrossEntropyLoss,
    LabelAwareSmoothingLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    ProCoLoss,
)
from fscl.losses.class_counts import counts, log_prior
from fscl.models.heads import LinearMap, LogitAdjustment

WITHOUT = [310, 2489, 114, 17, 725]
EMPTY = 4  # the place of a class without photos
WITH = [*WITHOUT[:EMPTY], 0, *WITHOUT[EMPTY:]]
OTHERS = [place for place in range(len(WITH)) if place != EMPTY]
TAKE_COUNTS = {
    "class-balanced": ClassBalancedLoss,
    "LDAM": LDAMLoss,
    "LDAM, weighted": lambda n: LDAMLoss(n, weighting="class_balanced"),
    "logit-adjusted": LogitAdjustedLoss,
    "logit-adjusted, 2": lambda n: LogitAdjustedLoss(n, tau=2.0),
    "smoothing": lambda n: LabelAwareSmoothingLoss(n, least=0.1),
}


def test_a_class_without_photos_takes_no_share_of_the_prior():
    assert counts([5, 0, 3]).tolist() == [5, 0, 3]
    assert log_prior([9, 0, 1]).exp().tolist() == pytest.approx([0.9, 0.1, 0.1])


@pytest.mark.parametrize(
    "class_counts", [[5], [], [5, -1], [5, float("nan")], [float("inf"), 5], [0, 0], ["5", 1], [None, 2]]
)
def test_impossible_counts(class_counts):
    with pytest.raises(ValueError, match="class_counts must be >= 0 for 2 classes or more, and one of them > 0"):
        counts(class_counts)


def test_counts_of_numpy_are_counts():
    assert counts(np.array([3, 0])).tolist() == [3, 0]


@pytest.mark.parametrize("make", TAKE_COUNTS.values(), ids=TAKE_COUNTS)
def test_a_class_without_photos_changes_nothing_for_the_others(make):
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(32, 5, generator=generator), torch.arange(32) % 5
    beside = torch.full((32, 6), -1e4)  # a class that no photo is taken for
    beside[:, OTHERS] = logits
    beside.requires_grad_()
    loss = make(WITH)
    value = loss(beside, torch.tensor(OTHERS)[labels])
    value.backward()
    torch.testing.assert_close(value.detach(), make(WITHOUT)(logits, labels))
    assert torch.isfinite(beside.grad).all()
    for (name, own), (_, expected) in zip(loss.named_buffers(), make(WITHOUT).named_buffers(), strict=True):
        assert torch.isfinite(own.float()).all(), name
        torch.testing.assert_close(own[OTHERS], expected)


@pytest.mark.parametrize("make", [TAKE_COUNTS[n] for n in ("class-balanced", "logit-adjusted", "smoothing")])
def test_soft_labels_beside_a_class_without_photos_are_finite(make):
    shares = torch.zeros(4, 6)
    shares[:, 0], shares[:, 3] = 0.25, 0.75
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    value = make(WITH)(logits, shares)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


def test_a_class_that_is_alone_has_no_other_to_share_with():
    logits, labels = torch.tensor([[0.5, 1.0, -2.0]]), torch.tensor([1])
    loss = LabelAwareSmoothingLoss([0, 40, 0], least=0.1)
    assert loss(logits, labels).item() == pytest.approx(CrossEntropyLoss(3)(logits, labels).item())


def test_proco_gives_a_class_without_photos_no_share():
    with_empty, without = (ProCoLoss(len(n), [8], n) for n in (WITH, WITHOUT))
    torch.testing.assert_close(with_empty.log_prior[OTHERS], without.log_prior)
    assert with_empty.photos_per_epoch == without.photos_per_epoch


def test_an_adjusted_head_does_not_raise_a_class_without_photos():
    def flat(classes):
        return LinearMap(torch.zeros(classes, 2), torch.zeros(classes))

    adjusted = LogitAdjustment(WITH)(flat(6), flat(6)).bias
    assert adjusted[EMPTY] == 0
    torch.testing.assert_close(adjusted[OTHERS], LogitAdjustment(WITHOUT)(flat(5), flat(5)).bias)
    with pytest.raises(ValueError, match="class_counts must be > 0 for a class at least"):
        LogitAdjustment([0, 0])

import pytest
import torch

from fscl.losses.labels import (
    check_labels,
    class_overlap,
    class_sums,
    class_totals,
    targets,
)

HARD = torch.tensor([2, 0, 2, 1])
Y = torch.eye(3)[HARD]
AFFINITY = torch.tensor([[1.0, 0.5, -0.25], [0.5, 1.0, 0.0], [-0.25, 0.0, 1.0]])
VALUES = torch.arange(8.0).view(4, 2)


@pytest.mark.parametrize("labels", [HARD, Y], ids=["hard", "soft"])
def test_hard_and_soft_labels_are_one_linear_map(labels):
    torch.testing.assert_close(class_sums(labels, VALUES, 3), Y.T @ VALUES)
    torch.testing.assert_close(class_totals(labels, 3, torch.float32), torch.tensor([1.0, 1, 2]))
    torch.testing.assert_close(targets(labels, AFFINITY), Y @ AFFINITY @ Y.T)
    overlap = class_overlap(labels, 3, torch.float32)
    torch.testing.assert_close(overlap.diagonal() if overlap.ndim == 2 else overlap, torch.tensor([1.0, 1, 2]))


def test_a_mixed_photo_is_less_like_itself():
    mixed = torch.tensor([[0.5, 0.5, 0.0]])
    assert targets(mixed, AFFINITY).item() == pytest.approx(0.75)
    assert class_overlap(mixed, 3, torch.float32).tolist() == [[0.25, 0.25, 0], [0.25, 0.25, 0], [0, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_shares_that_sum_to_one_up_to_rounding_pass(dtype):
    shares = torch.rand(64, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    check_labels((shares / shares.sum(dim=1, keepdim=True)).to(dtype), 64, 11)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, 3]), "labels must be 0 … 2, got 0 … 3; is num_classes right"),
        (torch.tensor([0]), r"integers \(2,\) or shares of classes \(2, 3\).*got \(1,\) int64"),
        (torch.tensor([0.0, 1.0]), r"got \(2,\) float32"),
        (torch.eye(3)[:2].long(), r"got \(2, 3\) int64"),
        (torch.full((2, 3), 0.3), r"a row that sums to 0\.9; divide each row by its sum"),
        (torch.tensor([[1.5, -0.5, 0.0], [1.0, 0.0, 0.0]]), r">= 0 and sum to 1, got a least share of -0\.5"),
        (torch.tensor([[torch.nan, 0.0, 1.0], [1.0, 0.0, 0.0]]), "a row that sums to nan"),
    ],
)
def test_labels_that_do_not_fit(labels, message):
    with pytest.raises(ValueError, match=message):
        check_labels(labels, 2, 3)

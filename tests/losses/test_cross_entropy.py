import pytest
import torch
from torch.nn import functional

from fscl.losses import CrossEntropyLoss

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])


def test_soft_labels_weigh_the_classes():
    shares = torch.tensor([[0.7, 0.3, 0.0], [0.2, 0.2, 0.6]])
    expected = 0.0
    for logits, row in zip(LOGITS, shares, strict=True):
        for k in range(3):
            expected -= row[k] * torch.log(logits[k].exp() / logits.exp().sum()) / 2
    assert CrossEntropyLoss(3)(LOGITS, shares).item() == pytest.approx(expected.item(), rel=1e-6)


def test_hard_labels_are_soft_labels_of_one_class():
    labels = torch.tensor([2, 0])
    hard = CrossEntropyLoss(3)(LOGITS, labels).item()
    assert hard == pytest.approx(functional.cross_entropy(LOGITS, labels).item())
    assert CrossEntropyLoss(3)(LOGITS, torch.eye(3)[labels]).item() == pytest.approx(hard, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_logits_and_labels_may_differ_in_precision(dtype):
    shares = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]], dtype=dtype)
    expected = CrossEntropyLoss(3)(LOGITS, shares.float()).item()
    assert CrossEntropyLoss(3)(LOGITS.to(dtype), shares).item() == pytest.approx(expected, rel=1e-6)
    assert CrossEntropyLoss(3)(LOGITS, shares).item() == pytest.approx(expected, rel=1e-6)
    assert CrossEntropyLoss(3)(LOGITS.to(dtype), shares.float()).dtype == max(
        dtype, torch.float32, key=lambda kind: kind.itemsize
    )


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (LOGITS, torch.tensor([0, 3]), "labels must be 0 … 2, got 0 … 3; is num_classes right"),
        (LOGITS, torch.tensor([0]), r"labels must be integers \(2,\)"),
        (LOGITS, torch.ones(2, 3), "must be >= 0 and sum to 1"),
        (LOGITS[:, :2], torch.tensor([0, 1]), r"logits must be \(batch, 3\) with batch >= 1, got \(2, 2\)"),
        (LOGITS[:0], torch.tensor([], dtype=torch.int64), r"batch >= 1, got \(0, 3\)"),
    ],
)
def test_bad_input(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        CrossEntropyLoss(3)(logits, labels)

"""What every loss of the table must bear."""

from copy import deepcopy

import pytest
import torch
from torch.nn import functional

from fscl.losses import LOSSES
from fscl.registry import build

DIMS = [6, 8]
CONTEXT = {
    "num_classes": 3,
    "class_names": ("boar", "deer", "hare"),
    "class_counts": (50, 20, 4),
    "dims": DIMS,
    "head_scale": 30.0,
}
TAKES_SOFT = [name for name, kind in LOSSES.items() if kind.takes_soft]


def built(name):
    """Return the loss, a batch wiser: some learn from what they see."""
    torch.manual_seed(0)
    loss = build(LOSSES, "loss", name, CONTEXT, {})
    loss(seen(loss, 12, seed=1), torch.arange(12) % 3)
    return loss.eval()


def seen(loss, photos, *, seed=0, dtype=torch.float32):
    """Return what the loss sees of a batch, and asks the gradient of."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [3] if loss.sees == "logits" else DIMS
    tensors = [torch.randn(photos, length, generator=generator).to(dtype).requires_grad_() for length in lengths]
    return tensors[0] if loss.sees == "logits" else tensors


def gradients(loss, seen, labels):
    value = loss(seen, labels)
    value.backward()
    inputs = [seen] if isinstance(seen, torch.Tensor) else seen
    return value, [leaf.grad for leaf in inputs if leaf.grad is not None]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "classes",
    [[0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 0], [2, 2, 2, 2], [0]],
    ids=["all", "one missing", "one", "one photo"],
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_value_and_gradient_are_finite(name, classes, dtype):
    loss = built(name)
    value, slopes = gradients(loss, seen(loss, len(classes), dtype=dtype), torch.tensor(classes))
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert all(torch.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize("name", LOSSES)
def test_there_is_a_slope_in_what_it_sees_and_in_every_parameter(name):
    loss = built(name)
    value, slopes = gradients(loss, seen(loss, 6), torch.tensor([0, 1, 2, 0, 1, 0]))
    assert value > 0
    assert slopes
    assert all(slope.abs().max() > 0 for slope in slopes)
    assert all(parameter.grad.abs().max() > 0 for parameter in loss.parameters())


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_downhill_lowers_it(name):
    loss, labels = built(name), torch.tensor([0, 1, 2, 0, 1, 0])
    batch = seen(loss, 6)
    before, _ = gradients(loss, batch, labels)
    inputs = [batch] if isinstance(batch, torch.Tensor) else batch
    moved = [leaf.detach() - (1e-2 * leaf.grad if leaf.grad is not None else 0) for leaf in inputs]
    assert loss(moved[0] if loss.sees == "logits" else moved, labels) < before


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_the_photos_does_not_matter(name):
    loss, labels, order = built(name), torch.tensor([0, 1, 2, 0, 1, 0]), torch.tensor([3, 0, 5, 4, 1, 2])
    batch = seen(loss, 6)
    shuffled = batch[order] if loss.sees == "logits" else [layer[order] for layer in batch]
    assert loss(shuffled, labels[order]).item() == pytest.approx(loss(batch, labels).item(), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_changes_nothing(name):
    loss, labels = built(name), torch.tensor([0, 1, 2, 0, 1, 0])
    batch = seen(loss, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(batch, labels)
    assert value.item() == loss(batch, labels).item()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("classes", [[0, 3], [-1, 0], [0, 1, 2]], ids=["above", "below", "too many"])
def test_labels_that_do_not_fit(name, classes):
    loss = built(name)
    with pytest.raises(ValueError, match="labels"):
        loss(seen(loss, 2), torch.tensor(classes))


@pytest.mark.parametrize("name", TAKES_SOFT)
def test_soft_labels_of_one_class_are_hard_ones(name):
    loss, labels = built(name), torch.tensor([0, 1, 2, 0, 1, 0])
    batch = seen(loss, 6)
    soft = functional.one_hot(labels, 3).float()
    assert loss(batch, soft).item() == pytest.approx(loss(batch, labels).item(), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_saved_state_comes_back(name):
    loss, labels = built(name), torch.tensor([0, 1, 2, 0, 1, 0])
    fresh = build(LOSSES, "loss", name, CONTEXT, {}).eval()
    fresh.load_state_dict(deepcopy(loss.state_dict()))
    batch = seen(loss, 6)
    assert fresh(batch, labels).item() == loss(batch, labels).item()

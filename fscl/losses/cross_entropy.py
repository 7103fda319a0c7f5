"""Cross-entropy: the baseline's only term."""

from typing import ClassVar, Literal

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from fscl.losses.objective import Loss


class CrossEntropyLoss(Loss):
    """Mean cross-entropy of softmax(logits), in nats.

        L = −1/N Σ_i log softmax(f_i)[c_i]

    Args:
        num_classes: K ≥ 2.

    >>> import torch
    >>> CrossEntropyLoss(num_classes=2)(torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]))
    tensor(0.6931)
    """

    sees: ClassVar[Literal["logits", "features"]] = "logits"

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def forward(self, logits: Float[Tensor, "batch classes"], labels: Int[Tensor, "batch"]) -> Float[Tensor, ""]:
        """Return the loss."""
        return functional.cross_entropy(logits.float() if logits.dtype.itemsize < 4 else logits, labels)

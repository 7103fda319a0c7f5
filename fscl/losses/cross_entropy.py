"""Cross-entropy: the baseline's only term."""

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fscl.losses.labels import Labels, check_labels
from fscl.losses.objective import Loss


class CrossEntropyLoss(Loss):
    """Mean cross-entropy of softmax(logits), in nats.

        L = −1/N Σ_i Σ_k y_ik log softmax(f_i)[k]

    where y_i holds the share of each class in photo i: 1 for its label, unless labels are soft.

    Args:
        num_classes: K ≥ 2.

    Raises:
        ValueError: labels that do not fit the logits or `num_classes`, or soft ones that do not sum to 1 (the values
            of labels are looked at on the CPU only).

    >>> import torch
    >>> loss = CrossEntropyLoss(num_classes=2)
    >>> loss(torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]))
    tensor(0.6931)
    >>> loss(torch.tensor([[0.0, 100.0]]), torch.tensor([[0.25, 0.75]]))
    tensor(25.)
    """

    sees: ClassVar[Literal["logits", "features"]] = "logits"
    takes_soft: ClassVar[bool] = True

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def forward(self, logits: Float[Tensor, "batch classes"], labels: Labels) -> Float[Tensor, ""]:
        """Return the loss."""
        if logits.shape[1:] != (self.num_classes,) or len(logits) == 0:
            raise ValueError(f"logits must be (batch, {self.num_classes}) with batch >= 1, got {tuple(logits.shape)}")
        check_labels(labels, len(logits), self.num_classes)
        logits = logits.float() if logits.dtype.itemsize < 4 else logits
        return functional.cross_entropy(logits, labels.to(logits.dtype) if labels.is_floating_point() else labels)

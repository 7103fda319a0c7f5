"""Cross-entropy: the baseline's only term."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fscl.losses.labels import Labels
from fscl.losses.logit_loss import LogitLoss


class CrossEntropyLoss(LogitLoss):
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

    takes_soft: ClassVar[bool] = True

    def value(self, logits: Float[Tensor, "batch classes"], labels: Labels) -> Float[Tensor, ""]:
        """Return the loss's equation."""
        return functional.cross_entropy(logits, labels)

"""What losses of the logits share: the labels are checked, and the equation is computed in float32."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fscl.losses.labels import Labels, check_labels
from fscl.losses.objective import Loss


class LogitLoss(Loss, ABC):
    """A loss of the logits, computed in float32 (float64 for float64 logits), also under autocast.

    Args:
        num_classes: K ≥ 2.
    """

    sees: ClassVar[Literal["logits", "features"]] = "logits"

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def forward(self, logits: Float[Tensor, "batch classes"], labels: Labels) -> Float[Tensor, ""]:
        """Return the loss.

        Raises:
            ValueError: logits of another number of classes, no photo in the batch, or labels that do not fit; see
                `check_labels`.
        """
        if logits.shape[1:] != (self.num_classes,) or len(logits) == 0:
            raise ValueError(f"logits must be (batch, {self.num_classes}) with batch >= 1, got {tuple(logits.shape)}")
        check_labels(labels, len(logits), self.num_classes)
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            return self.value(logits, labels.to(logits.dtype) if labels.is_floating_point() else labels)

    @abstractmethod
    def value(self, logits: Float[Tensor, "batch classes"], labels: Labels) -> Float[Tensor, ""]:
        """Return the loss's equation."""

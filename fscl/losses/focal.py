"""Focal loss: photos that the model is already sure of count little."""

from math import inf
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fscl.losses.labels import Labels
from fscl.losses.logit_loss import LogitLoss

GAMMA = 2.0  # Lin et al. 2017, Sec. 5: the best of 0–5


class FocalLoss(LogitLoss):
    """Cross-entropy times (1 − p)^γ, p the probability of the photo's own class.

        L = 1/N Σ_i −(1 − p_i)^γ · log p_i,   p_i = softmax(f_i)[c_i]

    Source: Lin et al. 2017, Eq. 4, made for two classes and a sigmoid; here with the softmax of K classes. For soft
    labels y, L = −1/N Σ_ic y_ic (1 − p_ic)^γ log p_ic.

    Args:
        num_classes: K ≥ 2.
        gamma: γ ≥ 0; 0 is cross-entropy.

    Raises:
        ValueError: gamma out of range.

    >>> FocalLoss(num_classes=2)(torch.zeros(1, 2), torch.tensor([0]))  # log(2) / 4
    tensor(0.1733)
    """

    takes_soft: ClassVar[bool] = True

    def __init__(self, num_classes: int, *, gamma: float = GAMMA) -> None:
        super().__init__(num_classes)
        if not 0 <= gamma < inf:
            raise ValueError(f"gamma must be >= 0 and finite, got {gamma}; the paper uses 0.5–5")
        self.gamma = gamma

    def value(self, logits: Float[Tensor, "batch classes"], labels: Labels) -> Float[Tensor, ""]:
        """Return the loss's equation."""
        log_p = functional.log_softmax(logits, dim=1)
        # expm1 keeps 1 − p exact near p = 1; the bound keeps the slope of a power below 1 finite there.
        doubt = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
        by_class = -(doubt**self.gamma) * log_p
        own = (labels * by_class).sum(dim=1) if labels.is_floating_point() else by_class.gather(1, labels[:, None])
        return own.mean()

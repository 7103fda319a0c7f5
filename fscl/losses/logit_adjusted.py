"""Logit-adjusted loss, and balanced softmax, which is the same with τ = 1."""

from collections.abc import Sequence
from math import inf
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fscl.losses.class_counts import log_prior
from fscl.losses.labels import Labels
from fscl.losses.logit_loss import LogitLoss


class LogitAdjustedLoss(LogitLoss):
    """Cross-entropy of logits that are given the advantage of their class's frequency while training.

        L = 1/N Σ_i −log softmax(f_i + τ·log π)[c_i],   π_c = n_c / Σ n

    The classifier then has to win without it. Not together with oversampling, which corrects the same again.
    Source: Menon et al. 2021, Eq. 10; with τ = 1 the balanced softmax of Ren et al. 2020, Eq. 4. Soft labels enter
    as in cross-entropy.

    Args:
        class_counts: n_c ≥ 0, training photos of each class.
        tau: τ ≥ 0; 0 is cross-entropy.

    Raises:
        ValueError: tau out of range.

    >>> import torch
    >>> LogitAdjustedLoss(class_counts=[99, 1])(torch.zeros(2, 2), torch.tensor([0, 1]))  # −(log .99 + log .01) / 2
    tensor(2.3076)
    """

    takes_soft: ClassVar[bool] = True
    adjustment: Tensor

    def __init__(self, class_counts: Sequence[int], *, tau: float = 1.0) -> None:
        super().__init__(len(class_counts))
        if not 0 <= tau < inf:
            raise ValueError(f"tau must be >= 0 and finite, got {tau}; 1 is the paper's")
        self.register_buffer("adjustment", tau * log_prior(class_counts), persistent=False)

    def value(self, logits: Float[Tensor, "batch classes"], labels: Labels) -> Float[Tensor, ""]:
        """Return the loss's equation."""
        return functional.cross_entropy(logits + self.adjustment, labels)

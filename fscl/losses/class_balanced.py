"""Class-balanced loss: cross-entropy with a weight for each class, larger where photos are few."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fscl.losses.class_counts import counts
from fscl.losses.labels import Labels
from fscl.losses.logit_loss import LogitLoss

BETA = 0.9999  # Cui et al. 2019, Sec. 5: the best of .9, .99, .999 and .9999 on CIFAR-10-LT


class ClassBalancedLoss(LogitLoss):
    """Cross-entropy weighted by the inverse effective number of photos of the class.

        L   = 1/N Σ_i w_{c_i} · (−log softmax(f_i)[c_i])
        w_c ∝ (1 − β) / (1 − β^n_c),   Σ_c w_c = K over the K classes with photos; 0 for one without

    Source: Cui et al. 2019, Sec. 4, class-balanced softmax cross-entropy. The sum is divided by the number of photos,
    not by their weights as torch's `weight=` has it: a batch of common photos alone then weighs little. For soft
    labels y, L = −1/N Σ_ic w_c y_ic log softmax(f_i)[c].

    Args:
        class_counts: n_c ≥ 0, training photos of each class.
        beta: in [0, 1); 0 weighs all classes alike, towards 1 it is w_c ∝ 1/n_c.

    Raises:
        ValueError: beta out of range.

    >>> loss = ClassBalancedLoss(class_counts=[900, 100])
    >>> loss.weights
    tensor([0.2073, 1.7927])
    >>> loss(torch.zeros(2, 2), torch.tensor([0, 1]))
    tensor(0.6931)
    """

    takes_soft: ClassVar[bool] = True
    weights: Tensor

    def __init__(self, class_counts: Sequence[int], *, beta: float = BETA) -> None:
        super().__init__(len(class_counts))
        self.register_buffer("weights", class_balanced_weights(class_counts, beta=beta), persistent=False)

    def value(self, logits: Float[Tensor, "batch classes"], labels: Labels) -> Float[Tensor, ""]:
        """Return the loss's equation."""
        weights = self.weights.to(logits.dtype)
        return functional.cross_entropy(logits, labels, weight=weights, reduction="sum") / len(logits)


def class_balanced_weights(class_counts: Sequence[int], *, beta: float = BETA) -> Float[Tensor, "classes"]:
    """Return w_c ∝ (1 − β) / (1 − β^n_c), with Σ_c w_c = K over the K classes with photos; 0 for one without.

    Raises:
        ValueError: beta out of range.

    >>> class_balanced_weights([900, 100, 0])
    tensor([0.2073, 1.7927, 0.0000])
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta must be in [0, 1), got {beta}; the paper uses 0.9–0.9999")
    n = counts(class_counts).double()
    present = n > 0
    weights = torch.where(present, 1 / (1 - beta**n), 0)
    return (weights * present.sum() / weights.sum()).float()

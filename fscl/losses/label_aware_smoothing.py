"""Label-aware smoothing: the commoner the class, the less certain its photos need to be told."""

from collections.abc import Sequence
from math import pi
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fscl.losses.class_counts import counts
from fscl.losses.labels import Labels
from fscl.losses.logit_loss import LogitLoss


class LabelAwareSmoothingLoss(LogitLoss):
    """Cross-entropy against labels that spread a share ε of the photo's class evenly over all classes.

        L   = −1/N Σ_i [(1 − ε_{c_i})·log p_i[c_i] + ε_{c_i}/K · Σ_j log p_i[j]],   p_i = softmax(f_i)
        ε_c = ε_K + (ε_1 − ε_K)·sin(π/2 · (n_c − min n) / (max n − min n))

    Source: Zhong et al. 2021 (MiSLAS), Sec. 3.2, with the concave form of ε, as the authors' code has it; the paper's
    equation spreads ε over the K − 1 other classes. Where all classes have as many photos, ε is ε_K. Soft labels y
    (batch, classes) are smoothed share by share. K, j and min n are of the classes with photos: one without is given
    no share, and its own ε is 0.

    Args:
        class_counts: n_c ≥ 0, training photos of each class.
        most: ε_1, of the commonest class.
        least: ε_K, of the rarest class; 0 ≤ ε_K ≤ ε_1 < 1.

    Raises:
        ValueError: an option out of range.

    >>> LabelAwareSmoothingLoss(class_counts=[1000, 500, 0]).smoothing
    tensor([0.3000, 0.0000, 0.0000])
    """

    takes_soft: ClassVar[bool] = True
    smoothing: Tensor
    present: Tensor

    def __init__(self, class_counts: Sequence[int], *, most: float = 0.3, least: float = 0.0) -> None:
        super().__init__(len(class_counts))
        if not 0 <= least <= most < 1:
            raise ValueError(
                f"expected 0 <= least <= most < 1, got {least} and {most}; the paper uses 0–0.1 and 0.3–0.4"
            )
        n = counts(class_counts)
        present = n > 0
        fewest = n[present].min()
        commonness = (n - fewest) / (n.max() - fewest).clamp(min=1)
        smoothing = least + (most - least) * torch.sin(pi / 2 * commonness)
        self.register_buffer("smoothing", torch.where(present, smoothing, 0), persistent=False)
        self.register_buffer("present", present, persistent=False)

    def value(self, logits: Float[Tensor, "batch classes"], labels: Labels) -> Float[Tensor, ""]:
        """Return the loss's equation."""
        hard = not labels.is_floating_point()
        shares = (functional.one_hot(labels, self.num_classes) if hard else labels).to(logits.dtype)
        left = self.smoothing * shares
        to_each = left.sum(dim=1, keepdim=True) / self.present.sum()
        return functional.cross_entropy(logits, shares - left + self.present * to_each)

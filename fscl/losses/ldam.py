"""LDAM: the rarer the class, the wider the margin by which its photos must win."""

from collections.abc import Sequence
from math import inf
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from fscl.losses.class_balanced import class_balanced_weights
from fscl.losses.class_counts import counts
from fscl.losses.logit_loss import LogitLoss


class LDAMLoss(LogitLoss):
    """Cross-entropy after the photo's own logit is lowered by the margin of its class.

        L   = 1/N Σ_i −w_{c_i} · log softmax(f_i − s·Δ_{c_i}·e_{c_i})[c_i]
        Δ_c = Δ_max · (min n / n_c)^(1/4),   min over the classes with photos; 0 for one without

    Source: Cao et al. 2019, Sec. 3.2 (label-distribution-aware margin, softmax form) and Algorithm 1 (weights of the
    deferred stage). The logits are those of a cosine head, s·cos: a margin means nothing beside logits without bound.
    In the paper the scale stands in the loss. The weights w are those of `ClassBalancedLoss`, as in the paper's own
    experiments, and the sum is divided by the number of photos, not by their weights as torch's `weight=` has it.

    Args:
        class_counts: n_c ≥ 0, training photos of each class.
        max_margin: Δ_max > 0, that of the rarest class, in units of the cosine.
        head_scale: s > 0, by which the head has multiplied the cosines; a run gives that of its head, None for a
            linear one.
        weighting: "none" or "class_balanced".

    Raises:
        ValueError: an option out of range; no cosine head.

    >>> loss = LDAMLoss(class_counts=[1600, 100])
    >>> loss.margins
    tensor([0.2500, 0.5000])
    >>> loss(torch.tensor([[30.0, 15.0]]), torch.tensor([0]))  # ahead by .5, twice the margin
    tensor(0.0006)
    """

    margins: Tensor
    weights: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        *,
        max_margin: float = 0.5,
        head_scale: float | None = 30.0,
        weighting: Literal["none", "class_balanced"] = "none",
    ) -> None:
        super().__init__(len(class_counts))
        if head_scale is None:
            raise ValueError('expected the logits of a cosine head, got a linear one; set model.head.name = "cosine"')
        if not 0 < max_margin < inf or not 0 < head_scale < inf:
            raise ValueError(
                f"max_margin and head_scale must be > 0 and finite, got {max_margin} and {head_scale}; "
                "the paper uses 0.5 and 30"
            )
        if weighting not in ("none", "class_balanced"):
            raise ValueError(f"weighting must be 'none' or 'class_balanced', got {weighting!r}")
        n = counts(class_counts)
        balanced = weighting == "class_balanced"
        weights = class_balanced_weights(class_counts) if balanced else n.new_ones(len(n))
        self.head_scale = head_scale
        margins = torch.where(n > 0, max_margin * (n[n > 0].min() / n) ** 0.25, 0)
        self.register_buffer("margins", margins, persistent=False)
        self.register_buffer("weights", weights, persistent=False)

    def value(self, logits: Float[Tensor, "batch classes"], labels: Int[Tensor, "batch"]) -> Float[Tensor, ""]:
        """Return the loss's equation."""
        margins, weights = self.margins.to(logits.dtype), self.weights.to(logits.dtype)
        lowered = logits - self.head_scale * margins * functional.one_hot(labels, self.num_classes)
        return functional.cross_entropy(lowered, labels, weight=weights, reduction="sum") / len(logits)

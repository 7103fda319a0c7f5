"""SupCon: each photo shall be nearer to the other photos of its class than to any other."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fscl.losses.projected_loss import ProjectedLoss


class SupConLoss(ProjectedLoss):
    """Supervised contrastive loss on projected features.

        L = mean over i of −1/|P(i)| Σ_{p ∈ P(i)} log( exp(z_i·z_p/τ) / Σ_{a ≠ i} exp(z_i·z_a/τ) )
        P(i) = {p ≠ i: c_p = c_i}

    Source: Khosla et al. 2020, Eq. 2 (L_out). Two views of each photo (`views = 2`) are two photos here. Photos whose
    class has no other in the batch are left out of the mean; with none left the loss is 0. The paper sums over i.

    Args:
        num_classes, dims, temperature, width, hidden: see `ProjectedLoss`.

    >>> loss = SupConLoss(num_classes=2, dims=[8])
    >>> collapsed = torch.ones(4, 8)
    >>> round(loss(collapsed, torch.tensor([0, 0, 1, 1])).item(), 4)  # all directions alike: log(N − 1)
    1.0986
    """

    normalised: ClassVar[bool] = False  # the authors' projection has none

    def value(self, directions: Float[Tensor, "batch width"], labels: Int[Tensor, "batch"]) -> Float[Tensor, ""]:
        """Return the loss's equation."""
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positive = (labels[:, None] == labels[None, :]) & ~itself
        similarity = directions @ directions.T / self.temperature
        # A finite bound: a batch of one photo has no other, and a row of −inf has no gradient.
        others = similarity.masked_fill(itself, torch.finfo(similarity.dtype).min)
        log_share = others.log_softmax(dim=1)
        per_photo = -torch.where(positive, log_share, 0).sum(dim=1) / positive.sum(dim=1).clamp(min=1)
        return per_photo.sum() / positive.any(dim=1).sum().clamp(min=1)

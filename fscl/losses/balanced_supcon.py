"""The contrastive part of BCL: SupCon in which every class has the same say, whether or not it is in the batch."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from fscl.losses.projected_loss import HIDDEN, TEMPERATURE, WIDTH, ProjectedLoss


class BalancedSupConLoss(ProjectedLoss):
    """SupCon with class averages in the denominator and a centre of each class among the photos.

        L = 1/N Σ_i mean over p ∈ B_{c_i}∖{i} of −log( exp(z_i·z_p/τ) / Σ_c mean over k ∈ B_c∖{i} of exp(z_i·z_k/τ) )
        B_c = photos of class c in the batch, and its centre m_c

    Source: Zhu et al. 2022 (BCL), class-averaging and class-complement. Ours: the centres are learnable directions of
    their own; the paper projects the weights of the classifier.

    Args:
        num_classes, dims, temperature, width, hidden: see `ProjectedLoss`.

    >>> loss = BalancedSupConLoss(num_classes=3, dims=[8], width=2)
    >>> _ = loss.centres.data.copy_(torch.tensor([1.0, 0.0]))
    >>> collapsed = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> round(loss.value(collapsed, torch.tensor([0, 1])).item(), 4)  # all directions alike: log K
    1.0986
    """

    def __init__(
        self,
        num_classes: int,
        dims: Sequence[int],
        *,
        temperature: float = TEMPERATURE,
        width: int = WIDTH,
        hidden: int = HIDDEN,
    ) -> None:
        super().__init__(num_classes, dims, temperature=temperature, width=width, hidden=hidden)
        self.centres = nn.Parameter(torch.randn(num_classes, width))

    def value(self, directions: Float[Tensor, "batch width"], labels: Int[Tensor, "batch"]) -> Float[Tensor, ""]:
        """Return the loss's equation."""
        columns = torch.cat([directions, functional.normalize(self.centres, dim=1)])
        classes = torch.cat([labels, torch.arange(self.num_classes, device=labels.device)])
        same_class = labels[:, None] == classes[None, :]
        itself = torch.eye(len(labels), len(classes), dtype=torch.bool, device=labels.device)
        similarity = directions @ columns.T / self.temperature

        members = functional.one_hot(classes, self.num_classes).sum(dim=0)[classes]
        averaged_over = (members - same_class.int()).to(similarity.dtype)  # of a photo's own class all but itself
        averaged = (similarity - averaged_over.log()).masked_fill(itself, -torch.inf)
        log_share = similarity - averaged.logsumexp(dim=1, keepdim=True)
        positive = same_class & ~itself
        return -(torch.where(positive, log_share, 0).sum(dim=1) / positive.sum(dim=1)).mean()

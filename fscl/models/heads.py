"""The last layer of a classifier, and what can be done to it when training is over."""

from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

BRANCH_PHOTOS = 1000  # Cunha et al. 2023: classes with as many photos keep the naturally trained head


class CosineHead(nn.Module):
    """Logits that are cosines, scaled: f_c = scale · cos(w_c, h), so that no class gains by a longer weight.

    Source: the normalised linear layer of LDAM (Cao et al. 2019); there the scale stands in the loss.

    Args:
        in_features, out_features: D and K.
        scale: > 0; probabilities cannot become sharper than it allows.

    Raises:
        ValueError: a scale that is not positive.

    >>> head = CosineHead(2, 2, scale=30.0)
    >>> logits = head(torch.tensor([[3.0, 4.0]]))
    >>> bool((logits.abs() <= 30).all()), torch.equal(logits, head(torch.tensor([[6.0, 8.0]])))
    (True, True)
    """

    def __init__(self, in_features: int, out_features: int, *, scale: float = 30.0) -> None:
        super().__init__()
        if not 0 < scale < inf:
            raise ValueError(f"scale must be > 0, got {scale}; papers use 16–30")
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.scale = scale
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights, evenly in all directions."""
        nn.init.normal_(self.weight)

    def forward(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Return the logits, in [−scale, scale]."""
        return self.scale * functional.linear(functional.normalize(features), functional.normalize(self.weight))


HEADS: dict[str, type[CosineHead]] = {"cosine": CosineHead}


class LinearMap(NamedTuple):
    """f = W h + b."""

    weight: Float[Tensor, "classes dim"]
    bias: Float[Tensor, "classes"]


def tau_normalisation(head: LinearMap, *, tau: float = 1.0) -> LinearMap:
    """Return weights of equal length: w_c / |w_c|^τ; training makes those of common classes longer.

    Source: Kang et al. 2020, Eq. 4, where the bias is dropped, too.

    Args:
        head: as trained.
        tau: in [0, 1]; 0 changes nothing but the bias.

    Raises:
        ValueError: tau out of range.

    >>> tau_normalisation(LinearMap(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.zeros(2))).weight
    tensor([[0.6000, 0.8000],
            [0.0000, 1.0000]])
    """
    if not 0 <= tau <= 1:
        raise ValueError(f"tau must be 0 … 1, got {tau}; the paper chooses it on validation, often 0.5–1")
    return LinearMap(head.weight / head.weight.norm(dim=1, keepdim=True) ** tau, torch.zeros_like(head.bias))


def logit_adjustment(head: LinearMap, class_counts: Sequence[int], *, tau: float = 1.0) -> LinearMap:
    """Return the head whose argmax is that of f_c − τ·log π_c, π_c = n_c / n: what the rare lose by being rare.

    Source: Menon et al. 2021, Eq. 9. Not together with oversampling, which has corrected already. A class without
    photos keeps its logit: it is not rare but unknown, and would win always.

    Args:
        head: as trained.
        class_counts: n_c ≥ 0, training photos of each class, not all of them 0.
        tau: ≥ 0.

    Raises:
        ValueError: a negative tau, or no photo at all.

    >>> flat = LinearMap(torch.zeros(2, 1), torch.zeros(2))
    >>> logit_adjustment(flat, class_counts=[99, 1]).bias
    tensor([0.0101, 4.6052])
    """
    if not 0 <= tau < inf:
        raise ValueError(f"tau must be >= 0, got {tau}; 1 is the paper's")
    if not any(class_counts):
        raise ValueError(f"class_counts must be > 0 for a class at least, got {list(class_counts)}")
    counts = head.bias.new_tensor(class_counts)
    log_prior = torch.where(counts > 0, (counts / counts.sum()).log(), 0)
    return LinearMap(head.weight, head.bias - tau * log_prior)


def branches(head: LinearMap, former: LinearMap, class_counts: Sequence[int]) -> LinearMap:
    """Return the rows of the head before the last stage for common classes, those of the trained one for the rest.

    Source: Cunha et al. 2023, square-root sampling branch on a frozen backbone.

    Args:
        head: of the last stage.
        former: of the stage before it.
        class_counts: training photos of each class; from `BRANCH_PHOTOS` on a class is common.

    >>> former, head = (LinearMap(torch.full((2, 1), v), torch.full((2,), v)) for v in (1.0, 2.0))
    >>> branches(head, former, class_counts=[1000, 10]).bias
    tensor([1., 2.])
    """
    common = torch.tensor([count >= BRANCH_PHOTOS for count in class_counts], device=head.bias.device)
    weight = torch.where(common[:, None], former.weight, head.weight)
    return LinearMap(weight, torch.where(common, former.bias, head.bias))


POSTHOC: dict[str, Callable[..., LinearMap]] = {
    "tau_normalisation": tau_normalisation,
    "logit_adjustment": logit_adjustment,
    "branches": branches,
}

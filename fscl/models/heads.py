"""The last layer of a classifier, and what can be done to it when training is over."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import inf
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from fscl.models.adapter import AdapterHead, ClassMeansHead
from fscl.models.fitted_heads import (
    FittedHead,
    LdaHead,
    LogisticHead,
    RidgeHead,
    class_means,
)

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


class CosineMeansHead(CosineHead, FittedHead):
    """A cosine head that starts from the class means in place of random directions, and is trained on from there.

    Args:
        in_features, out_features: D and K.
        scale: > 0; probabilities cannot become sharper than it allows.

    Raises:
        ValueError: a scale that is not positive.

    >>> head = CosineMeansHead(2, 2)
    >>> head.fit(torch.tensor([[0.0, 1.0], [0.0, 3.0], [5.0, 0.0]]), torch.tensor([0, 0, 1]))
    >>> head.weight.tolist()
    [[0.0, 2.0], [5.0, 0.0]]
    """

    def fit(self, features: Float[Tensor, "rows dim"], labels: Int[Tensor, "rows"], *, views: int = 1) -> None:
        """Set the weights to the class means, computed in double precision."""
        means = class_means(features.double().cpu().numpy(), labels.cpu().numpy(), len(self.weight))
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(means))


class TwoBranches(nn.Module):
    """Two linear heads on the same features; each class takes its probability from one of them.

        f_c = log softmax(W h + b)_c, of `common` for common classes, of `rare` for the rest

    softmax(f) is then the probabilities of both, one class from each, made to sum to 1. Source: Cunha et al. 2023,
    square-root sampling branch, whose code adds the masked probabilities and does not scale them: the same argmax.
    A recipe does not train it: the correction `branches` makes it of two heads that were trained one after the other.

    Args:
        in_features, out_features: D and K.

    >>> head = TwoBranches(2, 3)
    >>> head(torch.ones(4, 2)).shape
    torch.Size([4, 3])
    """

    is_common: Tensor

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.common = nn.Linear(in_features, out_features)
        self.rare = nn.Linear(in_features, out_features)
        self.register_buffer("is_common", torch.zeros(out_features, dtype=torch.bool))

    def reset_parameters(self) -> None:
        """Draw new weights for both."""
        self.common.reset_parameters()
        self.rare.reset_parameters()

    def forward(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Return the logits, each ≤ 0."""
        common, rare = (branch(features).log_softmax(dim=1) for branch in (self.common, self.rare))
        return torch.where(self.is_common, common, rare)


HEADS: dict[str, type[nn.Module]] = {
    "cosine": CosineHead,
    "cosine_means": CosineMeansHead,
    "branches": TwoBranches,
    "class_means": ClassMeansHead,
    "logistic": LogisticHead,
    "lda": LdaHead,
    "ridge": RidgeHead,
    "adapter": AdapterHead,
}


class LinearMap(NamedTuple):
    """f = W h + b."""

    weight: Float[Tensor, "classes dim"]
    bias: Float[Tensor, "classes"]


class HeadCorrection(ABC):
    """What stands in `POSTHOC`: built before training, so that its options are checked there; applied after it."""

    @abstractmethod
    def __call__(self, head: LinearMap, former: LinearMap) -> LinearMap | TwoBranches:
        """Return the corrected head.

        Args:
            head: as trained.
            former: as it was before the last stage.
        """


class TauNormalisation(HeadCorrection):
    """Weights of equal length: w_c / |w_c|^τ; training makes those of common classes longer.

    Source: Kang et al. 2020, Eq. 4, where the bias is dropped, too.

    Args:
        tau: in [0, 1]; 0 changes nothing but the bias.

    Raises:
        ValueError: tau out of range.

    >>> head = LinearMap(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.zeros(2))
    >>> TauNormalisation()(head, head).weight
    tensor([[0.6000, 0.8000],
            [0.0000, 1.0000]])
    """

    def __init__(self, *, tau: float = 1.0) -> None:
        if not 0 <= tau <= 1:
            raise ValueError(f"tau must be 0 … 1, got {tau}; the paper chooses it on validation, often 0.5–1")
        self.tau = tau

    def __call__(self, head: LinearMap, former: LinearMap) -> LinearMap:
        """Return the head with weights of length |w_c|^(1 − τ) and no bias."""
        lengths = head.weight.norm(dim=1, keepdim=True)
        return LinearMap(head.weight / lengths**self.tau, torch.zeros_like(head.bias))


class LogitAdjustment(HeadCorrection):
    """The head whose argmax is that of f_c − τ·log π_c, π_c = n_c / n: what the rare lose by being rare.

    Source: Menon et al. 2021, Eq. 9. Not together with oversampling, which has corrected already. A class without
    photos keeps its logit: it is not rare but unknown, and would win always.

    Args:
        class_counts: n_c ≥ 0, training photos of each class, not all of them 0.
        tau: ≥ 0.

    Raises:
        ValueError: a negative tau, or no photo at all.

    >>> flat = LinearMap(torch.zeros(2, 1), torch.zeros(2))
    >>> LogitAdjustment(class_counts=[99, 1])(flat, flat).bias
    tensor([0.0101, 4.6052])
    """

    def __init__(self, class_counts: Sequence[int], *, tau: float = 1.0) -> None:
        if not 0 <= tau < inf:
            raise ValueError(f"tau must be >= 0, got {tau}; 1 is the paper's")
        if not any(class_counts):
            raise ValueError(f"class_counts must be > 0 for a class at least, got {list(class_counts)}")
        self.class_counts = tuple(class_counts)
        self.tau = tau

    def __call__(self, head: LinearMap, former: LinearMap) -> LinearMap:
        """Return the head with −τ·log π_c added to its bias."""
        counts = head.bias.new_tensor(self.class_counts)
        log_prior = torch.where(counts > 0, (counts / counts.sum()).log(), 0)
        return LinearMap(head.weight, head.bias - self.tau * log_prior)


class Branches(HeadCorrection):
    """Common classes take their probability from the head before the last stage, the rest from the trained one.

    Source: Cunha et al. 2023, square-root sampling branch on a frozen backbone.

    Args:
        class_counts: training photos of each class; from `BRANCH_PHOTOS` on a class is common.

    >>> former, head = (LinearMap(torch.eye(2), torch.full((2,), v)) for v in (1.0, 2.0))
    >>> branches = Branches(class_counts=[1000, 10])(head, former)
    >>> branches.is_common, branches.common.bias.tolist(), branches.rare.bias.tolist()
    (tensor([ True, False]), [1.0, 1.0], [2.0, 2.0])
    """

    def __init__(self, class_counts: Sequence[int]) -> None:
        self.class_counts = tuple(class_counts)

    def __call__(self, head: LinearMap, former: LinearMap) -> TwoBranches:
        """Return both heads in one."""
        classes, dim = head.weight.shape
        joined = TwoBranches(dim, classes).to(head.weight.device)
        joined.rare.load_state_dict(head._asdict())
        joined.common.load_state_dict(former._asdict())
        joined.is_common.copy_(torch.tensor(self.class_counts) >= BRANCH_PHOTOS)
        return joined


POSTHOC: dict[str, type[HeadCorrection]] = {
    "tau_normalisation": TauNormalisation,
    "logit_adjustment": LogitAdjustment,
    "branches": Branches,
}

"""Photos mixed with others, and their labels with them: the label of a mixture is a share of each class."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


class Mixture(NamedTuple):
    """A mixed batch: photos, and what share of each class they show; the shares of a photo sum to 1."""

    photos: Float[Tensor, "batch 3 height width"]
    shares: Float[Tensor, "batch classes"]


class Mixing(ABC):
    """What stands in `MIXINGS`: mixes each photo i of a batch with a partner j, λ : 1 − λ, λ ~ Beta(α, α).

    One λ for the whole batch, as in the papers' code.

    Args:
        num_classes: K ≥ 2.
        alpha: > 0; 1 makes every λ as likely, small ones leave most photos nearly alone.

    Raises:
        ValueError: an alpha that is not positive.
    """

    def __init__(self, num_classes: int, *, alpha: float) -> None:
        if alpha <= 0:
            raise ValueError(f"alpha must be > 0, got {alpha}; papers use 0.1–1")
        self.num_classes = num_classes
        self.alpha = alpha

    @abstractmethod
    def __call__(
        self,
        photos: Float[Tensor, "batch 3 height width"],
        labels: Int[Tensor, "batch"],
        partners: Float[Tensor, "batch 3 height width"],
        partner_labels: Int[Tensor, "batch"],
        generator: np.random.Generator,
    ) -> Mixture:
        """Return the mixed batch.

        Args:
            photos: of the batch, normalised.
            labels: of the batch.
            partners: a photo to mix each of them with: the batch in another order, or photos drawn for it.
            partner_labels: of the partners.
            generator: of every draw.
        """

    def shares(
        self, labels: Int[Tensor, "batch"], partner_labels: Int[Tensor, "batch"], kept: Float[Tensor, "batch"] | float
    ) -> Float[Tensor, "batch classes"]:
        """Return kept · onehot(label) + (1 − kept) · onehot(partner's label); `kept` in [0, 1]."""
        own, other = (functional.one_hot(y, self.num_classes).float() for y in (labels, partner_labels))
        kept = kept[:, None] if isinstance(kept, Tensor) else kept
        return kept * own + (1 - kept) * other


class Mixup(Mixing):
    """Both photos shine through: x = λ·x_i + (1 − λ)·x_j, y = λ·y_i + (1 − λ)·y_j.

    Source: Zhang et al. 2018, the equations of Sec. 1.

    Args:
        num_classes: K ≥ 2.
        alpha: of λ, > 0; the paper's 0.1–0.4 are for ImageNet.

    >>> day, night = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    >>> mixed = Mixup(2)(day, torch.tensor([0]), night, torch.tensor([1]), np.random.default_rng(0))
    >>> bool(torch.isclose(mixed.photos.mean(), mixed.shares[0, 0]))
    True
    """

    def __init__(self, num_classes: int, *, alpha: float = 0.2) -> None:
        super().__init__(num_classes, alpha=alpha)

    def __call__(
        self,
        photos: Float[Tensor, "batch 3 height width"],
        labels: Int[Tensor, "batch"],
        partners: Float[Tensor, "batch 3 height width"],
        partner_labels: Int[Tensor, "batch"],
        generator: np.random.Generator,
    ) -> Mixture:
        """Return the mixed batch."""
        kept = float(generator.beta(self.alpha, self.alpha))
        return Mixture(torch.lerp(partners, photos, kept), self.shares(labels, partner_labels, kept))


class Remix(Mixup):
    """Mixup whose label is all the rarer class's where that is κ times rarer and its photo still to be seen.

        x = λ·x_i + (1 − λ)·x_j      y = λ_y·y_i + (1 − λ_y)·y_j
        λ_y = 0 if n_i / n_j ≥ κ and λ < τ,   1 if n_i / n_j ≤ 1 / κ and 1 − λ < τ,   λ otherwise

    Source: Chou et al. 2020, "Remix: Rebalanced Mixup".

    Args:
        num_classes: K ≥ 2.
        class_counts: n_c, training photos of each class.
        alpha: of λ, > 0.
        kappa: κ ≥ 1, how many times rarer a class must be to be favoured.
        tau: τ in [0, 1], the common class's share of the photo below which it loses the label; 0 is mixup.

    Raises:
        ValueError: a value out of range.

    >>> common, rare = torch.tensor([0]), torch.tensor([1])
    >>> remix = Remix(2, class_counts=[300, 100])
    >>> remix.shares(common, rare, 0.4), remix.shares(common, rare, 0.6)
    (tensor([[0., 1.]]), tensor([[0.6000, 0.4000]]))
    """

    def __init__(
        self,
        num_classes: int,
        class_counts: Sequence[int],
        *,
        alpha: float = 1.0,
        kappa: float = 3.0,
        tau: float = 0.5,
    ) -> None:
        super().__init__(num_classes, alpha=alpha)
        if len(class_counts) != num_classes:
            raise ValueError(f"class_counts must be one number per class, {num_classes}, got {len(class_counts)}")
        if kappa < 1:
            raise ValueError(f"kappa must be >= 1, got {kappa}; the paper's is 3")
        if not 0 <= tau <= 1:
            raise ValueError(f"tau must be 0 … 1, got {tau}; the paper's is 0.5")
        self.class_counts = torch.tensor(class_counts)
        self.kappa = kappa
        self.tau = tau

    def shares(
        self, labels: Int[Tensor, "batch"], partner_labels: Int[Tensor, "batch"], kept: Float[Tensor, "batch"] | float
    ) -> Float[Tensor, "batch classes"]:
        """Return λ_y · onehot(label) + (1 − λ_y) · onehot(partner's label); `kept` is λ."""
        counts = self.class_counts.to(labels.device)
        own, other = counts[labels], counts[partner_labels]
        share = torch.as_tensor(kept, device=labels.device).expand(len(labels))
        share = share.masked_fill((own >= self.kappa * other) & (share < self.tau), 0)
        share = share.masked_fill((other >= self.kappa * own) & (1 - share < self.tau), 1)
        return super().shares(labels, partner_labels, share)


class CutMix(Mixing):
    """A box of the partner is pasted over the photo, in place; the label is shared as the pixels are.

        x = M ⊙ x_i + (1 − M) ⊙ x_j,   M = 0 in the box      y = λ'·y_i + (1 − λ')·y_j,   λ' = mean(M)

    The box has sides √(1 − λ) of the photo's and its centre anywhere; what lies outside is cut off, so λ' ≥ λ
    up to rounding. Source: Yun et al. 2019, Eq. 1 and 2. With partners from rare classes it is context-rich
    minority oversampling (CMO, Park et al. 2022): the rare animal on the background of a common one.

    Args:
        num_classes: K ≥ 2.
        alpha: of λ, > 0.
        probability: of a batch to be mixed at all, 0 … 1.

    Raises:
        ValueError: a value out of range.

    >>> grass, deer = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    >>> mixed = CutMix(2)(grass, torch.tensor([0]), deer, torch.tensor([1]), np.random.default_rng(0))
    >>> bool(mixed.photos.mean() == mixed.shares[0, 1])
    True
    """

    def __init__(self, num_classes: int, *, alpha: float = 1.0, probability: float = 1.0) -> None:
        super().__init__(num_classes, alpha=alpha)
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must be 0 … 1, got {probability}; papers use 0.5 and 1")
        self.probability = probability

    def __call__(
        self,
        photos: Float[Tensor, "batch 3 height width"],
        labels: Int[Tensor, "batch"],
        partners: Float[Tensor, "batch 3 height width"],
        partner_labels: Int[Tensor, "batch"],
        generator: np.random.Generator,
    ) -> Mixture:
        """Return the mixed batch."""
        if generator.random() >= self.probability:
            return Mixture(photos, self.shares(labels, partner_labels, 1.0))
        side = float(np.sqrt(1 - generator.beta(self.alpha, self.alpha)))
        rows, columns = (_stretch(length, side, generator) for length in photos.shape[2:])
        mixed = photos.clone()
        box = mixed[:, :, rows, columns].copy_(partners[:, :, rows, columns])
        pasted = box.numel() / mixed.numel()
        return Mixture(mixed, self.shares(labels, partner_labels, 1 - pasted))


def _stretch(length: int, share: float, generator: np.random.Generator) -> slice:
    """Return where on a photo's side a stretch of `share` of its length lies, cut off at the ends."""
    centre, half = generator.uniform(0, length), share * length / 2
    return slice(max(round(centre - half), 0), min(round(centre + half), length))


MIXINGS: dict[str, type[Mixing]] = {"mixup": Mixup, "remix": Remix, "cutmix": CutMix}

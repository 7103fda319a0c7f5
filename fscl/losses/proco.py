"""ProCo: each photo against the distribution of every class, not against the few photos of the batch."""

from collections.abc import Sequence
from math import exp

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from fscl.losses.class_counts import log_prior
from fscl.losses.labels import class_sums
from fscl.losses.projected_loss import HIDDEN, TEMPERATURE, WIDTH, ProjectedLoss

MIN_WIDTH = 16  # below, `log_expected_exp` is worse than 1e-4
LEAST_SPREAD = 1e-3  # of 1 − |m|²: a class known from one photo has no spread, and its κ would be infinite


class ProCoLoss(ProjectedLoss):
    """Supervised contrastive loss with infinitely many partners, from a von Mises–Fisher distribution per class.

        L = 1/N Σ_i −log softmax_c( log π_c + log E[exp(z_i·x/τ)] )[c_i],   x ~ vMF(μ_c, κ_c)
        κ_c μ_c = m_c (d − |m_c|²) / (1 − |m_c|²),   m_c = mean direction of the class, d = width

    Source: Du et al. 2024, closed form of the expected loss (L_in) and estimate of κ by the first moment. Ours:
    the paper takes m_c from the epoch before; here what was seen fades at every step, to 1/e after as many photos as
    an epoch has (two views are two photos), so that the loss needs no notion of epochs. The batch enters m_c after
    its own loss, and not in evaluation mode. A class that was not seen yet is spread evenly (κ = 0), thus the first
    batch has no gradient.

    Args:
        num_classes, dims, temperature, width, hidden: see `ProjectedLoss`.
        class_counts: n_c ≥ 0, training photos of each class.

    Raises:
        ValueError: width < 16, for which the closed form is computed too coarsely.

    >>> loss = ProCoLoss(num_classes=2, dims=[8], class_counts=[3, 1])
    >>> features, labels = torch.eye(8), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> round(loss(features, labels).item(), 4)  # at first no class is known: the mean of −log π
    0.837
    """

    sums: Tensor
    seen: Tensor
    log_prior: Tensor

    def __init__(
        self,
        num_classes: int,
        dims: Sequence[int],
        class_counts: Sequence[int],
        *,
        temperature: float = TEMPERATURE,
        width: int = WIDTH,
        hidden: int = HIDDEN,
    ) -> None:
        super().__init__(num_classes, dims, temperature=temperature, width=width, hidden=hidden)
        if width < MIN_WIDTH:
            raise ValueError(f"width must be >= {MIN_WIDTH}, got {width}; the paper uses 128")
        self.register_buffer("sums", torch.zeros(num_classes, width))  # of the directions seen, faded
        self.register_buffer("seen", torch.zeros(num_classes, 1))  # how many they were, faded alike
        self.register_buffer("log_prior", log_prior(class_counts), persistent=False)
        self.photos_per_epoch = sum(class_counts)

    def value(self, directions: Float[Tensor, "batch width"], labels: Int[Tensor, "batch"]) -> Float[Tensor, ""]:
        """Return the loss's equation; learn from the batch in training mode."""
        mean = self.sums / self.seen.clamp(min=torch.finfo(self.seen.dtype).tiny)
        squared = mean.square().sum(dim=1, keepdim=True)
        concentrated = mean * (self.width - squared) / (1 - squared).clamp(min=LEAST_SPREAD)  # κ_c μ_c
        expected = log_expected_exp(directions, concentrated, self.temperature)
        loss = functional.cross_entropy(self.log_prior + expected, labels)
        if self.training:
            self._learn(directions.detach(), labels)
        return loss

    def _learn(self, directions: Float[Tensor, "batch width"], labels: Int[Tensor, "batch"]) -> None:
        fading = exp(-len(labels) / self.photos_per_epoch)
        self.sums = fading * self.sums + class_sums(labels, directions, self.num_classes)
        self.seen = fading * self.seen + class_sums(labels, directions.new_ones(len(labels), 1), self.num_classes)


def log_expected_exp(
    directions: Float[Tensor, "batch width"], concentrated: Float[Tensor, "classes width"], temperature: float
) -> Float[Tensor, "batch classes"]:
    """Return log E[exp(z·x/τ)] for x ~ vMF(μ_c, κ_c), with |z| = 1.

        log E = g(|κ_c μ_c + z/τ|) − g(κ_c),   g(κ) = log(I_ν(κ) / κ^ν),   ν = d/2 − 1
        g(κ)  = s − ν·log(ν + s) − ½·log(2πs) + log h(s) + O(ν⁻³),   s = √(ν² + κ²)
        h(s)  = 1 + (3 − 5q) / (24 s) + (81 − 462q + 385q²) / (1152 s²),   q = (ν/s)²

    The expansion of the Bessel function I_ν is Debye's (DLMF 10.41.3). What is left out changes each g by less than
    0.017/ν³ at every κ ≥ 0: 7e-8 at d = 128, 5e-5 at d = 16. The difference is taken term by term, so that float32
    keeps it where κ is large.

    Args:
        directions: z, of length 1.
        concentrated: κ_c μ_c.
        temperature: τ > 0.
    """
    nu = directions.shape[1] / 2 - 1
    before = (nu**2 + concentrated.square().sum(dim=1)).sqrt()  # s at κ_c
    gain = 2 / temperature * directions @ concentrated.T + temperature**-2  # |κ_c μ_c + z/τ|² − κ_c²
    after = (before**2 + gain).sqrt()
    step = gain / (after + before)  # after − before
    leading = step - nu * torch.log1p(step / (nu + before)) - 0.5 * torch.log1p(step / before)
    return leading + torch.log(_debye(after, nu) / _debye(before, nu))


def _debye(s: Tensor, nu: float) -> Tensor:
    q = (nu / s) ** 2
    return 1 + (3 - 5 * q) / (24 * s) + (81 - 462 * q + 385 * q**2) / (1152 * s**2)

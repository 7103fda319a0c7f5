"""What contrastive losses share: features are projected by a small network that is dropped after training."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import inf
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from fscl.losses.labels import check_labels
from fscl.losses.objective import Loss

WIDTH = 128  # dimensions of the projection, Khosla et al. 2020, Sec. 3.1
HIDDEN = 512  # of the layer before it; the code of BCL and ProCo for ResNet-32, whose features have 64
TEMPERATURE = 0.1  # Khosla et al. 2020, Sec. 4


class ProjectedLoss(Loss, ABC):
    """A loss of directions z_i = g(h_i) / |g(h_i)|, g two linear layers, between them batch normalisation and ReLU.

    The network g is the loss's: its parameters go to the optimizer, and no classifier keeps it. Computed in the
    precision of its weights, float32, also under autocast.

    Args:
        num_classes: K ≥ 2.
        dims: length of each layer's features; the last is projected, the deepest with the default layers.
        temperature: τ > 0; lower ones look at the nearest directions only.
        width: length of z, ≥ 2.
        hidden: width of the layer between the two, ≥ 1.

    Raises:
        ValueError: a temperature or width out of range.
    """

    normalised: ClassVar[bool] = True  # batch normalisation between the layers
    sees: ClassVar[Literal["logits", "features"]] = "features"

    def __init__(
        self,
        num_classes: int,
        dims: Sequence[int],
        *,
        temperature: float = TEMPERATURE,
        width: int = WIDTH,
        hidden: int = HIDDEN,
    ) -> None:
        super().__init__()
        if not 0 < temperature < inf:
            raise ValueError(f"temperature must be > 0 and finite, got {temperature}; papers use 0.05–0.5")
        if type(width) is not int or width < 2:
            raise ValueError(f"width must be a whole number >= 2, got {width}; papers use 128")
        if type(hidden) is not int or hidden < 1:
            raise ValueError(f"hidden must be a whole number >= 1, got {hidden}; papers use 512–2048")
        self.num_classes = num_classes
        self.temperature = temperature
        self.width = width
        self.projection = _projection(dims[-1], hidden, width, normalised=self.normalised)

    def forward(
        self,
        features: Float[Tensor, "batch dim"] | Sequence[Float[Tensor, "batch _"]],
        labels: Int[Tensor, "batch"],
    ) -> Float[Tensor, ""]:
        """Return the loss of the features, or of the last of a list of them.

        Raises:
            ValueError: features that are no (batch, dim), no photo in the batch, or labels that do not fit; see
                `check_labels`.
        """
        deepest = features if isinstance(features, Tensor) else features[-1]
        least = 2 if self.normalised and self.training else 1  # one photo has no spread to normalise by
        if deepest.ndim != 2 or len(deepest) < least:
            raise ValueError(f"features must be (batch, dim) with batch >= {least}, got {tuple(deepest.shape)}")
        check_labels(labels, len(deepest), self.num_classes)
        with torch.autocast(deepest.device.type, enabled=False):
            projected = self.projection(deepest.to(next(self.projection.parameters()).dtype))
            return self.value(functional.normalize(projected, dim=1), labels)

    @abstractmethod
    def value(self, directions: Float[Tensor, "batch width"], labels: Int[Tensor, "batch"]) -> Float[Tensor, ""]:
        """Return the loss's equation."""


def _projection(dim: int, hidden: int, width: int, *, normalised: bool) -> nn.Module:
    """Return the network g of contrastive losses: Linear, batch normalisation where asked, ReLU, Linear."""
    between = [nn.BatchNorm1d(hidden)] if normalised else []
    return nn.Sequential(nn.Linear(dim, hidden), *between, nn.ReLU(), nn.Linear(hidden, width))

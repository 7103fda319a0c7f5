"""The mean feature vector of each class over the recent batches."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RunningClassMeans(nn.Module):
    """Exponentially weighted mean of each class's features, free of its start (Kingma & Ba 2015, Sec. 3).

    A batch moves the mean of a class by 1 − momentum towards that of its photos; by less where it holds less than one
    photo's share of the class, and not at all without one.

    Args:
        num_classes: K.
        dim: of the features.
        momentum: what a batch leaves of the former mean, in [0, 1).

    >>> means = RunningClassMeans(num_classes=2, dim=1, momentum=0.9)
    >>> means.update(sums=torch.tensor([[6.0], [0.0]]), counts=torch.tensor([2.0, 0.0]))
    >>> [values.tolist() for values in means()]
    [[[3.0], [0.0]], [1.0, 0.0]]
    """

    total: Tensor
    weight: Tensor

    def __init__(self, num_classes: int, dim: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("total", torch.zeros(num_classes, dim))
        self.register_buffer("weight", torch.zeros(num_classes))

    def forward(self) -> tuple[Float[Tensor, "classes dim"], Float[Tensor, "classes"]]:
        """Return the means, and 1 for each class that was seen; the mean of one never seen is 0."""
        return self.total / _positive(self.weight)[:, None], (self.weight > 0).to(self.weight.dtype)

    def centre(self) -> Float[Tensor, "dim"]:
        """Return the mean over the classes that were seen; 0 where there is none."""
        means, seen = self()
        centre: Tensor = means.sum(dim=0) / seen.sum().clamp(min=1)
        return centre

    @torch.no_grad()
    def update(self, sums: Float[Tensor, "classes dim"], counts: Float[Tensor, "classes"]) -> None:
        """Take in the sum of the features and the number of photos of each class in a batch."""
        counts = counts.to(self.weight.dtype)
        means = sums.to(self.total.dtype) / _positive(counts)[:, None]
        rate = (1 - self.momentum) * counts.clamp(max=1)
        self.total.lerp_(means, rate[:, None])
        self.weight.lerp_(torch.ones_like(rate), rate)


def _positive(values: Tensor) -> Tensor:
    return values.clamp(min=torch.finfo(values.dtype).tiny)

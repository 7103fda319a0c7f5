"""Feature vectors of the photos of a batch, all of them or those of one process."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fscl.losses.labels import Labels, class_sums, class_totals

Total = Callable[..., tuple[Tensor, ...]]  # sums each of the tensors over the processes that hold rows of the batch


def of_this_process(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors: the total where this process holds every row."""
    return tensors


class Rows(NamedTuple):
    """Rows of the batch that this process holds; sums over them become those of all processes by `total`."""

    values: Float[Tensor, "rows dim"]
    labels: Labels
    num_classes: int
    total: Total = of_this_process

    @property
    def whole(self) -> bool:
        """Whether these are all rows of the batch."""
        return self.total is of_this_process

    def length(self) -> Float[Tensor, ""]:
        """Return 1/√N of the N rows of all processes: with this length, a sum over pairs is their mean."""
        (number,) = self.total(self.values.new_full((), len(self.values)))
        return number.rsqrt()

    def centre(self) -> Float[Tensor, "dim"]:
        """Return the mean of the class means over all processes, so not that of the largest class.

        A soft label counts by its shares; however small the share by which a class is present, its mean counts as
        much as the others.
        """
        sums, counts = self.total(
            class_sums(self.labels, self.values, self.num_classes),
            class_totals(self.labels, self.num_classes, self.values.dtype),
        )
        means = sums / counts.clamp(min=torch.finfo(counts.dtype).tiny)[:, None]
        return means.sum(dim=0) / (counts > 0).sum()

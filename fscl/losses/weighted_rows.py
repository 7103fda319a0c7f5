"""Feature vectors of a batch, each with its weight."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fscl.losses.full_precision import product
from fscl.losses.labels import Labels, class_totals, per_photo

Total = Callable[..., tuple[Tensor, ...]]  # sums each of the tensors over the processes that hold rows of the batch


def of_this_process(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors: the total where this process holds every row."""
    return tensors


class WeightedRows(NamedTuple):
    """Rows of the batch that this process holds; sums over them become those of all processes by `total`."""

    values: Float[Tensor, "rows dim"]
    labels: Labels
    num_classes: int
    total: Total = of_this_process

    @property
    def whole(self) -> bool:
        """Whether these are all rows of the batch."""
        return self.total is of_this_process

    def class_counts(self) -> Float[Tensor, "classes"]:
        """Return n_c, the rows of each class over all processes; a soft label counts by its shares."""
        (counts,) = self.total(class_totals(self.labels, self._ones, self.num_classes))
        return counts

    def equal_weights(self) -> Float[Tensor, "rows"]:
        """Return w_i = 1/N."""
        (rows,) = self.total(self._ones.sum())
        return self._ones / rows

    def balanced_weights(self) -> Float[Tensor, "rows"]:
        """Return w_i = 1/(K⁺ · n_c) for a row of class c, K⁺ the number of classes that are present.

        A soft label takes the mean of this over its shares; however small the share by which a class is present, the
        class weighs 1/K⁺.
        """
        counts = self.class_counts()
        present = counts > 0
        of_class = present / (present.sum() * counts.clamp(min=torch.finfo(counts.dtype).tiny))
        return per_photo(self.labels, of_class)

    def centre(self) -> Float[Tensor, "dim"]:
        """Return the mean of the class means over all processes, so not that of the largest class."""
        (centre,) = self.total(product(self.balanced_weights()[None], self.values).squeeze(0))
        return centre

    @property
    def _ones(self) -> Float[Tensor, "rows"]:
        return self.values.new_ones(len(self.values))

"""Feature vectors of a batch, and for how much each of them counts."""

from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from jaxtyping import Float
from torch import Tensor

from fscl.losses.full_precision import product
from fscl.losses.labels import Labels, class_sums, class_totals, per_photo, with_each_class

Total = Callable[..., tuple[Tensor, ...]]  # sums each of the tensors over the processes that hold rows of the batch


def of_this_process(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors: the total where this process holds every row."""
    return tensors


class WeightedRows(NamedTuple):
    """Rows of the batch that this process holds; sums over them become those of all processes by `total`."""

    values: Float[Tensor, "rows dim"]
    labels: Labels
    counted: Float[Tensor, "rows"]  # 1 for a photo; 0 for a row that stands for nothing, or counts elsewhere
    num_classes: int
    total: Total = of_this_process
    first: bool = True  # whether rows that all processes hold are counted by this one

    @property
    def whole(self) -> bool:
        """Whether these are all rows of the batch."""
        return self.total is of_this_process

    def with_one_of_each_class(self, values: Float[Tensor, "classes dim"], known: Float[Tensor, "classes"]) -> Self:
        """Return these rows and one more for each class, which counts where it is `known`, 1 or 0."""
        return self._replace(
            values=torch.cat([self.values, values.to(self.values.dtype)]),
            labels=with_each_class(self.labels, self.num_classes),
            counted=torch.cat([self.counted, known.to(self.counted.dtype) * self.first]),
        )

    def class_counts(self) -> Float[Tensor, "classes"]:
        """Return n_c, the rows of each class over all processes; a soft label counts by its shares."""
        (counts,) = self.total(class_totals(self.labels, self.counted, self.num_classes))
        return counts

    def class_sums(self) -> Float[Tensor, "classes dim"]:
        """Return the sum of each class's rows over all processes, without gradient."""
        (sums,) = self.total(class_sums(self.labels, self.values.detach(), self.num_classes, self.counted))
        return sums

    def equal_weights(self) -> Float[Tensor, "rows"]:
        """Return w_i = 1/N."""
        (rows,) = self.total(self.counted.sum())
        return self.counted / rows

    def balanced_weights(self) -> Float[Tensor, "rows"]:
        """Return w_i = 1/(K⁺ · n_c) for a row of class c, K⁺ the number of classes that are present.

        A soft label takes the mean of this over its shares; however small the share by which a class is present, the
        class weighs 1/K⁺.
        """
        counts = self.class_counts()
        present = counts > 0
        of_class = present / (present.sum() * counts.clamp(min=torch.finfo(counts.dtype).tiny))
        return self.counted * per_photo(self.labels, of_class)

    def centre(self, weights: Float[Tensor, "rows"]) -> Float[Tensor, "dim"]:
        """Return the weighted mean over all processes; of balanced weights it is the mean of class means."""
        (centre,) = self.total(product(weights[None], self.values).squeeze(0))
        return centre

"""Photos of one batch on several processes, in one loss: sums over all of them, with an exact gradient.

Each process computes the same value, and its backward pass yields the gradient of the *sum* of these values with
respect to its own photos. DistributedDataParallel averages over the processes, which leaves the gradient of one.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional

from fscl.losses.labels import Labels
from fscl.losses.rows import Rows


class SharingProcesses(NamedTuple):
    """The processes that share a batch, and how many photos each of them has.

    Attributes:
        alone: this process holds the whole batch.
        sizes: photos on each process; empty where reading them would make the host wait.
    """

    alone: bool = True
    sizes: Sequence[int] = ()

    @classmethod
    def of_all(cls, batch: int, device: torch.device) -> Self:
        """Return the default group of torch.distributed, or this process alone where there is none.

        Args:
            batch: photos on this process, at least one; other processes may have more or fewer.
            device: of the features.
        """
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return cls()
        readable = device.type == "cpu" and not torch.compiler.is_compiling()
        return cls(alone=False, sizes=_batch_sizes(batch) if readable else ())

    def share(self, values: Float[Tensor, "batch dim"], labels: Labels, num_classes: int) -> Rows:
        """Return the rows of all processes where gathering them moves fewer numbers than the sums of `sum_form`.

        Else, and where the sizes are not known, return our own, whose sums are then reduced.
        """
        if not self.alone and not self._gathering_is_cheaper(values.shape[1], labels, num_classes):
            return Rows(values, labels, num_classes, summed)
        if not self.alone:
            values, labels = self._gathered(values), self._gathered(labels)
        return Rows(values, labels, num_classes)

    def _gathering_is_cheaper(self, dim: int, labels: Labels, num_classes: int) -> bool:
        soft = labels.is_floating_point()
        numbers_gathered = sum(self.sizes) * (dim + (num_classes if soft else 1))
        numbers_of_sums = dim**2 + num_classes * dim + (num_classes**2 if soft else num_classes)
        return 0 < numbers_gathered <= numbers_of_sums

    def _gathered(self, rows: Shaped[Tensor, "batch *rest"]) -> Shaped[Tensor, "all *rest"]:
        """Return the rows of all processes, in their order: a sum in which each fills its own place."""
        rank = dist.get_rank()
        before, after = sum(self.sizes[:rank]), sum(self.sizes[rank + 1 :])
        (gathered,) = summed(functional.pad(rows, [0, 0] * (rows.ndim - 1) + [before, after]))
        return gathered


def summed(*tensors: Shaped[Tensor, "..."]) -> tuple[Tensor, ...]:
    """Return each tensor summed over the processes, moved in one buffer; the gradient is summed likewise."""
    flat: Tensor = SumOverProcesses.apply(torch.cat([tensor.flatten() for tensor in tensors]))
    pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
    return tuple(piece.view(tensor.shape) for piece, tensor in zip(pieces, tensors, strict=True))


class SumOverProcesses(torch.autograd.Function):
    """All-reduce, forward and backward: the gradient of a sum over processes is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Return the sum."""
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient of this process's values."""
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _batch_sizes(batch: int) -> list[int]:
    sizes = torch.zeros(dist.get_world_size(), dtype=torch.int64)
    sizes[dist.get_rank()] = batch
    dist.all_reduce(sizes)
    return sizes.tolist()

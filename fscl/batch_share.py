"""How the processes of a run share a batch: which rows each of them has, and the whole of it for the losses."""

from functools import reduce
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor


class BatchShare(NamedTuple):
    """Which rows of a batch a process has: every `processes`-th photo from `rank` on, all views of it."""

    photos: int  # of the whole batch
    views: int = 1
    rank: int = 0
    processes: int = 1

    @property
    def size(self) -> int:
        """Rows of the whole batch."""
        return self.photos * self.views

    def of(self, rows: Any) -> Any:
        """Return the rows of this process out of those of the whole batch: of a tensor, in its memory, or an array.

        >>> BatchShare(photos=5, views=2, rank=1, processes=3).of(torch.arange(10))
        tensor([2, 3, 8, 9])
        """
        views = rows.reshape(self.photos, self.views, *rows.shape[1:])[self.rank :: self.processes]
        return views.reshape(-1, *rows.shape[1:])

    def whole(self, *own: Shaped[Tensor, "own *_"]) -> tuple[Tensor, ...]:
        """Return the rows of the whole batch, in its order, from those that each process has.

        Every process then computes the same losses of the same rows, and DistributedDataParallel averages to the
        gradient of one process with the whole batch, however it is shared and whatever the losses are.

        Args:
            own: tensors with a row for each row of this process, which has at least one.
        """
        if self.processes == 1:
            return own
        least = torch.float32  # exact for class numbers, too
        dtype = reduce(torch.promote_types, (rows.dtype for rows in own), least)
        flat: Tensor = WholeBatch.apply(torch.cat([rows.to(dtype).reshape(len(rows), -1) for rows in own], 1), self)
        pieces = torch.split(flat, [rows[0].numel() for rows in own], dim=1)
        return tuple(
            piece.reshape(self.size, *rows.shape[1:]).to(rows.dtype) for piece, rows in zip(pieces, own, strict=True)
        )


class WholeBatch(torch.autograd.Function):
    """A sum over the processes in which each fills its own rows.

    All compute the same gradient of the whole; the mean over W processes counts that of a row once, hence W times it.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor, share: BatchShare) -> Tensor:
        """Return the rows of all processes."""
        ctx.share = share
        whole = own.new_zeros(share.photos, share.views, own.shape[1])
        whole[share.rank :: share.processes] = own.reshape(-1, share.views, own.shape[1])
        dist.all_reduce(whole)
        return whole.reshape(share.size, -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of this process's rows."""
        return ctx.share.processes * ctx.share.of(gradient), None

"""Matrix products in full float32, as large sums that cancel need them: long sums in parts, and without TF32.

Their gradients are without TF32, too: the backward pass runs outside of any context around the forward pass, so it
has its own. In a compiled graph products keep the precision that the user chose: the setting cannot be changed there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

LONGEST_SUM = 512  # terms that are added one by one; half of it is more exact still, and a third slower
MOST_PARTS = 16  # of a sum in one product: their memory is that of as many results


def product(left: Float[Tensor, "n m"], right: Float[Tensor, "m k"]) -> Float[Tensor, "n k"]:
    """Return left · right."""
    return Product.apply(left, right)  # type: ignore[no-any-return]


def gram(rows: Float[Tensor, "n m"]) -> Float[Tensor, "m m"]:
    """Return rowsᵀ · rows; its gradient takes one product where that of the same written out takes two.

    >>> gram(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    tensor([[1., 2.],
            [2., 5.]])
    """
    return Gram.apply(rows)  # type: ignore[no-any-return]


class Product(torch.autograd.Function):
    """left · right."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        """Return the product."""
        ctx.save_for_backward(left, right)
        return full_product(left, right)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradient of the factors that need one."""
        left, right = ctx.saved_tensors
        needs_left, needs_right = ctx.needs_input_grad
        return (
            full_product(gradient, right.T) if needs_left else None,
            full_product(left.T, gradient) if needs_right else None,
        )


class Gram(torch.autograd.Function):
    """rowsᵀ · rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """Return the product."""
        ctx.save_for_backward(rows)
        return full_product(rows.T, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient of the rows."""
        (rows,) = ctx.saved_tensors
        return full_product(rows, gradient + gradient.T)


def full_product(left: Float[Tensor, "n m"], right: Float[Tensor, "m k"]) -> Float[Tensor, "n k"]:
    """Return left · right for use in a forward or backward pass, where `product` would not hold.

    A long sum is taken in parts that are added afterwards: one by one, 65,536 like terms lose half of float32's
    digits. The parts are one product of stacked matrices: as many small ones would each wait for the slowest thread.
    """
    terms = left.shape[1]
    if terms > MOST_PARTS * LONGEST_SUM:
        half = terms // 2
        return full_product(left[:, :half], right[:half]) + full_product(left[:, half:], right[half:])
    if left.is_cuda and not torch.compiler.is_compiling():
        with full_precision():
            return _in_parts(left, right)
    return _in_parts(left, right)


def _in_parts(left: Float[Tensor, "n m"], right: Float[Tensor, "m k"]) -> Float[Tensor, "n k"]:
    terms = left.shape[1]
    if terms <= LONGEST_SUM:
        return left @ right
    parts = -(-terms // LONGEST_SUM)
    length = terms // parts
    whole = parts * length
    stacked_left = left[:, :whole].view(len(left), parts, length).transpose(0, 1)
    stacked_right = right[:whole].view(parts, length, right.shape[1])
    total = torch.bmm(stacked_left, stacked_right).sum(dim=0)
    return total if whole == terms else total + left[:, whole:] @ right[whole:]


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute float32 products on CUDA in float32; the user's setting, however it was made, comes back."""
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision = before

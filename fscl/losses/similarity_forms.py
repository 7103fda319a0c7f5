"""The similarity loss as an N×N expression and as sums over photos: one value, two ways to compute it.

    L = 1/N² Σ_ij (S_ij − T_ij)²,   S_ij = h_i·h_j / (|h_i||h_j|),   T = Y A Yᵀ

Both start from rows r_i = h_i/(√N |h_i|): what is squared then does not grow with the batch.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fscl.losses.full_precision import full_product, gram, product
from fscl.losses.labels import Labels, class_overlap, class_sums, targets
from fscl.losses.rows import Total, of_this_process

ZERO_NORM = 1e-12  # a feature vector that is no longer than this has no direction; the bound of functional.normalize


def no_direction(received: torch.dtype) -> float:
    """Return the length up to which a feature vector counts as zero, by the type in which it came.

    In float16 the gradient must stay below 65,504. It is below 3√3 over the length: |S − T| √(1 − S²) ≤ 3√3/4, the
    pairs of a photo give it at most 4/N of that, and through a shared centre it gets at most what all N are given.
    """
    return max(ZERO_NORM, 2 * torch.finfo(received).smallest_normal)


def rows_of_length(
    features: Float[Tensor, "batch dim"],
    length: Float[Tensor, ""],
    shortest: float | Float[Tensor, ""] = ZERO_NORM,
) -> Float[Tensor, "batch dim"]:
    """Return the features scaled to a length; one no longer than `shortest` becomes zero and gets no gradient."""
    return RowsOfLength.apply(features, length, shortest)  # type: ignore[no-any-return]


class RowsOfLength(torch.autograd.Function):
    """features · length / |features|; written out, the backward pass would take three times the memory traffic."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, length: Tensor, shortest: float | Tensor) -> Tensor:
        """Return the rows."""
        inverse = _inverse_norms(features, shortest)
        ctx.save_for_backward(features, length, inverse)
        ctx.shortest = shortest
        return features * (length * inverse)[:, None]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the features: what of it is across their direction, scaled like them."""
        features, length, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted, in which what was kept would be a constant
            inverse = _inverse_norms(features, ctx.shortest)
        along = (gradient * features).sum(dim=1) * inverse.square()
        across = torch.addcmul(gradient, features, along[:, None], value=-1)
        return across.mul_((length * inverse)[:, None]), None, None


def _inverse_norms(features: Tensor, shortest: float | Tensor) -> Float[Tensor, "batch"]:
    norms = torch.linalg.vector_norm(features, dim=1)
    inverse: Tensor = (norms > shortest) / norms.clamp(min=ZERO_NORM)
    return inverse


def pairwise_form(
    rows: Float[Tensor, "batch dim"],
    length: Float[Tensor, ""],
    labels: Labels,
    affinity: Float[Tensor, "classes classes"],
) -> Float[Tensor, ""]:
    """Return L from N×N matrices, in O(N²·D) time: the cheaper form while N ≤ D.

    Args:
        rows: all of the same length.
        length: theirs, 1/√N.
        labels: of the rows.
        affinity: A, the similarity that two classes shall have.
    """
    return PairwiseDifference.apply(rows, targets(labels, affinity) * length.square())  # type: ignore[no-any-return]


class PairwiseDifference(torch.autograd.Function):
    """‖rows · rowsᵀ − targets‖²; its gradient takes one product where that of the same written out takes two."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weighted_targets: Tensor) -> Tensor:
        """Return the sum of squares."""
        differences = full_product(rows, rows.T) - weighted_targets
        ctx.save_for_backward(rows, weighted_targets, differences)
        return differences.square().sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the rows."""
        rows, weighted_targets, differences = ctx.saved_tensors
        if torch.is_grad_enabled():  # as above
            differences = full_product(rows, rows.T) - weighted_targets
        return full_product(differences * (4 * gradient), rows), None


def sum_form(
    rows: Float[Tensor, "batch dim"],
    length: Float[Tensor, ""],
    labels: Labels,
    affinity: Float[Tensor, "classes classes"],
    *,
    total: Total = of_this_process,
) -> Float[Tensor, ""]:
    """Return L without an N×N matrix, in O(N·D²) time and O(N·D + D² + K·D + K²) memory.

    Args as `pairwise_form`; `total` sums over the processes, each of which gives its own rows.
    """
    sums = Sums(*total(*sums_of(rows, length, labels, len(affinity))))
    return not_below_zero(squared_difference(sums, sums, affinity))


class Sums(NamedTuple):
    """What the loss needs to know of any number of photos; that of two parts of a batch together is their sum."""

    moments: Float[Tensor, "dim dim"]  # M = Rᵀ R = 1/N Σ_i ĥ_i ĥ_iᵀ
    class_sums: Float[Tensor, "classes dim"]  # G = Yᵀ R / √N
    overlap: Float[Tensor, "classes classes"] | Float[Tensor, "classes"]  # P = Yᵀ Y / N, or its diagonal


def sums_of(rows: Float[Tensor, "batch dim"], length: Float[Tensor, ""], labels: Labels, num_classes: int) -> Sums:
    """Return M, G and P of rows of length 1/√N."""
    return Sums(
        gram(rows),
        class_sums(labels, rows, num_classes) * length,
        class_overlap(labels, num_classes, rows.dtype) * length.square(),
    )


def squared_difference(photos: Sums, others: Sums, affinity: Float[Tensor, "classes classes"]) -> Float[Tensor, ""]:
    """Return the mean of (S_ij − T_ij)² over photos i and others j: ⟨M, M'⟩ − 2⟨A G, G'⟩ + ⟨A P A, P'⟩."""
    if photos.overlap.ndim == 1:
        constant = (affinity.square() * photos.overlap[:, None] * others.overlap).sum()
    else:
        constant = (product(product(affinity, photos.overlap), affinity) * others.overlap).sum()
    cross = (product(affinity, photos.class_sums) * others.class_sums).sum()
    return (photos.moments * others.moments).sum() - 2 * cross + constant


def not_below_zero(value: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Return the value, or 0 where the differences above cancel and rounding leaves less than nothing.

    The gradient stays: a plain clamp would take it away with the rounding.
    """
    return value - value.detach().clamp(max=0)

"""The study's term: pull features of one class together and push those of others to a right angle."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from fscl.losses.objective import Loss

ZERO_NORM = 1e-12  # a feature vector shorter than this has no direction; the bound of functional.normalize


class FeatureSimilarityLoss(Loss):
    """Mean squared difference between cosine similarities and the same-class matrix, summed over layers.

        S_ij = h_i·h_j / (|h_i||h_j|)      T_ij = [c_i = c_j]
        L    = Σ_l 1/N² Σ_ij (S_ij^(l) − T_ij)²  ∈ [0, 4] for each layer

    Source: Feature Similarity Contrastive Learning, "L = CrossEntropy + Σ_l MSE(S^(l), T)"; kin to the
    similarity-matching loss of Nøkland & Eidnes 2019. Where a feature vector is zero, its similarities are
    zero and it receives no gradient. Computed in float32 (float64 for float64 features), value and gradient,
    also under autocast and where TF32 is allowed.

    Args:
        num_classes: K ≥ 2.

    Raises:
        ValueError: no photo in the batch, labels that do not fit the features, or labels outside 0 … K − 1
            (the last on CPU only: elsewhere the check would make the host wait).

    >>> loss = FeatureSimilarityLoss(num_classes=2)
    >>> features = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    >>> loss(features, torch.tensor([0, 0, 1]))
    tensor(0.)
    >>> loss([features, features], torch.tensor([0, 1, 1]))
    tensor(0.8889)
    """

    sees: ClassVar[Literal["logits", "features"]] = "features"

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes must be >= 2, got {num_classes}; one class has nothing to tell apart")
        self.num_classes = num_classes

    def forward(
        self,
        features: Float[Tensor, "batch dim"] | Sequence[Float[Tensor, "batch _"]],
        labels: Int[Tensor, "batch"],
    ) -> Float[Tensor, ""]:
        """Return the loss, summed over the layers if `features` is a list of them."""
        layers = [features] if isinstance(features, Tensor) else features
        return torch.stack(list(self.parts(layers, labels).values())).sum()

    def parts(
        self, seen: Tensor | Sequence[Float[Tensor, "batch _"]], labels: Int[Tensor, "batch"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the value of each layer, named by its place counted from the end of the given list.

        −1 is the last of the list: the deepest with the default layers.
        """
        return {str(i - len(seen)): self._layer(layer, labels) for i, layer in enumerate(seen)}

    def _layer(self, features: Float[Tensor, "batch dim"], labels: Int[Tensor, "batch"]) -> Float[Tensor, ""]:
        self._check(features, labels)
        with torch.autocast(features.device.type, enabled=False):
            directions = unit_rows(features.to(torch.promote_types(features.dtype, torch.float32)))
            batch, dim = directions.shape
            form = pairwise_form if batch <= dim else sum_form
            return form(directions, labels, self.num_classes)

    def _check(self, features: Tensor, labels: Tensor) -> None:
        if features.ndim != 2 or labels.shape != features.shape[:1] or len(labels) == 0:
            raise ValueError(
                "features must be (batch, dim) and labels (batch,) with batch >= 1, "
                f"got {tuple(features.shape)} and {tuple(labels.shape)}"
            )
        readable = labels.device.type == "cpu" and not torch.compiler.is_compiling()
        if readable and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
            raise ValueError(
                f"labels must be 0 … {self.num_classes - 1}, got {int(labels.min())} … {int(labels.max())}; "
                "is num_classes right?"
            )


def unit_rows(features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
    """Return the rows scaled to length 1; a zero row stays zero and passes no gradient."""
    has_direction = torch.linalg.vector_norm(features.detach(), dim=1, keepdim=True) > ZERO_NORM
    safe = torch.where(has_direction, features, torch.ones_like(features))
    return torch.where(has_direction, functional.normalize(safe, dim=1), torch.zeros_like(features))


def pairwise_form(
    directions: Float[Tensor, "batch dim"], labels: Int[Tensor, "batch"], num_classes: int
) -> Float[Tensor, ""]:
    """Return mean((HHᵀ − T)²) from the N×N matrices: the cheaper form while N ≤ D."""
    same_class = (labels[:, None] == labels[None, :]).to(directions.dtype)
    return (product(directions, directions.T) - same_class).square().mean()


def sum_form(
    directions: Float[Tensor, "batch dim"], labels: Int[Tensor, "batch"], num_classes: int
) -> Float[Tensor, ""]:
    """Return the same value without an N×N matrix, in O(N·D²) time and O(D² + KD) memory.

        Σ_ij w_i w_j (S_ij − T_ij)² = ‖M‖² − 2‖G‖² + ‖p‖²    w = 1/N
        M = Hᵀ diag(w) H,   G = Yᵀ diag(w) H,   p = Yᵀ w

    The weights stay inside the sums: unnormalised ones overflow half precision at N = 256.
    """
    weights = directions.new_full((len(directions), 1), 1 / len(directions))
    moments = product(directions.T, weights * directions)
    membership = functional.one_hot(labels, num_classes).to(directions.dtype)
    class_sums = product(membership.T, weights * directions)
    class_weights = (membership * weights).sum(dim=0)
    value = moments.square().sum() - 2 * class_sums.square().sum() + class_weights.square().sum()
    # Near the optimum the differences cancel, and rounding may leave less than nothing; a plain clamp would
    # take the gradient away with it.
    return value - value.detach().clamp(max=0)


def product(left: Float[Tensor, "n m"], right: Float[Tensor, "m k"]) -> Float[Tensor, "n k"]:
    """Return left · right without TF32, whose 10 bits of mantissa are too few for the differences above.

    Its gradient is without TF32, too. A compiled loss keeps the precision that the user chose: the setting
    cannot be changed inside a graph.
    """
    if left.is_cuda and not torch.compiler.is_compiling():
        return FullPrecisionProduct.apply(left, right)  # type: ignore[no-any-return]
    return left @ right


class FullPrecisionProduct(torch.autograd.Function):
    """left · right; the backward pass runs outside of any context around the forward pass, so it has its own."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        """Return the product."""
        ctx.save_for_backward(left, right)
        with full_precision():
            return left @ right

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient of both factors."""
        left, right = ctx.saved_tensors
        with full_precision():
            return gradient @ right.T, left.T @ gradient


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute float32 products on CUDA in float32; the user's setting, however it was made, comes back."""
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision = before

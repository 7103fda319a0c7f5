"""Labels of a batch, hard or soft, as one linear map: Y, whose row i holds the share of each class in photo i.

Hard labels are a class number per photo: its share is 1. Soft labels, as mixup and CutMix make them, are Y itself.
"""

from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fscl.losses.full_precision import product

Labels: TypeAlias = Int[Tensor, "batch"] | Float[Tensor, "batch classes"]


def check_labels(labels: Labels, batch: int, num_classes: int) -> None:
    """Refuse labels that do not fit the batch or the classes.

    Values are looked at on the CPU and outside of compiled graphs only: elsewhere the check would make the host wait.

    Raises:
        ValueError: another shape, hard labels outside 0 … K − 1, soft ones that are negative or do not sum to 1.
    """
    soft = labels.is_floating_point()
    if tuple(labels.shape) != ((batch, num_classes) if soft else (batch,)):
        raise ValueError(
            f"labels must be integers ({batch},) or shares of classes ({batch}, {num_classes}), one for each of the "
            f"features or logits, got {tuple(labels.shape)} {str(labels.dtype).removeprefix('torch.')}"
        )
    if labels.device.type != "cpu" or torch.compiler.is_compiling():
        return
    if not soft:
        lowest, highest = (int(bound) for bound in labels.aminmax())
        if lowest < 0 or highest >= num_classes:
            raise ValueError(f"labels must be 0 … {num_classes - 1}, got {lowest} … {highest}; is num_classes right?")
        return
    sums = labels.detach().float().sum(dim=1)
    worst = float(sums[(sums - 1).abs().argmax()])
    if not abs(worst - 1) <= max(1e-4, 4 * torch.finfo(labels.dtype).eps) or bool((labels < 0).any()):
        raise ValueError(
            f"each row of soft labels must be >= 0 and sum to 1, got a least share of {float(labels.min()):.4g} "
            f"and a row that sums to {worst:.4g}; divide each row by its sum"
        )


def class_sums(
    labels: Labels, values: Float[Tensor, "batch dim"], num_classes: int
) -> Float[Tensor, "{num_classes} dim"]:
    """Return Yᵀ values: the sum of the values of each class's photos.

    >>> class_sums(torch.tensor([1, 1, 0]), torch.tensor([[1.0], [2.0], [4.0]]), num_classes=3).T
    tensor([[4., 3., 0.]])
    """
    # A product adds in blocks; index_add would add one by one, and its rounding grow with the batch.
    return product(_shares(labels, num_classes, values.dtype).T, values)


def class_totals(labels: Labels, num_classes: int, dtype: torch.dtype) -> Float[Tensor, "{num_classes}"]:
    """Return Yᵀ 1: the photos of each class, soft labels by their shares."""
    return _shares(labels, num_classes, dtype).sum(dim=0)


def targets(labels: Labels, affinity: Float[Tensor, "classes classes"]) -> Float[Tensor, "batch batch"]:
    """Return T = Y A Yᵀ: the similarity that each pair of photos shall have."""
    if labels.is_floating_point():
        return product(product(labels, affinity), labels.T)
    return affinity.index_select(1, labels).index_select(0, labels)


def class_overlap(
    labels: Labels, num_classes: int, dtype: torch.dtype
) -> Float[Tensor, "classes classes"] | Float[Tensor, "classes"]:
    """Return Yᵀ Y: how much two classes share in photos; only its diagonal for hard labels."""
    if labels.is_floating_point():
        return class_sums(labels, labels, num_classes)
    return class_totals(labels, num_classes, dtype)


def _shares(labels: Labels, num_classes: int, dtype: torch.dtype) -> Float[Tensor, "batch classes"]:
    if labels.is_floating_point():
        return labels
    return (labels[:, None] == torch.arange(num_classes, device=labels.device)).to(dtype)

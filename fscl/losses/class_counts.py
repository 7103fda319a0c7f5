"""How many training photos each class has, as the losses need it that correct for it."""

from collections.abc import Sequence
from math import inf

import torch
from jaxtyping import Float
from torch import Tensor


def counts(class_counts: Sequence[int]) -> Float[Tensor, "classes"]:
    """Return n_c, at least 1: a class without training photos has no logarithm or weight, and is never a label.

    Args:
        class_counts: training photos of each of K ≥ 2 classes, ≥ 0.

    Raises:
        ValueError: fewer than two classes, or a count that is negative or not finite.

    >>> counts([900, 0])
    tensor([900.,   1.])
    """
    if len(class_counts) < 2 or not all(0 <= n < inf for n in class_counts):
        raise ValueError(f"class_counts must be >= 0 for 2 classes or more, got {list(class_counts)}")
    return torch.tensor(class_counts, dtype=torch.float32).clamp(min=1)


def log_prior(class_counts: Sequence[int]) -> Float[Tensor, "classes"]:
    """Return log π_c, π_c = n_c / Σ n: the share of each class among the training photos.

    >>> log_prior([3, 1]).exp()
    tensor([0.7500, 0.2500])
    """
    return counts(class_counts).log().log_softmax(dim=0)

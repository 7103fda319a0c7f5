"""How many training photos each class has, for the losses that correct for it."""

from collections.abc import Sequence
from math import inf

import torch
from jaxtyping import Float
from torch import Tensor


def counts(class_counts: Sequence[int]) -> Float[Tensor, "classes"]:
    """Return n_c.

    A class without photos is never a label, so its own weight or margin does not matter. What matters is that it
    takes no share of what is normalised over the classes: the others are weighed as if it were not there.

    Args:
        class_counts: training photos of each of K ≥ 2 classes, ≥ 0, not all of them 0.

    Raises:
        ValueError: fewer than two classes, a count that is negative or not finite, or no photo at all.

    >>> counts([900, 0])
    tensor([900.,   0.])
    """
    try:
        usable = len(class_counts) >= 2 and all(0 <= n < inf for n in class_counts) and any(class_counts)
    except TypeError:  # not numbers
        usable = False
    if not usable:
        raise ValueError(
            f"class_counts must be >= 0 for 2 classes or more, and one of them > 0, got {list(class_counts)}"
        )
    return torch.tensor(class_counts, dtype=torch.float32)


def log_prior(class_counts: Sequence[int]) -> Float[Tensor, "classes"]:
    """Return log π_c, π_c = n_c / Σ n: the share of each class among the training photos.

    A class without photos stands as one with a single photo, which the sum leaves out: log 0 has no gradient, and the
    class would then be predicted at random.

    >>> log_prior([3, 1, 0]).exp()
    tensor([0.7500, 0.2500, 0.2500])
    """
    n = counts(class_counts)
    return torch.where(n > 0, n.log().log_softmax(dim=0), -n.sum().log())

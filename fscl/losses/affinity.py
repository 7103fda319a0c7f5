"""Affinities: how similar the features of two classes shall be, 1 for the same direction, −1 for opposite ones."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Affinity = Literal["identity", "simplex"]


def affinity_matrix(affinity: Affinity, num_classes: int) -> Float[Tensor, "classes classes"]:
    """Return the K×K matrix A of an affinity.

    Args:
        affinity: "identity": classes at a right angle, as in the study. "simplex": at equal and widest angles, all
            pairs −1/(K − 1); needs features that can point away from each other, so centred ones.
        num_classes: K ≥ 2.

    >>> affinity_matrix("simplex", 3)
    tensor([[ 1.0000, -0.5000, -0.5000],
            [-0.5000,  1.0000, -0.5000],
            [-0.5000, -0.5000,  1.0000]])
    """
    between = 0.0 if affinity == "identity" else -1 / (num_classes - 1)
    return torch.full((num_classes, num_classes), between).fill_diagonal_(1)

"""The study's term: pull features of one class together and push those of others to a right angle."""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from fscl.errors import did_you_mean
from fscl.losses.across_processes import SharingProcesses
from fscl.losses.affinity import Affinity, affinity_matrix
from fscl.losses.labels import Labels, check_labels
from fscl.losses.objective import Loss
from fscl.losses.rows import Rows
from fscl.losses.similarity_forms import (
    no_direction,
    not_below_zero,
    pairwise_form,
    rows_of_length,
    squared_difference,
    sum_form,
    sums_of,
)

Centring = Literal["none", "batch"]

CENTRE_ROUNDING = 64  # steps of rounding: a feature as near to the centre as these of its length has no direction


def study_loss(
    features: Float[Tensor, "batch dim"] | Sequence[Float[Tensor, "batch _"]], labels: Int[Tensor, "batch"]
) -> Float[Tensor, ""]:
    """Return the study's term as it is written: L = Σ_l MSE(S^(l), T).

    To be read, and to test by. `FeatureSimilarityLoss` is for training: the same value, without N×N matrices where
    the batch is large, in full precision, and without a gradient where a feature vector is zero.

    Source: Feature Similarity Contrastive Learning.

    Args:
        features: h of each photo at one layer, or a list of them, one for each layer l.
        labels: class of each photo.

    >>> study_loss(torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 1, 1]))
    tensor(0.4444)
    """
    layers = [features] if isinstance(features, Tensor) else features
    T = (labels[:, None] == labels[None, :]).to(layers[0].dtype)  # T_ij = 1 where photos i and j show one class
    directions = [functional.normalize(h, dim=1) for h in layers]
    S = [h @ h.T for h in directions]  # S_ij = cosine(h_i, h_j), of each layer
    return torch.stack([functional.mse_loss(S_l, T) for S_l in S]).sum()


class FeatureSimilarityLoss(Loss):
    """Mean squared difference between cosine similarities and those that the classes shall have, over layers.

        L = Σ_l MSE(S^(l), T),   S_ij = h_i·h_j / (|h_i||h_j|),   T = Y A Yᵀ

    Without options it is the study's term, `study_loss`: T_ij = [c_i = c_j]; in [0, 4] for each layer. Y has a row of
    class shares for each photo: labels may be hard or, of mixed photos, soft.

    Source: Feature Similarity Contrastive Learning, "L = CrossEntropy + Σ_l MSE(S^(l), T)"; kin to the
    similarity-matching loss of Nøkland & Eidnes 2019. The options are ours. Time and memory grow linearly with the
    batch: where it is larger than the features are long, no N×N matrix is made. Where a feature vector is zero, its
    similarities are zero and it receives no gradient. Computed in float32 (float64 for float64 features), value and
    gradient, also under autocast and where TF32 is allowed.

    Args:
        num_classes: K ≥ 2.
        affinity: A, see `affinity_matrix`: "identity" or "simplex".
        centring: what is subtracted from the features first. "none"; "batch": the mean of the batch's class means,
            so not that of its largest class.
        across_processes: one loss over the batches of all processes of torch.distributed's default group, uneven
            ones included; every process has to call it. Each returns the value of the whole batch, and
            DistributedDataParallel averages to its gradient. A *mean* over photos beside it, like cross-entropy,
            needs the factor W·n/N on a process with n of the N photos of W processes to be exact, too.

    Raises:
        ValueError: options that are unknown or do not fit; no photo in the batch; labels that do not fit the
            features or `num_classes`, or soft ones that do not sum to 1 (the values of labels are looked at on the
            CPU only: elsewhere the check would make the host wait).

    >>> loss = FeatureSimilarityLoss(num_classes=2)
    >>> features = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    >>> loss(features, torch.tensor([0, 0, 1]))
    tensor(0.)
    >>> loss([features, features], torch.tensor([0, 1, 1]))
    tensor(0.8889)
    >>> apart = FeatureSimilarityLoss(num_classes=2, affinity="simplex", centring="batch")
    >>> apart(torch.tensor([[5.0, 1.0], [5.0, 3.0]]), torch.tensor([0, 1]))
    tensor(0.)
    """

    sees: ClassVar[Literal["logits", "features"]] = "features"
    takes_soft: ClassVar[bool] = True
    affinity: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        affinity: Affinity = "identity",
        centring: Centring = "none",
        across_processes: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes must be >= 2, got {num_classes}; one class has nothing to tell apart")
        _one_of("affinity", affinity, get_args(Affinity))
        _one_of("centring", centring, get_args(Centring))
        if not isinstance(across_processes, bool):
            raise ValueError(f"across_processes must be true or false, got {across_processes!r}")
        self.num_classes = num_classes
        self.centring = centring
        self.across_processes = across_processes
        # From an option, so not in the state.
        self.register_buffer("affinity", affinity_matrix(affinity, num_classes), persistent=False)

    def forward(
        self, features: Float[Tensor, "batch dim"] | Sequence[Float[Tensor, "batch _"]], labels: Labels
    ) -> Float[Tensor, ""]:
        """Return the loss, summed over the layers if `features` is a list of them."""
        return reduce(add, self.parts(features, labels).values())

    def parts(
        self, seen: Float[Tensor, "batch dim"] | Sequence[Float[Tensor, "batch _"]], labels: Labels
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the summand of each layer, named by its place counted from the end of the given list.

        −1 is the last of the list: the deepest with the default layers.
        """
        layers = [seen] if isinstance(seen, Tensor) else list(seen)
        self._check(layers, labels)
        group = SharingProcesses.of_all(len(labels), labels.device) if self.across_processes else SharingProcesses()
        values = [self._layer(layer, labels, group) for layer in layers]
        return {str(place - len(layers)): value for place, value in enumerate(values)}

    def between(
        self,
        features: Float[Tensor, "batch dim"],
        labels: Labels,
        others: Float[Tensor, "others dim"],
        other_labels: Labels,
    ) -> Float[Tensor, ""]:
        """Return the same mean over pairs of a photo and one of the others: of another view, say, or of a memory.

        Labels of both are hard, or of both soft.

        Raises:
            ValueError: as for a batch, or options that have no meaning for two of them.
        """
        if self.centring != "none" or self.across_processes:
            raise ValueError(
                "two sets are compared without centring and across_processes; leave these out, or give both as one "
                "batch"
            )
        both = []
        for given, classes in ((features, labels), (others, other_labels)):
            self._check([given], classes)
            with torch.autocast(given.device.type, enabled=False):
                rows = Rows(*_prepared(given, classes), self.num_classes)
                length = rows.length()
                directed = rows_of_length(rows.values, length, no_direction(given.dtype))
                both.append(sums_of(directed, length, rows.labels, self.num_classes))
        photos, references = both
        return not_below_zero(squared_difference(photos, references, self.affinity.to(photos.moments.dtype)))

    def _layer(
        self, features: Float[Tensor, "batch dim"], labels: Labels, group: SharingProcesses
    ) -> Float[Tensor, ""]:
        with torch.autocast(features.device.type, enabled=False):
            rows = group.share(*_prepared(features, labels), self.num_classes)
            centred, shortest = self._centred(rows, features.dtype)
            length = rows.length()
            directed = rows_of_length(centred, length, shortest)
            affinity = self.affinity.to(directed.dtype)
            batch, dim = directed.shape
            if rows.whole and batch <= dim:
                return pairwise_form(directed, length, rows.labels, affinity)
            return sum_form(directed, length, rows.labels, affinity, total=rows.total)

    def _centred(
        self, rows: Rows, received: torch.dtype
    ) -> tuple[Float[Tensor, "rows dim"], float | Float[Tensor, ""]]:
        """Return the rows about their centre, and the length up to which they have no direction."""
        shortest = no_direction(received)
        if self.centring == "none":
            return rows.values, shortest
        centre = rows.centre()
        rounding = CENTRE_ROUNDING * torch.finfo(centre.dtype).eps * torch.linalg.vector_norm(centre.detach())
        return rows.values - centre, shortest + rounding

    def _check(self, layers: Sequence[Tensor], labels: Labels) -> None:
        if not layers:
            raise ValueError("features must be a tensor or a list of at least one, got an empty list; tap a layer")
        for features in layers:
            if features.ndim != 2 or len(features) == 0 or labels.shape[:1] != features.shape[:1]:
                raise ValueError(
                    "features must be (batch, dim) and labels (batch,) with batch >= 1, "
                    f"got {tuple(features.shape)} and {tuple(labels.shape)}"
                )
        check_labels(labels, len(labels), self.num_classes)


def _prepared(features: Tensor, labels: Labels) -> tuple[Float[Tensor, "batch dim"], Labels]:
    """Return the features in float32 or float64, and labels of a type that goes with them."""
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    return features, labels.to(features.dtype if labels.is_floating_point() else torch.int64)


def _one_of(option: str, value: str, choices: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"unknown {option} {value!r}{did_you_mean(str(value), choices)}")

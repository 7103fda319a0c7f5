"""The study's term: pull features of one class together and push those of others to a right angle."""

from collections.abc import Sequence
from functools import reduce
from math import inf
from operator import add
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from fscl.errors import did_you_mean
from fscl.losses import projected_loss
from fscl.losses.across_processes import SharingProcesses
from fscl.losses.affinity import Affinity, affinity_matrix
from fscl.losses.class_means import RunningClassMeans
from fscl.losses.labels import Labels, check_labels
from fscl.losses.objective import Loss
from fscl.losses.similarity_forms import (
    no_direction,
    not_below_zero,
    pairwise_form,
    rows_of_length,
    squared_difference,
    sum_form,
    sums_of,
)
from fscl.losses.weighted_rows import WeightedRows

PhotoWeights = Literal["equal", "class_balanced"]
Centring = Literal["none", "batch", "running"]

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

        L = Σ_l Σ_ij w_i w_j (S_ij^(l) − T_ij)²,   S_ij = h_i·h_j / (|h_i||h_j|),   T = Y A Yᵀ

    Without options it is the study's term, `study_loss`: w = 1/N and T_ij = [c_i = c_j], in [0, 4] for each layer.

    Source: Feature Similarity Contrastive Learning, "L = CrossEntropy + Σ_l MSE(S^(l), T)"; kin to the
    similarity-matching loss of Nøkland & Eidnes 2019. The options are ours. Time and memory grow linearly with the
    batch: where it is larger than the features are long, no N×N matrix is made. Where a feature vector is zero, its
    similarities are zero and it receives no gradient. Computed in float32 (float64 for float64 features), value and
    gradient, also under autocast and where TF32 is allowed.

    Args:
        num_classes: K ≥ 2.
        affinity: A, see `affinity_matrix`: "identity", "simplex", a K×K matrix, or the path of a taxonomy.
        photo_weights: w. "equal", or "class_balanced": every class in the batch weighs the same, however many photos
            it has there.
        centring: what is subtracted from the features first. "none"; "batch": the mean of the batch's class means,
            so not that of its largest class; "running": the mean of class means kept over batches.
        exclude_self: leave out the pairs i = j, a quarter of the pairs of a class of 4.
        projection: length of a learned projection of each layer, to which the loss is applied; two linear layers as
            in Khosla et al. 2020, Sec. 3.1. Its parameters are the loss's: give them to the optimizer.
        prototypes: compare the batch with the running mean of each class, too, as one more photo of it.
        momentum: what a batch leaves of the running class means, in [0, 1).
        layer_weights: factor ≥ 0 of each layer in the sum; 1 by default.
        across_processes: one loss over the batches of all processes of torch.distributed's default group, uneven
            ones included, stored prototypes once; every process has to call it. Each returns the value of the whole
            batch, and DistributedDataParallel averages to its gradient. A *mean* over photos beside it, like
            cross-entropy, needs the factor W·n/N on a process with n of the N photos of W processes to be exact, too.
            Where the loss has parameters or class means, wrap it together with the model.
        class_names: in the order of the labels, for a taxonomy.
        dims: length of each layer's features, for `projection`, `prototypes` and running `centring`.

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
        photo_weights: PhotoWeights = "equal",
        centring: Centring = "none",
        exclude_self: bool = False,
        projection: int | None = None,
        prototypes: bool = False,
        momentum: float = 0.9,
        layer_weights: Sequence[float] | None = None,
        across_processes: bool = False,
        class_names: Sequence[str] | None = None,
        dims: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes must be >= 2, got {num_classes}; one class has nothing to tell apart")
        _one_of("photo_weights", photo_weights, get_args(PhotoWeights))
        _one_of("centring", centring, get_args(Centring))
        _true_or_false(exclude_self=exclude_self, prototypes=prototypes, across_processes=across_processes)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}; 0.9 keeps about ten batches")
        if layer_weights is not None and not all(0 <= weight < inf for weight in layer_weights):
            raise ValueError(f"layer_weights must be >= 0 and finite, got {list(layer_weights)}")
        if dims is not None:
            _one_per_layer("layer_weights", layer_weights, len(dims))
        if projection is not None and (type(projection) is not int or projection < 1):
            raise ValueError(f"projection must be a whole number >= 1, got {projection}; papers use 128")
        remembers = prototypes or centring == "running"
        if (remembers or projection is not None) and dims is None:
            raise ValueError(
                "projection, prototypes and running centring need dims, the length of each layer's features"
            )
        self.num_classes = num_classes
        self.photo_weights = photo_weights
        self.centring = centring
        self.exclude_self = exclude_self
        self.prototypes = prototypes
        self.layer_weights = None if layer_weights is None else tuple(layer_weights)
        self.across_processes = across_processes
        self.dims = None if dims is None else tuple(dims)
        # From the options, so not in the state.
        self.register_buffer("affinity", affinity_matrix(affinity, num_classes, class_names), persistent=False)
        widths = self.dims or ()
        self.projections = nn.ModuleList(
            projected_loss.projection(dim, dim, projection, normalised=False)
            for dim in widths
            if projection is not None
        )
        self.class_means = nn.ModuleList(
            RunningClassMeans(num_classes, projection or dim, momentum) for dim in widths if remembers
        )

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
        values = [self._layer(place, layer, labels, group) for place, layer in enumerate(layers)]
        if self.layer_weights is not None:
            values = [weight * value for weight, value in zip(self.layer_weights, values, strict=True)]
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
        if self.centring != "none" or self.prototypes or self.across_processes:
            raise ValueError(
                "two sets are compared without centring, prototypes and across_processes; leave these out, or give "
                "both as one batch"
            )
        both = []
        for given, classes in ((features, labels), (others, other_labels)):
            self._check([given], classes)
            with torch.autocast(given.device.type, enabled=False):
                rows = SharingProcesses().share(*self._prepared(0, given, classes), self.num_classes)
                roots = self._weights(rows).sqrt()
                directed = rows_of_length(rows.values, roots, no_direction(given.dtype))
                both.append(sums_of(directed, roots, rows.labels, self.num_classes))
        photos, references = both
        return not_below_zero(squared_difference(photos, references, self.affinity.to(photos.moments.dtype)))

    def _layer(
        self, place: int, features: Float[Tensor, "batch dim"], labels: Labels, group: SharingProcesses
    ) -> Float[Tensor, ""]:
        with torch.autocast(features.device.type, enabled=False):
            rows = group.share(*self._prepared(place, features, labels), self.num_classes)
            if self.class_means:
                rows = self._remembering(place, rows)
            weights = self._weights(rows)
            centred, shortest = self._centred(place, rows, weights, features.dtype)
            roots = weights.sqrt()
            directed = rows_of_length(centred, roots, shortest)
            affinity = self.affinity.to(directed.dtype)
            batch, dim = directed.shape
            if rows.whole and batch <= dim:
                return pairwise_form(directed, roots, rows.labels, affinity, exclude_self=self.exclude_self)
            return sum_form(directed, roots, rows.labels, affinity, exclude_self=self.exclude_self, total=rows.total)

    def _prepared(self, place: int, features: Tensor, labels: Labels) -> tuple[Float[Tensor, "batch width"], Labels]:
        """Return the projected features in float32 or float64, and labels of a type that goes with them."""
        if self.projections:
            features = self.projections[place](features.to(next(self.projections.parameters()).dtype))
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        return features, labels.to(features.dtype if labels.is_floating_point() else torch.int64)

    def _weights(self, rows: WeightedRows) -> Float[Tensor, "rows"]:
        return rows.equal_weights() if self.photo_weights == "equal" else rows.balanced_weights()

    def _remembering(self, place: int, rows: WeightedRows) -> WeightedRows:
        """Take the batch into the running class means; return it with those of before as rows, if asked for."""
        memory = self._memory(place)
        means, known = memory()  # of before: a photo shall not be compared with itself
        if self.training:
            memory.update(rows.class_sums(), rows.class_counts())
        return rows.with_one_of_each_class(means, known) if self.prototypes else rows

    def _centred(
        self, place: int, rows: WeightedRows, weights: Float[Tensor, "rows"], received: torch.dtype
    ) -> tuple[Float[Tensor, "rows dim"], float | Float[Tensor, ""]]:
        """Return the rows about their centre, and the length up to which they have no direction."""
        shortest = no_direction(received)
        if self.centring == "none":
            return rows.values, shortest
        if self.centring == "batch":
            centre = rows.centre(weights if self.photo_weights == "class_balanced" else rows.balanced_weights())
        else:
            centre = self._memory(place).centre().to(rows.values.dtype)
        rounding = CENTRE_ROUNDING * torch.finfo(centre.dtype).eps * torch.linalg.vector_norm(centre.detach())
        return rows.values - centre, shortest + rounding

    def _memory(self, place: int) -> RunningClassMeans:
        memory = self.class_means[place]
        assert isinstance(memory, RunningClassMeans)
        return memory

    def _check(self, layers: Sequence[Tensor], labels: Labels) -> None:
        if not layers:
            raise ValueError("features must be a tensor or a list of at least one, got an empty list; tap a layer")
        _one_per_layer("layer_weights", self.layer_weights, len(layers))
        _one_per_layer("dims", self.dims, len(layers))
        for dim, features in zip(self.dims or [None] * len(layers), layers, strict=True):
            if features.ndim != 2 or len(features) == 0 or labels.shape[:1] != features.shape[:1]:
                raise ValueError(
                    "features must be (batch, dim) and labels (batch,) with batch >= 1, "
                    f"got {tuple(features.shape)} and {tuple(labels.shape)}"
                )
            if dim not in (None, features.shape[1]):
                raise ValueError(f"features must be (batch, {dim}) as dims says, got {tuple(features.shape)}")
        check_labels(labels, len(labels), self.num_classes)


def _one_of(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"unknown {option} '{value}'{did_you_mean(value, choices)}")


def _true_or_false(**options: bool) -> None:
    for option, given in options.items():
        if not isinstance(given, bool):
            raise ValueError(f"{option} must be true or false, got {given!r}")


def _one_per_layer(option: str, given: Sequence[float] | None, layers: int) -> None:
    if given is not None and len(given) != layers:
        raise ValueError(f"{option} must have an entry for each of {layers} layers, got {list(given)}")

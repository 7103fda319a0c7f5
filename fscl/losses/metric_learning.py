"""The similarity loss for pytorch-metric-learning: its trainers and wrappers take it as one of their own.

Needs that library: `pip install fscl[metric-learning]`.
"""

from typing import Any

from jaxtyping import Float, Int
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import BaseMetricLossFunction
from torch import Tensor

from fscl.losses.feature_similarity import FeatureSimilarityLoss


class FeatureSimilarityMetricLoss(BaseMetricLossFunction):  # type: ignore[misc]
    """`FeatureSimilarityLoss` as a loss of pytorch-metric-learning.

    With `ref_emb` it is the mean over pairs of an embedding and a reference, linear in their numbers, too. All pairs
    count, so there is none to be mined: miners, `CrossBatchMemory` and the `efficient` mode of
    `DistributedLossWrapper`, which pass pairs, are refused. In that wrapper leave `across_processes` off: it gathers.

    Args:
        similarity: the loss, with its options.
        base_options: of their base class: `reducer`, `embedding_regularizer`, …

    Raises:
        ValueError: a distance other than cosine, mined pairs, no labels, or references where options of `similarity`
            have no meaning for them (see `FeatureSimilarityLoss.between`).

    >>> import torch
    >>> loss = FeatureSimilarityMetricLoss(FeatureSimilarityLoss(num_classes=2))
    >>> embeddings = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    >>> loss(embeddings, torch.tensor([0, 0, 0]))
    tensor(0.4444)
    >>> loss(embeddings, torch.tensor([0, 1, 1]), ref_emb=embeddings[:2], ref_labels=torch.tensor([0, 0]))
    tensor(0.3333)
    """

    def __init__(self, similarity: FeatureSimilarityLoss, **base_options: Any) -> None:
        super().__init__(**base_options)
        if not isinstance(self.distance, CosineSimilarity):
            raise ValueError(f"distance must be CosineSimilarity, got {type(self.distance).__name__}; leave it out")
        self.similarity = similarity

    def get_default_distance(self) -> CosineSimilarity:
        """Return the distance that the loss is about."""
        return CosineSimilarity()

    def compute_loss(
        self,
        embeddings: Float[Tensor, "batch dim"],
        labels: Int[Tensor, "batch"] | None,
        indices_tuple: tuple[Tensor, ...] | None,
        ref_emb: Float[Tensor, "references dim"],
        ref_labels: Int[Tensor, "references"] | None,
    ) -> dict[str, Any]:
        """Return the value as their reducers take it; without references `ref_emb` is `embeddings`."""
        if indices_tuple is not None:
            raise ValueError("indices_tuple must be None, got pairs; every pair counts here, so leave the miner out")
        if labels is None or ref_labels is None:
            raise ValueError("labels are needed, and ref_labels where there is ref_emb; got None")
        if ref_emb is embeddings:
            value = self.similarity(embeddings, labels)
        else:
            value = self.similarity.between(embeddings, labels, ref_emb, ref_labels)
        return {"loss": {"losses": value, "indices": None, "reduction_type": "already_reduced"}}

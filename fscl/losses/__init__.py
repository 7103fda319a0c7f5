"""The losses: one file each, tensors in, a scalar out; `LOSSES` names them for recipes."""

from fscl.losses.cross_entropy import CrossEntropyLoss
from fscl.losses.feature_similarity import FeatureSimilarityLoss
from fscl.losses.objective import Loss, Objective

LOSSES: dict[str, type[Loss]] = {
    "cross_entropy": CrossEntropyLoss,
    "feature_similarity": FeatureSimilarityLoss,
}

__all__ = ["LOSSES", "CrossEntropyLoss", "FeatureSimilarityLoss", "Loss", "Objective"]

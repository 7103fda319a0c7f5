"""The losses: one file each, tensors in, a scalar out; `LOSSES` names them for recipes."""

from fscl.losses.balanced_supcon import BalancedSupConLoss
from fscl.losses.class_balanced import ClassBalancedLoss
from fscl.losses.cross_entropy import CrossEntropyLoss
from fscl.losses.feature_similarity import FeatureSimilarityLoss, study_loss
from fscl.losses.focal import FocalLoss
from fscl.losses.label_aware_smoothing import LabelAwareSmoothingLoss
from fscl.losses.ldam import LDAMLoss
from fscl.losses.logit_adjusted import LogitAdjustedLoss
from fscl.losses.objective import Loss, Objective, Term
from fscl.losses.proco import ProCoLoss
from fscl.losses.supcon import SupConLoss
from fscl.losses.torch_loss import TorchLoss

LOSSES: dict[str, type[Loss]] = {
    "cross_entropy": CrossEntropyLoss,
    "feature_similarity": FeatureSimilarityLoss,
    "class_balanced": ClassBalancedLoss,
    "focal": FocalLoss,
    "ldam": LDAMLoss,
    "logit_adjusted": LogitAdjustedLoss,
    "balanced_softmax": LogitAdjustedLoss,  # the same at tau = 1
    "label_aware_smoothing": LabelAwareSmoothingLoss,
    "supcon": SupConLoss,
    "balanced_supcon": BalancedSupConLoss,
    "proco": ProCoLoss,
}

__all__ = [
    "LOSSES",
    "BalancedSupConLoss",
    "ClassBalancedLoss",
    "CrossEntropyLoss",
    "FeatureSimilarityLoss",
    "FocalLoss",
    "LDAMLoss",
    "LabelAwareSmoothingLoss",
    "LogitAdjustedLoss",
    "Loss",
    "Objective",
    "ProCoLoss",
    "SupConLoss",
    "Term",
    "TorchLoss",
    "study_loss",
]

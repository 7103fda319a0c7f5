"""What a run trains, as one module: the classifier, and the losses that it is trained by."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from fscl.batch_share import BatchShare
from fscl.losses.objective import LossValue, Objective
from fscl.models import Classifier


class ModelWithLosses(nn.Module):
    """The classifier and the objective of each stage: photos and labels in, the losses of the stage out.

    All that learns is in `parameters()`, the projections of losses too. DistributedDataParallel has to wrap this
    module: around the classifier alone it would not average the gradients of the projections, which would then
    differ between processes. A step uses the objective of its stage only, so a run of several stages needs
    `find_unused_parameters=True` there.

    Each process classifies its share of a batch, and computes the losses of the whole of it: they may compare photos,
    remember them or normalise them, and have the value and the gradient of one process all the same.

    Args:
        classifier: to train.
        objectives: one for each stage of the recipe.
    """

    def __init__(self, classifier: Classifier, objectives: Sequence[Objective]) -> None:
        super().__init__()
        self.classifier = classifier
        self.objectives = nn.ModuleList(objectives)

    def forward(
        self,
        photos: Float[Tensor, "batch 3 height width"],
        labels: Int[Tensor, "batch"] | Float[Tensor, "batch classes"],
        *,
        stage: int = 0,
        progress: float = 1.0,
        share: BatchShare | None = None,
    ) -> LossValue:
        """Return the losses of a batch: their weighted sum, and each of them for the log.

        Args:
            photos: the model's input.
            labels: classes, or shares of classes where photos are mixed.
            stage: of the recipe, counted from 0.
            progress: share of the stage that is done, 0 … 1.
            share: which of the batch's photos these are; None: all of them.
        """
        logits, features = self.classifier(photos)
        if share is not None:
            logits, labels, *features = share.whole(logits, labels, *features)
        value: LossValue = self.objectives[stage](logits, features, labels, progress)
        return value

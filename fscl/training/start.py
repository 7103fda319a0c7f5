"""What training starts from: the classifier, with fresh, published, local or earlier weights."""

from pathlib import Path

import torch

from fscl.bundle import Architecture, Bundle
from fscl.config import Config, Model
from fscl.errors import ConfigurationError, FsclError, first_line
from fscl.models import Classifier
from fscl.models.weights import read_weights
from fscl.runtime import Runtime
from fscl.training.subset import Subset


def untrained(config: Config, photos: Subset, runtime: Runtime) -> Bundle:
    """Return the bundle that training starts from: fresh, published, local or earlier weights.

    Seeds the global generator, from which the initial weights are drawn here, and dropout while it trains.

    Raises:
        FsclError: a model that cannot be built for these photos, or weights that are not there or do not fit.
    """
    torch.manual_seed(config.seed)
    model = config.model
    classifier = _fresh(model, len(photos.classes), config.preprocessing.image_size)
    preprocessing = config.preprocessing
    if model.pretrained or model.weights:
        mean, std = classifier.normalisation
        preprocessing = preprocessing.model_copy(update={"mean": mean, "std": std})
    if model.weights:
        classifier.load_backbone(read_weights(Path(model.weights)), model.weights)
    if model.bundle:
        earlier = Bundle.open(Path(model.bundle))
        classifier.load_backbone(earlier.classifier.backbone.state_dict(), model.bundle)
        preprocessing = preprocessing.model_copy(
            update={"mean": earlier.preprocessing.mean, "std": earlier.preprocessing.std}
        )
    return Bundle(
        classifier=classifier.to(runtime.device).to(memory_format=torch.channels_last),
        classes=photos.classes,
        minority=photos.minority,
        train_counts=photos.train_counts,
        preprocessing=preprocessing,
        architecture=Architecture(backbone=classifier.architecture, head=model.head, taps=tuple(classifier.layers)),
        config=config.record(),
        epoch=0,
        step=0,
    )


def _fresh(model: Model, num_classes: int, image_size: int) -> Classifier:
    """Return a classifier that was tried on two black photos; in eval mode these leave no trace."""
    try:
        classifier = Classifier(
            model.backbone,
            num_classes,
            model.layers,
            image_size=image_size,
            pretrained=model.pretrained,
            head=model.head,
        ).eval()
        with torch.no_grad():
            classifier(torch.zeros(2, 3, image_size, image_size))
    except FsclError:
        raise
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        raise ConfigurationError(
            f"backbone '{model.backbone}' cannot take photos of {image_size} px: {first_line(error)}; "
            "try --image-size 224 or another --backbone"
        ) from None
    return classifier

"""What training starts from: the classifier, with fresh, published, local or earlier weights."""

from pathlib import Path
from typing import Any

import torch
from timm import layers
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from fscl import processes
from fscl.bundle import Architecture, Bundle, Start, file_sha256
from fscl.config import Config, Model
from fscl.errors import ConfigurationError, FsclError, first_line
from fscl.models import Classifier
from fscl.models.weights import Fit, listed, read_weights, require_file
from fscl.published import PACKAGES
from fscl.run_folder import RunFolder
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
    start, expected = _started(classifier, model)
    if runtime.world_size > 1 and runtime.device.type == "cuda":
        classifier = layers.convert_sync_batchnorm(classifier)  # type: ignore  # the statistics of the whole batch
    if config.preprocessing.interpolation is not None:
        expected.pop("interpolation", None)
    return Bundle(
        classifier=classifier.to(runtime.device).to(memory_format=torch.channels_last),
        classes=photos.classes,
        minority=photos.minority,
        train_counts=photos.train_counts,
        preprocessing=config.preprocessing.model_copy(update=expected),
        architecture=Architecture(backbone=classifier.architecture, head=model.head, taps=tuple(classifier.layers)),
        config=config.record(),
        epoch=0,
        step=0,
        start=start,
    )


def check_start(model: Model) -> None:
    """Make sure that the weights that runs are to start from are there; whether they fit is known once they are read.

    Raises:
        FsclError: a package that is not installed, or a file that is not there.
    """
    if model.weights in PACKAGES:
        PACKAGES[model.weights].path()
    elif model.weights:
        require_file(Path(model.weights))


def check_processes(config: Config) -> None:
    """Make sure that a run is one for several processes, where there are several.

    Raises:
        ConfigurationError: it takes one.
    """
    if processes.count() == 1:
        return
    if config.frozen:
        raise ConfigurationError(
            f"method '{config.method.name}' leaves the backbone as it is, so that a head is trained in seconds on "
            f"features computed once: that takes one process, got {processes.count()}; start it without torchrun, or "
            "give a --method that trains the backbone, such as fscl"
        )
    for term in (term for stage in config.stage for term in stage.loss):
        if term.options.get("across_processes"):
            raise ConfigurationError(
                f"loss '{term.name}': each process computes it of the whole batch, so leave across_processes out"
            )


def processes_note(bundle: Bundle, runtime: Runtime) -> str | None:
    """Say what several processes make different; None where nothing is."""
    normalised = any(isinstance(module, BatchNorm) for module in bundle.classifier.modules())
    if runtime.world_size == 1 or runtime.device.type == "cuda" or not normalised:
        return None
    return (
        f"{runtime.world_size} processes share each batch, and on a CPU batch normalisation takes the statistics of "
        "each share alone: the weights differ from those of one process (docs/processes.md)"
    )


def start_note(bundle: Bundle) -> str | None:
    """Say which weights a run starts from, what of them was taken, and what they see; None: from scratch."""
    start = bundle.start
    if start is None:
        return None
    title = PACKAGES[start.origin].title if start.origin in PACKAGES else start.origin
    order = " by their order" if start.by_order else ""
    parts = [] if start.taken is None else [f"{start.taken} of {start.taken + len(start.new)} taken{order}"]
    parts.append("the head is new" if start.new else "with the head")
    beyond = len(start.left_over) > len(start.new)  # as many are the head of other classes
    left = [f"left over: {listed(list(start.left_over))}"] if beyond else []
    return f"weights: {title}: " + "; ".join([", ".join(parts), *left, bundle.preprocessing.inputs])


def _started(classifier: Classifier, model: Model) -> tuple[Start | None, dict[str, Any]]:
    """Load the weights that training starts from; return what is known of them, and the preprocessing they expect."""
    mean, std = classifier.normalisation
    published = {"mean": mean, "std": std}
    if model.pretrained:
        known = classifier.backbone.pretrained_cfg
        origin = known.get("hf_hub_id") or known.get("url") or model.backbone
        new = tuple(f"{known['classifier']}.{name}" for name in classifier.head.state_dict())
        return Start(origin=origin, sha256=None, taken=None, new=new), published
    if model.weights in PACKAGES:  # what goes with them is in the configuration
        path = PACKAGES[model.weights].path()
        return _start(model.weights, path, classifier.load_backbone(read_weights(path), model.weights)), {}
    if model.weights:
        path = Path(model.weights)
        return _start(model.weights, path, classifier.load_backbone(read_weights(path), model.weights)), published
    if model.bundle:
        earlier = Bundle.open(Path(model.bundle))
        taken = classifier.load_backbone(earlier.classifier.backbone.state_dict(), model.bundle)
        seen = earlier.preprocessing.model_dump(include={"mean", "std", "interpolation"})
        return _start(model.bundle, RunFolder(Path(model.bundle)).weights, taken), seen
    return None, {}


def _start(origin: str, path: Path, fit: Fit) -> Start:
    return Start(
        origin=origin,
        sha256=file_sha256(path),
        taken=len(fit.weights),
        by_order=fit.by_order,
        new=tuple(fit.lacking),
        left_over=tuple(fit.left_over),
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

"""Any timm backbone, its intermediate features tapped by stage, and a head for our classes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, Self

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from fscl.config import Component
from fscl.errors import BundleError, ConfigurationError, did_you_mean, first_line
from fscl.models.cifar_resnet import CifarResNet32
from fscl.models.depth import depths
from fscl.models.heads import HEADS
from fscl.models.weights import Fit, fit, likely_backbone, listed, require_hub
from fscl.registry import build

# What building a backbone raises where name, size or weights do not fit: timm has no error of its own.
NOT_BUILT = (RuntimeError, AssertionError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)

HUB = "hf-hub:"  # before the name of a model on timm's hub
PARTS = ("backbone", "head", "norm_statistics")  # what can be trained, one without the other
OWN_BACKBONES = {"cifar_resnet32": CifarResNet32}  # beside timm's, which has no ResNet of the CIFAR benchmarks


class Outputs(NamedTuple):
    """What the classifier says of a batch."""

    logits: Float[Tensor, "batch classes"]
    features: list[Float[Tensor, "batch _"]]  # one per tap, average-pooled over space


class Maps(NamedTuple):
    """What the stages make of a batch, before it is averaged over space."""

    last: Tensor  # what the head takes: (batch, channels, height, width), of a transformer (batch, tokens, channels)
    tapped: list[Float[Tensor, "batch _ _ _"]]  # (batch, channels, height, width), one per tap


class Classifier(nn.Module):
    """A timm backbone that returns logits and the average-pooled features of some of its stages.

    Args:
        backbone: a timm model name, `hf-hub:` and the name of a timm model on the hub, or one of `OWN_BACKBONES`.
        num_classes: K ≥ 2.
        layers: stages to tap, as indices (−1 is the deepest) or as the backbone's own stage names
            (`layer3` exists in ResNets only).
        image_size: px, both sides; only backbones of a fixed input size (ViT) are built for it.
        pretrained: start from timm's published weights; needs the network once.
        head: an entry of `HEADS` in place of the backbone's own linear layer.

    Raises:
        ConfigurationError: an unknown backbone or stage, or weights that cannot be fetched.

    >>> import torch
    >>> model = Classifier("resnet18", num_classes=3, layers=(-2, -1))
    >>> logits, features = model(torch.zeros(2, 3, 32, 32))
    >>> logits.shape, [tuple(f.shape) for f in features]
    (torch.Size([2, 3]), [(2, 256), (2, 512)])
    """

    def __init__(
        self,
        backbone: str,
        num_classes: int,
        layers: Sequence[int | str] = (-2, -1),
        *,
        image_size: int = 224,
        pretrained: bool = False,
        head: Component | None = None,
    ) -> None:
        super().__init__()
        self.backbone: Any = _created(backbone, num_classes, image_size, pretrained=pretrained)
        prefix = _head_prefix(self.backbone)
        self._linear_head = {f"{prefix}{name}": weight for name, weight in self.head.state_dict().items()}
        if head is not None:
            if not isinstance(self.head, nn.Linear):
                raise ConfigurationError(
                    f"backbone '{backbone}' ends in {type(self.head).__name__}; head '{head.name}' replaces a linear "
                    "layer: choose another backbone"
                )
            context = {"in_features": self.head.in_features, "out_features": num_classes}
            self.replace_head(build(HEADS, "head", head.name, context, head.options))
        self.architecture = backbone if not backbone.startswith(HUB) else self.backbone.pretrained_cfg["architecture"]
        self.num_classes = num_classes
        self.trainable: Collection[str] = PARTS
        self.unfreeze: int | None = None
        self.layers = [_stage_index(layer, self.backbone) for layer in layers]

    def forward(self, photos: Float[Tensor, "batch 3 height width"] | Float[Tensor, "batch dim"]) -> Outputs:
        """Return the logits and the tapped features; of photos, or of what `pooled` made of them earlier.

        A head that adapts features taps them itself: losses then see these, and not those of the backbone's stages.
        """
        return self._with_head(photos) if photos.ndim == 2 else self.pool(self.maps(photos))

    def pooled(self, photos: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        """Return what the head takes: the last map, averaged over space.

        >>> import torch
        >>> Classifier("resnet18", num_classes=3).pooled(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 512])
        """
        pooled: Tensor = self.backbone.forward_head(self.maps(photos).last, pre_logits=True)
        return pooled

    def _with_head(self, pooled: Float[Tensor, "batch dim"]) -> Outputs:
        head = self.head
        if not self.adapts:
            return Outputs(head(pooled), [])
        adapted = head.adapt(pooled)
        return Outputs(head.classify(adapted), [adapted])

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.parameters()).device

    @property
    def adapts(self) -> bool:
        """Whether the head makes features of its own."""
        return hasattr(self.head, "adapt")

    def maps(self, photos: Float[Tensor, "batch 3 height width"]) -> Maps:
        """Return the last map and the tapped ones, which still say where in the photo something is.

        >>> import torch
        >>> model = Classifier("resnet18", num_classes=3, layers=(-2, -1))
        >>> [tuple(tapped.shape) for tapped in model.maps(torch.zeros(2, 3, 64, 64)).tapped]
        [(2, 256, 4, 4), (2, 512, 2, 2)]
        """
        last, tapped = self.backbone.forward_intermediates(photos, indices=sorted(set(self.layers)))
        by_layer = dict(zip(sorted(set(self.layers)), tapped, strict=True))
        return Maps(last, [by_layer[layer] for layer in self.layers])

    def pool(self, maps: Maps) -> Outputs:
        """Return the logits of the last map and the mean over space of the tapped ones."""
        if self.adapts:
            return self._with_head(self.backbone.forward_head(maps.last, pre_logits=True))
        return Outputs(self.backbone.forward_head(maps.last), [tapped.mean(dim=(2, 3)) for tapped in maps.tapped])

    @property
    def head(self) -> Any:
        """The last layer, from features to logits."""
        return self.backbone.get_submodule(self.backbone.pretrained_cfg["classifier"])

    def with_own_head(self) -> "Classifier":
        """Return a classifier with a copy of the head; the backbone, which must stay as it is, is the same one."""
        place = _head_prefix(self.backbone)
        named = ((f"{name}.", module) for name, module in self.backbone.named_modules() if name)
        shared = (m for name, m in named if not place.startswith(name) and not name.startswith(place))
        return deepcopy(self, {id(module): module for module in shared})

    def replace_head(self, head: nn.Module) -> None:
        """Put another module, from features to logits, in the place of the last layer."""
        self.backbone.set_submodule(self.backbone.pretrained_cfg["classifier"], head)

    @property
    def dims(self) -> list[int]:
        """Length of each tapped feature vector."""
        if self.adapts:
            return [self.head.class_means.shape[1]]
        return [self.backbone.feature_info[layer]["num_chs"] for layer in self.layers]

    @property
    def layer_names(self) -> list[str]:
        """What each tapped feature vector is called: the stage that it is from, or `adapter`."""
        return ["adapter"] if self.adapts else [self.backbone.feature_info[layer]["module"] for layer in self.layers]

    @property
    def pooled_dim(self) -> int:
        """Length of what `pooled` gives of a photo."""
        return int(next(iter(self._linear_head.values())).shape[1])

    @property
    def stages(self) -> int:
        """How many stages the backbone has."""
        return len(list(self.backbone.feature_info))

    def train_only(self, trainable: Collection[str], unfreeze: int | None = None) -> None:
        """Let `backbone`, `head` or `norm_statistics` learn and freeze the others; takes effect on `train()`, too.

        What is frozen of the backbone computes as it does in evaluation; `norm_statistics` are the running mean and
        variance of its batch normalisation, which may follow other batches all the same (Zhong et al. 2021).

        Args:
            trainable: the parts that learn.
            unfreeze: of the backbone only the last stages, this many, learn; the earlier ones are frozen, their
                `norm_statistics`, too. None: all learn.
        """
        self.trainable, self.unfreeze = trainable, unfreeze
        self.requires_grad_("backbone" in trainable)
        for module in self._frozen_stages():
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
        self.head.requires_grad_("head" in trainable)
        self.train()

    def _frozen_stages(self) -> Iterator[nn.Module]:
        """Yield the modules of the stages that do not learn, where others of the backbone do; each by itself."""
        if self.unfreeze is not None:
            depth = depths(self.backbone)
            yield from (m for name, m in self.backbone.named_modules() if depth[name] > self.unfreeze)

    def parameter_depths(self) -> dict[str, int]:
        """Return how many stages each parameter is from the head, by its name: 0 of the head."""
        depth = depths(self.backbone)
        names = (name for name, _ in self.backbone.named_parameters())
        return {f"backbone.{name}": depth[name.rpartition(".")[0]] for name in names}

    def train(self, mode: bool = True) -> Self:
        """Set training mode where something may learn."""
        super().train(mode)
        if mode and "backbone" not in self.trainable:
            self.backbone.eval()
            self.head.train()
        if mode:
            for module in self.modules():
                if isinstance(module, BatchNorm):
                    module.train("norm_statistics" in self.trainable)
            for module in self._frozen_stages():
                module.training = module is self.backbone  # which may drop features at random after the last stage
        return self

    @property
    def normalisation(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Mean and standard deviation per colour that the backbone's published weights expect."""
        settings = self.backbone.pretrained_cfg
        return tuple(settings["mean"]), tuple(settings["std"])

    def backbone_weights(self) -> dict[str, Tensor]:
        """Return the weights without those of the head, running statistics included, by name."""
        head = _head_prefix(self.backbone)
        return {name: weight for name, weight in self.backbone.state_dict().items() if not name.startswith(head)}

    def load_backbone(self, weights: Mapping[str, Tensor], origin: str) -> Fit:
        """Start from `weights` of the same backbone, under any prefix, or of a whole classifier of ours.

        The head is taken over where it fits ours. Returns what was taken, what was not there and what was left over.

        Raises:
            BundleError: a weight of the backbone is missing or has another shape, or they are of a deeper backbone.
        """
        own = self.backbone.state_dict()
        taken = fit(self.backbone_weights() | self._linear_head, weights)
        lacking = [name for name in taken.lacking if not name.startswith(_head_prefix(self.backbone))]
        if lacking or taken.deeper:
            likely = likely_backbone(weights)
            fix = f"they fit --backbone {likely}" if likely else "name the backbone they are from with --backbone"
            raise BundleError(
                f"{origin}: not the weights of this backbone, '{self.architecture}': {taken}; missing or of another "
                f"shape: {listed(lacking) or 'none'}; left over: {listed(taken.left_over) or 'none'}; {fix}"
            )
        self.backbone.load_state_dict(own | {name: w for name, w in taken.weights.items() if name in own})
        return taken


def _created(backbone: str, num_classes: int, image_size: int, *, pretrained: bool) -> Any:
    if backbone in OWN_BACKBONES:
        if pretrained:
            raise ConfigurationError(f"there are no published weights of '{backbone}'; train from scratch")
        return OWN_BACKBONES[backbone](num_classes)
    on_hub = backbone.startswith(HUB)
    if not on_hub and not timm.is_model(backbone):
        known = [*OWN_BACKBONES, *timm.list_models()]
        raise ConfigurationError(f"unknown backbone '{backbone}'{did_you_mean(backbone, known)}")
    settings = None if on_hub else timm.get_pretrained_cfg(backbone)
    hub_id = backbone.removeprefix(HUB) if on_hub else settings and settings.hf_hub_id
    origin = hub_id or (settings and settings.url)
    if pretrained and not origin:
        raise ConfigurationError(
            f"timm has no published weights of '{backbone}'; choose another backbone or train from scratch"
        )
    size: dict[str, Any] = {"img_size": image_size} if settings is not None and settings.fixed_input_size else {}
    fetched = pretrained or on_hub
    try:
        if fetched and hub_id:
            require_hub(hub_id)
        model: Any = timm.create_model(backbone, pretrained=pretrained, num_classes=num_classes, **size)
    except (OSError, RuntimeError) as error:
        if not fetched:
            raise
        raise ConfigurationError(
            f"the weights of '{backbone}' could not be fetched ({first_line(error)}); without a network: "
            f"--weights lite0, or fetch model.safetensors of '{origin}' elsewhere and give it with --weights FILE, "
            "or train from scratch"
        ) from None
    if not isinstance(model.pretrained_cfg["classifier"], str):
        raise ConfigurationError(f"backbone '{backbone}' has no single last layer to train; try 'resnet18'")
    if not hasattr(model, "forward_intermediates"):
        raise ConfigurationError(f"backbone '{backbone}' has no intermediate features to tap; try 'resnet18'")
    return model


def _stage_index(layer: int | str, backbone: Any) -> int:
    stages = [stage["module"] for stage in backbone.feature_info]
    if isinstance(layer, str):
        if layer not in stages:
            raise ConfigurationError(f"unknown layer '{layer}'{did_you_mean(layer, stages)}")
        return stages.index(layer)
    if not -len(stages) <= layer < len(stages):
        raise ConfigurationError(f"layer must be −{len(stages)} … {len(stages) - 1} for this backbone, got {layer}")
    return layer % len(stages)


def _head_prefix(backbone: Any) -> str:
    classifier: str = backbone.pretrained_cfg["classifier"]
    return f"{classifier}."

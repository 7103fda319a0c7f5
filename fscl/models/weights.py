"""Where the weights of a backbone come from: a package, timm's hub, or a file in any of the usual wrappings."""

import socket
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache
from safetensors.torch import load_file
from torch import Tensor

from fscl.errors import BundleError, first_line
from fscl.published import PACKAGES

# Under which key training programs keep the weights: timm, torchvision, Lightning, this one.
WRAPPINGS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "classifier", "net")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
HUB_SECONDS = 3.0  # until the hub answers or is taken as out of reach
NAMED = 3  # weights that a message names
COUNTER = ".num_batches_tracked"  # of batch normalisation, which older files lack; nothing is computed from it
# Backbones that a file which does not fit is compared with: those that published weights are most often of.
COMMON = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "convnext_tiny", "mobilenetv3_large_100", "efficientnet_b0"),
    *("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2", "tf_efficientnetv2_s"),
    *("tf_efficientnetv2_m", "vit_small_patch16_224", "vit_base_patch16_224", "swin_tiny_patch4_window7_224"),
)


class Fit(NamedTuple):
    """What of a file's weights suits a backbone."""

    weights: dict[str, Tensor]  # by the backbone's own names
    lacking: list[str]  # of the backbone, not in the file or of another shape
    left_over: list[str]  # of the file, without a place in the backbone
    by_order: bool  # the names differ, kinds and shapes agree one by one
    deeper: list[str]  # of those left over, layers of a part that the backbone has, too: it is of a deeper one

    def __str__(self) -> str:
        """How much was taken, in words.

        >>> print(Fit({"conv.weight": torch.ones(1)}, ["fc.weight"], ["head.weight"], by_order=True, deeper=[]))
        1 of 2 taken by their order
        """
        order = " by their order" if self.by_order else ""
        return f"{len(self.weights)} of {len(self.weights) + len(self.lacking)} taken{order}"


def fit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Fit:
    """Find the place of a file's weights in a backbone.

    Names may have anything before them (`module.`, `backbone.`, `model.encoder.`). Where hardly a name agrees, the
    weights are matched by their order, if all kinds and shapes but those of the last layer agree one by one.

    Args:
        own: the backbone's weights by name.
        weights: the file's.

    >>> own = {"conv.weight": torch.zeros(4, 3), "fc.weight": torch.zeros(2, 4)}
    >>> taken = fit(own, {"module.conv.weight": torch.ones(4, 3), "module.fc.weight": torch.ones(1000, 4)})
    >>> taken.lacking, taken.left_over
    (['fc.weight'], ['module.fc.weight'])
    >>> print(fit(own, {"stem.weight": torch.ones(4, 3), "last.weight": torch.ones(2, 4)}))
    2 of 2 taken by their order
    """
    prefix = _prefix(own, weights)
    named = {name: prefix + name for name in own if prefix + name in weights}
    ordered = {} if 2 * len(named) > len(own) else _by_order(own, weights)
    places = ordered or named
    taken = {name: weights[place] for name, place in places.items() if own[name].shape == weights[place].shape}
    lacking = sorted(name for name in set(own) - set(taken) if not (taken and name.endswith(COUNTER)))
    left_over = sorted(set(weights) - {places[name] for name in taken})
    parts = {name.split(".")[0] for name in own}
    inner = [name.removeprefix(prefix) for name in left_over if name.startswith(prefix) and not ordered]
    deeper = [name for name in inner if name not in own and name.split(".")[0] in parts and name.endswith(".weight")]
    return Fit(taken, lacking, left_over, bool(ordered), deeper)


def likely_backbone(weights: Mapping[str, Tensor]) -> str | None:
    """Return which of the `COMMON` backbones all weights but the last layer's fit; None where none does."""
    for name in COMMON:
        with torch.device("meta"):  # shapes alone: no memory is taken
            model: Any = timm.create_model(name, num_classes=2)
        found = fit(model.state_dict(), weights)
        head = f"{model.pretrained_cfg['classifier']}."
        if not found.deeper and all(lack.startswith(head) for lack in found.lacking):
            return name
    return None


def listed(names: list[str]) -> str:
    """Return the first few names, and how many more there are.

    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _prefix(own: Collection[str], weights: Collection[str]) -> str:
    """Return what stands before the backbone's own names in most of the file's."""
    votes: Counter[str] = Counter()
    for name in weights:
        parts = name.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in own:
                votes["".join(f"{part}." for part in parts[:start])] += 1
                break
    return max(votes, key=lambda prefix: (votes[prefix], -len(prefix)), default="")


def _by_order(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return own name → the file's name where the two lists are of one kind throughout, else nothing."""
    if len(own) != len(weights):  # an older file, of times without counters
        own, weights = ({n: w for n, w in both.items() if not n.endswith(COUNTER)} for both in (own, weights))
    if len(own) != len(weights):
        return {}
    pairs = list(zip(own, weights, strict=True))
    last = {name for name in list(own)[-2:] if name.endswith(("weight", "bias"))}  # of other classes, it may differ
    for mine, theirs in pairs:
        same_kind = mine.rpartition(".")[2] == theirs.rpartition(".")[2]
        if not same_kind or (own[mine].shape != weights[theirs].shape and mine not in last):
            return {}
    return dict(pairs)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a `.safetensors` file, a PyTorch state dict or a training checkpoint.

    Nothing but tensors is unpickled.

    Raises:
        BundleError: missing, damaged, or more than tensors.
    """
    require_file(path)
    weights = _read(path)
    if isinstance(weights, dict):
        holding = next((key for key in WRAPPINGS if isinstance(weights.get(key), dict)), None)
        weights = weights if holding is None else weights[holding]
    if not isinstance(weights, dict) or not all(map(_is_weight, weights, weights.values())):
        raise BundleError(f"{path}: expected a state dict (name → tensor), got {type(weights).__name__}")
    return weights


def require_file(path: Path) -> None:
    """Raise BundleError where there is no such file."""
    if not path.is_file():
        known = f"; published ones have the names {', '.join(PACKAGES)}" if path.name == str(path) else ""
        raise BundleError(f"{path}: no such weights file{known}")


def why_unread(error: Exception) -> str:
    """Return why torch could not read a file, without its advice to read it in a way that runs what is in it."""
    if isinstance(error, UnpicklingError):
        return "it holds more than tensors"
    return first_line(error).split(". ")[0]


def require_hub(origin: str) -> None:
    """Return at once where published weights can be fetched, or are here from an earlier time.

    The library that fetches them tries for a minute before it gives up; a place that cannot be reached is known in
    seconds.

    Args:
        origin: of the weights on the hub, such as `timm/resnet18.a1_in1k`.

    Raises:
        OSError: the hub cannot be reached.
    """
    if any(isinstance(try_to_load_from_cache(origin, name), str) for name in HUB_FILES) or getproxies():
        return
    host = urlsplit(constants.ENDPOINT)
    socket.create_connection((host.hostname, host.port or 443), timeout=HUB_SECONDS).close()


def _is_weight(name: object, weight: object) -> bool:
    dense = isinstance(weight, Tensor) and weight.layout is torch.strided and not weight.is_quantized
    return isinstance(name, str) and dense


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # reading bytes that are no weights, torch and safetensors raise almost anything
        raise BundleError(
            f"{path}: not a plain file of weights, or cut short ({why_unread(error)}); nothing in it is run: "
            "give one that was saved by torch.save(model.state_dict(), FILE)"
        ) from None

"""Where the weights of a backbone come from: timm's hub, or a file in any of the usual wrappings."""

import socket
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from huggingface_hub import constants, try_to_load_from_cache
from safetensors.torch import load_file
from torch import Tensor

from fscl.errors import BundleError, first_line

# Under which key training programs keep the weights: timm, torchvision, Lightning, this one.
WRAPPINGS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "classifier", "net")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
HUB_SECONDS = 3.0  # until the hub answers or is taken as out of reach


class Fit(NamedTuple):
    """What of a file's weights suits a backbone."""

    weights: dict[str, Tensor]  # by the backbone's own names
    lacking: list[str]  # of the backbone, not in the file or of another shape


def fit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Fit:
    """Find the place of a file's weights in a backbone.

    Names may have anything before them (`module.`, `backbone.`, `model.encoder.`). Where hardly a name agrees, the
    weights are matched by their order, if all kinds and shapes but those of the last layer agree one by one.

    Args:
        own: the backbone's weights by name.
        weights: the file's.

    >>> own = {"conv.weight": torch.zeros(4, 3), "fc.weight": torch.zeros(2, 4)}
    >>> fit(own, {"module.conv.weight": torch.ones(4, 3), "module.fc.weight": torch.ones(1000, 4)}).lacking
    ['fc.weight']
    >>> fit(own, {"stem.weight": torch.ones(4, 3), "last.weight": torch.ones(2, 4)}).lacking
    []
    """
    prefix = _prefix(own, weights)
    named = {name: prefix + name for name in own if prefix + name in weights}
    ordered = {} if 2 * len(named) > len(own) else _by_order(own, weights)
    places = ordered or named
    taken = {name: weights[place] for name, place in places.items() if own[name].shape == weights[place].shape}
    return Fit(taken, sorted(set(own) - set(taken)))


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
    if not path.is_file():
        raise BundleError(f"{path}: no such weights file")
    weights = _read(path)
    if isinstance(weights, dict):
        holding = next((key for key in WRAPPINGS if isinstance(weights.get(key), dict)), None)
        weights = weights if holding is None else weights[holding]
    if not isinstance(weights, dict) or not all(map(_is_weight, weights, weights.values())):
        raise BundleError(f"{path}: expected a state dict (name → tensor), got {type(weights).__name__}")
    return weights


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
        raise BundleError(f"{path}: not a plain file of weights, or cut short ({why_unread(error)})") from None

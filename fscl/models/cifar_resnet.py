"""ResNet-32 for photos of 32 × 32 px, the backbone of the CIFAR-LT benchmarks, with the interface of timm's."""

from collections.abc import Collection

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

STAGE_CHANNELS = (16, 32, 64)  # standard width: He et al. 2016, Sec. 4.2
BLOCKS_PER_STAGE = 5  # 6 · 5 + 2 = 32 layers
CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)  # as usual in CIFAR-LT papers


class CifarResNet32(nn.Module):
    """ResNet-32 of He et al. 2016, Sec. 4.2, with shortcuts without parameters (option A), as in Cao et al. 2019.

    A 3 × 3 stem without pooling and three stages of 16, 32 and 64 channels, the last two at half the resolution
    of the stage before; 0.46 million parameters. Convolutions and the head start as in He et al. 2015 (Kaiming
    normal). Photos may be larger than 32 px: the head sees the average over space.

    Args:
        num_classes: K ≥ 1.

    >>> import torch
    >>> model = CifarResNet32(num_classes=10)
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STAGE_CHANNELS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STAGE_CHANNELS[0])
        self.layer1 = _stage(STAGE_CHANNELS[0], STAGE_CHANNELS[0], stride=1)
        self.layer2 = _stage(STAGE_CHANNELS[0], STAGE_CHANNELS[1], stride=2)
        self.layer3 = _stage(STAGE_CHANNELS[1], STAGE_CHANNELS[2], stride=2)
        self.fc = nn.Linear(STAGE_CHANNELS[2], num_classes)
        self.pretrained_cfg = {"mean": CIFAR10_MEAN, "std": CIFAR10_STD, "classifier": "fc"}
        self.feature_info = [
            {"module": f"layer{number}", "num_chs": channels, "reduction": 2 ** (number - 1)}
            for number, channels in enumerate(STAGE_CHANNELS, start=1)
        ]
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, photos: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits."""
        last, _ = self.forward_intermediates(photos, indices=())
        return self.forward_head(last)

    def forward_intermediates(
        self, photos: Float[Tensor, "batch 3 height width"], indices: Collection[int]
    ) -> tuple[Float[Tensor, "batch 64 _ _"], list[Float[Tensor, "batch _ _ _"]]]:
        """Return what the last stage gives, and what the stages `indices` (0, 1, 2) give, in this order."""
        features = functional.relu(self.bn1(self.conv1(photos)))
        tapped = []
        for index, stage in enumerate((self.layer1, self.layer2, self.layer3)):
            features = stage(features)
            if index in indices:
                tapped.append(features)
        return features, tapped

    def forward_head(
        self, last: Float[Tensor, "batch 64 height width"], *, pre_logits: bool = False
    ) -> Float[Tensor, "batch _"]:
        """Return the logits from what the last stage gives, or what they are made of."""
        pooled: Tensor = last.mean(dim=(2, 3))
        return pooled if pre_logits else self.fc(pooled)


class _Block(nn.Module):
    """Two convolutions and a shortcut: where the shape changes, every second pixel and zeros for new channels."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.new_channels = channels - channels_in

    def forward(self, features: Float[Tensor, "batch _ _ _"]) -> Float[Tensor, "batch _ _ _"]:
        shortcut = features[:, :, :: self.stride, :: self.stride]
        half = self.new_channels // 2
        shortcut = functional.pad(shortcut, (0, 0, 0, 0, half, self.new_channels - half))
        features = functional.relu(self.bn1(self.conv1(features)))
        return functional.relu(self.bn2(self.conv2(features)) + shortcut)


def _stage(channels_in: int, channels: int, *, stride: int) -> nn.Sequential:
    blocks = [_Block(channels_in, channels, stride)]
    blocks += [_Block(channels, channels, 1) for _ in range(BLOCKS_PER_STAGE - 1)]
    return nn.Sequential(*blocks)

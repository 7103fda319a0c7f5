"""Species classifiers for camera traps that still see the rare animal.

The public names are imported when they are used, so that `import fscl` stays light.

>>> from fscl.losses import FeatureSimilarityLoss
>>> loss = FeatureSimilarityLoss(num_classes=3)
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Bundle": "fscl.bundle",
    "Classifier": "fscl.models",
    "Config": "fscl.config",
    "FeatureSimilarityLoss": "fscl.losses",
    "FsclError": "fscl.errors",
    "Manifest": "fscl.manifest.table",
    "compare": "fscl.experiments.run",
    "evaluate": "fscl.evaluation",
    "fit": "fscl.training.loop",
    "load": "fscl.inference",
    "scan": "fscl.scanning.scan",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fscl' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

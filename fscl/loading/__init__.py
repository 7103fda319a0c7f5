"""How photos become batches: samplers, augmentation, mixing, loader."""

from fscl.loading.mixing import MIXINGS, Mixing, Mixture
from fscl.loading.samplers import SAMPLERS, Draw, Sampler

__all__ = ["MIXINGS", "SAMPLERS", "Draw", "Mixing", "Mixture", "Sampler"]

"""How photos become batches: samplers, augmentation, mixing, loader."""

from fscl.loading.batches import Sample
from fscl.loading.mixing import MIXINGS, Mixing, Mixture
from fscl.loading.samplers import SAMPLERS, Sampler

__all__ = ["MIXINGS", "SAMPLERS", "Mixing", "Mixture", "Sample", "Sampler"]

"""How photos become batches: samplers, augmentation, mixing, loader."""

from fscl.loading.mixing import MIXINGS, Mixing, Mixture
from fscl.loading.samplers import SAMPLERS, Sample, Sampler

__all__ = ["MIXINGS", "SAMPLERS", "Mixing", "Mixture", "Sample", "Sampler"]

"""How photos become batches: samplers, augmentation, loader."""

from fscl.loading.samplers import (
    SAMPLERS,
    Draw,
    EveryClassSampler,
    NaturalSampler,
    OversamplingSampler,
    Sampler,
)

__all__ = ["SAMPLERS", "Draw", "EveryClassSampler", "NaturalSampler", "OversamplingSampler", "Sampler"]

"""What is done to a training photo: flip, RandAugment, colour jitter; and the resize that all share."""

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from fscl.config import Augmentation, Preprocessing


def to_model_input(preprocessing: Preprocessing) -> v2.Transform:
    """Return the transform PIL image → normalised float32 tensor (3, image_size, image_size).

    Used for training (after augmentation), evaluation and prediction alike.
    """
    size = [preprocessing.image_size, preprocessing.image_size]
    return v2.Compose(
        [
            v2.Resize(size, interpolation=InterpolationMode.BILINEAR, antialias=True),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )


def augmentation(settings: Augmentation, preprocessing: Preprocessing) -> v2.Transform:
    """Return the random transform PIL image → PIL image of the study: resize, flip, RandAugment, ColorJitter.

    Draws from torch's global generator: call it inside `torch.random.fork_rng` with the photo's own seed.
    """
    size = [preprocessing.image_size, preprocessing.image_size]
    steps: list[v2.Transform] = [
        v2.Resize(size, interpolation=InterpolationMode.BILINEAR, antialias=True),
        v2.RandomHorizontalFlip(settings.flip),
    ]
    if settings.randaugment_operations:
        steps.append(
            v2.RandAugment(num_ops=settings.randaugment_operations, magnitude=settings.randaugment_magnitude)
        )
    if any(settings.jitter):
        steps.append(v2.ColorJitter(*settings.jitter))
    return v2.Compose(steps)


def augmented(photo: Image.Image, transform: v2.Transform, seed: int) -> Image.Image:
    """Apply a random transform whose every draw follows from `seed`; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed accelerators, which is not undone
        result: Image.Image = transform(photo)
        return result


def stacked(photos: list[Tensor]) -> Tensor:
    """Return photos (each 3, size, size) as a batch in channels-last memory, faster for convolutions."""
    batch = torch.stack(photos) if photos else torch.empty(0, 3, 1, 1)
    return batch.contiguous(memory_format=torch.channels_last)

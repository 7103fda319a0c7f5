import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from fscl.config import Augmentation, Preprocessing
from fscl.loading import augment as module
from fscl.loading.augment import RandomAugmentation
from fscl.loading.regions import model_input


@pytest.fixture(scope="module")
def photos():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (9, 3, 32, 32), generator=generator, dtype=torch.uint8)


SEEDS = [3, 1, 4, 15, 92, 65, 35, 89, 79]


def test_a_photo_follows_from_its_seed_alone(photos):
    augment = RandomAugmentation(Augmentation(), 32)
    together = augment(photos, SEEDS)
    alone = torch.cat([augment(photos[i : i + 1], SEEDS[i : i + 1]) for i in range(len(photos))])
    assert torch.equal(together, alone)
    assert torch.equal(together.flip(0), augment(photos.flip(0), SEEDS[::-1]))
    assert not torch.equal(together, augment(photos, [seed + 1 for seed in SEEDS]))


def test_neither_the_input_nor_the_global_generators_change(photos):
    before, state = photos.clone(), (torch.get_rng_state(), np.random.get_state()[1].copy())  # noqa: NPY002
    RandomAugmentation(Augmentation(), 32)(photos, SEEDS)
    assert torch.equal(photos, before)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()  # noqa: NPY002


def test_the_size_of_the_pieces_changes_nothing(photos, monkeypatch):
    augment = RandomAugmentation(Augmentation(), 32)
    whole = augment(photos, SEEDS)
    monkeypatch.setattr(module, "CACHED_PIXELS", 1)
    assert torch.equal(augment(photos, SEEDS), whole)


def test_all_turned_off_is_no_change(photos):
    settings = Augmentation(flip=0, randaugment_operations=0, jitter=(0, 0, 0, 0))
    assert torch.equal(RandomAugmentation(settings, 32)(photos, SEEDS), photos)


def test_statistics_are_those_of_torchvision_on_pillow_images():
    """Means over many draws, within four standard errors."""
    coarse = torch.randint(256, (16, 3, 6, 6), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    photos = functional.resize(coarse, [32, 32], antialias=True)
    images = [functional.to_pil_image(photo) for photo in photos]
    settings = Augmentation()
    transform = v2.Compose([v2.RandomHorizontalFlip(0.5), v2.RandAugment(2, 9), v2.ColorJitter(*settings.jitter)])
    ours = RandomAugmentation(settings, 32)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    expected, found = [], []
    for round_ in range(40):
        expected.append(torch.stack([functional.pil_to_tensor(transform(image)) for image in images]))
        found.append(ours(photos, list(range(1000 * round_, 1000 * round_ + 16))))
    torch.set_rng_state(state)
    theirs, mine = (_statistics(torch.cat(parts), photos.repeat(40, 1, 1, 1)) for parts in (expected, found))
    error = ((theirs.var(0) + mine.var(0)) / len(mine)).sqrt()
    assert ((theirs.mean(0) - mine.mean(0)).abs() / error).max() < 4


def _statistics(photos, originals):
    photos, originals = photos.float(), originals.float()
    colour = photos.amax(1) - photos.amin(1)
    return torch.stack(
        [
            photos.mean((1, 2, 3)),
            photos.std((1, 2, 3)),
            colour.mean((1, 2)),
            (photos == 0).float().mean((1, 2, 3)),
            (photos == 255).float().mean((1, 2, 3)),
            (photos - originals).abs().mean((1, 2, 3)),
        ],
        dim=1,
    )


def test_the_models_input_is_what_torchvision_makes_of_one_photo(photos):
    preprocessing = Preprocessing(image_size=32)
    normalize = v2.Normalize(preprocessing.mean, preprocessing.std)
    expected = v2.Compose([v2.ToDtype(torch.float32, scale=True), normalize])
    found = model_input(photos, preprocessing)
    assert torch.equal(found, torch.stack([expected(photo) for photo in photos]))
    assert found.is_contiguous(memory_format=torch.channels_last)

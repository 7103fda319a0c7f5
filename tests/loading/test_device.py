"""On CPU tensors: an accelerator was not at hand where this was written."""

from pathlib import Path
from shutil import copytree

import pytest
import torch

from fscl.config import Augmentation, Preprocessing
from fscl.loading.batches import Batches
from fscl.loading.device import DevicePhotos
from fscl.loading.loader import TrainingPhotos, training_loader
from fscl.loading.regions import Regions
from fscl.loading.samplers import OversamplingSampler
from fscl.loading.store import PhotoStore

PREPROCESSING = Preprocessing(image_size=32)


@pytest.fixture
def regions(tmp_path, class_folders, photos):
    found = Regions.of(photos.rows, copytree(class_folders, tmp_path / "photos"), ["boar", "deer", "hare"])
    for row in (70, 71):
        Path(found.photos[row]).write_bytes(b"")
    return found


@pytest.fixture
def stored(regions, tmp_path):
    return PhotoStore.build(regions, PREPROCESSING, tmp_path / "store").view(regions)


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("classes", ["all", "minority"])
def test_batches_are_those_of_the_loader(regions, stored, resident, classes):
    settings = Augmentation(classes=classes)
    sampler = OversamplingSampler(regions.labels, 32, seed=0)
    decoded = TrainingPhotos(regions, PREPROCESSING, settings, minority=[1])
    photos = TrainingPhotos(stored, PREPROCESSING, settings, minority=[1])
    expected = list(training_loader(decoded, Batches(sampler, start=0, stop=6), workers=0))
    device = DevicePhotos(photos, torch.device("cpu"), resident=resident)
    found = list(device.batches(Batches(sampler, start=0, stop=6)))
    assert sum(len(batch.failures) for batch in expected) > 1
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine.photos, theirs.photos)
        assert torch.equal(mine.labels, theirs.labels)
        assert mine[2:] == theirs[2:]
        assert mine.photos.is_contiguous(memory_format=torch.channels_last)


def test_a_class_without_readable_photos_is_told(regions, tmp_path):
    for path, label in zip(regions.photos, regions.labels, strict=True):
        if label == 1:
            Path(path).write_bytes(b"")
    stored = PhotoStore.build(regions, PREPROCESSING, tmp_path / "other").view(regions)
    photos = TrainingPhotos(stored, PREPROCESSING, Augmentation(), minority=[1])
    sampler = OversamplingSampler(regions.labels, 32, seed=0)
    batch = next(DevicePhotos(photos, torch.device("cpu")).batches(Batches(sampler, start=0, stop=1)))
    assert batch.exhausted.startswith("no photo of a class can be read any more")
    assert len(batch.photos) == len(batch.labels) == len(batch.rows) < 32


def test_it_is_for_cuda_and_photos_all_stored(regions, stored):
    for source, device, expected in [
        (stored, "cuda", True),
        (stored, "cpu", False),
        (stored, "mps", False),
        (regions, "cuda", False),
    ]:
        photos = TrainingPhotos(source, PREPROCESSING, Augmentation(), minority=[1])
        assert DevicePhotos.possible(photos, torch.device(device)) == expected

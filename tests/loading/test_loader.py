import numpy as np
import pytest
import torch

from fscl.config import Augmentation, Preprocessing
from fscl.loading.batches import Batches, Sample
from fscl.loading.loader import TrainingPhotos, inference_loader, training_loader
from fscl.loading.regions import Regions
from fscl.loading.samplers import NaturalSampler

PREPROCESSING = Preprocessing(image_size=32)
PLAIN = Augmentation(flip=0, randaugment_operations=0, jitter=(0, 0, 0, 0))


@pytest.fixture
def regions(photos):
    return Regions.of(photos.rows, photos.root, ["boar", "deer", "hare"])


def batches_of(regions, workers):
    photos = TrainingPhotos(regions, PREPROCESSING, Augmentation(), minority=[1])
    sampler = NaturalSampler(regions.labels, 32, seed=0)
    return list(training_loader(photos, Batches(sampler, start=0, stop=5), workers=workers))


def test_the_number_of_workers_changes_no_photo(regions):
    for alone, shared in zip(batches_of(regions, 0), batches_of(regions, 2), strict=True):
        assert alone.rows == shared.rows
        assert torch.equal(alone.labels, shared.labels)
        assert torch.equal(alone.photos, shared.photos)


def test_drawing_photos_leaves_the_global_generator_alone(regions):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    batches_of(regions, 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_decides_the_augmentation(regions):
    photos = TrainingPhotos(regions, PREPROCESSING, Augmentation(), minority=[])
    first, again, other = (photos[[Sample(3, seed)]].photos for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_only_the_minority_is_augmented_on_request(regions):
    settings = Augmentation(classes="minority")
    photos = TrainingPhotos(regions, PREPROCESSING, settings, minority=[1])
    plain = TrainingPhotos(regions, PREPROCESSING, PLAIN, minority=[1])
    boar, deer = (int(np.flatnonzero(regions.labels == label)[0]) for label in (0, 1))
    some, none = photos[[Sample(boar, 1), Sample(deer, 1)]], plain[[Sample(boar, 1), Sample(deer, 1)]]
    assert torch.equal(some.photos[0], none.photos[0])
    assert not torch.equal(some.photos[1], none.photos[1])
    alone = photos[[Sample(deer, 1)]]
    assert torch.equal(some.photos[1:], alone.photos)


def test_the_minority_of_a_batch_is_augmented_by_its_own_seeds(regions):
    photos = TrainingPhotos(regions, PREPROCESSING, Augmentation(classes="minority"), minority=[1])
    boar, deer = (int(np.flatnonzero(regions.labels == label)[0]) for label in (0, 1))
    together = photos[[Sample(boar, 5), Sample(deer, 6), Sample(boar + 1, 7), Sample(deer + 1, 8)]].photos
    assert torch.equal(together[1::2], photos[[Sample(deer, 6), Sample(deer + 1, 8)]].photos)


def test_training_without_augmentation_sees_what_inference_sees(regions):
    plain = TrainingPhotos(regions, PREPROCESSING, PLAIN, minority=[])
    batch = next(iter(inference_loader(regions, PREPROCESSING, batch_size=4, workers=0)))
    assert torch.equal(plain[[Sample(row, 0) for row in range(4)]].photos, batch.photos)
    assert batch.photos.is_contiguous(memory_format=torch.channels_last)


def test_an_unreadable_photo_is_replaced_by_one_of_its_class(regions, tmp_path):
    (tmp_path / "empty.jpg").touch()
    paths = list(regions.photos)
    row = int(np.flatnonzero(regions.labels == 1)[3])
    paths[row] = tmp_path / "empty.jpg"
    broken = Regions(paths, regions.boxes, regions.labels)
    batch = TrainingPhotos(broken, PREPROCESSING, PLAIN, minority=[])[[Sample(row, 0)]]
    assert (batch.labels.tolist(), batch.rows) == ([1], [row])
    assert batch.failures == [(row, "empty file")]
    next_one = TrainingPhotos(regions, PREPROCESSING, PLAIN, minority=[])[[Sample(row + 1, 0)]]
    assert torch.equal(batch.photos, next_one.photos)
    seen = next(iter(inference_loader(broken, PREPROCESSING, batch_size=200, workers=0)))
    assert row not in seen.rows
    assert [failure.row for failure in seen.failures] == [row]
    assert len(seen.rows) == len(paths) - 1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_class_without_any_readable_photo_is_told_with_the_batch(regions, tmp_path, workers):
    paths = np.where(regions.labels == 1, tmp_path / "gone.jpg", np.array(regions.photos, dtype=object)).tolist()
    gone = TrainingPhotos(Regions(paths, regions.boxes, regions.labels), PREPROCESSING, PLAIN, minority=[])
    batches = Batches(NaturalSampler(regions.labels, 32, seed=0), start=0, stop=1)
    batch = next(iter(training_loader(gone, batches, workers=workers)))
    assert batch.exhausted.startswith("no photo of a class can be read any more")
    assert f"first {tmp_path / 'gone.jpg'}: missing file" in batch.exhausted
    assert len(batch.photos) == len(batch.labels) == len(batch.rows) < 32
    assert 1 not in batch.labels


def test_augmenting_leaves_the_generators_of_accelerators_alone(regions, monkeypatch):
    def reseeded(seed):
        raise AssertionError("an accelerator was reseeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeded)
    TrainingPhotos(regions, PREPROCESSING, Augmentation(), minority=[])[[Sample(3, 7)]]


def test_photos_are_resized_as_torchvision_resizes_them(regions):
    from torchvision.transforms import v2

    resize = v2.Resize([32, 32], antialias=True)
    expected = np.asarray(resize(regions.read(5, PREPROCESSING)))
    assert (regions.resized(5, PREPROCESSING) == expected).all()


def test_boxes_are_cropped_with_their_margin(tmp_path):
    from PIL import Image

    pixels = np.zeros((100, 100, 3), dtype=np.uint8)
    pixels[20:60, 30:70] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    boxes, labels = np.array([[30.0, 20.0, 40.0, 40.0]]), np.array([0])
    tight, wide = (
        Regions([tmp_path / "a.png"], boxes, labels).read(0, Preprocessing(image_size=16, crop_margin=margin))
        for margin in (0, 0.5)
    )
    assert tight.size == (40, 40)
    assert np.asarray(tight).min() == 255
    assert wide.size == (80, 80)
    assert np.asarray(wide).min() == 0

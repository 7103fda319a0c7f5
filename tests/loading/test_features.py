import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from fscl.config import Augmentation, Preprocessing
from fscl.errors import OutputError
from fscl.loading import feature_files
from fscl.loading.augment import RandomAugmentation
from fscl.loading.feature_files import backbone_fingerprint, cache_folder
from fscl.loading.features import FeatureStore, Views
from fscl.loading.loader import inference_loader
from fscl.loading.regions import Regions, model_input, stacked
from fscl.models import Classifier

SMALL = Preprocessing(image_size=32)
pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    return Classifier("test_resnet", 2, image_size=32).eval()


@pytest.fixture
def regions(draw):
    root = draw(*(f"{name}/{i}.png" for name in ("boar", "deer") for i in range(5)))
    paths = sorted(root.rglob("*.png"))
    labels = np.array([0] * 5 + [1] * 5)
    return Regions(paths, np.full((10, 4), np.nan), labels)


def computed(classifier, regions, preprocessing=SMALL):
    [batch] = inference_loader(regions, preprocessing, batch_size=99, workers=0)
    with torch.inference_mode():
        return classifier.pooled(batch.photos).numpy()


def stored(store, regions):
    [batch] = store.view(regions).batches()
    return batch.photos.numpy()


def test_features_are_those_of_the_backbone(classifier, regions):
    store = FeatureStore.build(classifier, regions, SMALL)
    assert stored(store, regions) == pytest.approx(computed(classifier, regions), abs=1e-5)
    [batch] = store.view(regions).batches()
    assert batch.rows == list(range(10))
    assert batch.labels.tolist() == regions.labels.tolist()


def test_a_second_call_decodes_nothing_and_gives_the_same_bits(classifier, regions, decoded):
    first = stored(FeatureStore.build(classifier, regions, SMALL), regions)
    assert len(decoded) == 10
    assert (stored(FeatureStore.build(classifier, regions, SMALL), regions) == first).all()
    assert len(decoded) == 10


def test_photos_are_known_by_their_bytes_wherever_they_lie(classifier, regions, decoded, tmp_path):
    FeatureStore.build(classifier, regions, SMALL)
    moved = shutil.copytree(regions.photos[0].parents[1], tmp_path / "elsewhere" / "photos")
    there = Regions(sorted(moved.rglob("*.png")), regions.boxes, regions.labels)
    store = FeatureStore.build(classifier, there, SMALL)
    assert len(decoded) == 10
    assert stored(store, there) == pytest.approx(computed(classifier, regions), abs=1e-5)


def test_moved_photos_are_hashed_once(classifier, regions, tmp_path, monkeypatch):
    FeatureStore.build(classifier, regions, SMALL)
    moved = shutil.copytree(regions.photos[0].parents[1], tmp_path / "elsewhere" / "photos")
    there = Regions(sorted(moved.rglob("*.png")), regions.boxes, regions.labels)
    FeatureStore.build(classifier, there, SMALL)
    monkeypatch.setattr(feature_files, "content_hash", lambda path: pytest.fail(f"{path} is hashed again"))
    FeatureStore.build(classifier, there, SMALL)


def test_a_photo_that_was_replaced_is_computed_anew(classifier, regions, decoded, draw):
    FeatureStore.build(classifier, regions, SMALL)
    shutil.copyfile(regions.photos[7], regions.photos[2])
    store = FeatureStore.build(classifier, regions, SMALL)
    assert (stored(store, regions)[2] == stored(store, regions)[7]).all()
    assert len(decoded) == 10, "the bytes were known"


@pytest.mark.parametrize(
    "other",
    [
        SMALL.model_copy(update={"image_size": 48}),
        SMALL.model_copy(update={"crop_margin": 0.3}),
        SMALL.model_copy(update={"mean": (0.5, 0.5, 0.5)}),
        SMALL.model_copy(update={"interpolation": "bicubic"}),
    ],
)
def test_another_preprocessing_has_features_of_its_own(classifier, regions, other):
    store = FeatureStore.build(classifier, regions, SMALL)
    again = FeatureStore.build(classifier, regions, other)
    assert stored(again, regions) == pytest.approx(computed(classifier, regions, other), abs=1e-5)
    assert store.index.parent != again.index.parent


def test_the_backbone_decides_and_the_head_does_not(classifier, regions):
    torch.manual_seed(1)
    other_head = Classifier("test_resnet", 7, image_size=32)
    other_head.load_backbone(classifier.backbone_weights(), "here")
    assert backbone_fingerprint(other_head, SMALL) == backbone_fingerprint(classifier, SMALL)
    statistics = next(name for name in other_head.backbone.state_dict() if name.endswith("running_mean"))
    other_head.backbone.state_dict()[statistics].add_(1e-3)
    assert backbone_fingerprint(other_head, SMALL) != backbone_fingerprint(classifier, SMALL)


def test_a_box_has_features_of_its_own(classifier, regions):
    boxes = regions.boxes.copy()
    boxes[0] = [0, 0, 6, 8]
    boxed = Regions(regions.photos, boxes, regions.labels)
    whole = stored(FeatureStore.build(classifier, regions, SMALL), regions)
    some = stored(FeatureStore.build(classifier, boxed, SMALL), boxed)
    assert (some[1:] == whole[1:]).all()
    assert some.shape == whole.shape


def test_an_interrupted_call_keeps_what_it_has(classifier, draw, decoded):
    root = draw(*(f"many/{i}.png" for i in range(70)))
    regions = Regions(sorted(root.rglob("*.png")), np.full((70, 4), np.nan), np.zeros(70, dtype=np.int64))

    def stop(done, photos):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureStore.build(classifier, regions, SMALL, progress=stop)
    assert len(decoded) == 64
    FeatureStore.build(classifier, regions, SMALL)
    assert len(decoded) == 70


def test_a_photo_that_cannot_be_read_is_a_failure_and_tried_again(classifier, regions, draw):
    good = regions.photos[3].read_bytes()
    regions.photos[3].write_bytes(good[:40])
    store = FeatureStore.build(classifier, regions, SMALL)
    [batch] = store.view(regions).batches()
    assert [row for row, _ in batch.failures] == [3]
    assert batch.failures[0].reason
    assert batch.rows == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    regions.photos[3].write_bytes(good)
    [batch] = FeatureStore.build(classifier, regions, SMALL).view(regions).batches()
    assert not batch.failures


def test_photos_none_of_which_can_be_read(classifier, regions):
    for photo in regions.photos:
        photo.write_bytes(b"no photo")
    [batch] = FeatureStore.build(classifier, regions, SMALL).view(regions).batches()
    assert len(batch.failures) == 10


def test_a_damaged_file_of_the_cache_is_computed_again(classifier, regions, decoded):
    FeatureStore.build(classifier, regions, SMALL)
    [known] = cache_folder().rglob(f"*{feature_files.KNOWN}")
    known.write_bytes(b"cut short")
    FeatureStore.build(classifier, regions, SMALL)
    assert len(decoded) == 20


def test_it_travels_as_its_path_and_is_opened_once(classifier, regions):
    store = FeatureStore.build(classifier, regions, SMALL)
    there = pickle.loads(pickle.dumps(store))
    assert (stored(there, regions) == stored(store, regions)).all()
    assert pickle.loads(pickle.dumps(store)) is there


def test_features_that_are_gone_are_an_error(classifier, regions):
    store = FeatureStore.build(classifier, regions, SMALL)
    for path in cache_folder().rglob("*.npy"):
        path.unlink()
    with pytest.raises(OutputError, match=r"expected the features of photos .* run the command again"):
        FeatureStore(store.index)


def test_regions_that_were_not_stored_are_failures(classifier, regions):
    store = FeatureStore.build(classifier, regions, SMALL)
    other = Regions([regions.photos[0].with_name("other.png")], regions.boxes[:1], regions.labels[:1])
    [batch] = store.view(other).batches()
    assert batch.failures[0].reason == "its features were not computed"


VIEWS = Augmentation(feature_views=3)
SOME = np.array([1, 4, 7])


def seen(store, regions, settings=VIEWS, minority=(0,)):
    """Features of the photos in SOME: (photos, views, dim), the plain photo first."""
    places = store.view(regions).seen(settings, minority)[SOME]
    return store.features(places.ravel()).reshape(*places.shape, -1)


def test_views_are_augmented_photos_through_the_backbone(classifier, regions):
    store = FeatureStore.build(classifier, regions, SMALL, views=Views(VIEWS, SOME))
    cache = feature_files.FeatureCache(store.index.parent)
    paths = [str(regions.photos[row]) for row in SOME]
    keys = cache.content_keys(pd.DataFrame({"path": paths, "x": -1.0, "y": -1.0, "w": -1.0, "h": -1.0}))
    augment = RandomAugmentation(VIEWS, 32)
    found = seen(store, regions)
    assert found[:, 0] == pytest.approx(computed(classifier, regions)[SOME], abs=1e-5)
    for view in (1, 2, 3):
        seeds = [int(key[:15], 16) for key in feature_files.view_keys(keys, VIEWS, view)]
        photos = augment(stacked([regions.resized(row, SMALL) for row in SOME], SMALL), seeds)
        with torch.inference_mode():
            expected = classifier.pooled(model_input(photos, SMALL)).numpy()
        assert found[:, view] == pytest.approx(expected, abs=1e-5)
    assert np.abs(found - found[:, :1]).max(axis=2)[:, 1:].min() > 0


def test_a_photo_is_read_once_for_its_views_and_they_stay(classifier, regions, decoded):
    first = seen(FeatureStore.build(classifier, regions, SMALL, views=Views(VIEWS, SOME)), regions)
    assert len(decoded) == 10
    more = VIEWS.model_copy(update={"feature_views": 5})
    store = FeatureStore.build(classifier, regions, SMALL, views=Views(more, SOME))
    assert len(decoded) == 13, "two more views of three photos"
    assert (seen(store, regions) == first).all()
    FeatureStore.build(classifier, regions, SMALL, views=Views(VIEWS, SOME))
    FeatureStore.build(classifier, regions, SMALL)
    assert len(decoded) == 13


def test_another_augmentation_has_views_of_its_own(classifier, regions):
    one = seen(FeatureStore.build(classifier, regions, SMALL, views=Views(VIEWS, SOME)), regions)
    still = Augmentation(feature_views=3, flip=0.0, randaugment_operations=0, jitter=(0, 0, 0, 0))
    other = seen(FeatureStore.build(classifier, regions, SMALL, views=Views(still, SOME)), regions, still)
    assert other == pytest.approx(np.repeat(one[:, :1], 4, axis=1), abs=1e-5)


def test_of_classes_that_are_not_augmented_the_photo_stands_for_its_views(classifier, regions):
    rare = VIEWS.model_copy(update={"classes": "minority"})
    store = FeatureStore.build(classifier, regions, SMALL, views=Views(rare, SOME))
    found = seen(store, regions, rare, minority=(1,))
    assert (found[:2] == found[:2, :1]).all(), "photos 1 and 4 are boars"
    assert (found[2, 1:] != found[2, :1]).any()
    assert (seen(store, regions)[2] == found[2]).all(), "whoever is rare, a view stays the same"


def test_a_photo_that_cannot_be_read_has_no_views(classifier, regions):
    regions.photos[4].write_bytes(b"no photo")
    store = FeatureStore.build(classifier, regions, SMALL, views=Views(VIEWS, SOME))
    assert store.view(regions).known.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]

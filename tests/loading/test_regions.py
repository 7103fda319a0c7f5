"""Photos as the model's input, wherever they come from."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from fscl.config import Preprocessing
from fscl.images import UnreadableError
from fscl.loading.loader import inference_loader
from fscl.loading.regions import Regions, model_input, stacked
from fscl.loading.store import PhotoStore

PREPROCESSING = Preprocessing(image_size=32)


@pytest.fixture
def regions(photos):
    chosen = Regions.of(photos.rows.iloc[:4], photos.root, ["boar"])
    chosen.boxes[1] = 4.0, 3.0, 20.0, 30.0
    return chosen


def in_memory(regions):
    return Regions([path.read_bytes() for path in regions.photos], regions.boxes, regions.labels)


@pytest.mark.parametrize("workers", [0, 1])
def test_bytes_give_what_their_file_gives(regions, workers):
    from_files, from_bytes = (
        next(iter(inference_loader(source, PREPROCESSING, batch_size=4, workers=workers)))
        for source in (regions, in_memory(regions))
    )
    assert from_bytes.rows == [0, 1, 2, 3]
    assert torch.equal(from_bytes.photos, from_files.photos)


def test_bytes_of_a_photo_turned_by_exif_are_read_upright():
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, :20] = 255
    image, exif, file = Image.fromarray(pixels), Image.Exif(), io.BytesIO()
    exif[0x0112] = 6  # a quarter clockwise: what was left is above
    image.save(file, "JPEG", exif=exif)
    upright = Regions([file.getvalue()], np.full((1, 4), np.nan), np.array([0])).read(0, PREPROCESSING)
    assert upright.size == (20, 40)
    assert np.asarray(upright)[5, 10].min() > 200 > 50 > np.asarray(upright)[35, 10].max()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty file"), (b"thesis", "not an image"), (b"\xff\xd8\xff\xe0", "damaged|truncated|not an image")],
)
def test_bytes_that_are_no_photo_are_named_by_their_place(regions, content, reason):
    contents = [*in_memory(regions).photos[:3], content]
    broken = Regions(contents, regions.boxes, regions.labels)
    with pytest.raises(UnreadableError, match=reason):
        broken.resized(3, PREPROCESSING)
    assert [broken.name(3), regions.name(3)] == ["photo 4", str(regions.photos[3])]


def test_a_store_that_knows_files_leaves_bytes_to_be_decoded(regions, tmp_path):
    store = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store")
    viewed = store.view(in_memory(regions))
    assert not viewed.all_stored(PREPROCESSING)
    assert (viewed.resized(1, PREPROCESSING) == regions.resized(1, PREPROCESSING)).all()


def test_any_number_of_photos_becomes_a_batch(regions):
    for count in (0, 1, 3):
        resized = [regions.resized(row, PREPROCESSING) for row in range(count)]
        batch = model_input(stacked(resized, PREPROCESSING), PREPROCESSING)
        assert batch.shape == (count, 3, 32, 32)
        assert batch.dtype == torch.float32


def test_photos_are_resized_by_the_interpolation_that_is_set(regions):
    def resized(interpolation):
        return regions.resized(0, PREPROCESSING.model_copy(update={"interpolation": interpolation}))

    photo = regions.read(0, PREPROCESSING)
    assert (resized(None) == np.asarray(photo.resize((32, 32), Image.Resampling.BILINEAR))).all()
    assert (resized("bilinear") == resized(None)).all()
    assert (resized("bicubic") == np.asarray(photo.resize((32, 32), Image.Resampling.BICUBIC))).all()
    assert (resized("bicubic") != resized(None)).any()

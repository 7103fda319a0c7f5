"""Test photos that look like training photos: the hash, the comparison, what is not compared, what is written."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from fscl.images import read_region
from fscl.manifest.table import Manifest
from fscl.scanning.near_duplicates import COLUMNS, close_pairs, difference_hash, near_duplicates
from fscl.scanning.opening import with_near_duplicates

SIZE = (320, 240)


def scene(seed, noise=0.0, spread=255.0):
    """Draw a smooth picture of random patches, as a place is, with the noise of a camera."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.uniform(0, 255, (6, 8, 3)).astype("uint8")).resize(
        SIZE, Image.Resampling.BICUBIC
    )
    values = np.asarray(coarse, dtype=float) * spread / 255 + (255 - spread) / 4
    values += np.random.default_rng(seed + int(1000 * noise)).normal(0, noise, values.shape) if noise else 0
    return Image.fromarray(values.clip(0, 255).astype("uint8"))


def manifest(folder, photos):
    """Save photos, given as (name, image, split, sequence), and list them."""
    for name, image, *_ in photos:
        if image is not None:
            image.save(folder / name, quality=90)
    columns = pd.DataFrame(
        [(name, split, sequence) for name, _, split, sequence in photos], columns=["path", "split", "sequence"]
    )
    return Manifest.build(columns.assign(label="boar"), folder)


@pytest.mark.parametrize("seed", range(20))
def test_the_hash_is_that_of_imagehash(seed):
    imagehash = pytest.importorskip("imagehash", reason="the oracle, imagehash, is not installed")
    image = scene(seed, noise=9.0).filter(ImageFilter.GaussianBlur(seed % 3))
    image = [image, image.convert("L"), image.rotate(90, expand=True)][seed % 3]
    assert difference_hash(image)[0] == int(str(imagehash.dhash(image)), 16)


def test_a_photo_decoded_small_has_the_hash_of_the_whole(tmp_path):
    for seed in range(10):
        scene(seed, noise=5.0).resize((1600, 1200)).save(tmp_path / "large.jpg")
        whole, _ = difference_hash(read_region(tmp_path / "large.jpg"))
        small, _ = difference_hash(read_region(tmp_path / "large.jpg", min_side=64))
        assert (whole ^ small).bit_count() <= 2


hashes = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8)
flips = st.lists(st.lists(st.integers(0, 63), max_size=7, unique=True), min_size=1, max_size=30)


@settings(max_examples=30, deadline=None)
@given(hashes, flips, st.integers(0, 6))
def test_no_pair_within_the_distance_is_missed(ours, flipped, most):
    others = [ours[k % len(ours)] ^ sum(1 << bit for bit in bits) for k, bits in enumerate(flipped)]
    expected = [
        [i, j, bits]
        for i, one in enumerate(ours)
        for j, other in enumerate(others)
        if (bits := (one ^ other).bit_count()) <= most
    ]
    found = close_pairs(np.array(ours, dtype=np.uint64), np.array(others, dtype=np.uint64), most)
    assert sorted(found.tolist()) == expected


def test_pairs_are_of_other_sequences_with_the_most_alike(tmp_path):
    photos = [
        ("a.jpg", scene(1), "test", "1"),
        ("same.jpg", scene(1, noise=3.0), "train", "2"),
        ("other.jpg", scene(2), "train", "3"),
        ("burst1.jpg", scene(3), "test", "4"),
        ("burst2.jpg", scene(3, noise=2.0), "train", "4"),
        ("val.jpg", scene(4), "val", "5"),
        ("new.jpg", scene(4), "test", "6"),
    ]
    found = near_duplicates(manifest(tmp_path, photos))
    assert found.pairs[["test_photo", "training_photo"]].values.tolist() == [
        [str(tmp_path / "a.jpg"), str(tmp_path / "same.jpg")]
    ]
    assert found.pairs["training_sequences"].tolist() == [1]
    assert found.pairs["different_bits"].iloc[0] <= 4
    assert (found.tested, found.flat, found.common, found.unreadable) == (3, 0, 0, 0)


def test_flat_night_frames_are_not_compared(tmp_path):
    night = [scene(1, noise=1.0 + n, spread=8.0) for n in range(4)]
    photos = [(f"{n}.jpg", image, ["test", "train"][n % 2], str(n)) for n, image in enumerate(night)]
    photos += [
        ("black0.png", Image.new("RGB", SIZE), "test", "x"),
        ("black1.png", Image.new("RGB", SIZE), "train", "y"),
    ]
    found = near_duplicates(manifest(tmp_path, photos))
    assert found.pairs.empty
    assert list(found.pairs.columns) == COLUMNS
    assert (found.tested, found.flat) == (3, 3)


def test_the_view_of_a_camera_is_no_near_duplicate(tmp_path):
    photos = [(f"{n:02}.jpg", scene(1, noise=1.0 + n / 10), "test" if n < 3 else "train", str(n)) for n in range(30)]
    found = near_duplicates(manifest(tmp_path, photos))
    assert found.pairs.empty
    assert found.common == 3
    few = near_duplicates(manifest(tmp_path, photos[:20]))
    assert few.common == 0
    assert few.pairs["training_sequences"].tolist() == [17] * 3


def test_what_cannot_be_read_is_counted_and_the_rest_compared(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    photos = [
        ("a.jpg", scene(1), "test", None),
        ("b.jpg", scene(1), "train", None),
        ("broken.jpg", None, "test", None),
    ]
    divided = manifest(tmp_path, [*photos, ("gone.jpg", None, "train", None)])
    lines = with_near_duplicates(divided, tmp_path / "photos.parquet")
    file = tmp_path / "photos.near_duplicates.csv"
    assert lines[0].startswith("near-duplicates: 1 of 2 test photos look like a training photo of another sequence")
    assert str(file) in lines[0]
    assert lines[1:] == ["2 photos could not be read and compared"]
    assert pd.read_csv(file)["training_photo"].tolist() == [str(tmp_path / "b.jpg")]
    assert divided.rows["split"].tolist() == ["test", "train", "test", "train"], "nothing is moved"


def test_without_test_photos_nothing_is_found(tmp_path):
    found = near_duplicates(manifest(tmp_path, [("a.jpg", scene(1), "train", None)]))
    assert (found.pairs.empty, found.tested) == (True, 0)
    assert list(found.pairs.columns) == COLUMNS

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pandas as pd
import pytest
import torch

from fscl.config import Augmentation, Preprocessing
from fscl.errors import OutputError
from fscl.images import UnreadableError
from fscl.loading.batches import Batches
from fscl.loading.loader import TrainingPhotos, inference_loader, training_loader
from fscl.loading.regions import Regions
from fscl.loading.samplers import NaturalSampler
from fscl.loading.store import NoRoomError, PhotoStore

PREPROCESSING = Preprocessing(image_size=32)


@pytest.fixture
def root(tmp_path, class_folders):
    return copytree(class_folders, tmp_path / "photos")


@pytest.fixture
def regions(root, photos):
    """Return regions with a whole photo, two boxes of one photo, and a truncated photo among them."""
    found = Regions.of(photos.rows, root, ["boar", "deer", "hare"])
    found.boxes[1], found.boxes[2] = (4.0, 3.0, 20.0, 30.0), (0.0, 0.0, 9.5, 9.5)
    paths = list(found.photos)
    paths[2] = paths[1]
    broken = Path(paths[7])
    broken.write_bytes(broken.read_bytes()[:400])
    return replace(found, photos=paths)


def test_it_gives_what_decoding_gives(regions, tmp_path):
    viewed = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store").view(regions)
    assert viewed.all_stored(PREPROCESSING)
    for row in range(len(regions)):
        if row == 7:
            for source in (regions, viewed):
                with pytest.raises(UnreadableError, match="truncated file"):
                    source.resized(row, PREPROCESSING)
        else:
            assert (viewed.resized(row, PREPROCESSING) == regions.resized(row, PREPROCESSING)).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_the_same_with_and_without_it(regions, tmp_path, workers):
    viewed = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store").view(regions)

    def batches(source):
        photos = TrainingPhotos(source, PREPROCESSING, Augmentation(), minority=[1])
        sampler = NaturalSampler(source.labels, 32, seed=0)
        yield from training_loader(photos, Batches(sampler, start=0, stop=5), workers=workers)
        yield from inference_loader(source, PREPROCESSING, batch_size=50, workers=workers)

    failed = 0
    for decoded, stored in zip(batches(regions), batches(viewed), strict=True):
        assert torch.equal(decoded.photos, stored.photos)
        assert decoded[1].tolist() == stored[1].tolist()
        assert decoded[2:] == stored[2:]
        failed += len(stored.failures)
    assert failed >= 2


def test_it_reads_no_photo_again(regions, tmp_path, root):
    viewed = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store").view(regions)
    expected = regions.resized(3, PREPROCESSING)
    root.rename(tmp_path / "elsewhere")
    assert (viewed.resized(3, PREPROCESSING) == expected).all()


def test_thinned_rows_in_any_order_share_it(regions, tmp_path):
    store = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store")
    rows = [50, 2, 1, 90]
    some = Regions([regions.photos[r] for r in rows], regions.boxes[rows], regions.labels[rows])
    viewed = store.view(some)
    for place, row in enumerate(rows):
        assert (viewed.resized(place, PREPROCESSING) == regions.resized(row, PREPROCESSING)).all()


def test_what_it_does_not_have_is_decoded(regions, tmp_path):
    few = Regions(regions.photos[:5], regions.boxes[:5], regions.labels[:5])
    viewed = PhotoStore.build(few, PREPROCESSING, tmp_path / "store").view(regions)
    assert not viewed.all_stored(PREPROCESSING)
    assert (viewed.resized(20, PREPROCESSING) == regions.resized(20, PREPROCESSING)).all()
    for other in (Preprocessing(image_size=16), Preprocessing(image_size=32, crop_margin=0.5)):
        assert not viewed.all_stored(other)
        assert (viewed.resized(1, other) == regions.resized(1, other)).all()
    assert viewed.resized(1, Preprocessing(image_size=16)).shape == (16, 16, 3)


def test_it_travels_as_its_path(regions, tmp_path):
    viewed = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store").view(regions)
    sent = pickle.dumps(viewed.store)
    assert len(sent) < 1000
    assert (pickle.loads(sent)[5] == viewed.store[5]).all()


def test_it_is_built_once(regions, tmp_path, monkeypatch):
    readable = Regions(regions.photos[8:], regions.boxes[8:], regions.labels[8:])
    seen = []
    first = PhotoStore.build(readable, PREPROCESSING, tmp_path / "store", progress=lambda *done: seen.append(done))
    assert seen[-1] == (112, 112)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    monkeypatch.setattr(Regions, "read", lambda *_: pytest.fail("decoded again"))
    again = PhotoStore.build(readable, PREPROCESSING.model_copy(update={"mean": (0, 0, 0)}), tmp_path / "store")
    assert (again[5] == first[5]).all()


def test_a_changed_photo_or_another_manifest_makes_another(regions, tmp_path):
    folder = tmp_path / "store"
    first = PhotoStore.build(regions, PREPROCESSING, folder)
    photo = Path(regions.photos[3])
    shutil.copyfile(regions.photos[100], photo)
    os.utime(photo, ns=(1, 1))
    second = PhotoStore.build(regions, PREPROCESSING, folder)
    assert second.folder != first.folder
    assert not first.folder.exists()
    assert (second.view(regions).resized(3, PREPROCESSING) == regions.resized(3, PREPROCESSING)).all()
    smaller = PhotoStore.build(regions, Preprocessing(image_size=16), folder)
    assert set(folder.iterdir()) == {second.folder, smaller.folder}


def test_a_photo_that_is_mended_is_stored_by_the_next_call(regions, tmp_path, class_folders):
    folder, broken = tmp_path / "store", Path(regions.photos[7])
    store = PhotoStore.build(regions, PREPROCESSING, folder)
    assert list(store.problems.values()) == ["truncated file"]
    stat = broken.stat()
    good = (class_folders / broken.parent.name / broken.name).read_bytes()
    record = json.loads((store.folder / "store.json").read_text())
    assert record["problems"] == {str(place): "truncated file" for place in store.problems}
    broken.write_bytes(good)
    os.utime(broken, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    mended = PhotoStore.build(regions, PREPROCESSING, folder)
    assert mended.problems == {}
    assert (mended.view(regions).resized(7, PREPROCESSING) == regions.resized(7, PREPROCESSING)).all()


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from fscl.config import Preprocessing
from fscl.loading import store, store_files
from fscl.loading.regions import Regions

store_files.SECONDS_BETWEEN_FLUSHES = 0.0
paths = sorted(Path(sys.argv[1]).glob("*/*.jpg"))
regions = Regions(paths, np.full((len(paths), 4), np.nan), np.zeros(len(paths), dtype=np.int64))

def die(done, photos):
    if done > photos / 2:
        os.kill(os.getpid(), signal.SIGKILL)

store.PhotoStore.build(regions, Preprocessing(image_size=32), Path(sys.argv[2]), progress=die)
"""


@pytest.mark.slow
def test_a_killed_build_goes_on(root, tmp_path, monkeypatch):
    killed = subprocess.run([sys.executable, "-c", KILLED, root, tmp_path / "store"], check=False)
    assert killed.returncode == -signal.SIGKILL
    [half] = (tmp_path / "store").iterdir()
    with pytest.raises(OutputError, match="expected a finished photo store"):
        PhotoStore(half)
    paths = sorted(root.glob("*/*.jpg"))
    regions = Regions(paths, np.full((len(paths), 4), np.nan), np.zeros(len(paths), dtype=np.int64))
    decoded = []
    read = Regions.read
    monkeypatch.setattr(Regions, "read", lambda self, row, p: decoded.append(row) or read(self, row, p))
    store = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store")
    assert store.folder == half
    assert 0 < len(decoded) < 80
    monkeypatch.undo()
    viewed = store.view(regions)
    for row in range(len(regions)):
        assert (viewed.resized(row, PREPROCESSING) == regions.resized(row, PREPROCESSING)).all()


def test_ctrl_c_keeps_what_was_decoded(regions, tmp_path):
    def press(done, photos):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PhotoStore.build(regions, PREPROCESSING, tmp_path / "store", progress=press)
    [done] = (tmp_path / "store").glob("*/done.bin")
    assert 0 <= np.fromfile(done, dtype=np.uint8).sum() < len(regions)


def test_a_disk_without_room_is_told(regions, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**30 + 1000))
    with pytest.raises(NoRoomError, match=r"no room for the photo store, it needs 0\.0 GB and 1\.1 GB to spare"):
        PhotoStore.build(regions, PREPROCESSING, tmp_path / "store")


def test_a_disk_that_fills_up_meanwhile_is_told(regions, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(NoRoomError):
        PhotoStore.build(regions, PREPROCESSING, tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.bin"))


def test_a_file_system_without_files_so_large_is_told(regions, tmp_path, monkeypatch):
    def too_large(*_):
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(os, "posix_fallocate", too_large)
    with pytest.raises(NoRoomError, match=r"are free \(File too large\)"):
        PhotoStore.build(regions, PREPROCESSING, tmp_path / "store")


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_that_reserves_no_room_holds_it_all_the_same(regions, tmp_path, monkeypatch, number):
    def unknown(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    viewed = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store").view(regions)
    assert (viewed.resized(3, PREPROCESSING) == regions.resized(3, PREPROCESSING)).all()


@pytest.mark.parametrize("left", [None, 5000])
def test_lost_pixels_are_decoded_again_and_never_black(regions, tmp_path, left):
    folder = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store").folder
    if left is None:
        (folder / "pixels.bin").unlink()
    else:
        os.truncate(folder / "pixels.bin", left)
    with pytest.raises(OutputError, match=r"pixels.bin: expected \d+ bytes, found fewer; run the command again"):
        PhotoStore(folder)
    viewed = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store").view(regions)
    for row in (0, 50, len(regions) - 1):
        assert (viewed.resized(row, PREPROCESSING) == regions.resized(row, PREPROCESSING)).all()


def test_photos_in_an_archive_are_stored(class_folders, tmp_path):
    from zipfile import ZipFile

    archive = tmp_path / "photos.zip"
    with ZipFile(archive, "w") as packed:
        for photo in (class_folders / "deer").iterdir():
            packed.write(photo, f"deer/{photo.name}")
    paths = [archive / "deer" / f"{i:03}.jpg" for i in range(5)]
    regions = Regions(paths, np.full((5, 4), np.nan), np.zeros(5, dtype=np.int64))
    viewed = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store").view(regions)
    assert (viewed.resized(3, PREPROCESSING) == regions.resized(3, PREPROCESSING)).all()
    before = viewed.store.folder
    os.utime(archive, ns=(1, 1))
    assert PhotoStore.build(regions, PREPROCESSING, tmp_path / "store").folder != before


WHOLE = {"format": "fscl-store", "version": 1, "image_size": 32, "crop_margin": 0.1, "problems": {}}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("store.json", "[]"),
        ("store.json", "{"),
        ("store.json", json.dumps({"format": "fscl-store", "version": 1})),
        ("store.json", json.dumps(WHOLE | {"version": 2})),
        ("store.json", json.dumps(WHOLE | {"image_size": "a"})),
        ("store.json", json.dumps(WHOLE | {"crop_margin": None})),
        ("store.json", json.dumps(WHOLE | {"problems": [1]})),
        ("store.json", json.dumps(WHOLE | {"problems": {"x": "truncated file"}})),
        ("store.json", json.dumps(WHOLE | {"problems": {"1": 5}})),
        ("regions.parquet", "no table"),
        ("regions.parquet", pd.DataFrame({"path": ["a.jpg"]})),
        ("regions.parquet", pd.DataFrame({"path": ["a.jpg"], "x": ["1"], "y": ["a"], "w": [1.0], "h": [1.0]})),
        ("regions.parquet", pd.DataFrame({"path": [[1]], "x": [1.0], "y": [1.0], "w": [1.0], "h": [1.0]})),
    ],
)
def test_a_store_of_another_shape_is_none_and_is_made_again(regions, tmp_path, name, content):
    store = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store")
    if isinstance(content, str):
        (store.folder / name).write_text(content)
    else:
        content.to_parquet(store.folder / name)
    with pytest.raises(OutputError, match="expected a finished photo store, found none; run the command again"):
        PhotoStore(store.folder)
    again = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store")
    assert again.problems == store.problems
    assert (again.pixels == store.pixels).all()


def test_stores_of_another_interpolation_stand_side_by_side_and_serve_their_own(regions, tmp_path):
    bicubic = PREPROCESSING.model_copy(update={"interpolation": "bicubic"})
    stores = [PhotoStore.build(regions, one, tmp_path / "store") for one in (bicubic, PREPROCESSING, bicubic)]
    assert stores[0].folder == stores[2].folder != stores[1].folder
    assert [store.serves(PREPROCESSING) for store in stores] == [False, True, False]
    assert [store.serves(bicubic) for store in stores] == [True, False, True]
    assert stores[1].serves(PREPROCESSING.model_copy(update={"interpolation": "bilinear"}))
    for preprocessing in (bicubic, PREPROCESSING):
        for store in stores:
            assert (store.view(regions).resized(0, preprocessing) == regions.resized(0, preprocessing)).all()


def test_a_store_of_an_earlier_release_does_not_name_its_interpolation(regions, tmp_path):
    store = PhotoStore.build(regions, PREPROCESSING, tmp_path / "store")
    record = json.loads((store.folder / "store.json").read_text())
    assert set(record) == {"format", "version", "image_size", "crop_margin", "problems"}
    assert store.folder.name.startswith("32px-margin0.1-")

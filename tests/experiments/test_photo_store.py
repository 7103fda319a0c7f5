"""The store that the cells of a comparison share."""

import os
from collections import Counter
from shutil import copytree

import pandas as pd
import pytest

from fscl.experiments import cell
from fscl.experiments import run as module
from fscl.experiments.grid import ClassSet
from fscl.experiments.run import compare
from fscl.loading.regions import Regions
from fscl.progress import Silent
from fscl.scanning.scan import scan

pytestmark = pytest.mark.slow

FINE = ClassSet("fine", ("boar", "deer"), ("deer",))
AXES = {"pairs": [FINE], "ratios": [1.0, 0.25], "seeds": [0], "quiet": True}


@pytest.fixture
def decoded(monkeypatch):
    """Return how often each photo was decoded in this process."""
    seen = Counter()
    read = Regions.read

    def counting(self, row, preprocessing):
        seen[self.photos[row]] += 1
        return read(self, row, preprocessing)

    monkeypatch.setattr(Regions, "read", counting)
    return seen


class Presser(Silent):
    """Presses Ctrl-C at the first step."""

    def __init__(self, title=""):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def advance(self, step, steps, photos_per_second, terms):
        raise KeyboardInterrupt


def interrupted(photos, configs, out, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(module, "TerminalProgress", Presser)
        with pytest.raises(KeyboardInterrupt):
            compare(photos, configs, out, jobs=1, **AXES | {"quiet": False})


@pytest.fixture
def given(monkeypatch):
    """Return the stores that cells are trained with."""
    stores = []
    real = cell.fit
    monkeypatch.setattr(cell, "fit", lambda *a, **k: (stores.append(k["store"]), real(*a, **k)))
    return stores


def scores(study):
    return {path.stem: pd.read_parquet(path) for path in sorted((study / "scores").glob("*.parquet"))}


def test_cells_decode_each_photo_once_and_find_the_same(tmp_path, photos, quick, decoded, monkeypatch):
    def study(name, **flags):
        configs = {method: quick(method, steps=3, **flags) for method in ("baseline", "fscl")}
        return compare(photos, configs, tmp_path / name, jobs=1, **AXES)

    monkeypatch.setattr(cell, "cosine_matrices", lambda *_: None)  # which decodes the few photos that it shows
    stored = study("stored")
    assert set(decoded.values()) == {1}
    decoded.clear()
    plain = study("plain", store=False)
    assert max(decoded.values()) > 2
    assert not (stored / "store").exists()
    assert scores(stored).keys() == scores(plain).keys()
    for name, found in scores(stored).items():
        pd.testing.assert_frame_equal(found, scores(plain)[name], check_exact=True)


def test_processes_share_it(tmp_path, photos, quick):
    configs = {method: quick(method, steps=3) for method in ("baseline", "fscl")}
    at_once = compare(photos, configs, tmp_path / "at-once", jobs=2, **AXES)
    in_turn = compare(photos, configs, tmp_path / "in-turn", jobs=1, **AXES)
    for name, found in scores(at_once).items():
        pd.testing.assert_frame_equal(found, scores(in_turn)[name], check_exact=True)
    assert not (at_once / "store").exists()


def test_an_interrupted_comparison_goes_on_with_it(tmp_path, photos, quick, monkeypatch):
    configs = {method: quick(method, steps=3) for method in ("baseline", "fscl")}
    interrupted(photos, configs, tmp_path / "study", monkeypatch)
    [store] = (tmp_path / "study" / "store").iterdir()
    before = (store / "pixels.bin").stat()
    monkeypatch.setattr(module, "rmtree", lambda *_, **__: None)
    compare(photos, configs, tmp_path / "study", jobs=1, **AXES)
    assert [store] == list((tmp_path / "study" / "store").iterdir())
    assert (store / "pixels.bin").stat().st_ino == before.st_ino
    assert (store / "pixels.bin").stat().st_mtime_ns == before.st_mtime_ns


def test_one_cell_that_is_left_finds_changed_photos(tmp_path, class_folders, quick, monkeypatch, given):
    folder = copytree(class_folders, tmp_path / "photos")
    photos, configs, out = scan(folder), {"fscl": quick("fscl", steps=3)}, tmp_path / "study"
    interrupted(photos, configs, out, monkeypatch)
    [before] = (out / "store").iterdir()
    given.clear()
    for photo in folder.glob("boar/*.jpg"):
        os.utime(photo, ns=(1, 1))
    compare(photos, configs, out, jobs=1, **AXES | {"ratios": [0.25]})
    [store] = given
    assert store.folder != before


def test_a_store_that_is_left_is_not_used_where_none_is_wanted(tmp_path, photos, quick, monkeypatch, given):
    interrupted(photos, {"fscl": quick("fscl", steps=3)}, tmp_path / "study", monkeypatch)
    given.clear()
    compare(photos, {"fscl": quick("fscl", steps=3, store=False)}, tmp_path / "study", jobs=1, **AXES)
    assert given == [None, None]
    assert not (tmp_path / "study" / "store").exists()


def test_a_method_without_a_store_leaves_it_to_the_others(tmp_path, photos, quick, given):
    configs = {"baseline": quick("baseline", steps=3, store=False), "fscl": quick("fscl", steps=3)}
    compare(photos, configs, tmp_path / "study", jobs=1, **AXES)
    assert sorted(store is None for store in given) == [False, False, True, True]

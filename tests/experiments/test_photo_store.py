"""The store that the cells of a comparison share."""

from collections import Counter

import pandas as pd
import pytest

from fscl.experiments import cell
from fscl.experiments import run as module
from fscl.experiments.grid import Pair
from fscl.experiments.run import compare
from fscl.loading.loader import Regions
from fscl.training.progress import Silent

FINE = Pair("fine", ("boar", "deer"), ("deer",))
AXES = {"pairs": [FINE], "ratios": [1.0, 0.25], "seeds": [0], "quiet": True}


@pytest.fixture
def decoded(monkeypatch):
    """Return how often each photo was decoded in this process."""
    seen = Counter()
    read = Regions.read

    def counting(self, row, preprocessing):
        seen[self.paths[row]] += 1
        return read(self, row, preprocessing)

    monkeypatch.setattr(Regions, "read", counting)
    return seen


def scores(study):
    return {path.stem: pd.read_parquet(path) for path in sorted((study / "scores").glob("*.parquet"))}


def test_cells_decode_each_photo_once_and_find_the_same(tmp_path, photos, quick, decoded, monkeypatch):
    def study(name, **flags):
        configs = {method: quick(method, steps=3, **flags) for method in ("baseline", "fscl")}
        return compare(photos, configs, tmp_path / name, jobs=1, **AXES)

    monkeypatch.setattr(cell, "similarity", lambda *_: None)  # which decodes the few photos that it shows
    stored = study("stored")
    assert set(decoded.values()) == {1}
    decoded.clear()
    plain = study("plain", store=False)
    assert max(decoded.values()) > 2
    assert not (stored / "store").exists()
    assert scores(stored).keys() == scores(plain).keys()
    for name, found in scores(stored).items():
        pd.testing.assert_frame_equal(found, scores(plain)[name], check_exact=True)


@pytest.mark.slow
def test_processes_share_it(tmp_path, photos, quick):
    configs = {method: quick(method, steps=3) for method in ("baseline", "fscl")}
    at_once = compare(photos, configs, tmp_path / "at-once", jobs=2, **AXES)
    in_turn = compare(photos, configs, tmp_path / "in-turn", jobs=1, **AXES)
    for name, found in scores(at_once).items():
        pd.testing.assert_frame_equal(found, scores(in_turn)[name], check_exact=True)
    assert not (at_once / "store").exists()


def test_an_interrupted_comparison_goes_on_with_it(tmp_path, photos, quick, monkeypatch):
    class Presser(Silent):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def advance(self, step, steps, photos_per_second, terms):
            raise KeyboardInterrupt

    configs = {method: quick(method, steps=3) for method in ("baseline", "fscl")}
    with monkeypatch.context() as patched:
        patched.setattr(module, "TerminalProgress", lambda title: Presser())
        with pytest.raises(KeyboardInterrupt):
            compare(photos, configs, tmp_path / "study", jobs=1, **AXES | {"quiet": False})
    [store] = (tmp_path / "study" / "store").iterdir()
    before = (store / "pixels.bin").stat()
    monkeypatch.setattr(module, "rmtree", lambda *_, **__: None)
    compare(photos, configs, tmp_path / "study", jobs=1, **AXES)
    assert [store] == list((tmp_path / "study" / "store").iterdir())
    assert (store / "pixels.bin").stat().st_ino == before.st_ino
    assert (store / "pixels.bin").stat().st_mtime_ns == before.st_mtime_ns

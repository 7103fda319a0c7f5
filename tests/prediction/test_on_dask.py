"""Comparisons and predictions on workers of Dask: the same bytes as without, whatever happens to a worker."""

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fscl import cluster as cluster_module
from fscl.cluster import Cluster, connected
from fscl.errors import PhotosError
from fscl.experiments import on_dask, pool
from fscl.experiments.grid import ClassSet
from fscl.experiments.run import compare
from fscl.prediction import Wanted, computing, parts, predict_photos
from fscl.prediction import run as prediction_run

FINE = ClassSet("fine", ("boar", "deer"), ("deer",))
AXES = {"pairs": [FINE], "ratios": [1.0], "seeds": [0], "quiet": True}


@pytest.fixture(scope="module")
def dask():
    """Return a cluster of two processes, started once."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, memory_limit=None, dashboard_address="127.0.0.1:0"
    ) as started:
        yield started


@pytest.fixture
def address(dask):
    return dask.scheduler_address


@pytest.fixture(scope="module")
def local(tmp_path_factory, photos):
    """Return a study that was run here, and what makes it."""
    from fscl import methods
    from fscl.config import resolve, settings

    small = settings({"backbone": "test_resnet", "image_size": 32, "steps": 4, "batch_size": 16, "workers": 0})
    configs = {}
    for name in ("fscl", "frozen_logistic"):
        recipe = methods.read(name)
        recipe.get("model", {}).pop("weights", None)
        configs[name] = resolve([(name, recipe), ("test", small if name == "fscl" else small | {"training": {}})])
    return compare(photos, configs, tmp_path_factory.mktemp("local") / "study", jobs=1, **AXES), configs


def contents(study):
    """Return what cells leave, by file: without times and machines."""
    found = {}
    for path in sorted(path for part in ("cells", "scores", "runs") for path in (study / part).rglob("*")):
        if path.is_dir() or path.name in (".lock", "photos.json", "photos.parquet", "metrics.jsonl", "bundle.json"):
            continue
        found[path.relative_to(study).as_posix()] = path.read_bytes()
        if path.parent.name == "cells":
            record = json.loads(path.read_bytes())
            for name in ("created", "seconds", "photos_per_second", "commit"):
                record["provenance"].pop(name)
            found[path.relative_to(study).as_posix()] = record
    return found


@pytest.mark.parametrize("shared", [True, False], ids=["shared folder", "no shared folder"])
def test_the_cells_are_those_of_a_local_run(tmp_path, photos, local, address, monkeypatch, shared):
    study, configs = local
    if not shared:
        monkeypatch.setattr(Cluster, "ask", lambda *_: [True, False])  # one of two sees the study
    out = compare(photos, configs, tmp_path / "study", scheduler=address, **AXES)
    assert contents(out) == contents(study)
    assert len([name for name in contents(out) if name.startswith("cells/")]) == 2
    photos_of_cell = "runs/fine-fscl-r1-s0/photos.parquet"
    assert (out / photos_of_cell).stat().st_size == (study / photos_of_cell).stat().st_size


def test_ctrl_c_lets_running_cells_write_their_checkpoints(tmp_path, photos, quick, address, monkeypatch):
    class Presser(pool.TerminalProgress):
        def show(self, done, total, *figures, unit="step"):
            if unit == "step":
                raise KeyboardInterrupt

    monkeypatch.setattr(pool, "TerminalProgress", Presser)
    axes = AXES | {"quiet": False}
    with pytest.raises(KeyboardInterrupt):
        compare(photos, {"fscl": quick(steps=100_000)}, tmp_path / "s", scheduler=address, **axes)
    assert (tmp_path / "s/runs/fine-fscl-r1-s0/checkpoint.pt").exists()
    assert not list((tmp_path / "s/cells").glob("*.json"))


@pytest.mark.slow
def test_the_cells_of_a_killed_worker_are_run_again(tmp_path, photos, quick, dask):
    configs = {name: quick(name, steps=60, checkpoint_seconds=0.0) for name in ("baseline", "fscl")}
    out, line = tmp_path / "study", tmp_path / "study/runs/fine-fscl-r1-s0/metrics.jsonl"
    with ThreadPoolExecutor() as beside:
        ended = beside.submit(compare, photos, configs, out, scheduler=dask.scheduler_address, **AXES)
        deadline = time.monotonic() + 120
        while not line.exists() and time.monotonic() < deadline and not ended.done():
            time.sleep(0.05)
        os.kill(next(iter(dask.workers.values())).pid, signal.SIGKILL)
        ended.result(timeout=240)
    here = contents(compare(photos, configs, tmp_path / "alone", jobs=1, **AXES))
    there = contents(out)
    assert set(there) == set(here)
    for name, content in here.items():
        assert there[name] == content, name


def test_a_photo_that_a_worker_does_not_see_ends_the_comparison(tmp_path, photos, quick, address, monkeypatch):
    sizes_of = on_dask.sizes_of
    monkeypatch.setattr(on_dask, "sizes_of", lambda files: sizes_of(files) | {photos.photo("deer/gone.jpg"): 1})
    gone = photos.rows.assign(path=photos.rows["path"].replace("deer/000.jpg", "deer/gone.jpg"), bytes=None)
    seen_here = type(photos)(gone, photos.root)
    with pytest.raises(PhotosError, match=r"worker on .*: does not see .*deer/gone\.jpg, which .* sees; it must be"):
        compare(seen_here, {"fscl": quick()}, tmp_path / "s", scheduler=address, **AXES)


@pytest.fixture
def small_parts(monkeypatch):
    """Let a part be of a single batch, so that few photos make two."""
    monkeypatch.setattr(parts, "PART_REGIONS", 64)


def predicted(model, source, out, **how):
    predict_photos(model, source, out, Wanted(), features=out.with_suffix(".parquet"), **how)
    return out.read_bytes(), out.with_suffix(".parquet").read_bytes()


def test_predictions_are_those_of_a_local_run(tmp_path, model, shots, address, small_parts):
    here = predicted(model, shots, tmp_path / "here.json", workers=0)
    assert predicted(model, shots, tmp_path / "there.json", scheduler=address) == here


def dies_once(*words):
    marker = words[-1].folder / "died"  # in the folder of the program
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return computing._on_worker(*words)


@pytest.mark.slow
def test_the_parts_of_a_killed_worker_are_computed_again(tmp_path, model, shots, address, small_parts, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = predicted(model, shots, tmp_path / "here.json", workers=0)
    with monkeypatch.context() as patched:
        patched.setattr(computing, "_on_worker", dies_once)
        assert predicted(model, shots, tmp_path / "there.json", scheduler=address) == here
    assert (tmp_path / "died").exists()


def test_a_photo_that_a_worker_does_not_see_ends_the_prediction(tmp_path, model, shots, address, monkeypatch):
    monkeypatch.setattr(computing, "sizes_of", lambda files: dict.fromkeys(files, 1))
    with pytest.raises(PhotosError, match=r"worker on .*: does not see .*\.jpg, which .* sees"):
        predicted(model, shots, tmp_path / "there.json", scheduler=address)


@pytest.fixture
def refused(fscl, photos, tmp_path, monkeypatch):
    """Compare on a scheduler that cannot be used; return what is said."""
    monkeypatch.setattr(cluster_module, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(cluster_module, "WORKERS_SECONDS", 0.3)
    photos.write(tmp_path / "photos.parquet")

    def run(scheduler, *words):
        code, _, err = fscl(
            "compare", "photos.parquet", "--fine", "boar:deer", "--out", "s", "--scheduler", scheduler, *words
        )
        assert code == 2
        assert not (tmp_path / "s").exists()
        return err

    return run


def test_without_a_scheduler_that_is_said_at_once(refused, tmp_path):
    (tmp_path / "other.json").write_text("{}")
    assert "expected a Dask scheduler there, got no answer" in refused("tcp://127.0.0.1:1")
    assert "expected the file that `dask scheduler --scheduler-file` writes" in refused("other.json")
    for name in ("nonsense", "missing.json"):
        assert "expected local, an address such as tcp://host:8786, or a scheduler file" in refused(name)
    said = refused("tcp://127.0.0.1:1", "--jobs", "2")
    assert "--jobs 2: expected with --scheduler local, or without --scheduler, got --scheduler tcp://127" in said
    assert "leave --jobs out" in said


def test_without_workers_that_is_said(refused):
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0", protocol="tcp") as empty:
        said = refused(empty.scheduler_address)
    assert "has no worker yet: waiting" in said
    assert "expected workers, got none within 0 s" in said


@pytest.mark.parametrize("package", ["torch", "python"])
def test_workers_of_other_versions_are_refused(refused, address, monkeypatch, package):
    own = cluster_module.own_versions()
    assert own["python"] == "{}.{}".format(*sys.version_info)
    monkeypatch.setattr(cluster_module, "own_versions", lambda: own | {package: "9.9"})
    said = refused(address)
    assert f"expected the versions of this program, got {package} 9.9 here, {own[package]} there" in said


def test_an_adaptive_cluster_starts_with_the_first_task(monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(cluster_module, "WORKERS_SECONDS", 20.0)
    said = []
    with LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0", protocol="tcp") as empty:
        empty.adapt(minimum=0, maximum=1, interval="100ms")
        with connected(empty.scheduler_address, say=said.append) as cluster:
            assert cluster.executor.submit(pow, 2, 3).result(timeout=20) == 8
    assert "has no worker yet: waiting" in said[0]


def test_where_nothing_is_missing_no_scheduler_is_asked(tmp_path, photos, local, model, shots, monkeypatch):
    study, configs = local
    compare(photos, configs, study, scheduler="tcp://127.0.0.1:1", **AXES)
    with monkeypatch.context() as patched:
        patched.setattr(prediction_run, "_replacing", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predicted(model, shots, tmp_path / "p.json", workers=0)
    predicted(model, shots, tmp_path / "p.json", scheduler="tcp://127.0.0.1:1")


def interrupted(*_):
    raise KeyboardInterrupt


def test_without_dask_its_extra_is_named(refused, monkeypatch):
    monkeypatch.setattr(cluster_module, "find_spec", lambda _: None)
    assert "--scheduler takes Dask, which is not installed: pip install 'fscl[dask]'" in refused("local")

"""Within a worker of Dask: its share of the machine, what it sees, and what is wanted no more."""

import asyncio
import time
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest
import torch

from fscl import dask_worker, runtime
from fscl.cluster import AT_ONCE, Cluster, connected
from fscl.dask_worker import Origin, Teller, as_task, check_seen, sizes_of, until_idle
from fscl.errors import PhotosError

HERE = Origin("here", None, (), "fscl-here")


@pytest.fixture
def cluster():
    """Return a cluster of two workers in this process."""
    from distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0", protocol="tcp"
        ) as started,
        connected(started.scheduler_address, say=print) as connection,
    ):
        yield connection


def share(origin, number):
    """Return the threads of a task, or the error that it ends with."""
    try:
        with as_task(origin):
            return torch.get_num_threads()
    except CancelledError:
        return "cancelled"


def test_workers_share_the_cores_and_accelerators_of_a_machine(cluster, monkeypatch):
    """Each sees one where CUDA_VISIBLE_DEVICES says so; where it sees all, it takes that of its number."""
    taken = []
    monkeypatch.setattr(runtime, "cores", lambda: 8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    workers = list(cluster.client.scheduler_info()["workers"])
    submit = cluster.client.submit
    assert submit(share, cluster.origin, 0, workers=workers[0], pure=False).result() == 4
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for worker in workers:
        assert submit(share, cluster.origin, 1, workers=worker, pure=False).result() == 4
    assert taken[0] == 0
    assert sorted(taken[1:]) == [0, 1]


def test_a_task_that_is_wanted_no_more_is_not_begun(cluster, monkeypatch):
    monkeypatch.setattr(Teller, "is_over", lambda _: True)
    assert cluster.executor.submit(share, cluster.origin, 0).result() == "cancelled"
    assert dask_worker._at_work is None


@pytest.mark.parametrize(("workers", "at_once"), [(0, AT_ONCE), (AT_ONCE, 2 * AT_ONCE)])
def test_each_worker_has_its_next_task(workers, at_once):
    client = SimpleNamespace(
        scheduler_info=lambda n_workers: {"workers": dict.fromkeys(range(workers))},
        subscribe_topic=lambda *_: None,
    )
    assert Cluster(client, "it").at_once == at_once


def test_only_the_tasks_of_the_program_are_waited_for(monkeypatch):
    """By the clock of the worker: that of another machine may differ by any time."""
    monkeypatch.setattr(dask_worker, "_at_work", HERE._replace(topic="fscl-other"))
    start = time.monotonic()
    asyncio.run(until_idle(HERE, 60.0))
    monkeypatch.setattr(dask_worker, "_at_work", HERE)
    clocks = SimpleNamespace(monotonic=time.monotonic, time=lambda: 1e12)
    monkeypatch.setattr(dask_worker, "time", clocks)
    asyncio.run(until_idle(HERE, 0.5))
    assert 0.5 <= time.monotonic() - start < 10


def test_a_worker_must_see_what_the_program_sees_and_the_same(tmp_path):
    seen, absent = tmp_path / "seen.jpg", tmp_path / "absent.jpg"
    seen.write_bytes(b"photo")
    sizes = sizes_of([seen, absent, seen])
    assert sizes == {seen: 5}, "what the program does not see, either, is no reason to end"
    check_seen(sizes, HERE)
    for wrong in ({seen: 6}, sizes | {absent: 1}):
        with pytest.raises(
            PhotosError, match=r"worker on .*: does not see .*\.jpg, which here sees; it must be there"
        ):
            check_seen(wrong, HERE)

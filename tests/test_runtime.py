"""Where a run computes."""

import os
import platform

import pytest
import torch

from fscl.runtime import Runtime, cores, machine


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no process to cores")
def test_only_the_cores_lent_to_this_process_count(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7})
    assert cores() == machine()["cores"] == 3


def test_all_cores_count_where_no_process_is_bound(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to keep memory")
@pytest.mark.skipif(torch.cuda.is_available(), reason="steps on an accelerator have their memory there")
def test_memory_of_a_step_is_kept_for_the_next():
    import resource

    def pages_of_a_step() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.zeros(48 * 2**20, dtype=torch.uint8)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    Runtime.start(0)
    pages_of_a_step()
    assert pages_of_a_step() < 48 * 2**20 / resource.getpagesize()  # of ten times as many

"""Which batches a run takes, and from where."""

import pytest
import torch

from fscl.loading.device import DevicePhotos
from fscl.loading.store import PhotoStore
from fscl.runtime import Runtime
from fscl.training.plan import Plan
from fscl.training.start import untrained
from fscl.training.subset import subset


@pytest.fixture
def plan(photos, quick):
    config, runtime = quick(), Runtime.start(0)
    chosen = subset(photos, config)
    return Plan(config, untrained(config, chosen, runtime), chosen, runtime)


@pytest.mark.parametrize("on_device", [False, True])
def test_a_store_gives_the_same_batches_and_leaves_the_plan_as_it_was(plan, tmp_path, monkeypatch, on_device):
    decoded = list(plan.batches(2))
    before = plan.train, plan.validation
    store = PhotoStore.build(plan.train, plan.preprocessing, tmp_path / "store")
    monkeypatch.setattr(DevicePhotos, "possible", lambda photos, device: on_device)
    stored = list(plan.batches(2, store))
    assert (plan.train, plan.validation) == before
    assert [step.number for step in stored] == [step.number for step in decoded] == [3, 4, 5, 6]
    for one, other in zip(decoded, stored, strict=True):
        assert one.batch.rows == other.batch.rows
        assert torch.equal(one.batch.photos, other.batch.photos)

"""All that learns is in one module, which DistributedDataParallel can wrap."""

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from fscl.config import resolve
from fscl.runtime import Runtime
from fscl.training.model_with_losses import ModelWithLosses
from fscl.training.optimization import Optimization
from fscl.training.plan import Plan
from fscl.training.start import untrained
from fscl.training.subset import subset

BALANCED = {"loss": [{"name": "cross_entropy"}, {"name": "balanced_supcon", "weight": 0.5}], "views": 2}
CONTRASTIVE = {"loss": [{"name": "cross_entropy"}, {"name": "supcon"}], "views": 2}


@pytest.fixture
def made(photos):
    """Return a maker of the plan and the optimization of stages; the weights are the same for each call."""

    def make(*stages, runtime=None):
        method = {"name": "own", "title": "own", "summary": "", "source": ""}
        config = resolve(
            [
                (
                    "test",
                    {
                        "method": method,
                        "stage": list(stages),
                        "model": {"backbone": "test_resnet"},
                        "preprocessing": {"image_size": 32},
                        "training": {"batch_size": 16, "workers": 0, "steps": 6},
                    },
                )
            ]
        )
        chosen, runtime = subset(photos, config), runtime or Runtime.start(0)
        bundle = untrained(config, chosen, runtime)
        plan = Plan(config, bundle, chosen, runtime)
        return plan, Optimization(bundle, config, plan, runtime)

    return make


@pytest.fixture
def one_process():
    """Make this process a group of its own."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def identities(parameters):
    return {id(parameter) for parameter in parameters}


def test_all_that_learns_is_in_the_module_and_in_the_optimizer(made):
    plan, optimization = made(BALANCED, CONTRASTIVE)
    first, second = (list(stage.objective.parameters()) for stage in plan.stages)
    assert (len(first), len(second)) == (7, 4), "a projection with normalisation and class centres; one without"
    everything = identities([*optimization.classifier.parameters(), *first, *second])
    assert identities(optimization.model.parameters()) == everything
    [group] = optimization.optimizer.param_groups
    assert identities(group["params"]) == everything


def gradients(model, batches, **options):
    for batch in batches:
        model.zero_grad(set_to_none=True)
        model(batch.photos, batch.labels, **options).total.backward()
    return {name.removeprefix("module."): weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize("stage", [BALANCED, CONTRASTIVE], ids=["balanced_supcon", "supcon"])
def test_wrapped_for_several_processes_it_has_the_gradients_of_the_module(made, one_process, stage):
    plan, plain = made(stage)
    batches = [step.batch for step in plan.batches(start=0)][:2]
    _, other = made(stage)
    wrapped, averaged = DistributedDataParallel(other.model), set()

    def average(_, bucket):
        averaged.update(identities(bucket.parameters()))
        done = torch.futures.Future()
        done.set_result(bucket.buffer())  # of one process: the mean is its own gradient
        return done

    wrapped.register_comm_hook(None, average)
    alone, together = gradients(plain.model, batches), gradients(wrapped, batches)
    assert together.keys() == alone.keys()
    for name, gradient in alone.items():
        assert torch.equal(together[name], gradient), name
    projected = [name for name in alone if "projection" in name]
    assert projected
    assert all(alone[name].abs().max() > 0 for name in projected)
    assert averaged == identities(other.model.parameters())


def test_a_step_uses_the_losses_of_its_stage_alone(made, one_process):
    plan, optimization = made(CONTRASTIVE, {"loss": [{"name": "cross_entropy"}]})
    batch = next(plan.batches(start=0)).batch
    wrapped = DistributedDataParallel(optimization.model, find_unused_parameters=True)
    for stage in (0, 1, 0):
        value = wrapped(batch.photos, batch.labels, stage=stage)
        value.total.backward()
        assert ("supcon" in value.parts) == (stage == 0)
    assert isinstance(wrapped.module, ModelWithLosses)


def test_each_process_takes_its_share_of_every_batch(made):
    def rows(**place):
        plan, _ = made({"loss": [{"name": "cross_entropy"}]}, runtime=Runtime(torch.device("cpu"), 0, **place))
        return [step.batch.rows for step in plan.batches(start=0)]

    whole, shares = rows(), [rows(rank=rank, world_size=2) for rank in (0, 1)]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert first == batch[0::2]
        assert second == batch[1::2]


def test_the_place_of_this_process_is_known(one_process, monkeypatch):
    runtime = Runtime.start(0)
    assert (runtime.rank, runtime.world_size) == (0, 1)
    monkeypatch.setattr(dist, "get_rank", lambda: 3)
    monkeypatch.setattr(dist, "get_world_size", lambda: 4)
    runtime = Runtime.start(0)
    assert (runtime.rank, runtime.world_size) == (3, 4)

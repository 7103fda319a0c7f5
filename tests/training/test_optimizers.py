"""Optimizers, schedules of the learning rate and when photos are mixed, as recipes and configurations say."""

import os
import signal
import tomllib
from itertools import pairwise

import pytest
import torch

from fscl.bundle import Bundle
from fscl.config import Optimizer, Schedule, resolve
from fscl.errors import ConfigurationError
from fscl.progress import Silent
from fscl.records.log_lines import read_metrics
from fscl.runtime import Runtime
from fscl.training.loop import fit
from fscl.training.plan import Plan
from fscl.training.start import untrained
from fscl.training.subset import subset


def with_training(config, **changed):
    return config.model_copy(update={"training": config.training.model_copy(update=changed)})


def weights(run):
    return Bundle.open(run).classifier.state_dict()


def plan_of(config, photos):
    chosen, runtime = subset(photos, config), Runtime.start(0)
    return Plan(config, untrained(config, chosen, runtime), chosen, runtime)


@pytest.mark.parametrize(
    ("optimizer", "make"),
    [
        ({"name": "sgd", "momentum": 0.8, "nesterov": True}, torch.optim.SGD),
        ({"name": "sgd"}, torch.optim.SGD),
        ({"name": "adamw"}, torch.optim.AdamW),
        ({"name": "adam"}, torch.optim.Adam),
    ],
)
def test_the_optimizer_is_the_one_that_is_named(tmp_path, photos, quick, optimizer, make):
    """One step against a loop of its own: gradient from the recorded start, weights from torch's own optimizer."""
    config = with_training(quick("baseline", steps=1, weight_decay=0.01), optimizer=Optimizer(**optimizer))
    plan = plan_of(config, photos)
    step = next(plan.batches(start=0))
    classifier = untrained(config, subset(photos, config), Runtime.start(0)).classifier.train()
    options = {key: value for key, value in optimizer.items() if key != "name"}
    options |= {"momentum": 0.9} if optimizer == {"name": "sgd"} else {}
    theirs = make(classifier.parameters(), lr=1e-3, weight_decay=0.01, **options)
    images, labels = step.batch.on(torch.device("cpu"))
    torch.nn.functional.cross_entropy(classifier(images).logits, labels).backward()
    theirs.step()
    adaptive = optimizer["name"] != "sgd"  # a gradient of nearly 0 has either sign, and Adam takes a whole step
    for name, weight in weights(fit(config, photos, tmp_path / "run")).items():
        apart = (weight - classifier.state_dict()[name]).abs() > 1e-6
        assert apart.float().mean() < (0.07 if adaptive else 1e-9), name


def test_a_killed_run_with_momentum_goes_on_to_the_same_bits(tmp_path, photos, quick):
    class Stopping(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            if step == 3:
                os.kill(os.getpid(), signal.SIGINT)

    config = with_training(quick(), optimizer=Optimizer(name="sgd"), schedule=Schedule(name="step", warmup=0.3))
    whole = weights(fit(config, photos, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        fit(config, photos, tmp_path / "broken", listener=Stopping())
    resumed = weights(fit(config, photos, tmp_path / "broken", resume=True))
    assert all(torch.equal(resumed[name], weight) for name, weight in whole.items())


def test_the_step_schedule_is_that_of_ldam(photos, quick):
    """Its code: lr · epoch / 5 in the first five of 200 epochs, · .01 from the 161st, · .0001 from the 181st."""
    config = quick("baseline", steps=None, epochs=200)
    ldam = Schedule(name="step", warmup=0.025, at=(0.8, 0.9), factor=0.01)
    plan = plan_of(with_training(config, schedule=ldam), photos)
    factors = [plan.learning_rate_factor(done) for done in range(plan.steps)]
    per_epoch = plan.batches_per_epoch
    for epoch, expected in {5: 1, 100: 1, 159: 1, 160: 0.01, 179: 0.01, 180: 0.0001, 199: 0.0001}.items():
        assert factors[epoch * per_epoch] == pytest.approx(expected)
    climb = factors[: 5 * per_epoch]
    assert all(b - a == pytest.approx(1 / (5 * per_epoch)) for a, b in pairwise(climb))
    assert climb[-1] == pytest.approx(1)
    assert climb[0] > 0


def test_by_default_the_learning_rate_falls_along_a_cosine(photos, quick):
    plan = plan_of(quick("baseline", steps=8), photos)
    assert [plan.learning_rate_factor(done) for done in (0, 4, 8)] == pytest.approx([1, 0.5, 0])
    constant = plan_of(with_training(quick("baseline", steps=8), schedule=Schedule(name="constant")), photos)
    assert {constant.learning_rate_factor(done) for done in range(9)} == {1.0}


def test_the_learning_rate_of_the_log_is_the_schedules(tmp_path, photos, quick):
    config = with_training(quick("baseline", steps=6), schedule=Schedule(name="step", at=(0.5,), factor=0.1))
    run = fit(config, photos, tmp_path / "run")
    rates = [row["learning_rate"] for row in read_metrics(run / "metrics.jsonl") if "learning_rate" in row]
    assert rates == pytest.approx([1e-3] * 3 + [1e-4] * 3)


def test_photos_are_mixed_between_start_and_stop_of_the_stage(photos, quick):
    recipe = quick("cmo", steps=10).model_dump(mode="json", exclude_none=True)
    recipe["stage"][0]["mixing"] |= {"start": 0.2, "stop": 0.7, "options": {"probability": 1.0}}
    plan = plan_of(resolve([("test", recipe)]), photos)
    soft = [step.mixed(torch.device("cpu"), 0)[1].is_floating_point() for step in plan.batches(start=0)]
    assert soft == [False] * 2 + [True] * 5 + [False] * 3


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"optimizer": {"name": "adma"}}, r"training.optimizer.name.*'adam', 'adamw' or 'sgd'"),
        ({"optimizer": {"name": "adam", "momentum": 0.9}}, "momentum and nesterov are options of sgd, not of adam"),
        ({"optimizer": {"name": "sgd", "momentum": 0.0, "nesterov": True}}, "nesterov needs a momentum > 0"),
        ({"schedule": {"name": "step", "at": [1.5]}}, r"training.schedule.at"),
        ({"schedule": {"warm_up": 0.1}}, "unknown key 'training.schedule.warm_up'; did you mean 'warmup'"),
    ],
)
def test_settings_that_do_not_fit(training, message, quick):
    recipe = quick().model_dump(mode="json", exclude_none=True)
    recipe["training"] |= training
    with pytest.raises(ConfigurationError, match=message):
        resolve([("test", recipe)])


def test_a_configuration_is_written_and_read_with_them(quick):
    recipe = quick().model_dump(mode="json", exclude_none=True)
    changed = {"optimizer": {"name": "sgd"}, "schedule": {"name": "step", "at": [0.5]}}
    config = resolve([("test", recipe), ("more", {"training": changed})])
    assert (config.training.optimizer, config.training.schedule) == (
        Optimizer(name="sgd"),
        Schedule(name="step", at=(0.5,)),
    )
    assert resolve([("again", tomllib.loads(config.toml()))]) == config

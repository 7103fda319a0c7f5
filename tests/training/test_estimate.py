"""The time of a run, told before its first step."""

from copy import deepcopy

import pytest
import torch

from fscl.progress import NotesOnce, Silent, TerminalProgress
from fscl.runtime import Runtime
from fscl.training import estimate as module
from fscl.training.estimate import estimate
from fscl.training.loop import fit
from fscl.training.plan import Plan
from fscl.training.start import untrained
from fscl.training.subset import subset


@pytest.fixture
def estimated(quick, photos, monkeypatch):
    """Return a maker of estimates of a run that takes so many seconds, of batches of 16."""

    def make(seconds, method="fscl", **flags):
        config = quick(method, steps=100, **flags)
        chosen, runtime = subset(photos, config), Runtime.start()
        bundle = untrained(config, chosen, runtime)
        batch = config.training.batch_size
        monkeypatch.setattr(module, "_photo_seconds", lambda *_: seconds / 100 / batch)
        return estimate(config, bundle, Plan(config, bundle, chosen, runtime))

    return make


def test_a_short_run_is_not_worth_a_line_and_a_long_one_names_the_alternative(estimated):
    assert estimated(50) is None
    told = estimated(1200)
    assert told.startswith("about 20 min on this CPU: 100 steps of 16 photos. Shorter: --steps 10 takes about 2 min")
    assert "--method" not in told
    assert "--image-size" not in told, "32 px are few already"
    told = estimated(7200, image_size=128)
    assert "about 2 h 0 min on this CPU: 100 steps of 16 photos, more than an hour" in told
    assert "--image-size 64 about 30 min" in told
    assert "without --method, a model on pretrained features takes minutes" in told


def test_steps_on_features_are_not_estimated(estimated):
    assert estimated(7200, "fscl_plus") is None
    assert estimated(7200, "frozen_logistic") is None


def test_two_views_of_a_photo_count_twice(estimated):
    assert estimated(600, "supcon").startswith("about 20 min")


def test_measuring_leaves_no_trace(quick, photos):
    config = quick()
    chosen, runtime = subset(photos, config), Runtime.start()
    bundle = untrained(config, chosen, runtime)
    before, drawn = deepcopy(bundle.classifier.state_dict()), torch.get_rng_state()
    assert module._photo_seconds(bundle, 32) > 0
    assert torch.equal(drawn, torch.get_rng_state())
    after = bundle.classifier.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in bundle.classifier.parameters())


def test_a_terminal_measures_before_the_first_step_and_a_cell_of_a_comparison_does_not(
    quick, photos, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(module, "_photo_seconds", lambda *_: 3600.0)
    with TerminalProgress("FSCL → r") as listener:
        fit(quick(), photos, tmp_path / "r", listener=listener)
    assert "FSCL → r: about" in capsys.readouterr().err

    def never(*_):
        raise AssertionError("measured")

    monkeypatch.setattr(module, "_photo_seconds", never)
    fit(quick(), photos, tmp_path / "s", listener=NotesOnce(Silent(), set()))

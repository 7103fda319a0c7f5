"""Fine-tuning: rates by depth, last stages first, weights averaged over steps; against sums by hand."""

import os
import signal

import pytest
import timm
import torch
from torch import nn

from fscl import methods
from fscl.bundle import Bundle
from fscl.config import resolve
from fscl.errors import ConfigurationError
from fscl.models import Classifier
from fscl.models.depth import depths
from fscl.progress import Silent
from fscl.runtime import Runtime
from fscl.training.loop import fit
from fscl.training.optimization import Optimization
from fscl.training.plan import Plan
from fscl.training.start import untrained
from fscl.training.subset import subset

CROSS_ENTROPY = {"loss": [{"name": "cross_entropy"}]}
HEAD = {**CROSS_ENTROPY, "trainable": ["head"]}
LAST = {**CROSS_ENTROPY, "unfreeze": 2, "schedule": "restart"}
DEPTHS = {"fc": 0, "layer4": 1, "layer3": 2, "layer2": 3, "layer1": 4, "conv1": 5, "bn1": 5}


def recipe(*stages, **training):
    """Return a recipe with the given stages, 32 px and the small backbone, whose stages are act1, layer1 … layer4."""
    method = {"name": "tuned", "title": "tuned", "summary": "", "source": ""}
    usual = {"batch_size": 16, "workers": 0, "steps": 6, "checkpoint_seconds": 1000.0}
    model = {"backbone": "test_resnet"}
    whole = {"method": method, "stage": list(stages), "model": model, "preprocessing": {"image_size": 32}}
    return resolve([("test", {**whole, "training": usual | training})])


def prepared(config, photos):
    """Return plan and optimization of a run that has not begun."""
    chosen, runtime = subset(photos, config), Runtime.start(0)
    bundle = untrained(config, chosen, runtime)
    plan = Plan(config, bundle, chosen, runtime)
    return plan, Optimization(bundle, config, plan, runtime)


def weights(run):
    return Bundle.open(run).classifier.state_dict()


def copied(module):
    return {name: weight.clone() for name, weight in module.state_dict().items()}


@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0", "convnext_atto", "vit_tiny_patch16_224"])
def test_stages_are_counted_from_the_head(backbone):
    model = timm.create_model(backbone, num_classes=2)
    taps, found = [stage["module"] for stage in model.feature_info], depths(model)
    assert [found[tap] for tap in taps] == list(range(len(taps), 0, -1))
    assert found[model.pretrained_cfg["classifier"]] == 0
    in_order = [found[name.rpartition(".")[0]] for name, _ in model.named_parameters() if "." in name]
    assert in_order == sorted(in_order, reverse=True)
    assert found[""] == len(taps)


def test_what_comes_between_two_stages_belongs_to_the_later_one():
    found = depths(timm.create_model("tf_efficientnet_lite0", num_classes=2))
    expected = {"conv_stem": 5, "blocks.0": 5, "blocks.1": 4, "blocks.3.0": 2, "blocks.4": 2, "blocks.5.1": 1}
    expected |= {"blocks.6": 1, "conv_head": 1, "bn2": 1, "classifier": 0}
    assert {name: found[name] for name in expected} == expected
    ours = depths(Classifier("cifar_resnet32", 2, layers=(-1,)).backbone)
    assert [ours[name] for name in ("conv1", "layer1.0", "layer2", "layer3.4.bn2", "fc")] == [3, 3, 2, 1, 0]


def test_each_stage_away_from_the_head_learns_by_the_factor_slower(photos):
    """One step of plain gradient descent by hand: w − rate · decay^depth · gradient."""
    sgd = {"name": "sgd", "momentum": 0.0}
    config = recipe(CROSS_ENTROPY, depth_decay=0.5, learning_rate=0.01, weight_decay=0, optimizer=sgd)
    plan, optimization = prepared(config, photos)
    before = copied(optimization.classifier)
    step = next(plan.batches(0))
    optimization.step(step)
    gradients = {name: weight.grad for name, weight in optimization.classifier.named_parameters()}
    after = optimization.classifier.state_dict()
    moved = set()
    for name, gradient in gradients.items():
        depth = DEPTHS[name.split(".")[1]]
        assert torch.allclose(after[name], before[name] - 0.01 * 0.5**depth * gradient, rtol=0, atol=1e-7), name
        moved |= {depth} if gradient.abs().max() > 1e-3 else set()
    assert moved == {0, 1, 2, 3, 4, 5}
    assert optimization.learning_rate == 0.01, "which is said, is the head's"


def test_rates_by_depth_go_as_the_schedule_says(photos):
    plan, optimization = prepared(recipe(CROSS_ENTROPY, depth_decay=0.5, learning_rate=0.01), photos)
    places = {id(parameter): name for name, parameter in optimization.model.named_parameters()}
    for done, step in enumerate(plan.batches(0)):
        rates = {
            places[id(parameter)]: group["lr"]
            for group in optimization.optimizer.param_groups
            for parameter in group["params"]
        }
        assert len(rates) == len(places)
        for name, rate in rates.items():
            depth = DEPTHS[name.removeprefix("classifier.backbone.").split(".")[0]]
            assert rate == pytest.approx(0.01 * 0.5**depth * plan.learning_rate_factor(done)), (done, name)
        optimization.step(step)


def test_projections_of_losses_learn_at_the_heads_rate(photos):
    stage = {"loss": [{"name": "cross_entropy"}, {"name": "supcon"}]}
    _, optimization = prepared(recipe(stage, depth_decay=0.1), photos)
    head, *_ = optimization.optimizer.param_groups
    own = list(optimization.model.objectives.parameters())
    assert own
    assert {id(p) for p in own} < {id(p) for p in head["params"]}
    assert head["lr"] == 1e-3


def test_without_a_decay_by_depth_there_is_one_group(photos):
    _, optimization = prepared(recipe(CROSS_ENTROPY), photos)
    assert len(optimization.optimizer.param_groups) == 1


def by_hand(decay, later):
    """Return the average of weights after each step: the first ones, then as much of the new as the decay leaves."""
    first, *others = later
    average = {name: weight.double() for name, weight in first.items()}
    for done, now in enumerate(others, start=1):
        kept = min(decay, (1 + done) / (10 + done))
        average = {name: kept * weight + (1 - kept) * now[name].double() for name, weight in average.items()}
    return average


def test_the_average_is_the_one_by_hand_and_begins_anew_with_a_stage(photos):
    config = recipe(CROSS_ENTROPY, LAST, average=0.3, steps=12)
    plan, optimization = prepared(config, photos)
    seen = {0: [], 1: []}
    for step in plan.batches(0):
        optimization.step(step)
        seen[step.stage.number].append(copied(optimization.classifier))
        expected = by_hand(0.3, seen[step.stage.number])
        found = optimization.bundle.classifier.state_dict()
        for name, weight in found.items():
            if weight.is_floating_point():
                assert torch.allclose(weight.double(), expected[name], rtol=1e-5, atol=1e-6), (step.number, name)
            else:
                assert torch.equal(weight, seen[step.stage.number][-1][name]), name
    name = "backbone.fc.weight"
    assert not torch.equal(optimization.bundle.classifier.state_dict()[name], seen[1][-1][name])


def test_the_bundle_keeps_the_average_and_validation_sees_it(tmp_path, photos):
    config = recipe(CROSS_ENTROPY, average=0.9)
    plan, optimization = prepared(config, photos)
    for step in plan.batches(0):
        optimization.step(step)
    run = fit(config, photos, tmp_path / "run")
    kept, expected = weights(run), optimization.bundle.classifier.state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in expected.items())
    assert not torch.equal(kept["backbone.fc.weight"], optimization.classifier.state_dict()["backbone.fc.weight"])
    assert not optimization.bundle.classifier.training


def test_a_correction_is_of_the_averaged_head(photos):
    config = recipe(CROSS_ENTROPY, HEAD, average=0.9).model_copy(update={"posthoc": None})
    corrected = resolve([("test", config.record()), ("more", {"posthoc": {"name": "tau_normalisation"}})])
    plan, optimization = prepared(corrected, photos)
    for step in plan.batches(0):
        optimization.step(step)
    head = optimization.bundle.classifier.head.weight.detach().clone()
    expected = head / head.norm(dim=1, keepdim=True)
    bundle = optimization.corrected()
    assert torch.allclose(bundle.classifier.head.weight, expected)
    assert bundle.classifier.head.bias.abs().max() == 0


def test_frozen_stages_do_not_move_by_a_bit(tmp_path, photos):
    """Their running statistics neither, though norm_statistics of the others follow the batches."""
    start = untrained(recipe(LAST), subset(photos, recipe(LAST)), Runtime.start(0)).classifier
    before, after = start.state_dict(), weights(fit(recipe(LAST), photos, tmp_path / "run"))
    moved = {name.removeprefix("backbone.") for name in before if not torch.equal(before[name], after[name])}
    last = {name for name in start.backbone.state_dict() if name.startswith(("layer3.", "layer4.", "fc."))}
    assert moved == last


def test_a_stage_frozen_after_it_learned_stays_where_it_was(tmp_path, photos):
    first = weights(fit(recipe(CROSS_ENTROPY, steps=3), photos, tmp_path / "first"))
    config = recipe(CROSS_ENTROPY, LAST | {"schedule": "restart"})
    after = weights(fit(config, photos, tmp_path / "run"))
    short = recipe(CROSS_ENTROPY, CROSS_ENTROPY | {"schedule": "restart"})
    whole = weights(fit(short, photos, tmp_path / "whole"))
    for name, weight in first.items():
        frozen = not name.startswith(("backbone.layer3.", "backbone.layer4.", "backbone.fc."))
        assert torch.equal(weight, after[name]) == frozen, name
        assert not torch.equal(weight, whole[name]), name


def test_frozen_stages_compute_as_in_evaluation():
    model = Classifier("test_resnet", num_classes=2)
    model.train_only(("backbone", "head", "norm_statistics"), unfreeze=1)
    for _ in range(2):  # `train` says the same again after an evaluation
        for name, module in model.backbone.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.training == name.startswith("layer4"), name
        assert model.backbone.training
        assert model.head.training
        assert {n for n, p in model.backbone.named_parameters() if p.requires_grad} == {
            n for n, _ in model.backbone.named_parameters() if n.startswith(("layer4", "fc"))
        }
        model.eval().train()
    model.train_only(("backbone", "head", "norm_statistics"))
    assert all(p.requires_grad for p in model.parameters())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("at", [2, 5, 8])
def test_interrupted_and_resumed_ends_with_the_same_bits(tmp_path, photos, at):
    class Presser(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            if step == at:
                os.kill(os.getpid(), signal.SIGINT)

    statistics = {"trainable": ["backbone", "head"]}
    config = recipe(HEAD, LAST | statistics, average=0.8, depth_decay=0.3, steps=10)
    whole = fit(config, photos, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(config, photos, tmp_path / "broken", listener=Presser())
    resumed = fit(config, photos, tmp_path / "broken", resume=True)
    one, other = weights(whole), weights(resumed)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_more_stages_than_there_are(photos):
    with pytest.raises(ConfigurationError, match=r"unfreeze must be 1 … 5, the stages of backbone .*, got 6"):
        prepared(recipe(LAST | {"unfreeze": 6}), photos)
    prepared(recipe(LAST | {"unfreeze": 5}), photos)


def test_unfreezing_without_the_backbone():
    with pytest.raises(ConfigurationError, match=r"unfreeze = 2 lets .* add 'backbone', or leave unfreeze out"):
        recipe(HEAD | {"unfreeze": 2})


def test_a_loss_of_frozen_features(photos):
    both = {"loss": [{"name": "cross_entropy"}, {"name": "feature_similarity"}], "unfreeze": 1}
    prepared(recipe(both), photos)
    early = recipe(both).model_copy(update={"model": recipe(both).model.model_copy(update={"layers": (0, 1)})})
    with pytest.raises(ConfigurationError, match=r"'feature_similarity' shapes features of stages that are frozen"):
        prepared(early, photos)


def test_the_shipped_recipe_tunes_the_last_stages_of_published_weights():
    tuned = resolve([("fine_tune", methods.read("fine_tune"))])
    assert tuned.model.backbone == "tf_efficientnet_lite0"
    head, last = tuned.stage
    assert head.trainable == ("head",)
    assert (last.trainable, last.unfreeze) == (("backbone", "head"), 2)
    assert tuned.training.depth_decay < 1
    assert tuned.training.average is not None

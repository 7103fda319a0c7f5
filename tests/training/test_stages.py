"""Recipes of several stages: what each of them may move, and where it begins."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest
import torch

import fscl
from fscl import methods
from fscl.bundle import Bundle
from fscl.config import resolve
from fscl.errors import ConfigurationError
from fscl.losses import CrossEntropyLoss
from fscl.models.heads import BRANCH_PHOTOS
from fscl.progress import Silent
from fscl.records.log_lines import read_metrics
from fscl.runtime import Runtime
from fscl.training.loop import fit
from fscl.training.plan import Plan
from fscl.training.subset import subset

PLAIN = {"loss": [{"name": "cross_entropy"}]}
RETRAINED_HEAD = {
    **PLAIN,
    "sampler": {"name": "oversampling"},
    "trainable": ["head"],
    "head": "fresh",
    "schedule": "restart",
}


def recipe(*stages, **settings):
    """Return a recipe with the given stages, 32 px and a small backbone."""
    method = {"name": "staged", "title": "staged", "summary": "", "source": ""}
    training = {"keep": "last", "batch_size": 16, "workers": 0, "steps": 8, "checkpoint_seconds": 1000.0}
    model = {"backbone": "test_resnet", **settings.pop("model", {})}
    whole = {"method": method, "stage": list(stages), "model": model, "preprocessing": {"image_size": 32}}
    changed = settings.pop("training", {})
    training = training | changed if isinstance(changed, dict) else changed
    return resolve([("test", {**whole, "training": training, **settings})])


def weights(run):
    return Bundle.open(run).classifier.state_dict()


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.fixture
def first_stage(tmp_path, photos):
    """Return the weights after the first half of a run whose second half restarts the learning rate."""
    return weights(fit(recipe(PLAIN, training={"steps": 4}), photos, tmp_path / "first"))


def test_a_retrained_head_leaves_the_backbone_as_it_was_to_the_bit(tmp_path, photos, first_stage):
    after = weights(fit(recipe(PLAIN, RETRAINED_HEAD), photos, tmp_path / "run"))
    assert changed(first_stage, after) == {"backbone.fc.weight", "backbone.fc.bias"}


def test_running_statistics_may_follow_the_new_batches(tmp_path, photos, first_stage):
    shifted = {**RETRAINED_HEAD, "trainable": ["head", "norm_statistics"]}
    moved = changed(first_stage, weights(fit(recipe(PLAIN, shifted), photos, tmp_path / "run")))
    statistics = {name for name in first_stage if "running_" in name or "num_batches" in name}
    assert moved == statistics | {"backbone.fc.weight", "backbone.fc.bias"}


def test_the_learning_rate_restarts_only_where_the_recipe_says_so(tmp_path, photos):
    rates = {}
    for name, second in {"goes on": PLAIN, "restarts": RETRAINED_HEAD}.items():
        run = fit(recipe(PLAIN, second), photos, tmp_path / name)
        steps = [line for line in read_metrics(run / "metrics.jsonl") if line["kind"] == "step"]
        rates[name] = [line["learning_rate"] for line in steps]
    assert rates["goes on"] == sorted(rates["goes on"], reverse=True)
    assert rates["restarts"][0] == rates["restarts"][4] == 1e-3
    assert rates["restarts"][3] == rates["restarts"][7] < 2e-4


def test_a_restart_forgets_what_the_optimizer_remembered(tmp_path, photos):
    class Presser(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            if step == 6:
                os.kill(os.getpid(), signal.SIGINT)

    for name, schedule, remembered in (("goes on", "continue", 6), ("restarts", "restart", 2)):
        with pytest.raises(KeyboardInterrupt):
            fit(recipe(PLAIN, {**PLAIN, "schedule": schedule}), photos, tmp_path / name, listener=Presser())
        state = torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["optimizer"]["state"]
        assert {moments["step"].item() for moments in state.values()} == {remembered}


def test_epochs_end_where_every_photo_was_taken_and_the_run_ends(photos):
    made = plan(recipe(PLAIN, PLAIN, training={"steps": 14}), photos)
    assert made.batches_per_epoch == 6
    assert [made.epoch(step) for step in range(1, 15)] == [0] * 6 + [1] * 6 + [2] * 2
    assert [step for step in range(1, 15) if made.ends_epoch(step)] == [6, 12, 14]


def test_a_ramp_climbs_over_its_own_stage(tmp_path, photos):
    climbing = {"loss": [{"name": "cross_entropy"}, {"name": "feature_similarity", "weight": 2.0, "ramp": 1.0}]}
    run = fit(recipe(PLAIN, climbing), photos, tmp_path / "run")
    steps = [line for line in read_metrics(run / "metrics.jsonl") if line["kind"] == "step"][4:]
    for share, line in zip((0, 0.25, 0.5, 0.75), steps, strict=True):
        own, *similarities = line["terms"].values()
        assert line["loss"] == pytest.approx(own + 2 * share * sum(similarities), rel=1e-5)


@pytest.mark.parametrize("at", [3, 5, 6], ids=["before", "at", "after"])
def test_a_run_interrupted_around_the_change_of_stages_ends_with_the_same_bits(tmp_path, photos, at):
    class Presser(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            if step == at - 1:
                os.kill(os.getpid(), signal.SIGINT)

    config = recipe(PLAIN, RETRAINED_HEAD, posthoc={"name": "branches"})
    whole = fit(config, photos, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(config, photos, tmp_path / "broken", listener=Presser())
    broken = fit(config, photos, tmp_path / "broken", resume=True)
    assert (broken / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


def test_branches_keep_the_former_head_of_common_classes(tmp_path, photos, first_stage, monkeypatch):
    counts = subset(photos, recipe(PLAIN)).train_counts
    assert counts["boar"] > counts["deer"] == counts["hare"]
    monkeypatch.setattr("fscl.models.heads.BRANCH_PHOTOS", counts["boar"])
    run = fit(recipe(PLAIN, RETRAINED_HEAD, posthoc={"name": "branches"}), photos, tmp_path / "run")
    before, after = first_stage["backbone.fc.weight"], weights(run)
    assert torch.equal(before, after["backbone.fc.common.weight"])
    assert not torch.isclose(before, after["backbone.fc.rare.weight"]).any()
    assert after["backbone.fc.is_common"].tolist() == [True, False, False]
    predicted = fscl.load(run).predict([photos.root / path for path in photos.rows["path"][::30]])
    assert predicted["probability"].between(1 / 3, 1).all()
    assert BRANCH_PHOTOS == 1000


def test_posthoc_corrects_the_head_once(tmp_path, photos):
    plain = weights(fit(recipe(PLAIN), photos, tmp_path / "plain"))
    adjusted = weights(fit(recipe(PLAIN, posthoc={"name": "logit_adjustment"}), photos, tmp_path / "adjusted"))
    assert changed(plain, adjusted) == {"backbone.fc.bias"}
    counts = torch.tensor([*subset(photos, recipe(PLAIN)).train_counts.values()], dtype=torch.float32)
    expected = plain["backbone.fc.bias"] - (counts / counts.sum()).log()
    assert torch.allclose(adjusted["backbone.fc.bias"], expected)
    normalised = weights(fit(recipe(PLAIN, posthoc={"name": "tau_normalisation"}), photos, tmp_path / "tau"))
    assert torch.allclose(normalised["backbone.fc.weight"].norm(dim=1), torch.ones(3))


def test_a_cosine_head_trains_and_its_bundle_opens(tmp_path, photos):
    config = recipe(PLAIN, model={"head": {"name": "cosine", "options": {"scale": 16.0}}})
    bundle = Bundle.open(fit(config, photos, tmp_path / "run"))
    assert bundle.classifier.head.scale == 16.0
    assert bundle.classifier(torch.randn(2, 3, 32, 32)).logits.abs().max() <= 16.0


def test_views_stand_side_by_side_and_differ(photos):
    config = recipe({**PLAIN, "views": 2})
    step = next(plan(config, photos).batches(start=0))
    assert step.batch.rows[0::2] == step.batch.rows[1::2]
    assert len(step.batch.labels) == 2 * 14  # 84 training photos in 6 batches
    assert not torch.equal(step.batch.photos[0::2], step.batch.photos[1::2])


def test_mixing_is_the_same_for_a_step_and_differs_between_steps(photos):
    config = recipe({**PLAIN, "mixing": {"name": "mixup", "partners": {"name": "oversampling"}}})
    first, second = (list(plan(config, photos).batches(start=start))[:2] for start in (0, 0))
    mixed = [step.mixed(torch.device("cpu"), seed=0) for step in (*first, *second)]
    assert torch.equal(mixed[0][0], mixed[2][0])
    assert torch.equal(mixed[1][1], mixed[3][1])
    assert not ((mixed[0][1] == 0) | (mixed[0][1] == 1)).all()
    assert torch.allclose(mixed[0][1].sum(dim=1), torch.ones(len(mixed[0][1])))
    assert first[0].batch.rows != first[0].partners.rows


def test_partners_are_drawn_apart_from_the_photos(photos):
    config = recipe({**PLAIN, "mixing": {"name": "mixup", "partners": {"name": "natural"}}})
    step = next(plan(config, photos).batches(start=0))
    assert step.batch.rows != step.partners.rows


def test_a_batch_mixed_with_itself_gives_photos_their_partners_labels(photos):
    step = next(plan(recipe({**PLAIN, "mixing": {"name": "mixup", "options": {"alpha": 50.0}}}), photos).batches(0))
    own, labels = step.batch.photos, step.batch.labels
    mixed, shares = step.mixed(torch.device("cpu"), seed=0)
    kept = shares[(shares > 0) & (shares < 1)].unique()
    assert len(kept) == 2
    for photo, label, found in zip(own, labels, zip(mixed, shares, strict=True), strict=True):
        errors = {
            (share.item(), partner): (share * photo + (1 - share) * own[partner] - found[0]).abs().max().item()
            for share in kept
            for partner in range(len(own))
        }
        share, partner = min(errors, key=errors.get)
        expected = torch.zeros(3)
        expected[label] += share
        expected[labels[partner]] += 1 - share
        assert torch.allclose(found[1], expected)


def test_the_draws_of_mixing_follow_from_the_seed_and_the_step(photos):
    step = next(plan(recipe({**PLAIN, "mixing": {"name": "mixup"}}), photos).batches(start=0))

    def shares(seed, number):
        return step._replace(number=number).mixed(torch.device("cpu"), seed=seed)[1]

    assert torch.equal(shares(0, 1), shares(0, 1))
    assert not torch.equal(shares(0, 1), shares(0, 2))
    assert not torch.equal(shares(0, 1), shares(1, 1))


def test_progressive_sampling_begins_and_ends_with_its_stage(photos):
    config = recipe(PLAIN, {**PLAIN, "sampler": {"name": "progressive"}}, training={"steps": 30})
    made = plan(config, photos)
    last = made.stages[1]
    assert (last.start, last.stop, made.batches_per_epoch) == (15, 30, 6)
    assert last.sampler.epochs == (2.5, 5.0)


def plan(config, photos):
    from fscl.training.start import untrained

    chosen, runtime = subset(photos, config), Runtime.start(0)
    return Plan(config, untrained(config, chosen, runtime), chosen, runtime)


def test_a_loss_that_wants_one_class_per_photo_refuses_mixing(photos, monkeypatch):
    monkeypatch.setattr(CrossEntropyLoss, "takes_soft", False)
    config = recipe({**PLAIN, "mixing": {"name": "mixup"}})
    with pytest.raises(ConfigurationError, match="'cross_entropy' cannot be used with mixing 'mixup'"):
        plan(config, photos)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"training": {"steps": 1}}, "method 'staged' has 2 stages, a run of 1 step leaves one of them without any"),
        (
            {"model": {"head": {"name": "cosine"}}, "posthoc": {"name": "branches"}},
            "'branches' corrects a linear head with bias, got CosineHead",
        ),
        ({"posthoc": {"name": "tau_normalization"}}, "unknown posthoc .*; did you mean 'tau_normalisation'"),
        ({"posthoc": {"name": "tau_normalisation", "options": {"tau": 2}}}, "tau must be 0 … 1, got 2"),
        ({"model": {"head": {"name": "cosine", "options": {"scale": 0}}}}, "scale must be > 0, got 0"),
        ({"posthoc": {"name": "branches"}, "training": {"keep": "best"}}, 'set training.keep = "last"'),
        (
            {"model": {"backbone": "resnetv2_50x1_bit", "head": {"name": "cosine"}}},
            "ends in Conv2d; head 'cosine' replaces a linear layer",
        ),
        ({"model": {"backbone": "deit_tiny_distilled_patch16_224"}}, "has no single last layer to train"),
        ({"model": {"head": {"name": "subprocess:Popen"}}}, "unknown head 'subprocess:Popen'"),
        ({"augmentation": {"jitter": [0.4, 0.4, 0.4, 3.0]}}, "jitter"),
        ({"preprocessing": {"image_size": 32, "std": [0.0, 1.0, 1.0]}}, "std"),
        ({"training": 5}, "training"),
    ],
)
def test_what_does_not_fit_together_is_said_before_training(tmp_path, photos, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        fit(recipe(PLAIN, RETRAINED_HEAD, **settings), photos, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({**PLAIN, "trainable": ["norm_statistics"]}, "needs 'backbone' or 'head'"),
        (
            {"loss": [{"name": "feature_similarity"}], "trainable": ["head"]},
            "the head alone needs a loss of the logits",
        ),
        ({**PLAIN, "mixing": {"name": "mixup", "options": {"alpha": float("inf")}}}, "alpha must be a finite number"),
        ({**PLAIN, "share": float("inf")}, "share"),
    ],
)
def test_a_stage_that_cannot_be_is_said_before_training(tmp_path, photos, stage, message):
    with pytest.raises(ConfigurationError, match=message):
        fit(recipe(PLAIN, stage), photos, tmp_path / "run")


def test_branches_need_two_stages():
    with pytest.raises(ConfigurationError, match="'branches' joins the heads of two stages"):
        recipe(PLAIN, posthoc={"name": "branches"})


def test_the_best_epoch_is_of_the_last_stage(tmp_path, photos):
    config = recipe(PLAIN, RETRAINED_HEAD, training={"keep": "best", "steps": 18})
    config = config.model_copy(update={"split": config.split.model_copy(update={"val_fraction": 0.5})})
    run = fit(config, photos, tmp_path / "run")
    bundles = [Bundle.open(run), *(Bundle.open(run / name) for name in ("last", "best") if (run / name).exists())]
    assert all(bundle.step > 9 for bundle in bundles)


def test_a_loss_of_torch_is_a_term(tmp_path, photos):
    torchs = [{"name": "torch.nn:CrossEntropyLoss", "options": {"label_smoothing": 0.0}}]
    ours = weights(fit(recipe(PLAIN), photos, tmp_path / "ours"))
    theirs = weights(fit(recipe({"loss": torchs}), photos, tmp_path / "theirs"))
    assert all(torch.allclose(theirs[name], weight, atol=1e-5) for name, weight in ours.items())


def test_a_loss_that_returns_no_single_number_is_an_error(tmp_path, photos):
    each = {"loss": [{"name": "torch.nn:CrossEntropyLoss", "options": {"reduction": "none"}}]}
    with pytest.raises(ValueError, match="CrossEntropyLoss must return one number, got"):
        fit(recipe(each), photos, tmp_path / "run")


def test_parts_beside_the_recipe_are_found_from_anywhere(tmp_path, photos, monkeypatch):
    """The loss and the sampler of the guide, in a file beside the recipe that is given from another folder."""
    lab = tmp_path / "recipes"
    lab.mkdir()
    guide = Path(__file__).parents[2] / "docs" / "recipes.md"
    blocks = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), flags=re.DOTALL)
    (lab / "lab_of_the_guide.py").write_text("\n".join(blocks))
    (lab / "mine.toml").write_text(
        '[method]\nname = "mine"\ntitle = "Mine"\nsummary = "s"\nsource = "o"\n'
        '[[stage]]\nsampler = { name = "lab_of_the_guide:RareTwice", options = { times = 3 } }\n'
        'loss = [{ name = "lab_of_the_guide:Mine", options = { margin = 0.1 } }]\n'
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    small = {"model": {"backbone": "test_resnet"}, "preprocessing": {"image_size": 32}, "training": {"steps": 2}}
    run = fit(resolve([("recipe", methods.read("recipes/mine.toml")), ("test", small)]), photos, tmp_path / "run")
    assert (run / "bundle.json").exists()


def test_a_shipped_recipe_adds_no_folder_to_the_path(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = list(sys.path)
    (tmp_path / "plain.toml").write_text('[[stage]]\nloss = [{ name = "cross_entropy" }]\n')
    methods.read(str(tmp_path / "plain.toml"))
    methods.read("fscl")
    assert sys.path == before


def test_an_earlier_stage_gives_no_best_epoch_however_good_it_is(tmp_path, photos):
    training = {"keep": "best", "steps": 30, "learning_rate": 2e-3}
    config = recipe({**PLAIN, "share": 5.0}, RETRAINED_HEAD, training=training)
    config = config.model_copy(update={"split": config.split.model_copy(update={"val_fraction": 0.7})})
    run = fit(config, photos, tmp_path / "run")
    epochs = [line for line in read_metrics(run / "metrics.jsonl") if line["kind"] == "epoch"]
    assert min(epochs, key=lambda line: line["validation"]["balanced_log_loss"])["step"] <= 25
    assert (run / "last").exists()  # so there is a best epoch, too
    assert Bundle.open(run).step > 25


def test_a_correction_of_the_last_epoch_leaves_no_best_one(tmp_path, photos):
    for name, more in (("plain", {}), ("corrected", {"posthoc": {"name": "tau_normalisation"}})):
        config = recipe(PLAIN, training={"steps": 12}, **more)
        config = config.model_copy(update={"split": config.split.model_copy(update={"val_fraction": 0.7})})
        assert (fit(config, photos, tmp_path / name) / "best").exists() == (not more)

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from fscl.bundle import Bundle
from fscl.errors import BundleError, ConfigurationError, DivergenceError, PhotosError
from fscl.manifest.splits import assign_splits
from fscl.manifest.table import Manifest
from fscl.progress import Silent
from fscl.records.log_lines import read_metrics
from fscl.scanning.scan import scan
from fscl.scoring.curves import validation_curve
from fscl.training import log, loop, optimization, validation
from fscl.training.loop import MIN_VALIDATION_PHOTOS, fit
from fscl.training.run_summary import run_summary
from fscl.training.start import untrained
from fscl.training.subset import subset


def steps_of(out):
    return [line for line in read_metrics(out / "metrics.jsonl") if line["kind"] == "step"]


def test_it_learns_what_is_easy(tmp_path, photos, quick):
    out = fit(quick(steps=60, learning_rate=2e-3), photos, tmp_path / "run")
    metrics = steps_of(out)
    assert [line["step"] for line in metrics] == list(range(1, 61))
    losses = [line["terms"]["cross_entropy"] for line in metrics]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    epochs = [line for line in read_metrics(out / "metrics.jsonl") if line["kind"] == "epoch"]
    assert epochs[-1]["step"] == 60
    assert epochs[-1]["validation"]["accuracy"] > 0.8


def test_the_learning_rate_falls_along_a_cosine(tmp_path, photos, quick):
    rates = [line["learning_rate"] for line in steps_of(fit(quick(steps=4), photos, tmp_path / "run"))]
    assert rates == pytest.approx([1e-3, 0.853553e-3, 0.5e-3, 0.146447e-3], rel=1e-4)


def test_the_seed_decides_the_weights_that_training_starts_from(photos, quick):
    def start(seed):
        config = quick(seed=seed)
        return untrained(config, subset(photos, config), loop.Runtime.start(0)).classifier.state_dict()

    name = "backbone.layer4.0.conv1.weight"
    assert torch.equal(start(0)[name], start(0)[name])
    assert not torch.equal(start(0)[name], start(1)[name])


def test_weights_decay_as_the_settings_say(tmp_path, photos, quick):
    decays = {name: quick(steps=1, weight_decay=decay) for name, decay in (("none", 0.0), ("much", 10.0))}
    none, much = (
        load_file(fit(config, photos, tmp_path / name) / "weights.safetensors") for name, config in decays.items()
    )
    assert not torch.equal(none["backbone.layer4.0.conv1.weight"], much["backbone.layer4.0.conv1.weight"])


def interrupted(config, photos, out, after):
    """Return the checkpoint of a run that was interrupted after a step."""

    class Presser(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            if step == after:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(config, photos, out, listener=Presser())
    return torch.load(out / "checkpoint.pt", weights_only=True)


def tensors(state, name=""):
    """Yield the tensors in a state and their names, at any depth."""
    if isinstance(state, dict):
        for key, inner in state.items():
            yield from tensors(inner, f"{name}.{key}")
    elif isinstance(state, torch.Tensor):
        yield name, state


def test_the_network_of_a_loss_learns_too(tmp_path, photos, quick):
    config = quick("supcon", steps=8)
    first, third = (dict(tensors(interrupted(config, photos, tmp_path / f"{at}", at))) for at in (1, 3))
    own = [name for name in first if "projection" in name and name.endswith("weight")]
    assert own
    assert not any(torch.equal(first[name], third[name]) for name in own)


def test_the_log_has_every_term_unweighted(tmp_path, photos, quick):
    line = steps_of(fit(quick(steps=1), photos, tmp_path / "run"))[0]
    assert list(line["terms"]) == ["cross_entropy", "feature_similarity[-2]", "feature_similarity[-1]"]
    assert line["loss"] == pytest.approx(sum(line["terms"].values()), rel=1e-5)


def test_epochs_are_as_long_as_the_photos(tmp_path, photos, quick):
    config = quick(steps=None, epochs=2)
    config = config.model_copy(update={"training": config.training.model_copy(update={"steps": None})})
    out = fit(config, photos, tmp_path / "run")
    trained = len(subset(photos, config).rows("train"))
    assert len(steps_of(out)) == 2 * -(-trained // 16)


def test_an_odd_number_of_photos_leaves_none_alone_with_batch_normalisation(tmp_path, photos, quick):
    rows = photos.rows.groupby("label").head(4).iloc[:7]
    few = Manifest(rows.assign(split="train").reset_index(drop=True), photos.root)
    config = quick("oversampling", batch_size=2, val_fraction=0.0, test_fraction=0.0)
    config = config.model_copy(update={"training": config.training.model_copy(update={"steps": None, "epochs": 3})})
    assert len(steps_of(fit(config, few, tmp_path / "run"))) == 3 * 3  # an epoch is 3 + 2 + 2 photos


@pytest.mark.slow
def test_last_and_best_are_both_kept_where_validation_can_be_trusted(tmp_path, photos, quick):
    many = quick(steps=12, val_fraction=0.7, test_fraction=0.1, keep="best")
    out = fit(many, photos, tmp_path / "best")
    epochs = [line for line in read_metrics(out / "metrics.jsonl") if line["kind"] == "epoch"]
    best = min(epochs, key=lambda line: line["validation"]["balanced_log_loss"])
    assert Bundle.open(out).step == best["step"]
    assert Bundle.open(out / "last").step == 12
    told = Told()
    few = fit(quick(steps=12, keep="best"), photos, tmp_path / "last", listener=told)
    assert [note.split(":")[0] for note in told.notes] == ['keep = "best"'], "it is said where none can be chosen"
    assert Bundle.open(few).step == 12
    assert not (few / "best").exists()


def test_the_best_epoch_stays_when_later_ones_are_worse(tmp_path, photos, quick, monkeypatch):
    real, epochs = validation.scores, []

    def surer_of_boars(*arguments, **options):
        found = real(*arguments, **options)
        epochs.append(found)
        found.logits[:, 0] += 10 * len(epochs)
        return found

    monkeypatch.setattr(validation, "scores", surer_of_boars)
    out = fit(quick(steps=12, val_fraction=0.7, test_fraction=0.1, keep="best"), photos, tmp_path / "run")
    first, *_ = (line["step"] for line in read_metrics(out / "metrics.jsonl") if line["kind"] == "epoch")
    assert len(epochs) > 1
    assert (Bundle.open(out).step, Bundle.open(out / "last").step) == (first, 12)


class Told(Silent):
    """Keeps what a run says."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_what_validation_lacks_is_said_and_gives_no_balanced_figure(tmp_path, photos, quick):
    rows = assign_splits(photos.rows, by="photo", val_fraction=0.3)
    lacking = Manifest(rows[(rows["label"] != "hare") | (rows["split"] != "val")].reset_index(drop=True), photos.root)
    told = Told()
    out = fit(quick(steps=6), lacking, tmp_path / "run", listener=told)
    assert [note.partition(":")[0] for note in told.notes] == ["validation lacks hare"]
    [*_, last] = (line for line in read_metrics(out / "metrics.jsonl") if line["kind"] == "epoch")
    over_all = ("balanced_accuracy", "macro_f1", "balanced_log_loss")
    assert {last["validation"][name] for name in over_all} == {None}
    assert last["validation"]["majority_recall"] is not None
    assert validation_curve(read_metrics(out / "metrics.jsonl")).lacking == ["hare"]
    summary = run_summary(out)
    assert "balanced accuracy –\nvalidation lacks hare: " in summary
    whole = Told()
    assert "validation lacks" not in run_summary(fit(quick(steps=6), photos, tmp_path / "whole", listener=whole))
    assert whole.notes == []


def test_augmenting_the_rare_class_alone_is_warned_of(tmp_path, photos, quick):
    config, told = quick(steps=1, minority=("deer",)), Told()
    only = config.augmentation.model_copy(update={"classes": "minority"})
    fit(config.model_copy(update={"augmentation": only}), photos, tmp_path / "run", listener=told)
    assert [note.partition(" (")[0] for note in told.notes] == ["only the rare class is augmented"]


def test_recipes_of_the_study_keep_the_last_epoch_and_show_the_best(tmp_path, photos, quick):
    out = fit(quick(steps=12, val_fraction=0.7, test_fraction=0.1), photos, tmp_path / "run")
    assert Bundle.open(out).step == 12
    assert Bundle.open(out / "best").step <= 12


def test_stages_follow_one_another(tmp_path, photos, quick):
    config = quick(steps=8)
    plain = config.stage[0].model_copy(update={"loss": config.stage[0].loss[:1], "share": 3.0})
    out = fit(config.model_copy(update={"stage": (plain, config.stage[0])}), photos, tmp_path / "run")
    assert [len(line["terms"]) for line in steps_of(out)] == [1] * 6 + [3] * 2


def test_a_loss_that_is_not_finite_stops_with_step_term_and_rate(tmp_path, photos, quick):
    good, broken = fit(quick(), photos, tmp_path / "good") / "weights.safetensors", tmp_path / "nan.pth"
    state = {n.removeprefix("backbone."): w for n, w in load_file(good).items()}
    state["fc.bias"].fill_(torch.nan)
    torch.save(state, broken)
    message = r"step 1: cross_entropy is nan at learning rate 0.001; no checkpoint"
    with pytest.raises(DivergenceError, match=message):
        fit(quick(weights=str(broken)), photos, tmp_path / "run")


def test_divergence_keeps_the_last_checkpoint(tmp_path, photos, quick):
    out = tmp_path / "run"
    with pytest.raises(
        DivergenceError, match=r"(is nan|is inf).* the last checkpoint with finite weights, of step \d+, is kept"
    ):
        fit(quick(learning_rate=1e30, steps=30, checkpoint_seconds=0.0), photos, out)
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    assert state["step"] >= 1
    assert len(steps_of(out)) == state["step"]


@pytest.fixture
def late_looks(monkeypatch):
    """Look at the losses as rarely as on an accelerator."""
    monkeypatch.setattr(loop.Runtime, "waits_on_read", True)


def spoil_the_weights(monkeypatch, at):
    """Make a weight infinite after the optimizer's step `at`."""
    step = optimization.Adam.step

    def spoiling(self, *arguments, **options):
        step(self, *arguments, **options)
        weight = self.param_groups[0]["params"][-1]
        if self.state[weight]["step"] == at:
            weight.data.fill_(torch.inf)

    monkeypatch.setattr(optimization.Adam, "step", spoiling)


def test_training_goes_on_from_the_weights_of_the_last_checkpoint(tmp_path, photos, quick, monkeypatch):
    spoil_the_weights(monkeypatch, at=3)
    kept = tmp_path / "run" / "checkpoint.pt"
    with pytest.raises(DivergenceError, match=f"of step 2, is kept.* with --weights {kept}"):
        fit(quick(checkpoint_seconds=0.0), photos, tmp_path / "run")
    fit(quick(weights=str(kept), steps=1, learning_rate=1e-12), photos, tmp_path / "next")
    before, after = torch.load(kept)["classifier"], load_file(tmp_path / "next" / "weights.safetensors")
    assert torch.allclose(before["backbone.fc.weight"], after["backbone.fc.weight"], atol=1e-6)


@pytest.mark.parametrize("steps", [6, 60], ids=["at the run's end", "before a checkpoint"])
def test_a_late_look_names_the_step_of_the_loss(tmp_path, photos, quick, monkeypatch, late_looks, steps):
    spoil_the_weights(monkeypatch, at=3)

    class Slow(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            if step == 5 and steps == 60:
                monkeypatch.setattr(loop.Checkpoint, "due", lambda checkpoint, seconds: True)

    message = r"step 4: cross_entropy is nan at learning rate 0\.\d+; no checkpoint had been written yet; try a lower"
    with pytest.raises(DivergenceError, match=message):
        fit(quick(steps=steps, batch_size=2), photos, tmp_path / "run", listener=Slow())
    assert [line["step"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl")] == [1, 2, 3]
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_weights_that_are_not_finite_are_never_kept(tmp_path, photos, quick, monkeypatch):
    spoil_the_weights(monkeypatch, at=3)
    out = tmp_path / "run"
    with pytest.raises(DivergenceError, match=r"step 3: the largest weight is inf at .* of step 2, is kept"):
        fit(quick(checkpoint_seconds=0.0), photos, out)
    assert torch.load(out / "checkpoint.pt", weights_only=True)["step"] == 2
    with pytest.raises(DivergenceError, match=r"step 3: the largest weight is inf"):
        fit(quick(steps=3, val_fraction=0), photos, tmp_path / "last")
    assert not (tmp_path / "last" / "bundle.json").exists()


def test_validation_that_is_not_finite_says_where_and_what_is_kept(tmp_path, photos, quick, monkeypatch):
    real = validation.scores

    def spoilt(*arguments, **options):
        found = real(*arguments, **options)
        found.logits[0] = float("nan")
        return found

    monkeypatch.setattr(validation, "scores", spoilt)
    with pytest.raises(DivergenceError, match=r"step 2: a logit .* at learning rate 0.0005; .* of step 1, is kept"):
        fit(quick(steps=2, checkpoint_seconds=0.0), photos, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_photos_that_vanish_end_the_run_after_a_checkpoint(tmp_path, class_folders, quick, workers):
    root = copytree(class_folders, tmp_path / "photos")
    config = quick(steps=12, workers=workers, store=False)
    photos, out = scan(root), tmp_path / "run"

    class Vandal(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            if step == 2:
                root.rename(tmp_path / "elsewhere")  # all at once: nothing is left to stand in for a photo

    with pytest.raises(PhotosError, match=r"^no photo of a class .*: missing file.*--resume") as caught:
        fit(config, photos, out, listener=Vandal())
    assert "Traceback" not in str(caught.value)
    done = torch.load(out / "checkpoint.pt", weights_only=True)["step"]
    assert f"of step {done}, is kept" in str(caught.value)
    assert done == len(steps_of(out)) >= 2
    (tmp_path / "elsewhere").rename(root)
    fit(quick(steps=12, workers=0), photos, out, resume=True)
    whole = fit(quick(steps=12), photos, tmp_path / "whole")
    assert (out / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()


def test_bad_settings_leave_no_folder(tmp_path, photos, quick, monkeypatch):
    out = tmp_path / "run"
    with pytest.raises(ConfigurationError, match=r"'test_vit' cannot take photos of 40 px: .*; try --image-size"):
        fit(quick(backbone="test_vit", image_size=40), photos, out)
    with pytest.raises(ConfigurationError, match="unknown backbone"):
        fit(quick(backbone="resnet19"), photos, out)
    config = quick()
    stage = config.stage[0]
    unknown = stage.model_copy(update={"sampler": stage.sampler.model_copy(update={"name": "naturel"})})
    with pytest.raises(ConfigurationError, match="unknown sampler"):
        fit(config.model_copy(update={"stage": (unknown,)}), photos, out)
    monkeypatch.setattr(log, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="--tensorboard needs its package"):
        fit(quick(tensorboard=True), photos, out)
    assert not out.exists()


def spoil(photo):
    """Make a photo unreadable and leave its size, which a run compares with that of the scan."""
    photo.write_bytes(b"\0" * photo.stat().st_size)


@pytest.fixture
def own_photos(tmp_path, class_folders):
    """Return a manifest of photos that a test may spoil."""
    return scan(copytree(class_folders, tmp_path / "photos"))


def problems_of(out):
    lines = [line for line in read_metrics(out / "metrics.jsonl") if line["kind"] == "problem"]
    return [(line["split"], Path(line["path"]), line["reason"]) for line in lines]


def test_unreadable_photos_are_replaced_and_listed_once(tmp_path, own_photos, quick):
    config = quick(steps=10)
    trained = subset(own_photos, config).rows("train")
    victim = own_photos.photo(trained.loc[trained["label"] == "deer", "path"].iloc[0])
    spoil(victim)
    out = fit(config, own_photos, tmp_path / "run")
    assert problems_of(out) == [("train", victim, "not an image")]
    assert "1 training photo could not be read, replaced by others" in run_summary(out)
    for member in (own_photos.root / "deer").iterdir():
        member.unlink()
    with pytest.raises(PhotosError, match="no photo of a class can be read any more"):
        fit(config, own_photos, tmp_path / "other")


@pytest.mark.parametrize("store", [False, True])
def test_unreadable_validation_photos_are_listed_once(tmp_path, own_photos, quick, store):
    config = quick(steps=12, store=store)
    paths = subset(own_photos, config).rows("val")["path"]
    for path in paths:
        spoil(own_photos.photo(path))
    out = fit(config, own_photos, tmp_path / "run")
    assert problems_of(out) == [("val", own_photos.photo(path), "not an image") for path in paths]
    assert len([line for line in read_metrics(out / "metrics.jsonl") if line["kind"] == "epoch"]) > 1
    summary = run_summary(out)
    assert f"{len(paths)} validation photos could not be read, the figures are without them:" in summary
    assert f"and {len(paths) - 5} more" in summary
    assert "training photos could not" not in summary


def test_validation_is_judged_by_the_labels_of_the_photos_that_are_read(tmp_path, own_photos, quick, monkeypatch):
    config = quick(steps=1)
    rows = subset(own_photos, config).rows("val")
    spoil(own_photos.photo(rows.loc[rows["label"] == "boar", "path"].iloc[0]))
    real = validation.scores

    def never_wrong(*arguments, **options):
        found = real(*arguments, **options)
        truth = rows["label"].map({"boar": 0, "deer": 1, "hare": 2}).to_numpy()[found.rows]
        found.logits[:] = 0
        found.logits[range(len(truth)), truth] = 9
        return found

    monkeypatch.setattr(validation, "scores", never_wrong)
    metrics = read_metrics(fit(config, own_photos, tmp_path / "run") / "metrics.jsonl")
    assert metrics[-1]["validation"]["recall_by_class"] == {"boar": 1, "deer": 1, "hare": 1}


def test_a_resumed_run_does_not_list_them_again(tmp_path, own_photos, quick):
    config = quick(steps=12, store=False)
    rows = {split: subset(own_photos, config).rows(split)["path"] for split in ("train", "val")}
    for path in (rows["train"].iloc[0], rows["train"].iloc[-1], rows["val"].iloc[0]):
        spoil(own_photos.photo(path))

    class Presser(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            if step == 8:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(config, own_photos, tmp_path / "run", listener=Presser())
    out = fit(config, own_photos, tmp_path / "run", resume=True)
    assert problems_of(out) == problems_of(fit(config, own_photos, tmp_path / "whole"))
    assert len(problems_of(out)) == 3


def test_the_best_epoch_needs_enough_photos_that_are_read(tmp_path, own_photos, quick):
    config = quick(steps=8, val_fraction=0.7, test_fraction=0.1, keep="best", classes=("boar", "deer"))
    deer = subset(own_photos, config).rows("val").query("label == 'deer'")["path"].tolist()
    assert len(deer) > MIN_VALIDATION_PHOTOS == 20
    for path in deer[20:]:
        spoil(own_photos.photo(path))
    assert (fit(config, own_photos, tmp_path / "enough") / "last").exists()
    spoil(own_photos.photo(deer[0]))
    assert not (fit(config, own_photos, tmp_path / "few") / "last").exists()


def test_boxes_of_a_photo_are_one_validation_photo(tmp_path, photos, quick):
    parts = photos.rows["path"].str.extract(r"/(\d+)")[0].astype(int) % 3
    rows = photos.rows[photos.rows["label"] != "hare"].assign(split=parts.map({0: "train", 1: "val", 2: "test"}))
    boxed = pd.concat([rows.assign(x=float(x), y=0.0, w=20.0, h=20.0) for x in (0, 9, 20)])
    boxed = Manifest.build(boxed.drop(columns="region_id"), photos.root)
    config = quick(steps=4, keep="best")
    assert (subset(boxed, config).rows("val")["label"].value_counts() >= 20).all()
    assert not (fit(config, boxed, tmp_path / "run") / "last").exists()


def test_photos_replaced_since_the_scan_are_not_trained_on(tmp_path, own_photos, quick):
    victim = own_photos.photo("deer/003.jpg")
    victim.write_bytes((own_photos.root / "hare" / "001.jpg").read_bytes() + b"0")
    with pytest.raises(
        PhotosError, match=r"1 file changed: deer/003.jpg: [\d,]+ bytes at the scan.* scan the photos"
    ):
        fit(quick(), own_photos, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    fit(quick(classes=("boar", "hare"), steps=1), own_photos, tmp_path / "others")
    fit(quick(steps=1), scan(own_photos.root), tmp_path / "run")


def test_it_starts_from_an_earlier_bundle(tmp_path, photos, quick):
    first = fit(quick(), photos, tmp_path / "first")
    config = quick(bundle=str(first), classes=("boar", "deer"), steps=1, learning_rate=1e-12)
    second = fit(config, photos, tmp_path / "second")
    before, after = (load_file(run / "weights.safetensors") for run in (first, second))
    name = "backbone.layer4.0.conv1.weight"
    assert torch.allclose(before[name], after[name], atol=1e-6)
    assert after["backbone.fc.weight"].shape[0] == 2
    with pytest.raises(BundleError, match=r"no bundle.json"):
        fit(quick(bundle=str(tmp_path)), photos, tmp_path / "third")


def test_photos_are_normalised_as_the_weights_that_training_starts_from_expect(tmp_path, photos, quick):
    def normalisation(config):
        found = untrained(config, subset(photos, config), loop.Runtime.start(0))
        return found.preprocessing.mean, found.preprocessing.std

    plain, own = quick(steps=1, backbone="resnet18"), ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    changed = plain.preprocessing.model_copy(update=dict(zip(("mean", "std"), own, strict=True)))
    first = fit(plain.model_copy(update={"preprocessing": changed}), photos, tmp_path / "first")
    assert normalisation(plain) == (plain.preprocessing.mean, plain.preprocessing.std)
    assert normalisation(quick(backbone="resnet18", bundle=str(first))) == own
    published = Bundle.open(first).classifier.normalisation
    assert published[0] != published[1]
    weights = quick(backbone="resnet18", weights=str(first / "weights.safetensors"))
    weights = weights.model_copy(update={"preprocessing": changed})
    assert normalisation(weights) == published


def test_fewer_than_two_classes(tmp_path, photos, quick):
    one = Manifest(photos.rows[photos.rows["label"] == "deer"], photos.root)
    with pytest.raises(PhotosError, match="at least 2 classes, got 1: deer"):
        fit(quick(), one, tmp_path / "run")
    with pytest.raises(PhotosError, match="no usable photo of class 'dear'; did you mean 'deer'"):
        fit(quick(minority=("dear",)), photos, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_golden_curve(tmp_path, photos, quick):
    """Ten steps of every term, as they were when this was written; compared by tolerance, not bits."""
    golden = Path(__file__).parent / "golden_curve.json"
    config = quick(steps=10)
    metrics = steps_of(fit(config, photos, tmp_path / "run"))
    found = {name: [line["terms"][name] for line in metrics] for name in metrics[0]["terms"]}
    if os.environ.get("FSCL_WRITE_GOLDEN"):
        golden.write_text(json.dumps(found, indent=1) + "\n")
    expected = json.loads(golden.read_text())
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=0.02, abs=0.005)


def test_subsets_are_shared_by_methods_and_nested_over_ratios(photos, quick):
    def kept(method, ratio, seed=0):
        config = quick(method, ratio=ratio, minority=("deer",), seed=seed, base=15)
        return set(subset(photos, config).rows("train")["region_id"])

    assert kept("baseline", 0.5) == kept("fscl", 0.5)
    assert kept("fscl", 0.2) < kept("fscl", 0.5) < kept("fscl", 1.0)
    assert kept("fscl", 0.5, seed=1) != kept("fscl", 0.5)


def test_the_split_does_not_depend_on_the_run_seed(photos, quick):
    tests = [subset(photos, quick(seed=seed)).rows("test")["region_id"].tolist() for seed in (0, 1)]
    assert tests[0] == tests[1]


def test_unused_manifest_columns_do_no_harm(tmp_path, photos, quick):
    rows = photos.rows.assign(observer="x")
    fit(quick(steps=1), replace(photos, rows=rows), tmp_path / "run")

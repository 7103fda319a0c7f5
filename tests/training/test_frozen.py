"""Runs on a backbone that stays as it is: fitted heads, adapters, the cross-fitted bias."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import fscl
from fscl.bundle import Bundle
from fscl.config import resolve, settings
from fscl.decisions import Decisions
from fscl.errors import ConfigurationError, PhotosError
from fscl.evaluation import evaluate
from fscl.experiments.grid import ClassSet
from fscl.experiments.run import compare
from fscl.inference import infer
from fscl.loading import feature_files
from fscl.loading.features import FeatureStore, Views
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.models.fitted_heads import LdaHead
from fscl.progress import Silent
from fscl.records.log_lines import read_metrics
from fscl.run_folder import RunFolder
from fscl.runtime import Runtime
from fscl.scanning.scan import scan
from fscl.scoring.bias import choose_bias
from fscl.training.loop import fit
from fscl.training.run_summary import run_summary
from fscl.training.start import untrained
from fscl.training.subset import subset

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_cache")]

FITTED = ["frozen_logistic", "frozen_lda", "frozen_ridge", "frozen_class_means"]
BY_STEPS = ["frozen_cosine", "frozen_logit_adjustment", "fscl_plus", "adapter_views", "adapter_cross_entropy"]
BY_STEPS += ["adapter_both"]


class Noting(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def bundles(run):
    return Bundle.open(run), json.loads(RunFolder(run).record.read_text())


@pytest.mark.parametrize("name", [*FITTED, *BY_STEPS])
def test_the_backbone_stays_to_the_bit_and_the_model_predicts(name, quick, photos, tmp_path):
    config = quick(name, steps=8)
    run = fit(config, photos, tmp_path / "run")
    start = untrained(config, subset(photos, config), Runtime.start())
    bundle = Bundle.open(run)
    before, after = start.classifier.backbone_weights(), bundle.classifier.backbone_weights()
    assert all(torch.equal(before[weight], after[weight]) for weight in before)
    evaluated, _ = evaluate(bundle, Manifest(photos.rows, photos.root))
    assert evaluated.figures.balanced_accuracy > 0.9
    assert fscl.load(run).predict(photos.root / photos.rows["path"][0])["prediction"][0] in bundle.classes


@pytest.mark.parametrize("name", ["frozen_logistic", "fscl_plus"])
def test_logits_from_features_are_those_of_the_photos(name, quick, photos, tmp_path):
    config = quick(name)
    run = fit(config, photos, tmp_path / "run")
    bundle = Bundle.open(run)
    rows = photos.rows.iloc[::9]
    regions = Regions.of(rows, photos.root, bundle.classes)
    store = FeatureStore.build(bundle.classifier, regions, bundle.preprocessing)
    for whole, cached in zip(
        infer(bundle.classifier, regions, bundle.preprocessing),
        infer(bundle.classifier, store.view(regions), bundle.preprocessing),
        strict=True,
    ):
        assert cached.logits.numpy() == pytest.approx(whole.logits.numpy(), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("name", ["frozen_lda", "adapter_both"])
def test_a_run_is_the_same_again_to_the_bit(name, quick, photos, tmp_path):
    config = quick(name)
    weights = [RunFolder(fit(config, photos, tmp_path / folder)).weights.read_bytes() for folder in "ab"]
    assert weights[0] == weights[1]


def test_a_killed_run_goes_on_to_the_same_bits(quick, photos, tmp_path):
    class Stop(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            if step == 4:
                raise KeyboardInterrupt

    config = quick("adapter_both", steps=9, checkpoint_seconds=0.0)
    whole = fit(config, photos, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(config, photos, tmp_path / "run", listener=Stop())
    run = fit(config, photos, tmp_path / "run", resume=True)
    assert RunFolder(run).weights.read_bytes() == RunFolder(whole).weights.read_bytes()
    assert bundles(run)[1]["decisions"] == bundles(whole)[1]["decisions"]


def test_a_head_that_is_fitted_at_once_says_so(quick, photos, tmp_path):
    run = fit(quick("frozen_logistic"), photos, tmp_path / "run")
    said = run_summary(run)
    assert "its head was fitted at once" in said
    assert "balanced accuracy" in said
    assert [line["kind"] for line in read_metrics(RunFolder(run).metrics)] == ["epoch"]


def thinned(photos, **counts):
    rows = pd.concat([photos.rows[photos.rows["label"] == name].head(count) for name, count in counts.items()])
    rows = rows.assign(split=None).reset_index(drop=True)
    return Manifest(rows, photos.root)


def test_a_thin_class_has_a_bias_and_it_is_kept_in_the_model(quick, photos, tmp_path):
    config = quick("frozen_logistic", val_fraction=0.0, test_fraction=0.0)
    run = fit(config, thinned(photos, boar=50, deer=6), tmp_path / "run")
    bias = Bundle.open(run).decisions.bias
    assert set(bias.bias) == {"boar", "deer"}
    assert sum(bias.bias.values()) == pytest.approx(0, abs=1e-5)
    assert (bias.photos, bias.folds) == (56, 5)
    assert bias.origin == "cross-fitted on 56 training photos in 5 folds"
    test = Manifest(photos.rows[photos.rows["label"].isin(["boar", "deer"])].reset_index(drop=True), photos.root)
    record, _ = evaluate(Bundle.open(run), test)
    assert record.bias.value == bias.bias
    assert record.by_decision().keys() == {"argmax", "bias"}


def test_the_bias_is_that_of_heads_that_had_not_seen_the_photo(quick, photos, tmp_path, monkeypatch):
    """An oracle: the folds done by hand, with scikit-learn's splitter and a head fitted to each."""
    from sklearn.model_selection import StratifiedKFold

    config = quick("frozen_logistic", val_fraction=0.0, test_fraction=0.0)
    some = thinned(photos, boar=40, deer=8)
    bundle = Bundle.open(fit(config, some, tmp_path / "run"))
    features, labels = features_of(bundle, some, config)
    folds = StratifiedKFold(5, shuffle=True, random_state=config.seed).split(features, labels)
    assert bundle.decisions.bias.bias == biased(bundle, features, labels, folds)


@pytest.mark.parametrize("name", ["frozen_lda", "frozen_ridge", "frozen_class_means"])
@pytest.mark.parametrize("frames", [1, 4], ids=["photos", "sequences"])
def test_the_bias_of_a_closed_form_is_that_of_heads_fitted_again(name, frames, quick, photos, tmp_path):
    """An oracle: without each photo, or sequence, the head is fitted to all others."""
    config = quick(name, val_fraction=0.0, test_fraction=0.0)
    some = thinned(photos, boar=40, deer=8)
    some.rows["sequence"] = [str(number // frames) for number in range(48)]
    bundle = Bundle.open(fit(config, some, tmp_path / "run"))
    bias = bundle.decisions.bias
    assert (bias.photos, bias.folds) == (48, 48 // frames)
    said = (
        "leave-one-out over 48 training photos" if frames == 1 else "cross-fitted on 48 training photos in 12 folds"
    )
    assert bias.origin == said
    features, labels = features_of(bundle, some, config)
    number = np.arange(48) // frames
    folds = [(np.flatnonzero(number != group), np.flatnonzero(number == group)) for group in np.unique(number)]
    assert bias.bias == biased(bundle, features, labels, folds)


def test_photos_that_have_a_copy_are_left_out_with_it(quick, draw, tmp_path):
    root = draw(*(f"{name}/{number}.png" for name in ("boar", "deer") for number in range(9)), size=(40, 40))
    (root / "deer" / "copy.png").write_bytes((root / "deer" / "3.png").read_bytes())
    config = quick("frozen_lda", val_fraction=0.0, test_fraction=0.0)
    bias = Bundle.open(fit(config, scan(root), tmp_path / "run")).decisions.bias
    assert (bias.photos, bias.folds) == (19, 18)


def test_of_many_photos_those_alone_are_scored_in_closed_form(quick, photos, tmp_path, monkeypatch):
    from fscl.training import frozen

    some = thinned(photos, boar=40, deer=8)
    some.rows["sequence"] = ["0", "0", *map(str, range(2, 48))]
    config = quick("frozen_lda", val_fraction=0.0, test_fraction=0.0)
    exact = Bundle.open(fit(config, some, tmp_path / "few")).decisions.bias
    calls = []
    left_out = LdaHead.left_out
    monkeypatch.setattr(LdaHead, "left_out", lambda *given: calls.append(1) or left_out(*given))
    monkeypatch.setattr(frozen, "REFITTED_ROWS", 48)
    many = Bundle.open(fit(config, some, tmp_path / "many")).decisions.bias
    assert calls == [1]
    assert (many.photos, many.folds) == (exact.photos, exact.folds) == (48, 47)
    assert many.bias["deer"] * exact.bias["deer"] > 0


def test_many_groups_of_several_photos_are_left_to_folds(quick, photos, tmp_path, monkeypatch):
    from fscl.training import frozen

    monkeypatch.setattr(frozen, "REFITTED_ROWS", 100)
    some = thinned(photos, boar=40, deer=12)
    some.rows["sequence"] = [str(number // 4) for number in range(52)]
    config = quick("frozen_lda", val_fraction=0.0, test_fraction=0.0)
    assert Bundle.open(fit(config, some, tmp_path / "run")).decisions.bias.folds == 3


def test_two_bundles_of_a_run_are_cross_fitted_once(quick, photos, tmp_path, monkeypatch):
    from fscl.training import frozen

    asked = []
    folds = frozen._folds
    monkeypatch.setattr(frozen, "_folds", lambda *given: asked.append(1) or folds(*given))
    rows = photos.rows.assign(split=["val" if number % 5 < 4 else "train" for number in range(len(photos.rows))])
    run = fit(quick("frozen_cosine", keep="last", test_fraction=0.0), Manifest(rows, photos.root), tmp_path / "run")
    biases = [Bundle.open(path).decisions.bias for path in RunFolder(run).bundles().values()]
    assert len(biases) == 2
    assert biases[0] == biases[1]
    assert asked == [1]


def features_of(bundle, some, config):
    rows = subset(some, config).rows("train")
    regions = Regions.of(rows, some.root, bundle.classes)
    [batch] = FeatureStore.build(bundle.classifier, regions, bundle.preprocessing).view(regions).batches()
    return batch.photos, batch.labels


def biased(bundle, features, labels, folds):
    """The bias that heads of the bundle's kind give, each fitted to a part of the photos and scoring the others."""
    from fscl.models.heads import HEADS

    logits = np.zeros((len(labels), 2))
    for kept, held_out in folds:
        head = HEADS[bundle.architecture.head.name](features.shape[1], 2)
        head.fit(features[kept], labels[kept])
        logits[held_out] = head(features[held_out]).detach().numpy()
    expected = choose_bias(logits, labels.numpy())
    return pytest.approx(dict(zip(bundle.classes, expected.tolist(), strict=True)), rel=0.02, abs=0.02)


def test_photos_of_one_sequence_are_in_one_fold(quick, photos, tmp_path, monkeypatch):
    from fscl.training import frozen

    folds = []
    divided = frozen._folds

    def watched(*given):
        folds.extend(divided(*given))
        return folds

    monkeypatch.setattr(frozen, "_folds", watched)
    some = thinned(photos, boar=40, deer=12)
    some.rows["sequence"] = [str(number // 4) for number in range(52)]
    config = quick("frozen_logistic", val_fraction=0.0, test_fraction=0.0)
    fit(config, some, tmp_path / "run")
    rows = subset(some, config).rows("train")
    assert len(folds) == 3
    for kept, held_out in folds:
        assert not set(rows["sequence"].iloc[kept]) & set(rows["sequence"].iloc[held_out])


def test_a_class_of_one_photo_trains_and_says_that_it_has_no_bias(quick, photos, tmp_path):
    config = quick("frozen_class_means", val_fraction=0.0, test_fraction=0.0)
    run = fit(config, thinned(photos, boar=30, deer=1), tmp_path / "run")
    decisions = Bundle.open(run).decisions
    assert decisions.bias is None
    assert "too few training photos to leave some out" in decisions.note


def test_enough_validation_photos_give_a_threshold_and_no_bias(quick, photos, tmp_path):
    config = quick("frozen_lda", classes=("boar", "deer"), minority=("deer",))
    rows = photos.rows[photos.rows["label"].isin(["boar", "deer"])].reset_index(drop=True)
    rows["split"] = ["train" if number % 4 == 0 else "test" if number == 1 else "val" for number in range(len(rows))]
    decisions = Bundle.open(fit(config, Manifest(rows, photos.root), tmp_path / "run")).decisions
    assert decisions.threshold is not None
    assert decisions.bias is None


def test_the_bias_decides_where_decisions_are_asked_for(quick, photos, tmp_path):
    config = quick("frozen_logistic", val_fraction=0.0, test_fraction=0.0)
    run = fit(config, thinned(photos, boar=50, deer=6), tmp_path / "run")
    model = fscl.load(run)
    shifted = Decisions(bias=model.decisions.bias.model_copy(update={"bias": {"boar": -99.0, "deer": 99.0}}))
    given = [photos.root / path for path in photos.rows["path"][:3]]
    assert (model.predict(given)["prediction"] == "boar").all()
    decided = type(model)(model.bundle.__class__(**{**vars(model.bundle), "decisions": shifted}))
    assert (decided.predict(given, decision="threshold")["prediction"] == "deer").all()


@pytest.mark.parametrize("name", ["fscl_plus", "frozen_lda"])
def test_a_photo_that_cannot_be_read_is_left_out_and_named(name, quick, draw, tmp_path):
    root = draw(*(f"{name}/{number}.png" for name in ("boar", "deer") for number in range(12)))
    manifest = scan(root)
    broken = root / "deer" / "3.png"
    size = broken.stat().st_size
    broken.write_bytes(b"x" * size)
    config = quick(name, val_fraction=0.0, test_fraction=0.0)
    run = fit(config, manifest, tmp_path / "run")
    problems = [line for line in read_metrics(RunFolder(run).metrics) if line["kind"] == "problem"]
    assert [line["path"] for line in problems] == [str(broken)]


def test_a_thin_class_of_which_a_photo_cannot_be_read_has_no_bias_and_trains(quick, draw, tmp_path):
    root = draw("deer/0.png", "deer/1.png", *(f"boar/{number}.png" for number in range(9)))
    manifest = scan(root)
    broken = root / "deer" / "1.png"
    broken.write_bytes(b"x" * broken.stat().st_size)
    run = fit(quick("frozen_lda", val_fraction=0.0, test_fraction=0.0), manifest, tmp_path / "run")
    assert "too few training photos to leave some out" in Bundle.open(run).decisions.note


def test_a_class_none_of_whose_photos_can_be_read(quick, draw, tmp_path):
    root = draw(*(f"{name}/{number}.png" for name in ("boar", "deer") for number in range(6)))
    manifest = scan(root)
    for path in (root / "deer").iterdir():
        path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(PhotosError, match=r"no photo of deer can be read: .*deer"):
        fit(quick("frozen_lda", val_fraction=0.0, test_fraction=0.0), manifest, tmp_path / "run")


def frozen(method, **model):
    from fscl import methods

    small = settings({"backbone": "test_resnet", "image_size": 32, "steps": 4, "batch_size": 16, "workers": 0})
    small["model"] |= {"frozen": True} | model
    return resolve([(method, methods.read(method)), ("test", small)])


@pytest.mark.parametrize(
    "method",
    ["baseline", "oversampling", "logit_adjustment", "focal", "ldam_drw", "crt", "mixup", "tau_normalisation"],
)
def test_any_method_on_logits_trains_on_features(method, photos, tmp_path):
    run = fit(frozen(method), photos, tmp_path / "run")
    assert resolve([("run", fscl.methods.read_toml(RunFolder(run).settings))]).frozen
    assert Bundle.open(run).classes == ("boar", "deer", "hare")


@pytest.mark.parametrize("method", ["fscl", "contrastive", "supcon", "bcl", "proco"])
def test_losses_on_features_shape_an_adapter(method, photos, tmp_path):
    run = fit(frozen(method, head={"name": "adapter"}), photos, tmp_path / "run")
    assert Bundle.open(run).classifier.head.residual.weight.abs().sum() > 0


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("fscl", r"loss 'feature_similarity' shapes features, and nothing here makes them but the frozen backbone"),
        ("cutmix", "mixing 'cutmix' is made for photos, and here features are mixed: mixup can do that"),
        ("cmo", "mixing 'cutmix' is made for photos"),
        ("remix", "mixing 'remix' is made for photos"),
    ],
)
def test_what_means_nothing_on_features_is_refused(method, said, photos, tmp_path):
    with pytest.raises(ConfigurationError, match=said):
        fit(frozen(method), photos, tmp_path / "run")


def test_a_recipe_without_stages_needs_a_head_that_is_fitted(photos, quick, tmp_path):
    config = quick("baseline").model_copy(update={"stage": ()})
    with pytest.raises(ConfigurationError, match=r"a recipe without a \[\[stage\]\] trains nothing"):
        fit(config, photos, tmp_path / "run")


def test_an_older_fingerprint_is_not_changed_by_what_is_new(quick):
    record = quick("fscl").record()
    assert "frozen" not in record["model"]


def test_cells_on_features_decode_each_photo_once(photos, quick, tmp_path, decoded):
    pair = ClassSet("fine", ("boar", "deer"), ("deer",))
    configs = {name: quick(name) for name in ("frozen_lda", "fscl_plus", "frozen_cosine")}
    # a backbone without published weights is drawn by the seed
    out = compare(photos, configs, tmp_path / "s", pairs=[pair], ratios=[1.0, 0.25], seeds=[0], jobs=1, quiet=True)
    cells = [json.loads(path.read_text()) for path in sorted((out / "cells").glob("*.json"))]
    assert [cell["status"] for cell in cells] == ["done"] * 6, [cell["reason"] for cell in cells]
    assert len(decoded) == len(set(decoded))
    adapters = [cell for cell in cells if cell["cell"]["method"] == "fscl_plus"]
    assert all(set(cell["similarity"]["after"]) == {"adapter"} for cell in adapters)
    assert all(cell["evaluations"]["last"]["bias"] for cell in cells if cell["cell"]["ratio"] == 0.25)


@pytest.mark.parametrize("name", ["frozen_logistic", "frozen_lda", "adapter_both", "frozen_cosine"])
def test_a_run_with_views_leaves_a_model_and_a_bias(name, quick, photos, tmp_path, decoded):
    config = quick(name, val_fraction=0.0, test_fraction=0.0, feature_views=2)
    some = thinned(photos, boar=20, deer=6)
    bundle = Bundle.open(fit(config, some, tmp_path / "run"))
    assert len(decoded) == 26
    assert bundle.decisions.bias.photos == 26
    plain = Bundle.open(fit(quick(name, val_fraction=0.0, test_fraction=0.0), some, tmp_path / "plain"))
    weights, others = bundle.classifier.head.state_dict(), plain.classifier.head.state_dict()
    assert any(not torch.equal(weights[key], others[key]) for key in weights)


def test_the_views_of_a_photo_that_is_left_out_are_left_out_with_it(quick, photos, tmp_path):
    """An oracle: heads fitted to all views of all other photos, which score the plain photo."""
    config = quick("frozen_lda", val_fraction=0.0, test_fraction=0.0, feature_views=2)
    some = thinned(photos, boar=20, deer=6)
    bundle = Bundle.open(fit(config, some, tmp_path / "run"))
    rows = subset(some, config).rows("train")
    regions = Regions.of(rows, some.root, bundle.classes)
    views = Views(config.augmentation, np.arange(26))
    store = FeatureStore.build(bundle.classifier, regions, bundle.preprocessing, views=views)
    seen = store.view(regions).seen(config.augmentation, [])
    features = torch.from_numpy(store.features(seen.ravel())).reshape(26, 3, -1)
    labels, logits = torch.from_numpy(regions.labels), np.zeros((26, 2))
    for row in range(26):
        kept = np.arange(26) != row
        head = LdaHead(features.shape[2], 2)
        head.fit(features[kept].flatten(0, 1), labels[kept].repeat_interleave(3), views=3)
        logits[row] = head(features[row, :1]).detach().numpy()[0]
    expected = choose_bias(logits, regions.labels)
    assert bundle.decisions.bias.origin == "leave-one-out over 26 training photos"
    assert list(bundle.decisions.bias.bias.values()) == pytest.approx(expected.tolist(), rel=0.02, abs=0.02)


def test_a_killed_run_with_views_goes_on_to_the_same_bits(quick, photos, tmp_path):
    class Stop(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            if step == 4:
                raise KeyboardInterrupt

    config = quick("adapter_both", steps=9, checkpoint_seconds=0.0, feature_views=3)
    whole = fit(config, photos, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(config, photos, tmp_path / "run", listener=Stop())
    run = fit(config, photos, tmp_path / "run", resume=True)
    assert RunFolder(run).weights.read_bytes() == RunFolder(whole).weights.read_bytes()


def test_cells_with_and_without_views_share_the_photos_that_are_known(photos, quick, tmp_path, decoded):
    pair = ClassSet("fine", ("boar", "deer"), ("deer",))
    configs = {"frozen_lda": quick("frozen_lda"), "frozen_logistic": quick("frozen_logistic", feature_views=2)}
    out = compare(photos, configs, tmp_path / "s", pairs=[pair], ratios=[0.25], seeds=[0], jobs=1, quiet=True)
    cells = [json.loads(path.read_text()) for path in sorted((out / "cells").glob("*.json"))]
    assert [cell["status"] for cell in cells] == ["done"] * 2, [cell["reason"] for cell in cells]
    assert max(decoded.count(name) for name in set(decoded)) == 2, "once for the features, once more for the views"


def test_views_of_a_backbone_that_learns_are_refused(quick):
    with pytest.raises(ConfigurationError, match=r"feature_views is for a backbone that stays as it is"):
        quick("fscl", feature_views=2)
    assert quick("oversampling", feature_views=2, frozen=True).augmentation.feature_views == 2
    assert "feature_views" not in quick("frozen_lda").record()["augmentation"]


def test_what_features_take_on_the_disk_counts_the_views(quick, photos, tmp_path, monkeypatch):
    free = SimpleNamespace(free=50_000.0)
    monkeypatch.setattr(feature_files.shutil, "disk_usage", lambda place: free)
    listener = Noting()
    config = quick("frozen_lda", val_fraction=0.0, test_fraction=0.0, feature_views=4)
    run = fit(config, thinned(photos, boar=40, deer=6), tmp_path / "run", listener=listener)
    dim = Bundle.open(run).classifier.pooled_dim
    assert 46 * dim * 4 < free.free < 5 * 46 * dim * 4
    [note] = [
        note for note in listener.notes if note.startswith("features of 230 photos, views counted: up to 0.0 GB")
    ]
    assert "; only 0.0 GB are free there (FSCL_CACHE names another folder" in note
    quiet = Noting()
    fit(quick("frozen_lda"), thinned(photos, boar=40, deer=6), tmp_path / "plain", listener=quiet)
    assert not any(note.startswith("features of") for note in quiet.notes)

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import fscl
from fscl import methods
from fscl.bundle import Bundle
from fscl.config import resolve, settings
from fscl.decisions import CrossFitted, Decisions, MinorityThreshold, why_no_threshold
from fscl.errors import ConfigurationError
from fscl.evaluation import evaluate
from fscl.inference import Scores, fit_decisions
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.predictor import Predictor
from fscl.training.loop import fit

CLASSES, RARE = ("boar", "deer"), ("deer",)
MANY = {"boar": 30, "deer": 20}


@pytest.fixture(scope="module")
def run(tmp_path_factory, photos):
    """Return a run of two classes with 20 validation photos of each, and the best epoch beside the last."""
    small = {"backbone": "test_resnet", "image_size": 32, "steps": 20, "batch_size": 16, "workers": 0}
    split = {"val_fraction": 0.67, "test_fraction": 0.17, "thin_validation": False, "ratio": 0.4}
    flags = settings(small | split | {"minority": RARE, "classes": CLASSES, "keep": "best"})
    config = resolve([("baseline", methods.read("baseline")), ("test", flags)])
    return fit(config, photos, tmp_path_factory.mktemp("runs") / "run")


def part(run, split):
    own = Manifest.read(run / "photos.parquet")
    return Manifest(own.rows[own.rows["split"] == split].reset_index(drop=True), own.root)


def test_the_threshold_is_the_best_on_validation_and_splits_ties_as_argmax_does():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (200, 2)).astype(np.float32)
    labels = (logits[:, 1] - logits[:, 0] + generator.normal(0, 1, 200) > 1.5).astype(int)
    decisions = Decisions.fit(logits, labels, classes=CLASSES, minority=RARE, photos=MANY)
    margin = decisions.threshold.margin

    def balanced(decided):
        return np.mean([(decided[labels == label] == label).mean() for label in (0, 1)])

    others = [balanced((logits[:, 1] - logits[:, 0] > other).astype(int)) for other in np.linspace(-6, 6, 500)]
    assert balanced(decisions.apply(logits, CLASSES)) >= max(others)
    assert decisions.threshold.value == pytest.approx(1 / (1 + np.exp(-margin)))
    assert np.array_equal(Decisions().apply(logits, CLASSES), logits.argmax(axis=1))


@pytest.mark.parametrize(
    ("classes", "minority", "photos", "why"),
    [
        (CLASSES, (), MANY, "neither class is the rare one"),
        (CLASSES, RARE, {"boar": 30, "deer": 19}, "it takes 20 .* 30 of boar and 19 of deer"),
        ((*CLASSES, "hare"), RARE, {**MANY, "hare": 1}, None),
    ],
)
def test_why_there_is_no_threshold(classes, minority, photos, why):
    logits, labels = np.zeros((2, len(classes))), np.array([0, 1])
    decisions = Decisions.fit(logits, labels, classes=classes, minority=minority, photos=photos)
    assert decisions.threshold is None
    assert decisions.no_threshold == why_no_threshold(classes, minority, photos)
    assert decisions.no_threshold == why or re.search(why, decisions.no_threshold)


def test_scores_that_are_not_finite_choose_nothing():
    logits = np.array([[0.0, np.nan], [0.0, 1.0]])
    decisions = Decisions.fit(logits, np.array([0, 1]), classes=CLASSES, minority=RARE, photos=MANY)
    assert decisions.no_threshold == "scores of validation photos are not finite"


def test_both_bundles_of_a_run_keep_what_evaluation_would_choose_to_the_bit(run):
    assert {path.parent.name for path in run.rglob("bundle.json")} == {run.name, "last"}
    validation = part(run, "val")
    for folder in (run, run / "last"):
        bundle = Bundle.open(folder)
        regions = Regions.of(validation.rows, validation.root, bundle.classes)
        chosen = folder == run  # its epoch, on these photos
        assert bundle.decisions == fit_decisions(bundle, validation.rows, regions, epoch_chosen=chosen)
        assert bundle.decisions.temperature.origin.endswith("on which the epoch was chosen, too") == chosen
        kept, _ = evaluate(bundle, part(run, "test"))
        anew, _ = evaluate(replace(bundle, decisions=None), part(run, "test"), validation)
        parts = ("calibration", "accept", "sets")
        if not chosen:
            assert kept == anew
        for name in parts:  # but for the words that the epoch was chosen on the same photos
            assert replace(getattr(kept, name), origin="") == replace(getattr(anew, name), origin="")
        assert replace(kept, **dict.fromkeys(parts)) == replace(anew, **dict.fromkeys(parts))
        assert kept.threshold.value == bundle.decisions.threshold.value


def test_the_threshold_is_chosen_by_the_labels_of_the_photos_that_are_read(run, monkeypatch):
    validation, asked = part(run, "val").rows, []
    monkeypatch.setattr(Decisions, "fit", lambda logits, labels, **_: asked.append((logits, labels)) or Decisions())
    rows = validation.sort_values("label", ignore_index=True)
    rows = pd.concat([rows, rows[-3:]], ignore_index=True)
    rows.loc[:2, "path"] = "gone.jpg"
    bundle = Bundle.open(run)
    fit_decisions(bundle, rows, Regions.of(rows, part(run, "val").root, bundle.classes))
    [(logits, labels)] = asked
    assert len(logits) == len(rows) - 3
    assert [bundle.classes[label] for label in labels] == rows["label"][3:].tolist()


def test_evaluation_and_prediction_decide_alike(run):
    bundle, test = Bundle.open(run), part(run, "test")
    margin = 100.0  # nothing is a deer
    never = replace(bundle, decisions=Decisions(threshold=MinorityThreshold(minority="deer", margin=margin)))
    record, _ = evaluate(never, test)
    assert record.threshold.figures.minority_recall == 0
    model = Predictor(never)
    paths = [test.root / path for path in test.rows["path"]]
    at_threshold, at_argmax = model.predict(paths, decision="threshold"), model.predict(paths)
    assert set(at_threshold["prediction"]) == {"boar"}
    assert at_threshold["probability"].tolist() == at_threshold["boar"].tolist()
    assert at_argmax["probability"].tolist() == at_argmax[["boar", "deer"]].max(axis=1).tolist()
    columns = ["filepath", "boar", "deer", "problem"]
    assert at_threshold[columns].equals(at_argmax[columns])


def test_a_photo_that_cannot_be_read_has_no_prediction(run, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    table = fscl.load(run).predict([tmp_path / "broken.jpg"], decision="threshold")
    assert table["prediction"].isna().all()
    assert table["probability"].isna().all()


def test_a_model_without_threshold_says_why(run):
    bundle = Bundle.open(run)
    few = replace(bundle, decisions=Decisions(no_threshold="it takes 20 validation photos"))
    with pytest.raises(ConfigurationError, match=r"with a threshold, but it takes 20 .*; predict with decision="):
        Predictor(few).predict([], decision="threshold")
    with pytest.raises(ConfigurationError, match="but the model is of a version that does not keep one"):
        Predictor(replace(bundle, decisions=None)).predict([], decision="threshold")


def test_a_run_that_has_ended_keeps_its_decisions_in_the_record(run):
    decisions = json.loads((run / "bundle.json").read_text())["decisions"]
    assert decisions["threshold"]["minority"] == "deer"
    assert decisions["no_threshold"] is decisions["note"] is None


@pytest.mark.parametrize(
    ("each", "origin"), [(200, "600 training photos, cross-fitted in 5 folds"), (25, "120 validation photos")]
)
def test_where_validation_is_too_thin_for_a_bar_more_cross_fitted_photos_calibrate(photos, monkeypatch, each, origin):
    """Of 30 validation photos of a class none can be certified, which takes 59; of 200 cross-fitted ones it can."""
    names = ["boar", "deer", "hare"]
    regions = Regions.of(photos.rows, photos.root, names)
    sure = 9 * np.eye(3)
    said = Scores(np.arange(len(regions)), sure[regions.labels], [])
    monkeypatch.setattr("fscl.inference.scores", lambda *_, **__: said)
    labels = np.repeat(np.arange(3), each)
    crossed = CrossFitted(sure[labels], labels, np.arange(3 * each), "photos", 3 * each, 5)
    model = SimpleNamespace(classes=names, minority=[], classifier=None, preprocessing=None)
    found = fit_decisions(model, photos.rows, regions, cross_fitted=lambda: crossed)
    assert found.temperature.origin == found.sets.origin.split(", each")[0] == origin
    assert {name: one.score is not None for name, one in found.accept.species.items()} == {
        "boar": True,  # 60 photos were named so
        "deer": each == 200,
        "hare": each == 200,
    }

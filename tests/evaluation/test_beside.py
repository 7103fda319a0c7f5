"""Beside a model: its start with class means, and the earlier model; and features that are computed once."""

import io
import json
from dataclasses import replace
from shutil import copytree, rmtree

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter
from rich.console import Console

from fscl.bundle import Bundle
from fscl.decisions import Decisions
from fscl.evaluation import beside, evaluate, evaluate_run, table
from fscl.evaluation.predictions import predictions
from fscl.evaluation.terminal_beside import verdict
from fscl.inference import infer
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.progress import Silent
from fscl.records import Beside, Difference, Evaluation
from fscl.run_folder import RunFolder
from fscl.runtime import Runtime
from fscl.scanning.scan import scan
from fscl.training.loop import fit
from fscl.training.start import untrained
from fscl.training.subset import subset

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_cache")]


class Hearing(Silent):
    def __init__(self):
        self.prepared, self.notes = [], []

    def prepare(self, done, photos, what=""):
        self.prepared.append((done, photos, what))

    def note(self, text):
        self.notes.append(text)


def shown(record, width=200):
    console = Console(width=width, file=io.StringIO())
    console.print(table(record))
    return console.file.getvalue()


def split_of(run, split):
    own = Manifest.read(run / "photos.parquet")
    return Manifest(own.rows[own.rows["split"] == split].reset_index(drop=True), own.root)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory, photos):
    """A run on all three classes, from scratch; nothing of it is changed."""
    return _trained(tmp_path_factory.mktemp("earlier") / "run", photos)


def _trained(out, photos, method="baseline", **flags):
    from fscl import methods
    from fscl.config import resolve, settings

    small = {"backbone": "test_resnet", "image_size": 32, "steps": 6, "batch_size": 16, "workers": 0}
    recipe = methods.read(method)
    recipe.get("model", {}).pop("weights", None)
    config = resolve([(method, recipe), ("test", settings(small | {"test_fraction": 0.2} | flags))])
    return fit(config, photos, out)


def test_a_second_evaluation_of_a_frozen_run_decodes_nothing(quick, photos, tmp_path, decoded):
    run = fit(quick("frozen_logistic"), photos, tmp_path / "run")
    decoded.clear()
    first = evaluate_run(run)
    test = split_of(run, "test")
    assert sorted(decoded) == sorted(str(test.root / path) for path in test.rows["path"])
    decoded.clear()
    assert evaluate_run(run) == first
    assert evaluate_run(run, Manifest(test.rows.assign(split=None), test.root)).figures == first.figures
    assert decoded == []


@pytest.mark.parametrize("name", ["frozen_logistic", "fscl_plus"])
def test_features_of_the_cache_change_no_result(name, quick, draw, tmp_path):
    root = draw(*(f"{label}/{number}.png" for label in ("boar", "deer") for number in range(30)))
    run = fit(quick(name, test_fraction=0.3), scan(root), tmp_path / "run")
    test = split_of(run, "test")
    unreadable, replaced = (root / path for path in test.rows["path"][:2])
    unreadable.write_bytes(b"x" * unreadable.stat().st_size)
    replaced.write_bytes(replaced.read_bytes() + b"0")
    bundle = Bundle.open(run)
    plain, logits = evaluate(bundle, test)
    record = evaluate_run(run)
    assert {photo.path for photo in record.failed} == set(test.rows["path"][:2])
    assert record.failed == plain.failed
    for name in ("confusion", "counts", "photos", "scored", "no_threshold"):
        assert getattr(record, name) == getattr(plain, name), name
    for own, without in ((record.figures, plain.figures), *zip(*both_decided(record, plain), strict=True)):
        values = [TypeAdapter(type(own)).dump_python(figures) for figures in (own, without)]
        assert flat(values[0]) == pytest.approx(flat(values[1]), rel=1e-5)
    found = pd.read_csv(run / "predictions.csv")
    expected = predictions(test, bundle, plain, logits)
    assert found["problem"].fillna("").tolist() == expected["problem"].fillna("").tolist()
    assert found["prediction"].fillna("").tolist() == expected["prediction"].fillna("").tolist()
    assert found["deer"].to_numpy() == pytest.approx(expected["deer"].to_numpy(dtype=float), abs=1e-5, nan_ok=True)


def both_decided(*records):
    return [list(record.by_decision().values()) for record in records]


def flat(figures):
    inner = [value for value in figures.values() if isinstance(value, dict)]
    plain = {name: value for name, value in figures.items() if not isinstance(value, dict)}
    every = plain | {f"{number}.{name}": value for number, one in enumerate(inner) for name, value in one.items()}
    return {name: value for name, value in every.items() if value is not None}


def test_a_cache_that_cannot_be_written_stops_no_evaluation(quick, photos, tmp_path, monkeypatch):
    run = fit(quick("frozen_logistic"), photos, tmp_path / "run")
    whole = evaluate_run(run)
    (tmp_path / "file").touch()
    monkeypatch.setenv("FSCL_CACHE", str(tmp_path / "file"))
    hearing = Hearing()
    record = evaluate_run(run, listener=hearing)
    assert record.figures.recall_by_class == whole.figures.recall_by_class
    [start] = record.beside
    assert start.figures is None
    assert start.reason
    assert hearing.notes[0].startswith("features are not taken from the cache: ")


def test_a_damaged_cache_stops_no_evaluation(quick, photos, tmp_path):
    run = fit(quick("frozen_logistic"), photos, tmp_path / "run")
    whole = evaluate_run(run)
    for path in (tmp_path / "cache").rglob("*.npy"):
        path.write_bytes(b"x")
    hearing = Hearing()
    assert evaluate_run(run, listener=hearing).figures.recall_by_class == whole.figures.recall_by_class
    assert hearing.notes[0].startswith("features are not taken from the cache: ")


@pytest.mark.parametrize("name", ["frozen_logistic", "baseline"])
def test_an_evaluation_says_how_many_photos_are_read(name, quick, photos, tmp_path):
    run = fit(quick(name), photos, tmp_path / "run")
    hearing = Hearing()
    record = evaluate_run(run, listener=hearing)
    assert hearing.prepared[0][:2] == (record.scored.rows, record.scored.rows)


def features(bundle, rows, root):
    """The pooled features of photos by a backbone, without the cache."""
    regions = Regions.of(rows, root, bundle.classes)
    kept = []
    bundle.classifier.head.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    list(infer(bundle.classifier, regions, bundle.preprocessing))
    return torch.cat(kept).double().numpy(), regions.labels


@pytest.mark.parametrize("name", ["baseline", "frozen_lda"])
def test_the_start_is_the_nearest_class_mean_of_its_features(name, quick, photos, tmp_path):
    """An oracle: class means by hand, of the features of the weights that training started from."""
    config = quick(name)
    run = fit(config, photos, tmp_path / "run")
    started = untrained(config, subset(photos, config), Runtime.start())
    (x, y), (new, truth) = (
        features(replace(started, classifier=started.classifier.eval()), split_of(run, split).rows, photos.root)
        for split in ("train", "test")
    )
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    means = np.stack([((x - mean) / spread)[y == label].mean(axis=0) for label in range(3)])
    centred, directions = (new - mean) / spread - means.mean(axis=0), means - means.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1)[:, None] * np.linalg.norm(directions, axis=1)
    called = (centred @ directions.T / lengths).argmax(axis=1)
    recalls = [float((called[truth == label] == label).mean()) for label in range(3)]
    [start] = evaluate_run(run).beside
    assert list(start.figures.recall_by_class.values()) == pytest.approx(recalls)
    counts = split_of(run, "train").rows["path"].nunique()
    assert (
        start.what
        == f"an untrained backbone (random features), frozen, and the class means of {counts} training photos"
    )
    assert (start.kind, start.photos, start.left_out, start.same_photos) == ("start", len(truth), 0, None)


def test_class_means_take_some_photos_of_each_class_as_the_seed_chooses(quick, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(beside, "CLASS_MEAN_PHOTOS", 5)
    run = fit(quick("baseline"), photos, tmp_path / "run")
    [start] = evaluate_run(run).beside
    assert start.what.endswith("class means of 15 training photos")
    rows = split_of(run, "train").rows
    chosen = [beside._some_of_each(rows, ("boar", "deer", "hare"), seed)["path"].tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_all_boxes_of_a_chosen_photo_are_taken(photos, monkeypatch):
    monkeypatch.setattr(beside, "CLASS_MEAN_PHOTOS", 2)
    rows = pd.concat([photos.rows, photos.rows.assign(region_id=photos.rows["region_id"] + "b")])
    some = beside._some_of_each(rows, ("boar", "deer"), 0)
    assert some.groupby("label")["photo_id"].nunique().to_dict() == {"boar": 2, "deer": 2}
    assert len(some) == 8


def test_an_evaluation_leaves_the_chance_of_the_caller_alone(earlier):
    drawn = []
    for seed in (7, 8):
        torch.manual_seed(seed)
        evaluate_run(earlier)
        drawn.append(torch.rand(3))
    assert not torch.equal(*drawn)


def test_the_start_of_published_weights_is_named(photos, tmp_path, earlier):
    run = _trained(tmp_path / "run", photos, weights=str(RunFolder(earlier).weights))
    [start] = evaluate_run(run).beside
    assert start.what.startswith(f"{RunFolder(earlier).weights}, frozen, and the class means of ")


def test_where_the_start_cannot_be_made_a_line_says_why(photos, tmp_path, earlier):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(RunFolder(earlier).weights.read_bytes())
    run = _trained(tmp_path / "run", photos, weights=str(weights))
    bundle = Bundle.open(run)
    other = _trained(tmp_path / "other", photos, seed=1)
    weights.write_bytes(RunFolder(other).weights.read_bytes())
    reasons = [reason(run)]
    weights.unlink()
    reasons.append(reason(run))
    replace(bundle, start=None).save(run)
    weights.write_bytes(RunFolder(earlier).weights.read_bytes())
    reasons.append(reason(run))
    replace(bundle, config={"of": "tomorrow"}).save(run)
    reasons.append(reason(run))
    assert "holds other weights by now than those that the run started from" in reasons[0]
    assert str(weights) in reasons[1]
    assert reasons[2].startswith("an earlier release made this model, and did not note")
    assert reasons[3].startswith("the settings of the run are not known to this release: ")


def reason(run, photos=None):
    record = evaluate_run(run, photos)
    [start] = record.beside
    assert (start.figures, start.difference) == (None, None)
    assert " ".join(f"is not shown: {start.reason}".split()) in " ".join(shown(record).split())
    assert record.figures.balanced_accuracy is not None
    return start.reason


def test_a_frozen_start_needs_no_file_of_weights(photos, tmp_path, earlier):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(RunFolder(earlier).weights.read_bytes())
    run = _trained(tmp_path / "run", photos, "frozen_lda", weights=str(weights))
    weights.unlink()
    [start] = evaluate_run(run).beside
    assert start.figures is not None


def test_training_photos_that_are_gone(quick, draw, tmp_path):
    root = draw(*(f"photos/{label}/{number}.png" for label in ("boar", "deer") for number in range(20))) / "photos"
    run = fit(quick("baseline", test_fraction=0.3), scan(root), tmp_path / "run")
    deer = [root / path for path in split_of(run, "train").rows["path"] if path.startswith("deer")]
    for path in deer:
        path.write_bytes(b"x" * path.stat().st_size)
    assert reason(run).startswith("no photo of deer can be read: ")
    for path in deer:
        path.write_bytes(b"x")
    assert reason(run) == "its class means take training photos, and there is none of deer"
    others = copytree(root, tmp_path / "others")
    for label in ("boar", "deer"):
        draw(*(f"others/{label}/new{number}.png" for number in range(3)))
    rmtree(root)
    assert reason(run, scan(others)).startswith("its class means take the training photos of the run, and ")


@pytest.mark.parametrize("name", ["baseline", "frozen_logistic"])
def test_the_earlier_model_is_scored_on_photos_that_it_had_not_seen(name, photos, tmp_path, earlier):
    run = _trained(tmp_path / "run", photos, name, bundle=str(earlier))
    rows = photos.rows.assign(split=["test" if n % 2 else "train" for n in range(len(photos.rows))])
    record = evaluate_run(run, Manifest(rows, photos.root))
    start, other = record.beside
    learnt = {
        run: {*split_of(run, "train").rows["path"], *split_of(run, "val").rows["path"]} for run in (run, earlier)
    }
    test = rows[(rows["split"] == "test") & ~rows["path"].isin(learnt[run])]
    new = Manifest(test[~test["path"].isin(learnt[earlier])], photos.root)
    assert start.photos == len(test) == record.scored.photos
    assert start.what.startswith(f"the backbone of {earlier}, frozen, ")
    assert (other.kind, other.what, other.photos) == ("earlier", str(earlier), len(new.rows))
    assert other.left_out == len(test) - len(new.rows)
    expected, _ = evaluate(replace(Bundle.open(earlier), decisions=Decisions()), new)
    assert other.figures == replace(expected.figures, recall_by_bin=other.figures.recall_by_bin)
    if other.left_out:
        assert other.same_photos.recall_by_class == evaluate(Bundle.open(run), new)[0].figures.recall_by_class


def with_split(photos, test):
    """The photos, some of which are the test: the others are learnt from."""
    return Manifest(photos.rows.assign(split=np.where(test, "test", "train")), photos.root)


def test_both_models_are_compared_on_the_same_photos(photos, tmp_path):
    number = np.arange(len(photos.rows))
    first = _trained(tmp_path / "first", with_split(photos, number % 4 == 0))
    run = _trained(tmp_path / "run", with_split(photos, number % 2 == 0), bundle=str(first))
    record = evaluate_run(run)
    _, other = record.beside
    assert (record.scored.photos, other.photos, other.left_out) == (60, 30, 30)
    new = Manifest(photos.rows[number % 4 == 0], photos.root)
    assert other.same_photos.recall_by_class == evaluate(Bundle.open(run), new)[0].figures.recall_by_class
    difference = other.same_photos.balanced_accuracy - other.figures.balanced_accuracy
    assert other.difference.value == pytest.approx(difference)
    text = shown(record)
    assert "this model on these" in text
    assert f"earlier model: {first}, without 30 photos that it was trained on" in text
    again = _trained(tmp_path / "again", with_split(photos, number % 4 == 1), bundle=str(first))
    assert evaluate_run(again).beside[1].reason == "it was trained or validated on all 30 photos"


def test_classes_are_compared_by_name(photos, tmp_path, earlier):
    """An earlier model whose classes are in another order, or more than those of the run."""
    turned = Bundle.open(earlier)
    order = [2, 0, 1]
    weights = turned.classifier.head.state_dict()
    turned.classifier.head.load_state_dict({name: weight[order] for name, weight in weights.items()})
    replace(turned, classes=tuple(turned.classes[n] for n in order)).save(tmp_path / "turned")
    Manifest.read(earlier / "photos.parquet").write(tmp_path / "turned/photos.parquet")
    for first in (earlier, tmp_path / "turned"):
        run = _trained(tmp_path / f"run_{first.name}", photos, bundle=str(first), seed=2)
        _, other = evaluate_run(run).beside
        plain, logits = evaluate(Bundle.open(earlier), split_of(run, "test"))
        assert other.figures.recall_by_class == plain.figures.recall_by_class
        pair = _trained(tmp_path / f"pair_{first.name}", photos, bundle=str(first), classes=("boar", "deer"))
        record = evaluate_run(pair)
        _, other = record.beside
        _, logits = evaluate(Bundle.open(earlier), split_of(pair, "test"))
        called = logits[["logit:boar", "logit:deer"]].to_numpy().argmax(axis=1)
        right = called == (logits["label"] == "deer")
        assert list(other.figures.recall_by_class.values()) == pytest.approx(
            right.groupby(logits["label"]).mean().tolist()
        )
        assert other.note == "it also knows hare, whose scores are left out"
        assert other.note in shown(record)


def test_where_the_earlier_model_cannot_be_compared_a_line_says_why(photos, tmp_path, earlier):
    def why(run):
        record = evaluate_run(run)
        assert f"is not shown: {record.beside[1].reason}" in shown(record, width=400)
        return record.beside[1].reason

    few = _trained(tmp_path / "few", photos, classes=("boar", "deer"))
    more = _trained(tmp_path / "more", photos, bundle=str(few))
    assert why(more) == "it does not know hare"
    first = copytree(earlier, tmp_path / "first")
    run = _trained(tmp_path / "run", photos, bundle=str(first))
    (first / "photos.parquet").unlink()
    assert why(run).startswith("nothing tells which photos it was trained on: ")
    copytree(few, first, dirs_exist_ok=True)
    assert "holds another model by now" in why(run)
    rmtree(first)
    assert "no bundle.json there" in why(run)
    assert all(other.figures is None for other in evaluate_run(run).beside)


def test_an_earlier_model_whose_photos_are_gone_is_compared_and_that_is_said(photos, class_folders, tmp_path):
    root = copytree(class_folders, tmp_path / "photos")
    first = _trained(tmp_path / "first", scan(root))
    run = _trained(tmp_path / "run", photos, bundle=str(first))
    rmtree(root)
    _, other = evaluate_run(run).beside
    assert other.figures is not None
    assert "its training photos are told by known hashes, else by name and size" in other.note


def test_a_record_is_read_back_and_earlier_ones_are(earlier, tmp_path):
    record = evaluate_run(earlier)
    written = (earlier / "evaluation.json").read_bytes()
    reader = TypeAdapter(Evaluation)
    assert reader.validate_json(written, strict=True) == record
    old = json.loads(written)
    del old["beside"]
    assert reader.validate_json(json.dumps(old), strict=True) == replace(record, beside=[])
    assert "did training beat its start" not in shown(replace(record, beside=[]))
    with pytest.raises(ValueError, match="beside: expected figures and a difference, or a reason"):
        Beside(kind="start", what="nothing")


def test_nothing_is_added_where_a_bundle_is_evaluated_alone(earlier):
    assert evaluate(Bundle.open(earlier), split_of(earlier, "test"))[0].beside == []


def compared(record, **difference):
    [start] = record.beside
    return replace(record, beside=[replace(start, difference=Difference(**difference))])


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ({"value": 0.2, "differ": 9, "p": 0.004}, "better than its start in balanced accuracy: "),
        ({"value": -0.2, "differ": 9, "p": 0.004}, "worse than its start in balanced accuracy: "),
        ({"value": 0.1, "differ": 3, "p": 0.25}, "not shown to be better than its start in balanced accuracy: "),
        ({"value": -0.1, "differ": 3, "p": 0.25}, "no better than its start in balanced accuracy: "),
        ({"value": 0.0, "differ": 0, "p": 1.0}, "no better than its start in balanced accuracy: both name the same"),
    ],
)
def test_a_sentence_says_whether_it_is_better(earlier, difference, said):
    record = compared(evaluate_run(earlier), **difference)
    sentence = verdict(record, record.beside[0])
    assert sentence.startswith(said)
    assert ("within chance" in sentence) == (0.05 <= difference["p"] < 1)
    assert sentence in shown(record, width=400)


def test_the_table_shows_the_models_beside_each_other(quick, photos, tmp_path):
    config = quick("frozen_logistic", classes=("boar", "deer"), minority=("deer",), ratio=0.2)
    record = evaluate_run(fit(config, photos, tmp_path / "run"))
    lines = shown(record).splitlines()
    place = next(n for n, line in enumerate(lines) if line.startswith("did training beat its start?"))
    assert lines[place + 1].split("  ")[0].strip() == "model"
    for column in ("photos", "balanced accuracy", "recall of deer", "AUROC"):
        assert column in lines[place + 1]
    own, biased, start = (line.split() for line in lines[place + 2 : place + 5])
    photos_scored = str(record.scored.photos)
    figures = [f"{record.figures.value(name):.3f}" for name in ("balanced_accuracy", "minority_recall", "auroc")]
    assert own == ["this", "model", photos_scored, *figures]
    assert biased[:3] == ["with", "the", "bias"]
    assert biased[4] == f"{record.bias.figures.balanced_accuracy:.3f}"
    assert start[:5] == ["start", "+", "class", "means", photos_scored]
    assert all(len(line) <= 80 for line in shown(record, width=80).splitlines())

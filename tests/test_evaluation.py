import io
import json
from shutil import copyfile, copytree

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from fscl.bundle import Bundle
from fscl.errors import ConfigurationError, PhotosError
from fscl.evaluation import evaluate, evaluate_run, table
from fscl.manifest.table import Manifest
from fscl.training.loop import fit
from fscl.training.runtime import Runtime


@pytest.fixture(scope="module")
def pair(tmp_path_factory, photos):
    from fscl import methods
    from fscl.config import resolve, settings

    small = settings(
        {
            **{"backbone": "test_resnet", "image_size": 32, "steps": 20, "batch_size": 16, "workers": 0},
            **{
                "minority": ("deer",),
                "classes": ("boar", "deer"),
                "ratio": 0.4,
                "val_fraction": 0.67,
                "test_fraction": 0.17,
                "thin_validation": False,
            },
        }
    )
    config = resolve([("baseline", methods.read("baseline")), ("test", small)])
    return fit(config, photos, tmp_path_factory.mktemp("runs") / "run")


def test_the_record_agrees_with_the_scores(pair):
    photos = Manifest.read(pair / "photos.parquet")
    test = Manifest(photos.rows[photos.rows["split"] == "test"], photos.root)
    record, logits = evaluate(Bundle.open(pair), test)
    predicted = logits[["logit:boar", "logit:deer"]].to_numpy().argmax(axis=1)
    labels = (logits["label"] == "deer").to_numpy().astype(int)
    confusion = np.zeros((2, 2), dtype=int)
    for truth, found in zip(labels, predicted, strict=True):
        confusion[truth, found] += 1
    assert record["confusion"] == confusion.tolist()
    assert record["counts"] == {"boar": int((labels == 0).sum()), "deer": int((labels == 1).sum())}
    assert record["figures"]["minority_recall"] == pytest.approx(confusion[1, 1] / confusion[1].sum())
    assert record["figures"]["majority_recall"] == pytest.approx(confusion[0, 0] / confusion[0].sum())
    assert record["threshold"] is None


def test_the_threshold_is_chosen_on_validation_and_keeps_the_ranking(pair):
    record = evaluate_run(pair)
    assert json.loads((pair / "evaluation.json").read_text()) == record
    assert 0 < record["threshold"]["value"] < 1
    assert record["threshold"]["figures"]["auroc"] == pytest.approx(record["figures"]["auroc"])
    photos = Manifest.read(pair / "photos.parquet")
    test = Manifest(photos.rows[photos.rows["split"] == "test"], photos.root)
    _, logits = evaluate(Bundle.open(pair), test)
    probability = 1 / (1 + np.exp(logits["logit:boar"] - logits["logit:deer"]))
    called = probability[logits["label"] == "deer"] > record["threshold"]["value"]
    assert record["threshold"]["figures"]["minority_recall"] == pytest.approx(called.mean(), abs=1e-9)


def split_of(run, split):
    own = Manifest.read(run / "photos.parquet")
    return Manifest(own.rows[own.rows["split"] == split], own.root)


@pytest.mark.parametrize("unreadable", [False, True])
def test_a_few_validation_photos_choose_no_threshold_and_that_is_said(pair, unreadable):
    validation = split_of(pair, "val")
    deer = validation.rows.index[validation.rows["label"] == "deer"]
    assert len(deer) == 20
    if unreadable:
        rows = validation.rows.assign(
            path=validation.rows["path"].where(validation.rows.index != deer[0], "gone.jpg")
        )
    else:
        rows = validation.rows.drop(deer[0])
    record, _ = evaluate(Bundle.open(pair), split_of(pair, "test"), Manifest(rows, validation.root))
    boars = (validation.rows["label"] == "boar").sum()
    why = f"it takes 20 validation photos of each class, and there are {boars} of boar and 19 of deer"
    assert (record["threshold"], record["no_threshold"]) == (None, why)
    assert f"no threshold was chosen: {why}" in shown(record)
    enough, _ = evaluate(Bundle.open(pair), split_of(pair, "test"), validation)
    assert enough["threshold"] is not None
    assert enough["no_threshold"] is None


def test_the_table_shows_what_the_threshold_costs(pair):
    record = evaluate_run(pair)
    at, lines = record["threshold"], shown(record).splitlines()
    for name in ("minority_recall", "majority_recall", "balanced_accuracy"):
        [line] = [line for line in lines if f"{name.replace('_', ' ')} at threshold {at['value']:.3f}" in line]
        assert f" {at['figures'][name]:.3f} " in line


@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_a_threshold_at_the_end_of_the_scale_is_a_number(pair, offset):
    bundle = Bundle.open(pair)
    bundle.classifier.head.bias.data[bundle.classes.index("deer")] += offset
    record, _ = evaluate(bundle, split_of(pair, "test"), split_of(pair, "val"))
    assert record["threshold"]["value"] == (0 if offset < 0 else 1)
    assert record["threshold"]["figures"]["balanced_accuracy"] > 0


def test_photos_of_training_and_validation_are_left_out_of_others(pair, photos):
    two = Manifest(photos.rows[photos.rows["label"] != "hare"].assign(split=None), photos.root)
    own = Manifest.read(pair / "photos.parquet").rows
    used = own["split"].isin(["train", "val"]).sum()
    record = evaluate_run(pair, two)
    assert record["left_out"] == {"training photos": used}
    assert sum(record["counts"].values()) == 90 - used
    assert (record["split"], record["note"]) == ("all", None)
    assert record["threshold"] is not None
    assert evaluate_run(pair)["left_out"] == {}


def test_training_photos_are_known_elsewhere_by_content_or_by_name_and_size(pair, photos, class_folders, tmp_path):
    own = Manifest.read(pair / "photos.parquet")
    deer = own.rows[(own.rows["label"] == "deer") & (own.rows["split"] == "train")].head(2).drop(columns="split")
    new = photos.rows[photos.rows["label"] == "hare"].head(3).assign(label="deer").drop(columns="split")
    for path in [*deer["path"], *new["path"]]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        copyfile(class_folders / path, tmp_path / path)
    moved = Manifest.build(pd.concat([deer, new]), tmp_path)
    assert evaluate_run(pair, moved)["left_out"] == {"training photos": 2}
    others = Manifest.build(
        pd.concat([deer.assign(bytes=1, content_hash=None), new]), tmp_path
    )  # of the same name only
    assert evaluate_run(pair, others)["left_out"] == {}


def test_byte_copies_of_training_photos_are_left_out(pair, photos, tmp_path):
    run = copytree(pair, tmp_path / "run")
    own = Manifest.read(run / "photos.parquet")
    used = own.rows["split"] == "train"
    Manifest(own.rows.assign(content_hash=own.rows["path"].where(used)), own.root).write(run / "photos.parquet")
    hare = photos.rows[photos.rows["label"] == "hare"].head(2).assign(label="boar")
    hare["content_hash"] = [own.rows.loc[used, "path"].iloc[0], None]
    assert evaluate_run(run, Manifest(hare, photos.root))["left_out"] == {"training photos": 1}


def test_only_the_test_split_of_other_photos_is_used(pair, photos):
    deer = photos.rows[photos.rows["label"] == "hare"].assign(label="deer", split=["test", "train", "val"] * 10)
    record = evaluate_run(pair, Manifest(deer, photos.root))
    assert record["split"] == "test"
    assert record["counts"] == {"boar": 0, "deer": 10}


def test_photos_that_cannot_be_evaluated(pair, photos):
    with pytest.raises(PhotosError, match="the model knows boar, deer; the photos are also labelled hare"):
        evaluate_run(pair, photos)
    with pytest.raises(PhotosError, match="expected labelled photos to evaluate on"):
        evaluate_run(pair, Manifest(photos.rows.assign(problem="gone"), photos.root))
    own = Manifest.read(pair / "photos.parquet")
    trained = own.rows[own.rows["split"] == "train"].assign(split=None)
    with pytest.raises(PhotosError, match=f"trained or validated on all {len(trained)}"):
        evaluate_run(pair, Manifest(trained, own.root))


@pytest.mark.parametrize("gone", ["photos.parquet", "root"])
def test_a_run_without_its_photos_needs_others(pair, photos, tmp_path, gone):
    run = copytree(pair, tmp_path / "run")
    own = Manifest.read(run / "photos.parquet")
    (run / "photos.parquet").unlink()
    if gone == "root":
        Manifest(own.rows, tmp_path / "not there").write(run / "photos.parquet")
    with pytest.raises(PhotosError, match=f"fscl evaluate {run} PHOTOS"):
        evaluate_run(run)
    record = evaluate_run(run, Manifest(photos.rows[photos.rows["label"] != "hare"], photos.root))
    assert sum(record["counts"].values()) == 90
    assert (record["left_out"], record["threshold"]) == ({}, None)
    assert "the photos of the run are not known" in record["note"]
    assert "no threshold was chosen" in " ".join(shown(record).split())


def test_a_run_without_test_photos_asks_for_others(pair, tmp_path):
    run = copytree(pair, tmp_path / "run")
    own = Manifest.read(run / "photos.parquet")
    Manifest(own.rows[own.rows["split"] != "test"], own.root).write(run / "photos.parquet")
    with pytest.raises(PhotosError, match="no test photos of its own; give photos: fscl evaluate"):
        evaluate_run(run)


def test_the_classifier_moves_to_the_device_that_computes(pair, photos, monkeypatch):
    chosen = []

    def start(workers=None):
        chosen.append(workers)
        return Runtime(torch.device("meta"), 0)

    monkeypatch.setattr("fscl.evaluation.scores", lambda classifier, *args, **options: on(classifier))
    monkeypatch.setattr(Runtime, "start", start)
    with pytest.raises(RuntimeError, match="meta"):
        evaluate(Bundle.open(pair), Manifest(photos.rows[photos.rows["label"] == "deer"], photos.root))
    assert chosen == [None]
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match="--workers must be >= 0, got -1"):
        evaluate_run(pair, workers=-1)


def on(classifier):
    raise RuntimeError(next(classifier.parameters()).device.type)


def test_unreadable_photos_and_missing_classes_are_said(pair, photos, tmp_path):
    deer = photos.rows[photos.rows["label"] == "deer"].head(3)
    deer = deer.assign(path=["gone.jpg", "deer/001.jpg", "deer/002.jpg"])
    record, logits = evaluate(Bundle.open(pair), Manifest(deer, photos.root))
    assert record["failed"] == [{"path": "gone.jpg", "reason": "missing file"}]
    assert record["not_evaluable"] == ["boar"]
    assert record["counts"] == {"boar": 0, "deer": 2}
    assert record["figures"]["recall_by_class"]["boar"] is None
    assert len(logits) == 2


def shown(record):
    console = Console(width=200, file=io.StringIO())
    console.print(table(record))
    return console.file.getvalue()


def test_the_table_names_classes_and_the_rare_one(pair):
    text = shown(evaluate_run(pair))
    assert "deer (rare)" in text
    assert "balanced accuracy" in text
    assert "as boar" in text
    assert "note" not in text


def test_the_table_of_photos_without_the_rare_class(pair, photos):
    boars = photos.rows[photos.rows["label"] == "hare"].assign(label="boar")
    record = evaluate_run(pair, Manifest(boars, photos.root))
    assert record["threshold"]["figures"]["minority_recall"] is None
    text = shown(record)
    assert "minority recall at threshold" in text
    assert "–" in text


def test_the_table_says_what_was_not_scored(pair):
    record = evaluate_run(pair) | {
        "failed": [{"path": f"[red]{n}.jpg", "reason": "truncated file"} for n in range(5)],
        "left_out": {"training photos": 58},
    }
    text = shown(record)
    assert "5 photos could not be read" in text
    assert "[red]2.jpg: truncated file" in text
    assert "[red]3.jpg" not in text
    assert "and 2 more" in text
    assert "58 training photos of the run were left out" in text


@pytest.mark.parametrize(("number", "columns"), [(12, True), (13, False)])
def test_the_table_of_many_classes_has_no_column_for_each(pair, number, columns):
    names = [f"[b]{n}" for n in range(number)]
    record = evaluate_run(pair) | {
        "classes": names,
        "minority": names[:1],
        "train_counts": dict.fromkeys(names, 1),
        "counts": dict.fromkeys(names, 1),
        "confusion": np.eye(number, dtype=int).tolist(),
    }
    record["figures"]["recall_by_class"] = dict.fromkeys(names, 1.0)
    text = shown(record)
    assert "[b]0 (rare)" in text
    assert ("as [b]1" in text) == columns

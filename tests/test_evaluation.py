import json

import numpy as np
import pytest

from fscl.bundle import Bundle
from fscl.errors import PhotosError
from fscl.evaluation import evaluate, evaluate_run, table
from fscl.manifest.table import Manifest
from fscl.training.loop import fit


@pytest.fixture(scope="module")
def pair(tmp_path_factory, photos):
    from fscl import methods
    from fscl.config import resolve, settings

    small = settings(
        {
            **{"backbone": "test_resnet", "image_size": 32, "steps": 20, "batch_size": 16, "workers": 0},
            **{"minority": ("deer",), "ratio": 0.4, "val_fraction": 0.3, "test_fraction": 0.3},
        }
    )
    config = resolve([("baseline", methods.read("baseline")), ("test", small)])
    return fit(config, photos, tmp_path_factory.mktemp("runs") / "run", classes=("boar", "deer"))


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


def test_other_photos_of_known_classes(pair, photos):
    two = Manifest(photos.rows[photos.rows["label"] != "hare"], photos.root)
    record = evaluate_run(pair, two)
    assert sum(record["counts"].values()) == 90
    with pytest.raises(PhotosError, match="the model knows boar, deer; the photos are also labelled hare"):
        evaluate_run(pair, photos)
    with pytest.raises(PhotosError, match="expected labelled photos to evaluate on"):
        evaluate_run(pair, Manifest(photos.rows.assign(problem="gone"), photos.root))


def test_unreadable_photos_and_missing_classes_are_said(pair, photos, tmp_path):
    deer = photos.rows[photos.rows["label"] == "deer"].head(3)
    deer = deer.assign(path=["gone.jpg", "deer/001.jpg", "deer/002.jpg"])
    record, logits = evaluate(Bundle.open(pair), Manifest(deer, photos.root))
    assert record["failed"] == [{"path": "gone.jpg", "reason": "missing file"}]
    assert record["not_evaluable"] == ["boar"]
    assert record["counts"] == {"boar": 0, "deer": 2}
    assert record["figures"]["recall_by_class"]["boar"] is None
    assert len(logits) == 2


def test_the_table_names_classes_and_the_rare_one(pair):
    from rich.console import Console

    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(table(evaluate_run(pair)))
        text = console.export_text()
    assert "deer (rare)" in text
    assert "balanced accuracy" in text

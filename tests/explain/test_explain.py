"""A run is explained: which photos, what is written, and what is said where something is missing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fscl.bundle import Bundle
from fscl.errors import OutputError, PhotosError
from fscl.evaluation import evaluate_run
from fscl.explain import explain_run, results_folder
from fscl.explain.features import directions_of
from fscl.explain.photos import worst_mistakes
from fscl.explain.run import BATCH
from fscl.explain.terminal import _nearest
from fscl.inference import scores
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.progress import Silent
from fscl.records import ExplainedPhoto, read_explanation
from fscl.records.explanation import Near
from fscl.run_folder import RunFolder
from fscl.training.loop import fit


def size(picture):
    with Image.open(picture) as image:
        return image.size


def own_photos(run, split="test"):
    photos = Manifest.read(RunFolder(run).photos)
    return photos.rows[photos.rows["split"] == split].reset_index(drop=True), photos.root


def test_given_photos_get_the_models_answer_a_heat_map_and_five_training_photos(run, tmp_path):
    rows, root = own_photos(run)
    given = [root / path for path in rows["path"][:3]]
    explained = explain_run(run, given, out=tmp_path / "out", workers=0)
    bundle = Bundle.open(run)
    regions = Regions(given, np.full((3, 4), np.nan), np.full(3, -1))
    logits = scores(bundle.classifier, regions, bundle.preprocessing).logits
    train = {row["region_id"]: row["label"] for _, row in own_photos(run, "train")[0].iterrows()}
    for photo, own in zip(explained.photos, logits, strict=True):
        assert photo.answer == bundle.classes[own.argmax()]
        assert photo.probability == pytest.approx(np.exp(own.max()) / np.exp(own).sum(), abs=1e-3)
        assert photo.runner_up == bundle.classes[np.argsort(own)[-2]]
        assert size(tmp_path / "out" / photo.picture) == (32, 32)
        assert photo.heat_map is None or size(tmp_path / "out" / photo.heat_map) == (32, 32)
        assert len(photo.nearest) == 5
        assert [near.similarity for near in photo.nearest] == sorted(
            (n.similarity for n in photo.nearest), reverse=True
        )
        for near in photo.nearest:
            assert train[near.region] == near.label
            assert max(size(tmp_path / "out" / near.picture)) <= 112
    assert any(photo.heat_map for photo in explained.photos)
    assert read_explanation(tmp_path / "out" / "explain.json") == explained


def test_probabilities_are_those_of_the_evaluation_and_that_the_bias_is_left_out_is_said(run):
    record = json.loads((run / "bundle.json").read_text())
    classes = record["classes"]
    temperature = {"value": 0.25, "photos": 99, "origin": "99 validation photos"}
    bias = {"bias": {name: float(place) for place, name in enumerate(classes)}, "photos": 99, "folds": 5}
    record["decisions"] = (record["decisions"] or {}) | {"temperature": temperature, "bias": bias, "threshold": None}
    (run / "bundle.json").write_text(json.dumps(record))
    evaluate_run(run)
    table = pd.read_csv(run / "predictions.csv").set_index("region")
    explained = explain_run(run, workers=0)
    assert explained.photos
    for photo in explained.photos:
        assert photo.probability == pytest.approx(table["probability"][photo.region], abs=2e-4)
        assert photo.answer == table["prediction"][photo.region]
    assert any("without the bias that fscl predict uses" in note for note in explained.notes)


def test_the_terminal_says_of_a_photo_in_a_line_what_is_most_like_it():
    near = [Near(f"{place}.jpg", f"{place}.jpg#0", label, 0.9) for place, label in enumerate("abaaa")]
    said = {"answer": "b", "probability": 0.9, "runner_up": "a", "runner_up_probability": 0.1}
    photo = ExplainedPhoto(path="c.jpg", picture="photo-001.jpg", nearest=near, **said)
    assert _nearest(photo) == "4 a, 1 b"


def test_the_nearest_photos_are_those_of_the_highest_cosine_and_never_the_photo_itself(run, tmp_path):
    rows, root = own_photos(run, "train")
    bundle = Bundle.open(run)
    explained = explain_run(run, [root / rows["path"][0]], out=tmp_path / "out", workers=0)
    training = directions_of(bundle, rows, root, Silent(), 0)
    cosines = training.features @ training.features[0]
    best = np.argsort(-cosines)[1:6]
    assert [near.region for near in explained.photos[0].nearest] == rows["region_id"].iloc[best].tolist()
    assert explained.photos[0].nearest[0].similarity == pytest.approx(cosines[best[0]], abs=1e-3)


def test_without_photos_the_worst_mistakes_of_predictions_are_explained(run):
    evaluate_run(run, workers=0)
    path = RunFolder(run).predictions
    table = pd.read_csv(path)
    wrong = table.index[[0, 1, 9]]
    table.loc[wrong, "prediction"] = np.where(table.loc[wrong, "label"] == "boar", "deer", "boar")
    table.loc[wrong, "probability"] = [0.6, 0.9, 0.8]
    table.to_csv(path, index=False)
    explained = explain_run(run, workers=0)
    mistakes = table[table["prediction"] != table["label"]]
    assert {photo.region for photo in explained.photos} == set(mistakes["region"])
    assert all(photo.label is not None for photo in explained.photos)
    assert (run / "explain" / "explain.json").is_file()


def test_without_predictions_the_test_photos_are_scored(run):
    evaluated = evaluate_run(run, workers=0)
    expected = explain_run(run, workers=0)
    RunFolder(run).predictions.unlink()
    again = explain_run(run, workers=0)
    assert [photo.region for photo in again.photos] == [photo.region for photo in expected.photos]
    wrong = sum(map(sum, evaluated.confusion)) - np.trace(evaluated.confusion)
    assert len(again.photos) == min(24, wrong or sum(map(sum, evaluated.confusion)))
    RunFolder(run).predictions.write_text("filepath,region\n1,2\n")
    assert any("damaged" in note for note in explain_run(run, workers=0).notes)


def mistakes(counts, right=0):
    rows = [(label, "other", 0.5 + place / 1000) for label, count in counts.items() for place in range(count)]
    rows += [("common", "common", 0.4 + place / 100) for place in range(right)]
    table = pd.DataFrame(rows, columns=["label", "prediction", "probability"])
    table["region"] = [f"{place}#0" for place in range(len(table))]
    manifest = pd.DataFrame({"path": [f"{place}" for place in range(len(table))], "label": table["label"]})
    return Manifest.build(manifest, Path("/photos")), table


def test_rare_classes_come_first_and_no_class_fills_the_page():
    test, table = mistakes({"common": 100, "rare": 3, "medium": 40}, right=5)
    chosen = worst_mistakes(test, table, {"common": 900, "rare": 4, "medium": 90})
    labels = chosen.rows["label"].tolist()
    assert labels == ["rare"] * 3 + ["medium"] * 11 + ["common"] * 10
    surest = table[table["label"] == "medium"].nlargest(11, "probability")["region"].tolist()
    assert chosen.rows["region"].iloc[3:14].tolist() == surest


def test_without_a_mistake_the_least_sure_answers_are_shown():
    test, table = mistakes({}, right=40)
    chosen = worst_mistakes(test, table, {"common": 900})
    assert chosen.rows["region"].tolist() == [f"{place}#0" for place in range(24)]
    assert "no mistake" in chosen.how


def test_layers_are_those_of_the_test_photos(run):
    explained = explain_run(run, workers=0)
    rows, _ = own_photos(run)
    assert set(explained.embedding.region_id) == set(rows["region_id"])
    assert list(explained.measures) == list(explained.matrices.layers) == ["layer3", "layer4"]
    layer = explained.measures["layer4"]
    assert layer.rare == layer.by_class["hare"]
    assert layer.by_class["boar"].within_cosine is not None
    assert len(layer.mean_cosines) == 3
    assert explained.matrices.label == sorted(explained.matrices.label, key=["boar", "deer", "hare"].index)
    assert [point.epoch for point in explained.curve] == [0, 1]
    again = explain_run(run, workers=0)
    assert again.embedding == explained.embedding


def test_a_photo_that_cannot_be_read_is_a_line_with_its_reason(run, tmp_path, draw):
    folder = draw("new/a.jpg", "new/c.jpg") / "new"
    (folder / "b.jpg").write_bytes(b"no photo")
    many = [folder / "a.jpg"] * (BATCH - 1)
    explained = explain_run(run, [folder, *many], out=tmp_path / "out", workers=0)
    assert len(explained.photos) == BATCH + 1
    assert [(Path(failed.path).name, bool(failed.reason)) for failed in explained.failed] == [("b.jpg", True)]
    assert explained.photos[0].label is None


def test_a_manifest_brings_labels_and_boxes(run, tmp_path, draw):
    folder = draw("wide.jpg", size=(80, 40))
    table = pd.DataFrame({"path": ["wide.jpg"] * 2, "label": ["deer", None], "x": [0, 40], "y": 0, "w": 40, "h": 40})
    Manifest.build(table, folder).write(tmp_path / "photos.parquet")
    explained = explain_run(run, [tmp_path / "photos.parquet"], out=tmp_path / "out", workers=0)
    assert [(photo.region, photo.label) for photo in explained.photos] == [
        ("wide.jpg#0", "deer"),
        ("wide.jpg#1", None),
    ]


def test_training_photos_that_are_gone_are_said_and_no_fault(run, tmp_path, class_folders):
    moved = shutil.copytree(class_folders, tmp_path / "moved")
    rows, _ = own_photos(run, "train")
    for path in rows["path"][:40]:
        (moved / path).unlink()
    test, root = own_photos(run)
    explained = explain_run(run, [root / test["path"][0]], root=moved, out=tmp_path / "out", workers=0)
    assert any("40 training photos could not be read" in note for note in explained.notes)
    gone = set(rows["region_id"][:40])
    assert not gone & {near.region for near in explained.photos[0].nearest}


def test_without_the_runs_photos_given_ones_are_explained_all_the_same(run, tmp_path, draw, class_folders):
    photo = draw("a.jpg") / "a.jpg"
    photos = Manifest.read(RunFolder(run).photos)
    Manifest(photos.rows, tmp_path / "gone").write(RunFolder(run).photos)
    explained = explain_run(run, [photo], workers=0)
    assert (explained.photos[0].nearest, explained.embedding) == ([], None)
    assert any("no nearest training photos" in note for note in explained.notes)
    with pytest.raises(PhotosError, match="--root FOLDER"):
        explain_run(run, workers=0)
    assert explain_run(run, root=class_folders, workers=0).photos[0].nearest


@pytest.mark.parametrize("method", ["frozen_logistic", "fscl_plus"])
def test_frozen_runs_are_explained_too(tmp_path, photos, quick, method):
    run = fit(quick(method), photos, tmp_path / "run")
    explained = explain_run(run, workers=0)
    assert list(explained.measures) == (["adapter"] if method == "fscl_plus" else ["layer3", "layer4"])
    assert all(len(photo.nearest) == 5 for photo in explained.photos)
    assert any(photo.heat_map for photo in explained.photos)


def test_a_backbone_without_maps_says_so(tmp_path, photos, quick):
    run = fit(quick("frozen_logistic", backbone="test_vit", image_size=160), photos, tmp_path / "run")
    explained = explain_run(run, workers=0)
    assert [note for note in explained.notes if "test_vit" in note and "no heat maps" in note]
    assert {photo.heat_map for photo in explained.photos} == {None}
    assert explained.photos[0].nearest


def test_other_files_are_never_lost(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.docx").touch()
    with pytest.raises(OutputError, match=r"thesis\.docx"):
        explain_run(run, out=tmp_path / "out", workers=0)
    with pytest.raises(OutputError, match="choose another --out"):
        results_folder(run, run)
    with pytest.raises(OutputError, match="found a file"):
        results_folder(run, RunFolder(run).record)
    explain_run(run, workers=0)
    before = (run / "explain" / "explain.json").read_bytes()
    explain_run(run, workers=0)
    assert (run / "explain" / "explain.json").read_bytes() == before


def test_what_fails_leaves_the_earlier_explanation(run, monkeypatch):
    explain_run(run, workers=0)
    before = json.loads((run / "explain" / "explain.json").read_text())
    monkeypatch.setattr("fscl.explain.run.layers_of", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        explain_run(run, workers=0)
    assert json.loads((run / "explain" / "explain.json").read_text()) == before
    assert not list(run.glob(".explain*"))

"""What training notes of the features: right, and without any trace in what is trained."""

import json

import pytest
import torch

from fscl.bundle import Bundle
from fscl.inference import infer
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.records.log_lines import read_metrics
from fscl.run_folder import RunFolder
from fscl.scoring.collapse import averages, class_features
from fscl.training import feature_measures, loop
from fscl.training.loop import fit

KEYS = {
    f"{group}_{name}" for group in ("common", "rare") for name in ("within_cosine", "between_cosine", "scatter_ratio")
}


def epochs(run):
    return [line for line in read_metrics(RunFolder(run).metrics) if line["kind"] == "epoch"]


def test_the_last_epoch_says_how_the_kept_model_holds_the_training_photos(tmp_path, photos, quick, monkeypatch):
    monkeypatch.setattr(feature_measures, "MOST", 10_000)
    monkeypatch.setattr(feature_measures, "SHARE", 2.0)  # all training photos
    run = fit(quick(minority=["hare"]), photos, tmp_path / "run")
    noted = epochs(run)[-1]["features"]
    bundle, own = Bundle.open(run), Manifest.read(RunFolder(run).photos)
    assert list(noted) == bundle.classifier.layer_names == ["layer3", "layer4"]
    train = own.rows[own.rows["split"] == "train"]
    regions = Regions.of(train, own.root, bundle.classes)
    parts = list(infer(bundle.classifier, regions, bundle.preprocessing, features=True))
    layer = torch.cat([part.features[1] for part in parts]).numpy()
    found = class_features(layer, regions.labels, 3)
    assert noted["layer4"].keys() == KEYS | {"mean_cosine"}
    for group, classes in (("common", [0, 1]), ("rare", [2])):
        for name, value in averages(found, classes).items():
            assert noted["layer4"][f"{group}_{name}"] == pytest.approx(value, abs=2e-3)


@pytest.mark.parametrize("average", [None, 0.9])
def test_training_is_the_same_with_and_without(tmp_path, photos, quick, monkeypatch, average):
    config = quick(steps=12, epochs=None, minority=["hare"])
    config = config.model_copy(update={"training": config.training.model_copy(update={"average": average})})
    fit(config, photos, tmp_path / "with")
    assert epochs(tmp_path / "with")[0]["features"]
    monkeypatch.setattr(loop.FeatureMeasures, "at", lambda *_, **__: None)
    fit(config, photos, tmp_path / "without")
    weights = [RunFolder(tmp_path / name).weights.read_bytes() for name in ("with", "without")]
    assert weights[0] == weights[1]


def test_of_few_photos_some_epochs_and_the_last_are_measured(tmp_path, photos, quick):
    run = fit(quick(steps=66, minority=["hare"]), photos, tmp_path / "run")  # 11 epochs of 84 photos
    assert [line["epoch"] for line in epochs(run) if "features" in line] == [0, 10]


def test_where_features_stay_as_they_are_nothing_is_noted(tmp_path, photos, quick):
    for method in ("frozen_logistic", "fscl_plus"):
        run = fit(quick(method, minority=["hare"]), photos, tmp_path / method)
        line = json.loads(RunFolder(run).metrics.read_text().splitlines()[-1])
        assert ("features" in line) == (Bundle.open(run).classifier.adapts and line["step"] > 0)


def test_photos_that_cannot_be_read_are_left_out(tmp_path, class_folders, quick):
    from shutil import copytree

    from fscl.scanning.scan import scan

    folder = copytree(class_folders, tmp_path / "photos")
    found = scan(folder)
    for path in sorted(folder.rglob("*.jpg"))[::7]:
        path.write_bytes(path.read_bytes()[:400] + b"x" * (path.stat().st_size - 400))
    run = fit(quick(minority=["hare"]), found, tmp_path / "run")
    assert epochs(run)[-1]["features"]["layer4"]["common_within_cosine"] is not None

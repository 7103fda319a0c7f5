"""`fscl predict --accept`: bars of the model, its sets, and how common species are."""

import re
from dataclasses import replace
from shutil import copytree

import numpy as np
import pandas as pd
import pytest

from fscl.bundle import Bundle
from fscl.decisions import CalibrationPhotos, calibrated
from fscl.scoring.auto_accept import precision_bound
from fscl.training.loop import fit

CLASSES = ("boar", "deer", "hare")


@pytest.fixture(scope="module")
def model(tmp_path_factory, photos):
    """Return a model whose calibration photos are many more than its own few, drawn by chance: one of 50 is wrong."""
    from fscl import methods
    from fscl.config import resolve, settings

    flags = settings({"backbone": "test_resnet", "image_size": 32, "steps": 20, "batch_size": 16, "workers": 0})
    config = resolve([("recipe", methods.read("oversampling")), ("test", flags)])
    bundle = Bundle.open(fit(config, photos, tmp_path_factory.mktemp("model") / "run"))
    generator = np.random.default_rng(0)
    labels = generator.choice(3, 2000, p=(0.55, 0.44, 0.01))
    named = np.where(generator.random(2000) < 0.02, generator.integers(0, 3, 2000), labels)
    logits = generator.uniform(0.1, 6, (2000, 1)) * np.eye(3)[named]  # right as often whatever the score
    drawn = CalibrationPhotos(logits, labels, np.arange(2000), "photos", "2,000 drawn photos", decided=False)
    folder = tmp_path_factory.mktemp("calibrated")
    replace(bundle, decisions=calibrated(bundle.decisions, drawn, CLASSES)).save(folder)
    return folder


def test_answers_above_the_bar_of_their_species_are_accepted(fscl, model, class_folders):
    code, out, err = fscl("predict", model, class_folders, "--out", "a.csv", "--accept")
    assert code == 0, err
    assert "none of hare, which cannot be certified" in err
    table = pd.read_csv("a.csv")
    kept = Bundle.open(model).decisions
    bars = dict(zip(CLASSES, kept.accept.bars(CLASSES), strict=True))
    certain = (table["probability"] - table["prediction"].map(bars)).abs() > 1e-4  # written to four places
    above = table["probability"] >= table["prediction"].map(bars)
    assert table["accepted"][certain].tolist() == above[certain].tolist()
    assert table["accepted"].any()
    assert not table["accepted"][table["prediction"] == "hare"].any()
    assert kept.sets.quantiles["hare"] is not None or all("hare" in names for names in table["set"])
    assert table["unknown"].isin([True, False]).all()
    shown = {words[0]: words[-1] for line in out.splitlines() if len(words := line.split()) == 4}
    counted = table.groupby("prediction")["accepted"].sum()
    assert {name: int(shown[name]) for name in counted.index} == counted.to_dict()
    assert f"like none of the species: {table['unknown'].sum()} photo" in out
    assert fscl("predict", model, class_folders, "--out", "a.csv", "--accept")[1] == out  # of the finished file
    assert fscl("predict", model, class_folders, "--out", "a.parquet", "--accept")[0] == 0
    parquet = pd.read_parquet("a.parquet")
    assert parquet[["accepted", "unknown"]].dtypes.astype(str).tolist() == ["bool", "bool"]
    assert parquet["set"].fillna("").tolist() == table["set"].fillna("").tolist()


def test_without_it_a_table_is_as_it_was(fscl, model, class_folders):
    code, out, _ = fscl("predict", model, class_folders, "--out", "a.csv")
    assert code == 0
    assert "accepted" not in out
    assert not {"accepted", "set", "unknown"} & set(pd.read_csv("a.csv"))


def test_where_a_species_is_rare_its_bar_is_another(fscl, model, class_folders):
    accepted = {}
    asked = {"common": (), "rare": ("--prevalence", "deer=0.001"), "found": ("--prevalence", "estimate")}
    for name, shares in asked.items():
        code, _, err = fscl("predict", model, class_folders, "--out", f"{name}.csv", "--accept", *shares)
        assert code == 0, err
        table = pd.read_csv(f"{name}.csv")
        accepted[name] = (table["accepted"] & (table["prediction"] == "deer")).sum()
    assert accepted["common"] > 0
    assert accepted["rare"] == 0
    named = re.findall(r"(?:boar|deer|hare) ([\d.e-]+)", err.split("estimated on these")[1])
    assert sum(map(float, named)) == pytest.approx(1, abs=0.02)


def test_bars_of_other_shares_keep_the_promise_there(model):
    kept = Bundle.open(model).decisions.accept
    own = kept.species["boar"]
    assert precision_bound(own.accepted - own.wrong, own.accepted, 0.05) >= 0.95
    common = kept.bars(CLASSES, {"boar": 0.9, "deer": 0.09, "hare": 0.01})
    assert np.isfinite(common[0])
    assert not np.isfinite(kept.bars(CLASSES, {"boar": 0.001, "deer": 0.989, "hare": 0.01})[0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--out", "a.json", "--accept"), "megadetector has no field for it: choose a .csv or .parquet"),
        (("--out", "a.csv", "--prevalence", "deer=0.1"), "--prevalence is for --accept"),
        (("--out", "a.csv", "--accept", "--species", "deer"), "without --species: leave it out"),
        (("--out", "a.csv", "--accept", "--by", "sequence"), "without --by sequence"),
        (("--out", "a.csv", "--accept", "--prevalence", "wolf=0.1"), "the model knows boar, deer, hare, got wolf"),
        (("--out", "a.csv", "--accept", "--prevalence", "deer"), "expected SPECIES=SHARE or estimate, got deer"),
    ],
)
def test_what_is_not_certified_is_refused(fscl, model, class_folders, words, said):
    code, _, err = fscl("predict", model, class_folders, *words)
    assert code == 2
    assert said in " ".join(err.split())


def test_a_model_that_was_not_calibrated_says_so(fscl, model, class_folders, tmp_path):
    copytree(model, tmp_path / "old")
    bundle = Bundle.open(model)
    replace(bundle, decisions=bundle.decisions.at_argmax()).save(tmp_path / "old")
    code, _, err = fscl("predict", tmp_path / "old", class_folders, "--out", "a.csv", "--accept")
    assert code == 2
    assert "the model was not calibrated" in err

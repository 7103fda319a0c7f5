"""A trained run to explain, with photos of three colours, made once."""

import shutil

import pytest

from fscl.training.loop import fit


@pytest.fixture(scope="session")
def trained(tmp_path_factory, photos):
    """Return a run of a few steps on `photos`, whose last class is rare."""
    from fscl import methods
    from fscl.config import resolve, settings

    recipe = methods.read("fscl")
    small = {"backbone": "test_resnet", "image_size": 32, "steps": 12, "batch_size": 16, "workers": 0}
    config = resolve([("fscl", recipe), ("test", settings(small | {"minority": ["hare"]}))])
    return fit(config, photos, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def run(trained, tmp_path):
    """Return a copy of it that a test may change."""
    return shutil.copytree(trained, tmp_path / "run")

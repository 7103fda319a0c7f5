"""A model of three animals, and photos that a camera took."""

from shutil import copytree

import pytest


@pytest.fixture(scope="session")
def model(tmp_path_factory, photos):
    """Return the folder of a model that has learnt little, in a second."""
    from fscl import methods
    from fscl.config import resolve, settings
    from fscl.training.loop import fit

    flags = settings({"backbone": "test_resnet", "image_size": 32, "steps": 30, "batch_size": 16, "workers": 0})
    config = resolve([("recipe", methods.read("oversampling")), ("test", flags)])
    return fit(config, photos, tmp_path_factory.mktemp("model") / "run")


@pytest.fixture
def shots(class_folders, tmp_path):
    """Return a folder of the photos that a camera took, some of them broken."""
    copytree(class_folders, tmp_path / "shots")
    (tmp_path / "shots/boar/empty.jpg").touch()
    (tmp_path / "shots/notes.txt").write_text("no photo")
    (tmp_path / "shots/deer/half.jpg").write_bytes((class_folders / "deer/000.jpg").read_bytes()[:300])
    return tmp_path / "shots"

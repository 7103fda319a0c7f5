"""Weights from files, whatever is around their names."""

import hypothesis.strategies as st
import pytest
import timm
import torch
from hypothesis import given

from fscl.models.weights import WRAPPINGS, fit, read_weights


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
    assert all(weight is published[name] for name, weight in taken.weights.items())


def test_other_names_in_the_same_order_are_matched_by_it():
    own, published = tiny(), tiny(classes=7)
    renamed = {f"l{i}.{name.rpartition('.')[2]}": weight for i, (name, weight) in enumerate(published.items())}
    taken = fit(own, renamed)
    assert all(weight is published[name] for name, weight in taken.weights.items())
    assert len(taken.weights) == len(own) - 2


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

"""Grad-CAM against captum, on each kind of backbone and head, and on a photo whose evidence is where we put it."""

import pytest
import torch

from fscl.config import Component
from fscl.models import Classifier
from fscl.saliency import enlarged, look

SWIN = "swin_tiny_patch4_window7_224"  # maps with channels last


def classifier(backbone, head=None, classes=3):
    torch.manual_seed(0)
    return Classifier(backbone, classes, head=head and Component(name=head)).eval()


def photos(side, count=2):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


class Tail(torch.nn.Module):
    """From the last map to the logits, with a module in the place of the map for captum to hook."""

    def __init__(self, model):
        super().__init__()
        self.model, self.map = model, torch.nn.Identity()

    def forward(self, batch):
        last = self.map(self.model.maps(batch).last)
        return self.model.pool(self.model.maps(batch)._replace(last=last)).logits


@pytest.mark.parametrize(
    ("backbone", "head"),
    [("resnet18", None), ("test_efficientnet", "cosine"), ("cifar_resnet32", None), ("test_resnet", "adapter")]
    + [("test_resnet", name) for name in ("logistic", "branches", "class_means")],
)
def test_the_heat_is_captums(backbone, head):
    attr = pytest.importorskip("captum.attr", reason="captum, the oracle, is not installed")
    model, batch = classifier(backbone, head), photos(128)
    if head in ("adapter", "class_means"):
        model.head.fit(model.pooled(9 * photos(128, 9)).detach(), torch.arange(9) % 3)
    looked = look(model, batch, against_next=False)
    tail = Tail(model)
    expected = attr.LayerGradCam(tail, tail.map).attribute(
        batch, target=looked.logits.argmax(1), relu_attributions=True
    )
    assert looked.heat.max() > 0
    torch.testing.assert_close(looked.heat, expected[:, 0], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("side", "stage", "places"), [(64, "layer3", 4), (32, "layer2", 4)])
def test_of_small_photos_an_earlier_stage_says_where(side, stage, places):
    attr = pytest.importorskip("captum.attr", reason="captum, the oracle, is not installed")
    model, batch = classifier("resnet18"), photos(side)
    looked = look(model, batch, against_next=False)
    assert looked.heat.shape == (2, places, places)
    layer = model.backbone.get_submodule(stage)
    oracle = attr.LayerGradCam(lambda x: model(x).logits, layer)
    expected = oracle.attribute(batch, target=looked.logits.argmax(1), relu_attributions=True)
    torch.testing.assert_close(looked.heat, expected[:, 0], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(looked.logits, model(batch).logits.detach())


def test_a_map_of_one_place_says_nothing_of_where():
    assert look(classifier("test_resnet"), photos(4)).heat is None


def test_against_the_runner_up_what_both_share_is_no_evidence():
    model, batch = classifier("test_resnet"), photos(128)
    before = look(model, batch)
    with torch.no_grad():
        model.head.weight += torch.randn(model.head.in_features, generator=torch.Generator().manual_seed(3))
    after = look(model, batch)
    torch.testing.assert_close(before.heat, after.heat, rtol=1e-3, atol=1e-6)
    assert not torch.allclose(look(model, batch, against_next=False).heat, after.heat)


def test_the_heat_is_where_the_evidence_is():
    model = classifier("test_resnet")
    maps = model.maps(photos(128, 1))
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
        model.head.weight[1, 5] = 1.0
    heat = look(model, photos(128, 1)).heat[0]
    torch.testing.assert_close(heat / heat.max(), (maps.last[0, 5] / maps.last[0, 5].max()).detach())


@pytest.mark.slow
def test_maps_with_channels_last_give_the_same():
    model = classifier(SWIN)
    looked = look(model, photos(224, 1))
    assert looked.heat.shape == (1, 7, 7)


def test_a_backbone_without_maps_has_none_and_all_else():
    model = Classifier("test_vit", 3, image_size=160).eval()
    looked = look(model, photos(160))
    assert looked.heat is None
    torch.testing.assert_close(looked.logits, model(photos(160)).logits)


@pytest.mark.parametrize("head", [None, "adapter"])
def test_looking_changes_nothing_and_says_what_the_model_says(head):
    model = classifier("test_resnet", head)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    looked = look(model, photos(64))
    assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    torch.testing.assert_close(looked.logits, model(photos(64)).logits.detach())
    torch.testing.assert_close(looked.pooled, model.pooled(photos(64)).detach())


def test_a_map_without_heat_stays_cold():
    heat = enlarged(torch.stack([torch.zeros(2, 2), torch.eye(2)]), 8)
    assert heat[0].max() == 0
    assert heat[1].max() == 1
    assert heat[1, 0, 0] > heat[1, 0, 7]

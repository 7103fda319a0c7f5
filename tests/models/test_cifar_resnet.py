import pytest
import torch
from torch.nn import functional

from fscl.bundle import Bundle
from fscl.errors import ConfigurationError
from fscl.models import Classifier
from fscl.models.cifar_resnet import CifarResNet32
from fscl.models.weights import read_weights
from fscl.training.loop import fit

PHOTOS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def built(**options):
    torch.manual_seed(0)
    return CifarResNet32(**{"num_classes": 10} | options).eval()


def test_it_has_the_published_number_of_parameters_and_layers():
    model = built()
    assert sum(weights.numel() for weights in model.parameters()) == 464_154
    convolutions = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) + 1 == 32


def test_stages_halve_the_photo_and_double_the_channels():
    last, tapped = built().forward_intermediates(PHOTOS, indices=[0, 1, 2])
    assert [tuple(features.shape[1:]) for features in tapped] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert torch.equal(last, tapped[-1])
    assert [info["num_chs"] for info in built().feature_info] == [features.shape[1] for features in tapped]


def test_a_shortcut_takes_every_second_pixel_and_pads_channels_with_zeros():
    block = built().layer2[0]
    torch.nn.init.zeros_(block.bn2.weight)
    features = torch.rand(1, 16, 4, 4)
    with torch.no_grad():
        found = block(features)
    assert torch.equal(found[:, 8:24], features[:, :, ::2, ::2])
    assert not found[:, :8].any()
    assert not found[:, 24:].any()


def test_weights_start_kaiming_normal():
    weights = built().layer3[2].conv1.weight
    assert weights.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)


def test_the_classifier_taps_it_like_a_backbone_of_timm():
    torch.manual_seed(0)
    model = Classifier("cifar_resnet32", num_classes=3, layers=(-2, "layer3", "layer1")).eval()
    with torch.no_grad():
        logits, features = model(PHOTOS)
        expected = model.backbone(PHOTOS)
        last, _ = model.backbone.forward_intermediates(PHOTOS, indices=())
    assert [tuple(f.shape) for f in features] == [(2, 32), (2, 64), (2, 16)]
    assert torch.equal(logits, expected)
    assert torch.allclose(features[1], functional.adaptive_avg_pool2d(last, 1).flatten(1))
    assert model.normalisation[0] == (0.4914, 0.4822, 0.4465)


def test_unknown_names_and_published_weights_are_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'cifar_resnet32'"):
        Classifier("cifar_resnet_32", 2)
    with pytest.raises(ConfigurationError, match="no published weights of 'cifar_resnet32'; train from scratch"):
        Classifier("cifar_resnet32", 2, pretrained=True)


def test_a_bundle_reopens(tmp_path, photos, quick):
    fit(quick(backbone="cifar_resnet32", steps=2), photos, tmp_path / "run")
    bundle = Bundle.open(tmp_path / "run")
    assert isinstance(bundle.classifier.backbone, CifarResNet32)
    written = read_weights(tmp_path / "run" / "weights.safetensors")
    found = bundle.classifier.state_dict()
    assert found.keys() == written.keys()
    assert all(torch.equal(found[name], weights) for name, weights in written.items())

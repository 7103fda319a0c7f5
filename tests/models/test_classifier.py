import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from fscl.config import Component
from fscl.errors import BundleError, ConfigurationError
from fscl.models import Classifier
from fscl.models.weights import read_weights


@pytest.mark.parametrize(
    ("backbone", "size", "dims"),
    [
        ("resnet10t", 32, (256, 512)),
        ("convnext_atto", 64, (160, 320)),
        ("efficientnet_b0", 64, (112, 320)),
        ("vit_tiny_patch16_224", 64, (192, 192)),
    ],
)
def test_logits_and_pooled_features_of_each_family(backbone, size, dims):
    torch.manual_seed(0)
    model = Classifier(backbone, num_classes=3, image_size=size).eval()
    photos = torch.randn(2, 3, size, size)
    with torch.no_grad():
        logits, features = model(photos)
        expected = model.backbone(photos)
    assert [tuple(f.shape) for f in features] == [(2, dim) for dim in dims]
    assert torch.allclose(logits, expected, atol=1e-5)


def test_taps_are_the_stages_average_pooled():
    torch.manual_seed(0)
    model = Classifier("resnet10t", num_classes=2, layers=("layer4", "layer1", -1)).eval()
    seen = {}
    for name in ("layer1", "layer4"):
        getattr(model.backbone, name).register_forward_hook(
            lambda module, inputs, output, name=name: seen.__setitem__(name, output)
        )
    with torch.no_grad():
        _, features = model(torch.randn(2, 3, 32, 32))
    assert torch.allclose(features[0], seen["layer4"].mean(dim=(2, 3)))
    assert torch.allclose(features[1], seen["layer1"].mean(dim=(2, 3)))
    assert torch.equal(features[2], features[0])


@pytest.mark.parametrize(
    ("backbone", "layers", "message"),
    [
        ("resnet81", (-1,), "unknown backbone 'resnet81'; did you mean 'resnet"),
        ("resnet10t", ("layer5",), "unknown layer 'layer5'; did you mean 'layer"),
        ("resnet10t", (7,), "layer must be .* got 7"),
    ],
)
def test_unknown_names(backbone, layers, message):
    with pytest.raises(ConfigurationError, match=message):
        Classifier(backbone, 2, layers)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_backbone_weights_from_a_file_keep_our_head(tmp_path, suffix):
    torch.manual_seed(1)
    published = Classifier("resnet10t", num_classes=1000).backbone.state_dict()
    path = tmp_path / f"weights{suffix}"
    save_file(published, path) if suffix == ".safetensors" else torch.save(published, path)
    model = Classifier("resnet10t", num_classes=3)
    head = model.backbone.fc.weight.clone()
    model.load_backbone(read_weights(path), str(path))
    assert torch.equal(model.backbone.layer4[0].conv1.weight, published["layer4.0.conv1.weight"])
    assert torch.equal(model.backbone.fc.weight, head)


def test_our_own_checkpoints_and_bundles_give_their_backbone(tmp_path):
    torch.manual_seed(1)
    ours = Classifier("test_resnet", num_classes=2).state_dict()
    save_file(ours, tmp_path / "weights.safetensors")
    torch.save({"step": 7, "rng": {"cpu": torch.get_rng_state()}, "classifier": ours}, tmp_path / "checkpoint.pt")
    for name in ("weights.safetensors", "checkpoint.pt"):
        weights = read_weights(tmp_path / name)
        assert weights.keys() == ours.keys()
        model = Classifier("test_resnet", num_classes=3)
        model.load_backbone(weights, name)
        taken = model.state_dict()
        assert all(torch.equal(taken[n], w) for n, w in ours.items() if taken[n].shape == w.shape)


@pytest.mark.parametrize("backbone", ["resnet18", "hf-hub:timm/resnet18.a1_in1k"])
def test_published_weights_that_cannot_be_fetched(monkeypatch, backbone):
    reason = "We could not reach the place that has the weights. " * 9

    def offline(*args, **kwargs):
        raise OSError(reason)

    monkeypatch.setattr("fscl.models.classifier.require_hub", lambda origin: None)
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ConfigurationError, match=r"model.safetensors of 'timm/resnet18.a1_in1k' elsewhere") as caught:
        Classifier(backbone, 2, pretrained=True)
    said = str(caught.value).split("fetched (")[1].split(" …)")[0]
    assert reason.startswith(said + " ")


def test_without_a_network_the_library_that_fetches_is_not_asked(monkeypatch):
    """It would try again and again, for a minute."""

    def no_network(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr("fscl.models.weights.socket.create_connection", no_network)
    monkeypatch.setattr("fscl.models.weights.getproxies", dict)
    monkeypatch.setattr("fscl.models.weights.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("asked"))
    for backbone in ("resnet18", "hf-hub:timm/resnet18.a1_in1k"):
        with pytest.raises(ConfigurationError, match=r"could not be fetched \(Name or service.* with --weights FILE"):
            Classifier(backbone, 2, pretrained=True)


def test_an_unknown_backbone_names_five_at_most():
    with pytest.raises(ConfigurationError, match=r"unknown backbone 'qqqq'; the nearest of \d+:") as caught:
        Classifier("qqqq", 2)
    assert len(str(caught.value).split(": ")[-1].split(", ")) == 5
    with pytest.raises(ConfigurationError, match="did you mean 'resnet50'"):
        Classifier("resnet5", 2)


def test_a_backbone_without_published_weights():
    with pytest.raises(ConfigurationError, match="timm has no published weights of 'maxvit_tiny_pm_256'; choose"):
        Classifier("maxvit_tiny_pm_256", 2, image_size=256, pretrained=True)


def test_weights_of_another_backbone_are_refused():
    other = Classifier("resnet14t", num_classes=3).backbone.state_dict()
    with pytest.raises(BundleError, match="not the weights of this backbone"):
        Classifier("resnet18", num_classes=3).load_backbone(other, "other.pth")


def test_damaged_and_foreign_weights_files(tmp_path):
    with pytest.raises(BundleError, match="no such weights file"):
        read_weights(tmp_path / "none.pth")
    weights = {"w": torch.ones(1000)}
    save_file(weights, tmp_path / "cut.safetensors")
    torch.save(weights, tmp_path / "cut.pth")
    for name in ("cut.safetensors", "cut.pth"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:1500])
        with pytest.raises(BundleError, match="not a plain file of weights, or cut short"):
            read_weights(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(BundleError, match="expected a state dict"):
        read_weights(tmp_path / "list.pth")


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("code was run",))

    torch.save({"w": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(BundleError, match="not a plain file of weights"):
        read_weights(tmp_path / "evil.pth")


@pytest.mark.parametrize(
    ("backbone", "size", "shapes"),
    [
        ("resnet10t", 64, [(256, 4, 4), (512, 2, 2)]),
        ("cifar_resnet32", 32, [(32, 16, 16), (64, 8, 8)]),
        ("vit_tiny_patch16_224", 64, [(192, 4, 4), (192, 4, 4)]),
    ],
)
def test_maps_still_say_where_and_pooled_they_are_the_outputs(backbone, size, shapes):
    torch.manual_seed(0)
    model = Classifier(backbone, num_classes=3, image_size=size).eval()
    photos = torch.randn(2, 3, size, size)
    maps, expected = model.maps(photos), model(photos)
    assert [tuple(tapped.shape) for tapped in maps.tapped] == [(2, *shape) for shape in shapes]
    pooled = model.pool(maps)
    assert torch.equal(pooled.logits, expected.logits)
    assert all(torch.equal(one, other) for one, other in zip(pooled.features, expected.features, strict=True))
    [gradient] = torch.autograd.grad(pooled.logits[:, 0].sum(), maps.last)
    assert gradient.abs().sum() > 0, "a heat map weighs the last map by it"


@pytest.mark.parametrize("trainable", [("head",), ("backbone",), ("backbone", "head"), ("head", "norm_statistics")])
def test_what_is_frozen_computes_as_in_evaluation(trainable):
    model = Classifier("resnet10t", num_classes=2)
    model.train_only(trainable)
    for _ in range(2):  # `train` says the same again after an evaluation
        for name, module in model.backbone.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.training == ("norm_statistics" in trainable), name
            elif module is model.head:
                assert module.training, name
            else:
                assert module.training == ("backbone" in trainable), name
        model.eval().train()


def test_the_normalisation_is_that_of_the_published_weights():
    model = Classifier("resnet10t", num_classes=2)
    assert model.normalisation == (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "cifar_resnet32"])  # its head lies at another depth
@pytest.mark.parametrize("head", [None, "adapter"])
def test_a_head_of_its_own_shares_the_backbone_and_no_weight_of_the_head(name, head):
    size = 32 if name == "cifar_resnet32" else 64
    model = Classifier(name, 2, (-1,), image_size=size, head=head and Component(name=head))
    other = model.with_own_head()
    ours, theirs = (dict(one.backbone.named_parameters()) for one in (model, other))
    place = model.backbone.pretrained_cfg["classifier"]
    assert ours.keys() == theirs.keys()
    assert {n for n in ours if ours[n] is not theirs[n]} >= {n for n in ours if n.startswith(f"{place}.")}
    assert sum(ours[n] is theirs[n] for n in ours) > len(ours) / 2
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    for parameter in other.head.parameters():
        torch.nn.init.normal_(parameter)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert other.head is other.backbone.get_submodule(place)

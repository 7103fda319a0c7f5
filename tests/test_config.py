import hashlib
import json
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from fscl import config, methods
from fscl.config import layers
from fscl.errors import ConfigurationError


def resolve(*layers):
    return config.resolve([("recipe", methods.read("fscl")), *layers])


def test_later_layers_win():
    toml = ("run.toml", {"training": {"steps": 5, "batch_size": 8}})
    flags = ("command line", config.settings({"steps": 7, "epochs": None}))
    resolved = resolve(toml, flags)
    assert resolved.training.steps == 7
    assert resolved.training.batch_size == 8
    assert resolved.training.epochs is None


def test_the_study_is_the_default():
    resolved = resolve()
    assert (resolved.model.backbone, resolved.preprocessing.image_size) == ("resnet18", 224)
    assert (resolved.training.batch_size, resolved.training.learning_rate) == (64, 1e-3)
    assert (resolved.training.weight_decay, resolved.training.length(batches_per_epoch=3)) == (1e-5, 300)
    assert resolved.augmentation.jitter == (0.4, 0.4, 0.4, 0.1)
    assert (resolved.preprocessing.crop_margin, resolved.imbalance.thin_validation) == (0.1, True)
    assert [(t.name, t.weight) for t in resolved.stage[0].loss] == [
        ("cross_entropy", 1.0),
        ("feature_similarity", 1.0),
    ]


def test_toml_goes_round():
    resolved = resolve(("x", {"model": {"layers": ["layer3", -1]}, "imbalance": {"ratio": 0.01}}))
    assert config.resolve([("again", tomllib.loads(resolved.toml()))]) == resolved


def test_the_fingerprint_leaves_out_what_does_not_change_weights():
    one = resolve()
    assert one.sha256() == resolve(("x", config.settings({"workers": 7}))).sha256()
    assert one.sha256() != resolve(("x", config.settings({"learning_rate": 0.1}))).sha256()


def test_a_long_tail_of_an_earlier_release_is_the_same_configuration():
    now = resolve(("x", {"imbalance": {"imbalance": 100}}))
    assert resolve(("config.toml", {"imbalance": {"profile": "exp", "imbalance": 100}})) == now
    assert "profile" not in now.toml()
    before = now.record()
    before["imbalance"]["profile"] = "exp"
    before["training"] = {key: before["training"][key] for key in before["training"] if key not in config.BOOKKEEPING}
    assert now.sha256() == hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()


def test_epochs_and_steps_give_way_to_each_other():
    toml = ("run.toml", config.settings({"steps": 400}))
    assert resolve(toml, ("flags", config.settings({"epochs": 5}))).training.length(batches_per_epoch=7) == 35
    assert resolve(("run.toml", config.settings({"epochs": 5})), toml).training.length(batches_per_epoch=7) == 400
    with pytest.raises(ConfigurationError, match="flags: a run is as long as its epochs or its steps say"):
        resolve(("flags", config.settings({"epochs": 5, "steps": 3})))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"imbalance": {"base": 5}}, "give a ratio with it"),
        ({"method": {"name": "a/b"}}, "method.name: .* got 'a/b'"),
        ({"trainng": {}}, "run.toml: unknown key 'trainng'; did you mean 'training'"),
        ({"training": {"step": 3}}, "run.toml: unknown key 'training.step'; did you mean 'steps'"),
        ({"training": {"steps": 0}}, "run.toml: training.steps: .* got 0"),
        ({"stage": [{"loss": [{"name": "x", "wieght": 1}]}]}, "'stage.0.loss.0.wieght'; did you mean 'weight'"),
        ({"stage": [{"loss": []}]}, "stage.0.loss"),
        ({"stage": [{"loss": [{"weight": 1.0}]}]}, "run.toml: 'stage.0.loss.0.name' is missing"),
        ({"model": {"pretrained": True, "weights": "w.pt"}}, "one place, got pretrained and weights"),
        ({"imbalance": {"ratio": 2}}, "imbalance.ratio"),
        ({"imbalance": {"profile": "exp"}}, "unknown key 'imbalance.profile'"),
        ({"imbalance": {"profile": "step", "imbalance": 10}}, "unknown key 'imbalance.profile'"),
        ({"imbalance": {"imbalance": 0.5}}, "imbalance.imbalance: .* got 0.5"),
        ({"imbalance": {"imbalance": 10, "ratio": 0.1}}, "a ratio and an imbalance both"),
    ],
)
def test_bad_settings_name_their_source_and_the_nearest_key(settings, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        resolve(("run.toml", settings))
    assert len(str(caught.value).splitlines()) == 1


LITE0 = ("flags", {"model": {"weights": "lite0"}})


def test_published_weights_bring_what_goes_with_them_and_give_way_to_all_that_is_set():
    plain = resolve(LITE0)
    assert plain.model.backbone == "tf_efficientnet_lite0"
    assert (plain.preprocessing.mean, plain.preprocessing.std) == ((0.5,) * 3, (0.5,) * 3)
    assert plain.preprocessing.interpolation == "bicubic"
    assert plain.preprocessing.inputs == "inputs −1 … 1, 224 px, bicubic"
    own = {"mean": [0.0] * 3, "interpolation": "bilinear", "image_size": 64}
    for order in (1, -1):
        set_so = resolve(*[LITE0, ("file", {"preprocessing": own})][::order]).preprocessing
        assert (set_so.mean, set_so.std) == ((0.0,) * 3, (0.5,) * 3)
        assert (set_so.resampling, set_so.image_size) == ("bilinear", 64)
    again = config.resolve([("config.toml", tomllib.loads(plain.toml()))])
    assert again == plain


@pytest.mark.parametrize("below", [True, False])
def test_published_weights_with_another_backbone_say_what_fits(below):
    other = ("run.toml", {"model": {"backbone": "resnet18"}})
    message = "weights 'lite0' are of backbone 'tf_efficientnet_lite0', got 'resnet18'"
    with pytest.raises(ConfigurationError, match=message):
        resolve(*([other, LITE0] if below else [LITE0, other]))


def test_weights_from_elsewhere_give_way_to_those_of_a_later_layer():
    recipe = config.resolve([("recipe", methods.read("fscl") | LITE0[1]), ("flags", {"model": {"bundle": "runs/x"}})])
    assert (recipe.model.weights, recipe.model.bundle) == (None, "runs/x")
    assert recipe.preprocessing == config.Preprocessing()
    hub = resolve(LITE0, ("flags", {"model": {"pretrained": True}}))
    assert (hub.model.weights, hub.model.pretrained) == (None, True)
    kept = resolve(LITE0, ("flags", {"model": {"pretrained": False}}))
    assert kept.model.weights == "lite0"
    changed = resolve(("file", {"model": {"weights": "w.pt"}}), LITE0)
    assert changed.model.backbone == "tf_efficientnet_lite0"


def test_inputs_in_words():
    preprocessing = config.Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.25))
    said = "inputs by mean 0.1, 0.2, 0.3 and deviation 0.5, 0.5, 0.25, 224 px, bilinear"
    assert preprocessing.inputs == said
    zero_to_one = config.Preprocessing(mean=(0, 0, 0), std=(1, 1, 1), image_size=96)
    assert zero_to_one.inputs == "inputs 0 … 1, 96 px, bilinear"


def test_weight_goes_to_the_similarity_term_only():
    weighed = config.with_weight(resolve(), 0.1)
    assert [term.weight for term in weighed.stage[0].loss] == [1.0, 0.1]
    with pytest.raises(ConfigurationError, match="'baseline' is without 'feature_similarity'"):
        config.with_weight(config.resolve([("r", methods.read("baseline"))]), 0.1)
    with pytest.raises(ConfigurationError, match="must be >= 0, got -1"):
        config.with_weight(resolve(), -1)


def test_a_comparison_weighs_only_the_methods_that_have_something_to_weigh():
    four = [config.resolve([(name, methods.read(name))]) for name in methods.STUDY]
    weighed = config.alongside(four, 0.1)
    assert list(weighed) == list(methods.STUDY)
    assert [len(c.stage[0].loss) for c in weighed.values()] == [1, 1, 2, 2]
    assert weighed["fscl"].stage[0].loss[1].weight == weighed["contrastive"].stage[0].loss[1].weight == 0.1
    with pytest.raises(ConfigurationError, match="baseline, oversampling are without 'feature_similarity'"):
        config.alongside(four[:2], 0.1)
    with pytest.raises(ConfigurationError, match="two methods are called 'fscl'"):
        config.alongside([four[3], four[3]])


def test_a_section_from_flags():
    assert config.section("split", by="site", val_fraction=None).val_fraction == 0.15
    with pytest.raises(ConfigurationError, match=r"command line: val_fraction: .* got 1.5"):
        config.section("split", val_fraction=1.5)


def test_unknown_flag():
    with pytest.raises(ConfigurationError, match="unknown setting 'stepz'"):
        config.settings({"stepz": 1})


def test_it_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        resolve().training.steps = 3


def test_setting_names_are_unique_over_the_sections():
    names = [name for _, keys in layers._keys_by_section() for name in keys]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"training": 5}, r"run.toml: training: expected a table, \[training\], got 5"),
        ({"training": [{"steps": 3}]}, "run.toml: training: expected a table"),
        (
            {"training": {"steps": {"a": 1}}},
            "run.toml: training.steps: Input should be a valid integer, got {'a': 1}",
        ),
        ({"training": {"steps": 10**20}}, "training.steps: Input should be less than or equal to 1000000000"),
        ({"training": {"learning_rate": 10**400}}, "training.learning_rate: .* got 1000"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate: Input should be a finite number"),
        ({"stage": "natural"}, "run.toml: stage: Input should be a valid tuple, got 'natural'"),
        ({"stage": {"loss": []}}, "run.toml: stage: Input should be a valid tuple"),
        ({"stage": [[]]}, r"run.toml: stage.0: Input should be a valid dictionary or instance of Stage, got \[\]"),
        ({"method": 5}, r"run.toml: method: expected a table, \[method\], got 5"),
        ({"model": {"layers": []}}, "run.toml: model.layers: Tuple should have at least 1 item"),
        ({"model": {"head": "cosine"}}, "run.toml: model.head: Input should be a valid dictionary"),
        ({"model": {"head": {"name": "cosine", "x": 1}}}, "unknown key 'model.head.x'; choose from: name, options"),
        ({"posthoc": {"name": "branches", "options": 5}}, "posthoc.options: Input should be a valid dictionary"),
        (
            {"posthoc": {"name": "x", "options": {"a": [[float("inf")]]}}},
            "posthoc.options: a must be a finite number",
        ),
        ({"posthoc": {"name": "x", "options": {"a": None}}}, "a must be a number, a text, true or false, got None"),
        ({"preprocessing": {"mean": [0.5, 0.5]}}, "'preprocessing.mean.2' is missing"),
        ({"preprocessing": {"mean": "gray"}}, "run.toml: preprocessing.mean: Input should be a valid tuple"),
        ({"seed": "x" * 3000}, "run.toml: seed: Input should be a valid integer.*…"),
        ({"classes": ["\ud800"]}, "a name is not UTF-8, it has '.ud800'"),
        ({"": 1}, "run.toml: unknown key ''; choose from"),
        ({"augmentation": {"jitter": {"0": 1}}}, "augmentation.jitter: Input should be a valid tuple"),
    ],
)
def test_settings_of_the_wrong_shape_name_their_source_and_what_came(settings, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        resolve(("run.toml", settings))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("below", [5, "x", [1], None])
def test_a_section_that_is_none_is_not_covered_by_a_flag(below):
    layers = [("run.toml", {"training": below}), ("flags", config.settings({"epochs": 2}))]
    with pytest.raises(ConfigurationError, match=r"run.toml: training: expected a table, \[training\], got"):
        resolve(*layers)


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"[training", b"steps = " + b"1" * 5000, b"a = " + b"[" * 5000, b"\x00", b"a = 1\na = 2"],
)
def test_bytes_that_are_no_toml(tmp_path, content):
    (tmp_path / "run.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"run\.toml: not a TOML file: "):
        methods.read_toml(tmp_path / "run.toml")


def test_numbers_that_no_message_can_show(tmp_path):
    (tmp_path / "run.toml").write_text("seed = 0x" + "f" * 5000)
    with pytest.raises(ConfigurationError, match=r"seed: .*, got a number of more than 4300 digits"):
        resolve(("run.toml", methods.read_toml(tmp_path / "run.toml")))


def test_resolving_leaves_the_layers_as_they_are():
    toml, flags = {"training": {"epochs": 3}}, {"training": {"steps": 5}}
    assert resolve(("run.toml", toml), ("flags", flags)).training.length(7) == 5
    assert (toml, flags) == ({"training": {"epochs": 3}}, {"training": {"steps": 5}})


def test_a_part_of_another_name_takes_no_options_of_the_one_below():
    recipe = methods.read("bcl")
    padded = {"augmentation": {"crop": {"name": "padded"}}}
    assert config.resolve([("bcl", recipe), ("file", padded)]).augmentation.crop == config.PaddedCrop(name="padded")
    narrower = {"augmentation": {"crop": {"scale": [0.5, 1.0]}}}
    crop = config.resolve([("bcl", recipe), ("file", narrower)]).augmentation.crop
    assert crop == config.ResizedCrop(name="resized", scale=(0.5, 1.0))


def test_the_example_for_long_tailed_cifar_suits_every_method_from_scratch():
    settings = tomllib.loads((Path(__file__).parent.parent / "examples" / "cifar_lt.toml").read_text())
    for name in methods.names():
        if "weights" in methods.read(name).get("model", {}):  # it is about training from scratch
            continue
        resolved = config.resolve([(name, methods.read(name)), ("cifar_lt.toml", settings)])
        assert resolved.training.optimizer.name == "sgd"
        assert resolved.augmentation.crop == config.PaddedCrop(name="padded")


@pytest.mark.parametrize(
    ("method", "fingerprint"),
    [("baseline", "7c1d2072a1ef337d"), ("fscl", "c08bbf0a7cdeea66"), ("mixup", "0e86f8d38b3acc2b")],
)
def test_settings_that_came_later_leave_the_fingerprints_as_they_were(method, fingerprint):
    """Studies hold them: with others, no finished cell would be known."""
    assert config.resolve([(method, methods.read(method))]).sha256().startswith(fingerprint)

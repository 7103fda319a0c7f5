import pytest

import fscl
from fscl import config, methods
from fscl.errors import ConfigurationError
from fscl.loading import SAMPLERS
from fscl.losses import LOSSES
from fscl.manifest.table import Manifest
from fscl.training.loop import fit

CORRECTING_LOSSES = {"class_balanced", "logit_adjusted", "balanced_softmax"}
BALANCING_SAMPLERS = {"oversampling", "progressive", "m_per_class"}


@pytest.mark.parametrize("name", methods.names())
def test_every_recipe_resolves_and_names_what_exists(name):
    recipe = config.resolve([(name, methods.read(name))])
    assert recipe.method.name == name
    for stage in recipe.stage:
        assert stage.sampler.name in SAMPLERS
        assert all(term.name in LOSSES for term in stage.loss)


def test_every_recipe_keeps_the_epoch_of_the_one_default():
    own = {"method": {"name": "mine", "title": "", "summary": "", "source": ""}}
    own |= {"stage": [{"loss": [{"name": "cross_entropy"}]}]}
    recipes = {name: methods.read(name) for name in methods.names()} | {"mine": own}
    assert {config.resolve([(name, recipe)]).training.keep for name, recipe in recipes.items()} == {"last"}
    trained_from_scratch = [recipe for recipe in recipes.values() if "weights" not in recipe.get("model", {})]
    assert len(trained_from_scratch) > 20
    assert not any("training" in recipe for recipe in trained_from_scratch), "each has the same effort"


@pytest.mark.parametrize("name", methods.names())
def test_every_recipe_trains_two_epochs_and_predicts(name, quick, photos, tmp_path):
    few = Manifest(photos.rows[::3].reset_index(drop=True), photos.root)
    run = fit(quick(name, epochs=2, steps=None), few, tmp_path)
    predicted = fscl.load(run).predict([few.root / path for path in few.rows["path"][::15]])
    assert predicted["prediction"].isin(["boar", "deer", "hare"]).all()
    assert predicted["probability"].between(1 / 3, 1).all()


@pytest.mark.parametrize("name", methods.names())
def test_no_recipe_corrects_twice(name):
    recipe = config.resolve([(name, methods.read(name))])
    for stage in recipe.stage:
        corrections = {term.name for term in stage.loss} & CORRECTING_LOSSES
        if recipe.posthoc is not None and recipe.posthoc.name == "logit_adjustment":
            corrections.add("posthoc")
        if stage.sampler.name in BALANCING_SAMPLERS:
            corrections.add("sampler")
        assert len(corrections) <= 1


def test_the_study_four_differ_in_sampler_and_similarity_alone():
    def axes(name):
        stage = config.resolve([(name, methods.read(name))]).stage[0]
        return stage.sampler.name, len(stage.loss) == 2

    assert [axes(name) for name in methods.STUDY] == [
        ("natural", False),
        ("oversampling", False),
        ("natural", True),
        ("oversampling", True),
    ]


def test_a_recipe_of_ones_own(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(
        '[method]\nname = "mine"\ntitle = "Mine"\nsummary = "s"\nsource = "o"\n'
        '[[stage]]\nsampler = { name = "every_class", options = { places = 3 } }\n'
        'loss = [{ name = "cross_entropy" }]\n'
    )
    assert config.resolve([("mine", methods.read(str(mine)))]).stage[0].sampler.options == {"places": 3}


def test_unknown_and_broken_recipes(tmp_path):
    with pytest.raises(ConfigurationError, match="unknown method 'fcsl'; did you mean 'fscl'"):
        methods.read("fcsl")
    with pytest.raises(ConfigurationError, match="no such file"):
        methods.read(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("a = ")
    with pytest.raises(ConfigurationError, match="not a TOML file"):
        methods.read(str(tmp_path / "bad.toml"))

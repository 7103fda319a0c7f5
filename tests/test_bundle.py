import json

import pytest
import torch

import fscl
from fscl.bundle import Bundle
from fscl.errors import BundleError
from fscl.training.loop import fit


@pytest.fixture(scope="module")
def trained(tmp_path_factory, photos):
    from fscl import methods
    from fscl.config import resolve, settings

    small = settings({"backbone": "test_resnet", "image_size": 32, "steps": 40, "batch_size": 16, "workers": 0})
    config = resolve([("fscl", methods.read("fscl")), ("test", small)])
    return fit(config, photos, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def copy(tmp_path, trained):
    for name in ("bundle.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    return tmp_path


def test_it_opens_without_any_flag_and_says_the_same(trained, tmp_path):
    bundle = Bundle.open(trained)
    bundle.save(tmp_path / "again")
    again = Bundle.open(tmp_path / "again")
    photos = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(bundle.classifier(photos).logits, again.classifier(photos).logits)
    for name in ("classes", "preprocessing", "config", "train_counts", "step"):
        assert getattr(again, name) == getattr(bundle, name)
    assert not bundle.classifier.training


def test_the_record_has_what_the_schema_says(trained):
    record = json.loads((trained / "bundle.json").read_text())
    assert set(record) == {
        *("format", "version", "classes", "train_counts", "minority", "preprocessing", "model"),
        *("weights_sha256", "config", "epoch", "step", "created", "versions"),
    }
    assert record["classes"] == ["boar", "deer", "hare"]
    assert record["step"] == 40


def test_a_loaded_model_predicts(trained, class_folders, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    model = fscl.load(trained)
    files = [class_folders / name / "003.jpg" for name in ("boar", "hare")]
    table = model.predict([*files, tmp_path / "broken.jpg"])
    assert table["filepath"].tolist() == [str(f) for f in (*files, tmp_path / "broken.jpg")]
    assert table["prediction"].tolist()[:2] == ["boar", "hare"]
    assert table.loc[:1, ["boar", "deer", "hare"]].sum(axis=1).tolist() == pytest.approx([1, 1])
    assert table["problem"].isna().tolist() == [True, True, False]
    assert table["prediction"].isna().tolist() == [False, False, True]


def edited(folder, **changes):
    record = json.loads((folder / "bundle.json").read_text()) | changes
    (folder / "bundle.json").write_text(json.dumps(record))
    return folder


def test_damage_is_named(copy):
    weights = (copy / "weights.safetensors").read_bytes()
    (copy / "weights.safetensors").write_bytes(weights[:-100])
    with pytest.raises(BundleError, match="not the weights that"):
        Bundle.open(copy)
    (copy / "weights.safetensors").unlink()
    with pytest.raises(BundleError, match=r"weights.safetensors: missing; copy the whole folder"):
        Bundle.open(copy)
    (copy / "bundle.json").write_text('{"format": ')
    with pytest.raises(BundleError, match="not JSON, cut short"):
        Bundle.open(copy)
    (copy / "bundle.json").unlink()
    with pytest.raises(BundleError, match=r"no bundle.json there"):
        Bundle.open(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["boar", "deer"]}, "do not fit each other"),
        ({"config": {}}, "do not fit each other"),
        ({"format": "other"}, 'expected "format": "fscl-bundle"'),
        ({"version": 9}, "version 9, this fscl reads version 1"),
    ],
)
def test_a_record_that_does_not_fit(copy, changes, message):
    with pytest.raises(BundleError, match=message):
        Bundle.open(edited(copy, **changes))

import json
import warnings
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import fscl
from fscl.bundle import Bundle, BundleRecord, Start
from fscl.errors import BundleError, DivergenceError
from fscl.models import Classifier
from fscl.predictor import Predictor
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


def test_a_classifier_that_is_opened_evaluates(trained):
    assert not Bundle.open(trained).classifier.training


def test_it_opens_without_any_flag_and_says_the_same(trained, tmp_path):
    bundle = Bundle.open(trained)
    bundle.save(tmp_path / "again")
    again = Bundle.open(tmp_path / "again")
    photos = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(bundle.classifier(photos).logits, again.classifier(photos).logits)
    for name in ("classes", "preprocessing", "architecture", "config", "decisions", "train_counts", "step"):
        assert getattr(again, name) == getattr(bundle, name)
    assert not bundle.classifier.training


def test_the_record_has_what_the_schema_says(trained):
    record = json.loads((trained / "bundle.json").read_text())
    assert set(record) == {
        *("format", "version", "classes", "train_counts", "minority", "preprocessing", "model", "decisions"),
        *("weights_sha256", "config", "epoch", "step", "created", "versions"),
    }
    assert record["classes"] == ["boar", "deer", "hare"]
    assert record["step"] == 40
    assert record["model"] == {"backbone": "test_resnet", "head": None, "taps": [3, 4]}


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


def test_a_photo_that_cannot_be_read_takes_no_others_answer(trained, class_folders, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    files = [class_folders / name / "003.jpg" for name in ("boar", "hare")]
    table, alone = (fscl.load(trained).predict(photos) for photos in ([tmp_path / "broken.jpg", *files], files))
    numbers = ["probability", "boar", "deer", "hare"]
    assert table[numbers].isna().all(axis=1).tolist() == [True, False, False]
    np.testing.assert_allclose(table[numbers][1:], alone[numbers], rtol=1e-5)


OLD = Path(__file__).parent / "data" / "bundle_v1"  # written before version 2; a cosine head, a tap by its name


def test_a_bundle_of_version_1_gives_the_logits_that_it_gave():
    bundle = Bundle.open(OLD)
    row = torch.linspace(-2, 2, 32)
    grey = [torch.full((32, 32), value) for value in (-1.0, 0.0, 1.0, 2.0)]
    photos = torch.stack([torch.stack([row.repeat(32, 1), row[:, None].repeat(1, 32), blue]) for blue in grey])
    with torch.no_grad():
        logits = bundle.classifier(photos).logits
    assert logits.numpy() == pytest.approx(np.array(json.loads((OLD / "logits.json").read_text())), abs=1e-4)
    assert (bundle.decisions, bundle.architecture.taps) == (None, (3, 4))


def test_a_bundle_of_version_1_is_saved_as_version_2_and_says_the_same(tmp_path):
    Bundle.open(OLD).save(tmp_path)
    record = json.loads((tmp_path / "bundle.json").read_text())
    assert (record["version"], record["model"]["head"]["name"], record["decisions"]) == (2, "cosine", None)
    (tmp_path / "bundle.json").write_text(json.dumps(record | {"config": {}}))
    photos = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        old, new = (Bundle.open(folder).classifier(photos).logits for folder in (OLD, tmp_path))
    assert torch.equal(old, new)


@pytest.mark.parametrize(
    "config", [{}, {"model": 5}, {"model": {"depth": 18}, "training": {"momentum": [0.9]}}, {"method": None, "": {}}]
)
def test_a_setting_that_is_unknown_or_was_renamed_closes_no_model(copy, class_folders, config):
    photo = class_folders / "boar/003.jpg"
    before = fscl.load(copy).predict([photo])
    assert fscl.load(edited(copy, config=config)).predict([photo]).equals(before)


def test_a_head_that_version_1_does_not_tell_is_named(tmp_path):
    for name in ("bundle.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((OLD / name).read_bytes())
    for head in (None, 5, {"name": "other", "options": {}}, {"name": "cosine", "options": {"scale": "x"}}):
        with pytest.raises(BundleError, match="do not fit each other"):
            Bundle.open(edited(tmp_path, config={"model": {"head": head}}))


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
        ({"format": "other"}, 'expected "format": "fscl-bundle"'),
        ({"version": 9}, "version 9, this fscl reads versions 1 and 2"),
    ],
)
def test_a_record_that_does_not_fit(copy, changes, message):
    with pytest.raises(BundleError, match=message):
        Bundle.open(edited(copy, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": "boar"}, r"classes: Input should be a valid array, got 'boar'; copy the whole folder again"),
        ({"classes": ["boar", "boar", "deer"]}, "classes: expected each class once"),
        ({"minority": ["fox"]}, "minority: expected some of the classes"),
        ({"minority": ["boar", "deer", "hare"]}, "minority: expected some of the classes, and not all"),
        ({"train_counts": {"boar": 1, "deer": "2", "hare": 3}}, "train_counts.deer: Input should be a valid integer"),
        ({"train_counts": {"boar": 10**30, "deer": 2, "hare": 3}}, "train_counts.boar: .* less than or equal"),
        ({"epoch": 1.5}, "epoch: Input should be a valid integer"),
        ({"step": True}, "step: Input should be a valid integer, got True"),
        ({"weights_sha256": "x"}, "weights_sha256: .* got 'x'"),
        ({"model": {"backbone": "resnet18", "taps": [-2, -1]}}, r"model\.head: expected in version 2"),
        ({"version": 1}, "decisions: expected in version 2, and not in version 1"),
        ({"decisions": {"threshold": {"minority": "deer", "margin": 1}}}, "threshold: expected two classes"),
        ({"decisions": {"colour": 2.0}}, r"decisions\.colour: Extra inputs are not permitted"),
        ({"decisions": {"temperature": {"value": 0, "photos": 20, "origin": "o"}}}, r"temperature\.value: .* than 0"),
        ({"preprocessing": None}, "preprocessing: Input should be an object"),
        ({"versions": []}, "versions: Input should be an object"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
    ],
)
def test_a_record_of_the_wrong_shape_is_named_by_key(copy, changes, message):
    with pytest.raises(BundleError, match=rf"bundle\.json: damaged, .*{message}"):
        Bundle.open(edited(copy, **changes))


@pytest.mark.parametrize("content", [b"[]", b"5", b'"x"', b"null"])
def test_json_that_is_no_record(copy, content):
    (copy / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match="not a model of ours"):
        Bundle.open(copy)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe{", b'{"classes": ["\\ud800"]}', b"[" * 5000])
def test_bytes_that_are_no_json(copy, content):
    (copy / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match="not JSON, cut short"):
        Bundle.open(copy)


def test_every_part_of_the_record_is_needed(trained, copy):
    record = json.loads((trained / "bundle.json").read_text())
    assert set(record) == set(BundleRecord.model_fields) - {"start"}, "which is not of a model from scratch"
    for name in record:
        (copy / "bundle.json").write_text(json.dumps({k: v for k, v in record.items() if k != name}))
        with pytest.raises(BundleError):
            Bundle.open(copy)


def spoilt(folder, change):
    """Change the weights of a bundle, and its checksum with them."""
    weights = load_file(folder / "weights.safetensors")
    change(weights)
    save_file(weights, folder / "weights.safetensors")
    return edited(folder, weights_sha256=sha256((folder / "weights.safetensors").read_bytes()).hexdigest())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(copy, value):
    spoilt(copy, lambda weights: weights["backbone.fc.bias"].fill_(value))
    with pytest.raises(BundleError, match=r"expected finite weights, but 'backbone\.fc\.bias' has NaN or infinity"):
        fscl.load(copy)


def test_scores_that_are_not_finite_are_no_answer(copy, class_folders):
    # Finite each, the weights overflow together.
    spoilt(copy, lambda weights: weights["backbone.fc.weight"].fill_(3e38))
    photo = class_folders / "boar/003.jpg"
    with pytest.raises(DivergenceError, match=rf"expected finite scores, got others for 1 of 1 photo, .*{photo}"):
        fscl.load(copy).predict([photo])


def test_a_model_that_cannot_take_its_own_photos_says_so(trained, class_folders):
    bundle = Bundle.open(trained)
    tiny = bundle.preprocessing.model_copy(update={"image_size": 1})
    bundle.classifier.backbone.conv1 = torch.nn.Conv2d(3, 24, kernel_size=5)
    with pytest.raises(BundleError, match="the model cannot take 1 photo of 1 px: "):
        Predictor(replace(bundle, preprocessing=tiny)).predict([class_folders / "boar/003.jpg"])


def predictor(trained, classes):
    bundle = Bundle.open(trained)
    classifier = Classifier("test_resnet", len(classes), image_size=32).eval()
    return Predictor(replace(bundle, classes=tuple(classes), classifier=classifier))


def test_a_class_may_be_called_as_a_column(trained, class_folders):
    classes = ["filepath", "prediction", "probability", "problem", "p:problem", "deer"]
    model = predictor(trained, classes)
    table = model.predict([class_folders / "boar/003.jpg"])
    assert table.columns.tolist() == [
        *("filepath", "prediction", "probability"),
        *("p:filepath", "p:prediction", "p:probability", "p:p:problem", "p:problem", "deer"),
        "problem",
    ]
    assert list(model.columns) == classes
    [row] = table.to_dict("records")
    assert row["filepath"] == str(class_folders / "boar/003.jpg")
    assert sum(row[column] for column in model.columns.values()) == pytest.approx(1)
    assert row[model.columns[row["prediction"]]] == row["probability"]
    assert table["problem"].isna().all()


def test_many_classes_are_told_without_a_warning(trained, class_folders):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = predictor(trained, [f"species {n:03}" for n in range(300)]).predict([class_folders / "boar/003.jpg"])
    assert table.shape == (1, 304)
    assert np.isfinite(table["species 299"]).all()


def test_no_photo_is_no_row(trained):
    table = fscl.load(trained).predict([])
    assert table.columns.tolist() == ["filepath", "prediction", "probability", "boar", "deer", "hare", "problem"]
    assert table.empty


def test_where_its_weights_started_from_and_how_photos_are_resized_is_kept(trained, tmp_path):
    bundle = Bundle.open(trained)
    assert bundle.start is None, "from scratch"
    start = Start(origin="w.pth", sha256="0" * 64, taken=3, by_order=True, new=("fc.bias",), left_over=("a", "b"))
    bicubic = bundle.preprocessing.model_copy(update={"interpolation": "bicubic"})
    replace(bundle, start=start, preprocessing=bicubic).save(tmp_path)
    again = Bundle.open(tmp_path)
    assert (again.start, again.preprocessing) == (start, bicubic)
    record = json.loads((tmp_path / "bundle.json").read_text())
    assert record["start"]["left_over"] == ["a", "b"]
    record["start"]["taken"] = -1
    (tmp_path / "bundle.json").write_text(json.dumps(record))
    with pytest.raises(BundleError, match=r"start.taken"):
        Bundle.open(tmp_path)

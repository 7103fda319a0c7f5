import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import squareform

from fscl.bundle import Bundle
from fscl.explain.similarity import cosine_matrices, cosines, shown_photos
from fscl.losses import LOSSES
from fscl.manifest.table import Manifest
from fscl.models import Classifier
from fscl.runtime import Runtime
from fscl.training.loop import fit
from fscl.training.start import untrained
from fscl.training.subset import subset


def table(counts):
    labels = [name for name, count in counts.items() for _ in range(count)]
    return pd.DataFrame({"region_id": [f"{name}/{n:03}" for n, name in enumerate(labels)], "label": labels})


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    return Classifier("test_resnet", num_classes=3).eval()


def test_up_to_twelve_of_each_class_are_shown_common_classes_first():
    rows = table({"a": 40, "b": 40, "c": 5})
    shown = shown_photos(rows.sample(frac=1, random_state=0), ("a", "b", "c"), {"a"})
    assert shown["label"].tolist() == ["b"] * 12 + ["c"] * 5 + ["a"] * 12
    assert shown.equals(shown_photos(rows, ("a", "b", "c"), {"a"}))
    places = [int(region.split("/")[1]) for region in shown["region_id"][-12:]]
    assert (places[0], places[-1]) == (0, 39)
    assert set(np.diff(places)) == {3, 4}


@pytest.mark.parametrize(
    ("classes", "rare", "expected"), [(10, 3, (7, 3, 3)), (100, 34, (6, 6, 3)), (20, 2, (10, 2, 3))]
)
def test_many_classes_share_thirty_six_photos(classes, rare, expected):
    names = [f"{place:03}" for place in range(classes)]
    shown = shown_photos(table(dict.fromkeys(names, 9)), names, set(names[:rare]))
    per_class = shown["label"].value_counts()
    are_rare = [name in names[:rare] for name in per_class.index]
    assert (are_rare.count(False), are_rare.count(True), per_class.min()) == expected
    assert len(shown) <= 36


def test_the_matrices_are_those_of_the_studys_loss(classifier):
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    photos = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    kept = {name: value.clone() for name, value in classifier.state_dict().items()}
    found = cosines(classifier, photos)
    assert list(found) == ["layer3", "layer4"]
    assert not classifier.training
    assert all(torch.equal(kept[name], value) for name, value in classifier.state_dict().items())
    with torch.no_grad():
        features = classifier.train()(photos).features
    classifier.load_state_dict(kept)
    target = (labels[:, None] == labels[None, :]).numpy()
    loss = LOSSES["feature_similarity"](3).parts(features, labels)
    for layer, term in zip(found.values(), loss.values(), strict=True):
        matrix = squareform(np.array(layer)) + np.eye(6)
        assert np.square(matrix - target).mean() == pytest.approx(float(term), abs=0.01)
        assert layer == [round(value, 2) for value in layer]


def test_before_is_what_training_starts_from(tmp_path, photos, quick):
    config = quick("fscl", steps=1, learning_rate=1e-9)
    trained = Bundle.open(fit(config, photos, tmp_path / "run"))
    start, other = (
        untrained(c, subset(photos, c), Runtime.start(0)) for c in (config, config.model_copy(update={"seed": 1}))
    )
    weights, starts, others = (dict(b.classifier.cpu().named_parameters()) for b in (trained, start, other))
    assert all(torch.allclose(weights[name], starts[name], atol=1e-7) for name in weights)
    assert not all(torch.allclose(weights[name], others[name], atol=1e-7) for name in weights)
    found = cosine_matrices(start, trained, photos)
    assert found.before["layer4"] == pytest.approx(found.after["layer4"], abs=0.011)


def test_photos_that_cannot_be_read_are_left_out(tmp_path, photos, quick):
    config = quick("fscl")
    start = untrained(config, subset(photos, config), Runtime.start(0))
    gone = photos.rows["path"].where(photos.rows["label"] != "hare", "gone/" + photos.rows["path"])
    found = cosine_matrices(start, start, Manifest(photos.rows.assign(path=gone), photos.root))
    assert found.label == ["boar"] * 12 + ["deer"] * 12
    assert len(found.region_id) == 24
    assert len(found.after["layer3"]) == 24 * 23 / 2
    assert cosine_matrices(start, start, Manifest(photos.rows, tmp_path)) is None

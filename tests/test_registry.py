import pytest

from fscl.errors import ConfigurationError
from fscl.losses import LOSSES
from fscl.registry import build


class Focal:
    def __init__(self, num_classes, *, gamma=2.0):
        self.num_classes, self.gamma = num_classes, gamma


def test_builds_with_context_and_options():
    built = build({"focal": Focal}, "loss", "focal", 3, gamma=1.0)
    assert (built.num_classes, built.gamma) == (3, 1.0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("focl", {}, "unknown loss 'focl'; did you mean 'focal'"),
        ("focal", {"gama": 1}, "unknown option 'gama' for loss 'focal'; did you mean 'gamma'"),
        ("focal", {"num_classes": 2}, "unknown option 'num_classes' for loss 'focal'; choose from: gamma"),
    ],
)
def test_unknown_is_an_error(name, options, message):
    with pytest.raises(ConfigurationError, match=message):
        build({"focal": Focal}, "loss", name, 3, **options)


def test_every_loss_of_the_table_can_be_built():
    for name in LOSSES:
        assert build(LOSSES, "loss", name, 3).num_classes == 3

from fractions import Fraction

import pytest

from fscl.errors import ConfigurationError
from fscl.losses import LOSSES
from fscl.registry import build

CONTEXT = {"num_classes": 3, "class_counts": (9, 5, 1)}


class Focal:
    def __init__(self, num_classes, *, gamma=2.0):
        if gamma < 0:
            raise ValueError(f"gamma must be >= 0, got {gamma}")
        self.num_classes, self.gamma = num_classes, gamma


def needy(*, ratio):
    return ratio


def large(*, size):
    return Focal(2, gamma=float(size))


TABLE = {"focal": Focal, "needy": needy, "large": large}


def test_builds_with_options_and_the_part_of_the_context_that_is_asked_for():
    built = build(TABLE, "loss", "focal", CONTEXT, {"gamma": 1.0}, own=Focal)
    assert (built.num_classes, built.gamma) == (3, 1.0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("focl", {}, "unknown loss 'focl'; did you mean 'focal'"),
        ("focal", {"gama": 1}, "unknown option 'gama' for loss 'focal'; did you mean 'gamma'"),
        ("focal", {"num_classes": 2}, "unknown option 'num_classes' for loss 'focal'; choose from: gamma"),
        ("focal", {"gamma": -1}, "loss 'focal': gamma must be >= 0, got -1"),
        ("large", {"size": 10**400}, "loss 'large': int too large to convert to float"),
        ("needy", {}, "loss 'needy' needs the option 'ratio'"),
        (
            "no_such_lab.losses:Mine",
            {},
            "expected MODULE:NAME of an installed package or of a file beside the recipe",
        ),
        ("collections:Mine", {}, "cannot be imported .*; expected MODULE:NAME"),
        (":Mine", {}, "cannot be imported .*; expected MODULE:NAME"),
        (".lab:Mine", {}, "cannot be imported .*; expected MODULE:NAME"),
        ("fscl.losses:LOSSES", {}, "cannot be built: expected a class, got"),
        ("collections:Counter", {}, "must be a fractions.Fraction, got Counter"),
    ],
)
def test_what_does_not_fit_is_an_error(name, options, message):
    with pytest.raises(ConfigurationError, match=message):
        build(TABLE, "loss", name, CONTEXT, options, own=Fraction)


def test_a_dotted_name_needs_no_table():
    assert build({}, "loss", "fractions:Fraction", {}, {"numerator": 1, "denominator": 2}, own=Fraction) == 0.5


def test_nothing_is_imported_where_no_part_of_ones_own_is_expected(tmp_path):
    """The head of a bundle from elsewhere must not run what its record names."""
    with pytest.raises(ConfigurationError, match="unknown head 'subprocess:Popen'"):
        build({}, "head", "subprocess:Popen", {}, {"args": ["touch", str(tmp_path / "x")]})
    assert not (tmp_path / "x").exists()


def test_every_loss_of_the_table_can_be_built():
    context = {**CONTEXT, "class_names": ("a", "b", "c"), "dims": (4, 6), "batch_size": 8}
    for name in LOSSES:
        assert isinstance(build(LOSSES, "loss", name, context, {}), LOSSES[name])

import io

import pandas as pd
import pytest
from rich.console import Console

from fscl.config import Split
from fscl.errors import ConfigurationError, PhotosError
from fscl.manifest.table import Manifest
from fscl.training.loop import fit
from fscl.training.subset import balance_table, split_photos, subset


@pytest.mark.parametrize(
    ("classes", "minority", "error", "message"),
    [
        (
            ("boar", "deer"),
            ("hare",),
            ConfigurationError,
            "'hare' is not among the classes to tell apart; .* boar, deer",
        ),
        (("boar", "deer"), ("deer", "boar"), ConfigurationError, "all 2 classes are called rare: boar, deer"),
        (("boar", "boar"), (), PhotosError, "at least 2 classes, got 1: boar"),
        (("boar", "der"), (), PhotosError, "no usable photo of class 'der'; did you mean 'deer'"),
    ],
)
def test_classes_that_do_not_fit_leave_no_folder(tmp_path, photos, quick, classes, minority, error, message):
    with pytest.raises(error, match=message):
        fit(quick(minority=minority, classes=classes), photos, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_name_given_twice_counts_once(photos, quick):
    found = subset(photos, quick(minority=("deer", "deer"), classes=("deer", "boar", "deer")))
    assert (found.classes, found.minority) == (("boar", "deer"), ("deer",))


def printed(manifest):
    console = Console(file=io.StringIO(), width=160)
    console.print(balance_table(manifest))
    return console.file.getvalue()


def test_sites_in_both_training_and_test_are_said(tmp_path):
    columns = pd.DataFrame({"path": [f"{number:02}.jpg" for number in range(60)], "label": ["boar", "deer"] * 30})
    seen = Manifest.build(columns.assign(site=[f"camera {number // 6}" for number in range(60)]), tmp_path)
    divided = split_photos(seen, Split())
    sites = {part: set(rows["site"]) for part, rows in divided.rows.groupby("split")}
    crossing, tested = len(sites["train"] & sites["test"]), len(sites["test"])
    assert crossing
    text = printed(divided)
    assert f"{crossing} of {tested} test sites are in training, too" in " ".join(text.split())
    assert "fscl split PHOTOS --by site --redraw" in text
    assert "test sites" not in printed(split_photos(divided, Split(by="site"), redraw=True))
    assert "test sites" not in printed(split_photos(Manifest.build(columns, tmp_path), Split()))

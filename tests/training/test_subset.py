import io

import pandas as pd
import pytest
from rich.console import Console

from fscl.bundle import Bundle
from fscl.config import Split
from fscl.errors import ConfigurationError, PhotosError
from fscl.evaluation import evaluate_run, table
from fscl.manifest.table import Manifest
from fscl.training.loop import fit
from fscl.training.subset import balance_table, split_photos, subset, tail
from fscl.training.summary import run_summary


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


def test_a_profile_falls_over_the_classes_in_the_order_given(photos, quick):
    found = subset(photos, quick(profile="exp", imbalance=5, base=20, classes=("hare", "boar", "deer")))
    assert found.train_counts == {"boar": 8, "deer": 4, "hare": 20}
    assert found.classes == ("boar", "deer", "hare")
    assert found.minority == ("boar", "deer")  # few-shot, both
    by_name = subset(photos, quick(profile="exp", imbalance=5, base=20))
    assert by_name.train_counts == {"boar": 20, "deer": 8, "hare": 4}
    assert subset(photos, quick(profile="exp", imbalance=5, minority=("deer",))).minority == ("deer",)


def test_the_tail_is_the_few_shot_classes_or_else_the_rarer_half():
    cifar10_lt = dict(zip("abcdefghij", [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50], strict=True))
    assert tail(cifar10_lt) == ("f", "g", "h", "i", "j")
    assert tail(cifar10_lt | {"i": 20, "j": 19}) == ("j",)
    assert tail({"a": 19, "b": 8, "c": 4}) == ("c",)
    assert tail({"a": 100, "b": 100}) == ("b",)


class TestRare:
    def test_is_the_class_with_the_fewest_training_photos(self, photos, quick):
        assert subset(photos, quick(classes=("boar", "deer"))).minority == ("deer",)

    def test_is_none_of_classes_with_equally_few(self, photos, quick):
        assert subset(photos, quick()).minority == ()
        assert subset(photos, quick(classes=("deer", "hare"))).minority == ()
        assert subset(photos, quick(minority=("hare",))).minority == ("hare",)

    def test_is_asked_for_where_something_needs_it(self, tmp_path, photos, quick):
        said = r"2 classes have the fewest photos \(21 each: deer, hare\), so that none is the rare one; .*--minority"
        with pytest.raises(ConfigurationError, match=f"a ratio needs rare classes, and {said}"):
            fit(quick(ratio=0.5), photos, tmp_path / "run")
        for_rare = quick().model_copy(
            update={"augmentation": quick().augmentation.model_copy(update={"classes": "minority"})}
        )
        with pytest.raises(
            ConfigurationError, match=f'augmentation.classes = "minority" needs rare classes, and {said}'
        ):
            fit(for_rare, photos, tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_has_no_figures_where_there_is_none(self, tmp_path, photos, quick):
        run = fit(quick("baseline", classes=("deer", "hare")), photos, tmp_path / "run")
        assert Bundle.open(run).minority == ()
        text = run_summary(run)
        assert "2 classes have the fewest photos (21 each: deer, hare), so that none is the rare one" in text
        assert "recall of" not in text
        record = evaluate_run(run)
        assert record["minority"] == []
        assert record["threshold"] is None
        assert record["figures"]["minority_recall"] is None
        assert record["figures"]["balanced_accuracy"] is not None
        console = Console(file=io.StringIO(), width=160)
        console.print(table(record))
        assert "(rare)" not in console.file.getvalue()


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

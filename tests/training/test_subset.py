import io
import json
import re

import pandas as pd
import pytest
from rich.console import Console

from fscl.bundle import Bundle
from fscl.config import Split
from fscl.errors import ConfigurationError, PhotosError
from fscl.evaluation import evaluate_run, table
from fscl.manifest.table import Manifest
from fscl.progress import Silent
from fscl.training.loop import fit
from fscl.training.run_summary import run_summary
from fscl.training.subset import balance_table, split_notes, split_photos, subset, tail


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


def test_validation_is_thinned_unless_it_is_to_stay(photos, quick):
    def validation(**flags):
        return set(subset(photos, quick(minority=("deer",), **flags)).rows("val")["region_id"])

    assert validation(ratio=0.5, thin_validation=False) == validation()
    assert validation(ratio=0.5) < validation()
    assert validation(imbalance=5, thin_validation=False) == validation()
    assert validation(imbalance=5) < validation()


def test_a_profile_falls_over_the_classes_in_the_order_given(photos, quick):
    found = subset(photos, quick(imbalance=5, base=20, classes=("hare", "boar", "deer")))
    assert found.train_counts == {"boar": 8, "deer": 4, "hare": 20}
    assert found.classes == ("boar", "deer", "hare")
    assert found.minority == ("boar", "deer")  # few-shot, both
    by_name = subset(photos, quick(imbalance=5, base=20))
    assert by_name.train_counts == {"boar": 20, "deer": 8, "hare": 4}
    assert subset(photos, quick(imbalance=5, minority=("deer",))).minority == ("deer",)


def test_the_tail_is_the_few_shot_classes_or_else_the_rarer_half():
    cifar10_lt = dict(zip("abcdefghij", [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50], strict=True))
    assert tail(cifar10_lt) == ("f", "g", "h", "i", "j")
    assert tail(cifar10_lt | {"i": 20, "j": 19}) == ("j",)
    assert tail({"a": 19, "b": 8, "c": 4}) == ("c",)
    assert tail({"a": 100, "b": 100}) == ("b",)


def manifest_of(tmp_path, **columns):
    """Make a manifest of 40 photos, a class on each side of the middle."""
    rows = pd.DataFrame({"path": [f"{number:02}.jpg" for number in range(40)], "label": ["boar", "deer"] * 20})
    return Manifest.build(rows.assign(**columns), tmp_path)


def notes_of(source, redraw=False, **settings):
    settings = Split(**settings)
    return split_notes(source, split_photos(source, settings, redraw=redraw), settings, redraw=redraw)


def test_validation_that_becomes_the_test_is_said(tmp_path):
    source = manifest_of(tmp_path, split=["train"] * 28 + ["val"] * 12)
    assert notes_of(source) == [
        "the photos have a validation but no test split: their 12 validation photos are the test, and 4 training "
        "photos are the validation"
    ]
    assert notes_of(source, val_fraction=0)[0].endswith("their 12 validation photos are the test")
    assert notes_of(source, redraw=True) == notes_of(source, test_fraction=0) == []
    assert notes_of(split_photos(source, Split())) == []
    assert notes_of(manifest_of(tmp_path)) == []


def test_parts_that_the_source_lacks_are_said(tmp_path):
    def notes(split, **settings):
        return notes_of(manifest_of(tmp_path, split=split), **settings)

    validation = "no photo is marked val: 10 % of each class of the training photos are the validation (2 photos)"
    assert notes(["train"] * 30 + ["test"] * 10, val_fraction=0.1) == [validation]
    assert notes(["train"] * 30 + ["test"] * 10, val_fraction=0) == []
    assert notes(["train"] * 20 + ["val"] * 10 + ["test"] * 10) == []
    assert notes(["train"] * 40) == [
        "no photo is marked val or test: 15 % of each class of the training photos are the validation (6 photos), "
        "15 % of each class of the training photos are the test (6 photos)"
    ]
    assert notes(["test"] * 10 + [None] * 30, val_fraction=0.1) == [
        "30 photos of 40 without a split: for training, but for those of a photo, sequence or site that is held out",
        validation,
    ]
    assert notes(["train"] * 40, redraw=True) == notes([None] * 40) == []


def test_copies_that_cross_the_split_of_the_source_are_said_and_named(tmp_path):
    hashes = ["x", "y", "z", "z", None, *[None] * 30, "x", "y", "z", "z", "x"]
    source = manifest_of(tmp_path, split=["train"] * 25 + ["val"] * 10 + ["test"] * 5, content_hash=hashes)
    said = "4 photos left out, byte copy of a test photo: 00.jpg, 01.jpg, 02.jpg and 1 more"
    assert notes_of(source) == [said]
    assert notes_of(split_photos(source, Split())) == [said]


def test_copies_at_several_sites_are_said(tmp_path):
    sites, hashes = [f"{number // 8}" for number in range(40)], ["black" if n % 8 == 0 else None for n in range(40)]
    source = manifest_of(tmp_path, site=sites, content_hash=hashes)
    said = "4 photos left out, byte copy of a photo at another site: 08.jpg, 16.jpg, 24.jpg and 1 more"
    assert notes_of(source, by="site") == [said]
    assert notes_of(source) == []


def test_a_split_without_test_photos_says_why(tmp_path):
    joined = manifest_of(tmp_path, site=[f"{number // 8}" for number in range(40)], sequence="1")
    [note] = notes_of(joined, by="site")
    assert note.startswith(
        "no test photos: a class is tested where it has 3 groups or more, by site none has more than 1"
    )
    assert "sequence '1' joins 5 sites (0, 1, 2 and 2 more)" in note
    two = manifest_of(tmp_path, site=[f"{number // 20}" for number in range(40)])
    assert notes_of(two, by="site", test_fraction=0) == notes_of(two, by="site", val_fraction=0) == []
    [note] = notes_of(two, by="site")
    assert "3 groups or more, by site none has more than 2; add photos" in note


def test_the_record_of_a_run_says_what_it_was_given(tmp_path, photos, quick):
    damaged = photos.rows["problem"].mask(photos.rows["path"] == "boar/007.jpg", "unreadable: empty file")
    rows = photos.rows.assign(problem=damaged, split=["train", "train", "val"] * 40)
    rows.loc[0, "label"] = None
    told = []
    listener = type("Told", (Silent,), {"note": lambda self, text: told.append(text)})()
    out = fit(quick(steps=1), Manifest(rows, photos.root), tmp_path / "run", listener=listener)
    record = json.loads((out / "photos.json").read_text())
    assert record["version"] == 1
    assert record["given"] == {"rows": 120, "photos": 120}
    assert record["unusable"] == {
        "rows": 2,
        "reasons": [
            {"reason": "no label", "rows": 1, "paths": ["boar/000.jpg"]},
            {"reason": "unreadable: empty file", "rows": 1, "paths": ["boar/007.jpg"]},
        ],
    }
    assert record["notes"] == told
    assert told[0].startswith(
        "the photos have a validation but no test split: their 40 validation photos are the test"
    )
    used = Manifest.read(out / "photos.parquet").rows
    for split, units in record["counts"].items():
        counts = used[used["split"] == split]["label"].value_counts()
        assert units["photos"] == units["regions"] == {name: counts.get(name, 0) for name in ("boar", "deer", "hare")}
    fit(quick(steps=1), photos, out, overwrite=True)
    assert json.loads((out / "photos.json").read_text())["notes"] == []
    (out / "photos.json").unlink()  # as in a run of an earlier version
    fit(quick(steps=1), photos, out, resume=True)
    assert "training photos: boar 42" in run_summary(out)


class TestRare:
    def test_is_the_class_with_the_fewest_training_photos(self, photos, quick):
        assert subset(photos, quick(classes=("boar", "deer"))).minority == ("deer",)

    def test_is_told_by_training_photos_alone(self, tmp_path, quick):
        few_deer = {"boar": ["train"] * 10 + ["test"] * 10, "deer": ["train"] * 5 + ["test"] * 15}
        splits = [split for pair in zip(few_deer["boar"], few_deer["deer"], strict=True) for split in pair]
        assert subset(manifest_of(tmp_path, split=splits), quick()).minority == ("deer",)

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
        assert record.minority == []
        assert record.threshold is None
        assert record.figures.minority_recall is None
        assert record.figures.balanced_accuracy is not None
        console = Console(file=io.StringIO(), width=160)
        console.print(table(record))
        assert "(rare)" not in console.file.getvalue()


def printed(manifest, by=None):
    console = Console(file=io.StringIO(), width=160)
    console.print(balance_table(manifest, by))
    return console.file.getvalue()


def test_photos_and_regions_are_counted_apart(tmp_path, photos, quick):
    rows = photos.rows[photos.rows["label"] != "boar"].drop(columns="region_id")
    rows["split"] = (["train"] * 20 + ["val"] * 4 + ["test"] * 6) * 2
    more = rows[rows["label"] == "deer"]
    boxed = pd.concat([table.assign(x=x, y=0.0, w=20.0, h=20.0) for x, table in ((0.0, rows), (9.0, more))])
    boxed = Manifest.build(boxed, photos.root)
    text = printed(boxed)
    assert text.startswith("photos (regions)")
    assert re.search(r"deer +│ +20 \(40\) │ +4 \(8\) │ +6 \(12\)", text)
    assert re.search(r"hare +│ +20 \(20\) │ +4 \(4\) │ +6 \(6\)", text)
    assert "imbalance in training (regions): largest : smallest class = 2 : 1" in " ".join(text.split())
    out = fit(quick(steps=1), boxed, tmp_path / "run")
    assert Bundle.open(out).train_counts == {"deer": 40, "hare": 20}
    assert "training photos (regions): deer 20 (40), hare 20 (20)\nimbalance in training (regions): " in run_summary(
        out
    )
    assert json.loads((out / "photos.json").read_text())["counts"]["test"] == {
        "photos": {"deer": 6, "hare": 6},
        "regions": {"deer": 12, "hare": 6},
    }
    with pytest.raises(
        PhotosError, match=r"expected at least 100 training regions of 'deer' \(base 100, ratio 0.1\)"
    ):
        subset(boxed, quick(ratio=0.1, base=100, minority=("hare",)))
    assert "regions" not in printed(split_photos(photos, Split()))


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
    assert "test sites" not in printed(divided, "time"), "later photos of the same cameras are meant"
    assert "test sites" not in printed(split_photos(divided, Split(by="site"), redraw=True))
    assert "test sites" not in printed(split_photos(Manifest.build(columns, tmp_path), Split()))


def test_a_split_by_time_says_its_dates_and_what_it_left_out(tmp_path, quick):
    columns = pd.DataFrame(
        {"path": [f"{number:02}.jpg" for number in range(41)], "label": ["boar", "deer"] * 20 + ["boar"]}
    )
    columns["datetime"] = [*pd.date_range("2023-05-01", periods=40), pd.NaT]
    photos = Manifest.build(columns, tmp_path)
    said = notes_of(photos, by="time")
    assert said[0].endswith("val 2023-05-29 00:00 to 2023-06-03 00:00, test from 2023-06-04 00:00")
    assert said[1:] == ["1 photo left out, no time to split by: 40.jpg"]
    marked = Manifest.build(columns.assign(split=["train"] * 30 + ["test"] * 10 + ["train"]), tmp_path)
    assert "no photo is marked val: the last 15 % of the training photos are the validation (4 photos)" in " ".join(
        notes_of(marked, by="time")
    )
    one = Manifest.build(columns.assign(datetime=pd.Timestamp("2023-05-01")), tmp_path)
    assert "no date parts the photos, for all photos are of one time" in notes_of(one, by="time")[-1]
    late = Manifest.build(columns.assign(label=["boar", "deer"] * 15 + ["hare"] * 11), tmp_path)
    config = quick().model_copy(update={"split": Split(by="time")})
    with pytest.raises(
        PhotosError, match="training photo of hare; all are later than training; leave out by --class"
    ):
        subset(late, config)


def test_a_species_at_a_single_site_is_pointed_out(tmp_path):
    columns = pd.DataFrame({"path": [f"{number:02}.jpg" for number in range(40)], "label": ["boar", "otter"] * 20})
    columns["site"] = ["A", "B", "C", "B"] * 10
    alone = Manifest.build(columns, tmp_path)
    said = "1 class at a single site: a model may learn the place: otter (only at B)"
    assert said in " ".join(printed(split_photos(alone, Split())).split())
    for sites in (["A", "B", "C", "D"] * 10, ["A"] * 40, ["A", "B", "C", "B"] * 9 + ["A", "B", "C", None]):
        seen = Manifest.build(columns.assign(site=sites), tmp_path)
        assert "single site" not in printed(split_photos(seen, Split()))

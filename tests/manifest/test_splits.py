import itertools
import json
import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fscl.errors import ConfigurationError, PhotosError
from fscl.manifest.splits import assign_splits, balance_report, check_disjoint, has_split

TEXT = ["photo_id", "region_id", "label", "site", "sequence", "content_hash", "split", "problem"]
KEPT_WHOLE = {"photo": [], "sequence": ["sequence"], "site": ["sequence", "site"]}


def table(**columns):
    """Make a manifest of the given columns: a photo per row, unless told otherwise."""
    rows = pd.DataFrame(columns)
    if "photo_id" not in rows:
        rows["photo_id"] = [f"{number}.jpg" for number in range(len(rows))]
    rows["region_id"] = rows["photo_id"] + "#" + rows.groupby("photo_id").cumcount().astype(str)
    return rows.reindex(columns=TEXT).astype("str")


def split_of(rows, **options):
    return dict(zip(rows["region_id"], assign_splits(rows, **options)["split"], strict=True))


def photos_per_part(rows):
    return rows.groupby("split")["photo_id"].nunique().reindex(["train", "val", "test"], fill_value=0).tolist()


few = st.integers(0, 4)
region = st.fixed_dictionaries(
    {
        "photo_id": st.integers(0, 30).map("p{}".format),
        "label": st.sampled_from(["boar", "boar", "deer", "bear", None]),
        "site": few.map(lambda n: f"site{n}" if n else None),
        "sequence": st.integers(0, 9).map(lambda n: f"clip{n}" if n else None),
        "content_hash": st.integers(0, 20).map(lambda n: f"hash{n}" if n < 8 else None),
        "problem": st.sampled_from([None, None, None, "unreadable"]),
    }
)
regions = st.lists(region, min_size=1, max_size=40)
ways = st.sampled_from(["photo", "sequence", "site"])
quick = settings(max_examples=30, deadline=None)


def usable(rows):
    return rows[rows["label"].notna() & rows["problem"].isna()]


def drawn(listed, by, seed=0):
    rows = table(**pd.DataFrame(listed).to_dict("list"))
    if usable(rows).empty or (by in ("site", "sequence") and usable(rows)[by].isna().all()):
        return None
    return rows, assign_splits(rows, by=by, seed=seed)


@quick
@given(regions, ways)
def test_nothing_that_is_kept_whole_is_in_two_splits(listed, by):
    if result := drawn(listed, by):
        for column in ["photo_id", "content_hash", *KEPT_WHOLE[by]]:
            assert (result[1].groupby(column)["split"].nunique() <= 1).all(), column
        check_disjoint(result[1], by)


@quick
@given(regions, ways)
def test_all_usable_rows_and_no_others_get_a_split(listed, by):
    if result := drawn(listed, by):
        before, after = result
        assert after.loc[after["split"].notna(), "region_id"].isin(usable(before)["region_id"]).all()
        assert len(usable(after)) == after["split"].notna().sum()
        left_out = after["problem"].notna() & before["problem"].isna()
        assert after.loc[left_out, "problem"].str.contains("too few groups|byte copy of a photo").all()
        seen = set(usable(before)["content_hash"].dropna())
        held = set(after.loc[after["problem"].isna() | ~left_out, "content_hash"])
        held_out = set(after.loc[after["problem"].str.contains("too few groups", na=False), "content_hash"])
        assert seen <= held | held_out, "one copy stays"
        others = ["photo_id", "region_id", "label", "site", "sequence", "content_hash"]
        pd.testing.assert_frame_equal(after[others], before[others])


@pytest.mark.slow
@quick
@given(regions, ways, st.randoms(use_true_random=False), st.integers(0, 3))
def test_row_order_plays_no_part(listed, by, shuffler, seed):
    if result := drawn(listed, by, seed):
        before, after = result
        shuffled = before.sample(frac=1, random_state=shuffler.randint(0, 2**31))
        again = assign_splits(shuffled, by=by, seed=seed)
        pd.testing.assert_frame_equal(again.sort_index(), after)


@pytest.mark.slow
@quick
@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1), st.integers(0, 5))
def test_photos_are_split_within_one_photo_of_the_shares(photos, seed):
    rows = table(label=[label for label, count in photos.items() for _ in range(count)])
    report = balance_report(assign_splits(rows, by="photo", seed=seed)).set_index("label")
    for label, count in photos.items():
        got = report.loc[label, ["train", "val", "test"]].tolist()
        if count < 3:
            assert got == [count, 0, 0]
            assert not report.loc[label, "evaluable"]
        else:
            assert min(got) >= 1
            assert report.loc[label, "evaluable"]
        if count >= 7:
            assert got == pytest.approx([0.7 * count, 0.15 * count, 0.15 * count], abs=1)


@pytest.mark.slow
@quick
@given(
    st.lists(st.sets(st.sampled_from("abcd"), min_size=1), min_size=3, max_size=6),
    st.integers(0, 3),
)
@example(classes_at=["abcd", "bd", "ab", "bd", "ad", "abc"], seed=0)  # the rarest class first fails
def test_a_class_is_in_every_part_whenever_some_split_by_site_can_do_that(classes_at, seed):
    sites = [(f"site{n}", label) for n, classes in enumerate(classes_at) for label in sorted(classes)]
    rows = table(site=[site for site, _ in sites] * 3, label=[label for _, label in sites] * 3)
    common = [label for label in "abcd" if sum(label in classes for classes in classes_at) >= 3]
    possible = any(
        all(len({part for part, at in zip(parts, classes_at, strict=True) if label in at}) == 3 for label in common)
        for parts in itertools.product(range(3), repeat=len(classes_at))
    )
    report = balance_report(assign_splits(rows, by="site", seed=seed)).set_index("label")
    if possible:
        assert (report.loc[common, ["train", "val", "test"]] > 0).all(axis=None)
    rare = report.index.difference(common)
    assert (report.loc[rare, ["val", "test"]] == 0).all(axis=None)


def test_the_draw_goes_by_region_and_not_by_row():
    rows = table(label=["boar"] * 100)
    assert split_of(rows[::-1], by="photo") == split_of(rows, by="photo")


def test_the_seed_decides_and_the_shares_hold():
    rows = table(label=["boar"] * 100)
    first = split_of(rows, by="photo", seed=0)
    assert first == split_of(rows, by="photo", seed=0) != split_of(rows, by="photo", seed=1)
    assert photos_per_part(assign_splits(rows, by="photo", val_fraction=0.1, test_fraction=0.3)) == [60, 10, 30]
    assert photos_per_part(assign_splits(rows, by="photo", val_fraction=0)) == [85, 0, 15]


def test_a_large_site_goes_to_training():
    rows = table(label=["boar"] * 104, site=["lake"] * 100 + list("abcd"))
    assert {split_of(rows, by="site", seed=seed)["0.jpg#0"] for seed in range(10)} == {"train"}


def test_a_row_without_site_goes_by_its_sequence_and_then_by_its_photo():
    rows = table(
        label=["boar"] * 6,
        photo_id=["a", "b", "c", "c", "d", "e"],
        site=["lake", None, None, None, "hill", None],
        sequence=["1", "1", None, None, None, "2"],
    )
    split = split_of(rows, by="site")
    assert split["a#0"] == split["b#0"]
    assert split["c#0"] == split["c#1"]
    assert set(split.values()) == {"train", "val", "test"}


def test_a_rare_class_keeps_its_sites_in_training_while_others_can_be_tested_elsewhere():
    rows = table(label=["boar"] * 6 + ["bear"], site=[*"abcdef", "a"])
    for seed in range(10):
        split = split_of(rows, by="site", seed=seed)
        assert split["0.jpg#0"] == split["6.jpg#0"] == "train"


def test_rare_classes_beside_common_ones_stay_in_training_among_many_photos_too():
    singles = [f"class {number}" for number in range(1100)]
    photos = [f"{number}.jpg" for number in range(1200)]
    rows = table(label=["boar"] * 1200 + singles, photo_id=photos + photos[:1100])
    after = assign_splits(rows, by="photo")
    assert set(after["split"][1200:]) == {"train"}
    assert photos_per_part(after) == [1100, 50, 50]


def test_of_splits_that_test_every_class_the_one_is_taken_that_leaves_no_photo_out():
    label = ["boar"] * 11 + ["deer"] * 8 + ["bear"] * 5
    rows = table(label=label, site=[*"abbbbbeeeee", *"bbbbbccd", *"eeeee"])
    for seed in range(6):
        after = assign_splits(rows, by="site", seed=seed)
        assert after["problem"].isna().all(), seed
        for label in ("boar", "deer"):
            assert 0 not in photos_per_part(after[after["label"] == label]), (seed, label)


def test_photos_of_a_rare_class_are_left_out_where_a_common_one_needs_the_site_for_testing():
    rows = table(label=["boar"] * 3 + ["bear", "wolf", "lynx"], site=[*"abc", *"abc"])
    after = assign_splits(rows, by="site")
    assert sorted(after["split"][:3]) == ["test", "train", "val"]
    assert after["split"][3:].dropna().tolist() == ["train"]
    assert after["problem"].dropna().str.contains("too few groups by site").tolist() == [True, True]


def test_splits_of_the_source_are_kept_and_validation_is_carved_from_training():
    source = ["train"] * 40 + ["test"] * 20
    rows = table(label=["boar", "deer"] * 30, split=source)
    after = assign_splits(rows, by="photo", val_fraction=0.1)
    assert (after["split"][40:] == "test").all()
    assert photos_per_part(after) == [36, 4, 20]
    assert after[after["split"] == "val"]["label"].value_counts().to_dict() == {"boar": 2, "deer": 2}


def test_validation_of_the_source_becomes_the_test_where_there_is_none():
    rows = table(label=["boar"] * 30, split=["train"] * 20 + ["val"] * 10)
    after = assign_splits(rows, by="photo", val_fraction=0.2)
    assert (after["split"][20:] == "test").all()
    assert photos_per_part(after) == [16, 4, 10]
    without_test = assign_splits(rows, by="photo", test_fraction=0)
    assert without_test["split"].tolist() == rows["split"].tolist()


def test_a_complete_split_stays_as_it_is():
    rows = assign_splits(table(label=["boar", "deer"] * 30), by="photo")
    assert assign_splits(rows, by="photo", seed=7)["split"].tolist() == rows["split"].tolist()


def test_a_split_is_drawn_anew_on_request():
    rows = assign_splits(table(label=["boar", "deer"] * 30), by="photo")
    assert has_split(rows)
    assert photos_per_part(assign_splits(rows, by="photo", test_fraction=0.5)) == photos_per_part(rows)
    anew = assign_splits(rows, by="photo", val_fraction=0.1, test_fraction=0.5, redraw=True)
    assert photos_per_part(anew) == [24, 6, 30]


def test_drawing_anew_takes_back_the_problems_of_the_old_split():
    rows = table(label=["boar"] * 20, content_hash=["x", "x"] + [None] * 18, split=["train", "test"] + ["train"] * 18)
    rows.loc[19, "problem"] = "unreadable"
    old = assign_splits(rows, by="photo")
    assert old["problem"].dropna().tolist() == ["byte copy of a test photo", "unreadable"]
    anew = assign_splits(old, by="photo", redraw=True)
    assert anew["problem"].dropna().tolist() == ["unreadable"]
    assert anew["split"].notna().sum() == 19


def test_held_out_photos_of_rows_with_a_problem_are_no_split():
    rows = table(label=["boar"] * 2, split=["train", "test"], problem=[None, "unreadable"])
    assert not has_split(rows)
    assert has_split(rows.assign(problem=None))


def test_new_rows_follow_their_group_or_join_training():
    rows = table(label=["boar"] * 5, sequence=["1", "2", "3", "3", "4"], split=["train", "val", "test", None, None])
    assert assign_splits(rows, by="sequence")["split"].tolist() == ["train", "val", "test", "test", "train"]


def test_training_copies_of_held_out_photos_are_left_out():
    rows = table(
        label=["boar"] * 7,
        content_hash=["x", "x", "y", "y", "z", "z", None],
        split=["train", "test", "train", "val", "val", "test", "train"],
    )
    after = assign_splits(rows, by="photo")
    assert after["split"].fillna("").tolist() == ["", "test", "", "val", "", "test", "train"]
    assert after["problem"].fillna("").tolist() == [
        "byte copy of a test photo",
        "",
        "byte copy of a validation photo",
        "",
        "byte copy of a test photo",
        "",
        "",
    ]


def test_the_table_given_is_left_alone():
    rows = table(label=["boar"] * 10, content_hash=["x"] * 2 + [None] * 8, split=["train", "test"] * 5)
    before = rows.copy()
    assign_splits(rows, by="photo")
    pd.testing.assert_frame_equal(rows, before)


@pytest.mark.parametrize(
    ("columns", "options", "error", "message"),
    [
        ({}, {"by": "sites"}, ConfigurationError, "cannot split by 'sites'; did you mean 'site'"),
        (
            {},
            {"by": "photo", "val_fraction": 0.5, "test_fraction": 0.5},
            ConfigurationError,
            "less than 1, got 0.5",
        ),
        ({}, {"by": "photo", "val_fraction": -0.1}, ConfigurationError, "at least 0"),
        ({}, {"by": "site"}, PhotosError, "no photo has one; fill the column `site`"),
        ({"label": [None] * 4}, {"by": "photo"}, PhotosError, "expected labelled photos"),
        ({"split": ["test"] * 4}, {"by": "photo"}, PhotosError, "expected photos to train on"),
        (
            {"sequence": list("1223"), "split": ["train", "train", "test", "test"]},
            {"by": "sequence"},
            PhotosError,
            r"sequence '2' is in training and test \(1 such\); draw the split anew \(fscl split --redraw\)",
        ),
    ],
)
def test_what_cannot_be_split_is_refused(columns, options, error, message):
    with pytest.raises(error, match=message):
        assign_splits(table(**{"label": ["boar"] * 4} | columns), **options)


def test_strict_names_the_classes_in_trouble():
    rows = table(label=["boar"] * 5 + ["bear", "wolf"], site=[*"abcde", "a", "b"])
    with pytest.raises(PhotosError, match=r"2 cannot be split: bear: no test photo.*\(sites: 1, .*; wolf: "):
        assign_splits(rows, by="site", strict=True)
    assign_splits(rows[:5], by="site", strict=True)


@pytest.mark.parametrize(
    ("column", "by", "message"),
    [
        ("photo_id", "photo", "photo_id 'same' is in training and validation"),
        (
            "content_hash",
            "photo",
            r"share no copies of a photo, but the photo '0.jpg' \(copies: 1.jpg\) is in training and val",
        ),
        ("content_hash", "sequence", r"the photo '0.jpg' \(copies: 1.jpg\) is in"),
        ("content_hash", "site", r"the photo '0.jpg' \(copies: 1.jpg\) is in"),
        ("sequence", "sequence", "sequence 'same' is in"),
        ("sequence", "site", "sequence 'same' is in"),
        ("site", "site", "site 'same' is in"),
    ],
)
def test_check_disjoint_names_what_is_shared(column, by, message):
    rows = table(**{"label": ["boar"] * 3, column: ["same", "same", "other"], "split": ["train", "val", "test"]})
    with pytest.raises(PhotosError, match=message):
        check_disjoint(rows, by)
    check_disjoint(rows[1:], by)


def test_check_disjoint_lets_a_finer_way_share_sites():
    check_disjoint(table(label=["boar"] * 2, site=["lake"] * 2, split=["train", "test"]), "sequence")


def test_balance_report_counts_photos_and_says_what_is_wrong():
    rows = table(
        label=["boar"] * 5 + ["bear", "wolf", "lynx", "lynx", None],
        photo_id=["a", "a", "b", "c", "d", "e", "f", "g", "h", "i"],
        site=["lake", "lake", "hill", "hill", None, "lake", "lake", "lake", "hill", "pond"],
        split=["train", "train", "val", "test", "test", "train", "test", "train", "test", None],
    )
    report = balance_report(rows)
    assert report["label"].tolist() == ["boar", "lynx", "bear", "wolf"]
    assert report[["train", "val", "test"]].values.tolist() == [[1, 1, 2], [1, 0, 1], [1, 0, 0], [0, 0, 1]]
    assert report["sites"].tolist() == [2, 2, 1, 1]
    assert report["evaluable"].tolist() == [True, True, False, False]
    assert pd.isna(report["trouble"][0])
    for sentence, start in zip(report["trouble"][1:], ["no validation", "no test", "no training"], strict=True):
        assert sentence.startswith(f"{start} photo")


def test_balance_report_counts_a_photo_of_two_classes_for_both():
    report = balance_report(table(label=["boar", "deer", "boar"], photo_id=["a", "a", "b"], split=["train"] * 3))
    assert report[["label", "train"]].values.tolist() == [["boar", 2], ["deer", 1]]


def test_balance_report_does_not_miss_a_validation_that_nobody_wanted():
    assert balance_report(table(label=["boar"] * 2, split=["train", "test"]))["trouble"].isna().all()


@pytest.fixture(scope="module")
def camera_traps(shared_data):
    """Return 3,482 real photos of 10 cameras, 15 classes (Caltech Camera Traps)."""
    path = shared_data / "formats" / "coco-camera-traps" / "cis_val_annotations.json"
    content = json.loads(path.read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    images = {image["id"]: image for image in content["images"]}
    boxes = [(images[box["image_id"]], names[box["category_id"]]) for box in content["annotations"]]
    return table(
        photo_id=[image["id"] for image, _ in boxes],
        label=[label for _, label in boxes],
        site=[str(image["location"]) for image, _ in boxes],
        sequence=[image["seq_id"] for image, _ in boxes],
    )


@pytest.mark.parametrize("by", ["photo", "sequence", "site"])
def test_real_camera_traps_are_split_with_all_classes_that_allow_it(camera_traps, by):
    after = assign_splits(camera_traps, by=by)
    check_disjoint(after, by)
    group = {"photo": "photo_id"}.get(by, by)
    common = camera_traps.groupby("label")[group].nunique() >= 3
    report = balance_report(after).set_index("label")
    assert (report["evaluable"] == common.reindex(report.index)).all()
    assert (report.loc[report["evaluable"], "val"] > 0).all()
    assert after["problem"].isna().all()
    train, val, test = np.array(photos_per_part(after)) / after["photo_id"].nunique()
    slack = 0.08 if by == "site" else 0.005
    assert (train, val, test) == pytest.approx((0.7, 0.15, 0.15), abs=slack)


def test_many_photos_are_split_in_seconds():
    labels = random.Random(0).choices("abcdefgh", weights=[2**n for n in range(8)], k=20_000)
    assert photos_per_part(assign_splits(table(label=labels), by="photo")) == pytest.approx(
        [14000, 3000, 3000], abs=8
    )

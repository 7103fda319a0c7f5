"""The split by time: train before, validation, then test after."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fscl.errors import PhotosError
from fscl.manifest.forward import NO_TIME, check_order, times_line, why_all_overlap
from fscl.manifest.splits import assign_splits, balance_report, check_disjoint

TEXT = ["photo_id", "region_id", "label", "site", "sequence", "content_hash", "split", "problem"]
ORDER = {"train": 0, "val": 1, "test": 2}


def table(hours, **columns):
    """Make a manifest with a photo per row, taken so many hours after the first of May."""
    rows = pd.DataFrame(columns, index=range(len(hours)))
    rows["photo_id"] = rows.get("photo_id", pd.Series([f"{number:04}.jpg" for number in range(len(hours))]))
    rows["region_id"] = rows["photo_id"] + "#" + rows.groupby("photo_id").cumcount().astype(str)
    rows["label"] = rows.get("label", "boar")
    rows = rows.reindex(columns=TEXT).astype("str")
    return rows.assign(datetime=pd.Timestamp("2023-05-01") + pd.to_timedelta(pd.Series(hours), unit="h"))


def split(rows, **options):
    after = assign_splits(rows, by="time", **options)
    check_disjoint(after, "time")
    check_order(after)
    return after


few = st.integers(0, 12)
photo = st.fixed_dictionaries(
    {
        "hours": st.one_of(st.none(), st.integers(0, 60)),
        "photo_id": st.integers(0, 40).map("p{}".format),
        "label": st.sampled_from(["boar", "boar", "deer", None]),
        "sequence": few.map(lambda n: f"clip{n}" if n else None),
        "content_hash": few.map(lambda n: f"hash{n}" if n < 5 else None),
        "problem": st.sampled_from([None, None, None, "unreadable"]),
    }
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(photo, min_size=1, max_size=60),
    st.sampled_from([(0.15, 0.15), (0, 0.3), (0.3, 0), (0.4, 0.4)]),
    st.integers(0, 2**32 - 1),
)
def test_all_of_training_is_before_all_of_the_test(listed, fractions, order):
    columns = pd.DataFrame(listed).to_dict("list")
    rows = table(columns.pop("hours"), **columns)
    usable = rows[rows["label"].notna() & rows["problem"].isna()]
    if usable["datetime"].isna().all():
        return
    val, test = fractions
    after = split(rows, val_fraction=val, test_fraction=test)
    placed = after[after["split"].notna()]
    for column in ("sequence", "photo_id", "content_hash"):
        assert (placed.groupby(column)["split"].nunique() <= 1).all(), column
    parts = placed.dropna(subset="datetime").groupby("split")["datetime"]
    last, first = parts.max(), parts.min()
    for one, other in (("train", "val"), ("val", "test"), ("train", "test")):
        if one in last and other in first:
            assert last[one] < first[other], "photos of one time are in one part"
    assert set(placed["region_id"]) <= set(usable["region_id"])
    left_out = after.loc[usable.index][after.loc[usable.index, "split"].isna()]
    assert left_out["problem"].str.startswith((NO_TIME, "byte copy of a ")).all()
    known = set(usable.loc[usable["datetime"].notna(), "region_id"])
    assert known.isdisjoint(left_out.loc[left_out["problem"] == NO_TIME, "region_id"])
    shuffled = rows.sample(frac=1, random_state=order)
    again = split(shuffled, val_fraction=val, test_fraction=test).sort_index()
    assert again["split"].equals(after["split"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 8), min_size=3, max_size=60))
def test_shares_are_as_wanted_but_for_a_burst(bursts):
    hours = [day * 24 + 0.001 * number for day, size in enumerate(bursts) for number in range(size)]
    names = [str(day) for day, size in enumerate(bursts) for _ in range(size)]
    after = split(table(hours, sequence=names), val_fraction=0.2, test_fraction=0.2)
    counts, total = after["split"].value_counts(), sum(bursts)
    assert set(counts.index) == set(ORDER)
    for part in ("test", "val"):
        assert abs(counts[part] - 0.2 * total) <= 2 * max(bursts)
    wanted = round(0.8 * total)
    before_test = total - counts["test"]
    if bursts[-1] <= total - wanted:
        assert before_test >= wanted, "a burst on the border is in the earlier part"


def test_one_date_is_for_all_classes_and_a_class_without_test_is_named():
    rows = table(range(100), label=["boar"] * 60 + ["deer"] * 30 + ["hare"] * 10)
    after = split(rows)
    assert after["split"].tolist() == ["train"] * 70 + ["val"] * 15 + ["test"] * 15
    report = balance_report(after).set_index("label")
    assert report["trouble"]["boar"].startswith("no test photo")
    assert report.loc["boar", ["train", "val", "test"]].tolist() == [60, 0, 0]
    assert report.loc["hare", ["train", "val", "test"]].tolist() == [0, 0, 10]
    with pytest.raises(PhotosError, match=r"boar: no test photo.*hare: no training photo.*photos of other dates"):
        split(rows, strict=True)


def test_a_photo_without_time_follows_its_sequence_or_is_left_out():
    rows = table([*range(20), None, None, None], sequence=["s", *[None] * 18, "e", "s", "e", None])
    after = split(rows)
    assert after["split"].tolist()[-3:-1] == ["train", "test"]
    assert after["problem"].tolist()[-1] == NO_TIME
    assert pd.isna(after["split"].iloc[-1])
    redrawn = assign_splits(after, by="photo", redraw=True)
    assert redrawn["problem"].isna().all()
    assert redrawn["split"].notna().all()


def test_a_copy_of_a_test_photo_at_another_time_is_not_in_training():
    hashes = ["x", *[None] * 18, "x"]
    after = split(table(range(20), content_hash=hashes))
    assert after["problem"].dropna().tolist() == ["byte copy of a test photo"]
    assert after["split"].isna().tolist() == [True, *[False] * 19]
    assert after["split"].tolist()[-1] == "test"


def test_photos_of_one_day_are_in_one_part():
    days = [24 * (number // 10) for number in range(100)]  # dates alone
    after = split(table(days))
    assert (after.groupby("datetime")["split"].nunique() == 1).all()
    assert after["split"].value_counts().to_dict() == {"train": 70, "val": 20, "test": 10}


def test_a_split_of_the_source_is_kept_where_it_goes_forward_and_refused_otherwise():
    given = table(range(20), split=["train"] * 15 + ["test"] * 5)
    assert split(given)["split"].tolist() == ["train"] * 13 + ["val"] * 2 + ["test"] * 5
    mixed = table(range(20), split=["train", "test"] * 10)
    message = r"train goes on to 2023-05-01 18:00, and test begins at 2023-05-01 01:00; draw the split anew"
    with pytest.raises(PhotosError, match=message):
        split(mixed)
    split(mixed, redraw=True)


def test_without_times_there_is_nothing_to_split_by():
    with pytest.raises(PhotosError, match="expected times to split by, but no photo has one; fill the column `date"):
        split(table([None] * 4))


def test_overlapping_sequences_leave_no_date_and_are_named():
    rows = table(range(10), sequence=["long", *"abcdefgh", "long"])
    after = split(rows)
    assert set(after["split"]) == {"train"}
    assert "'long' is from 2023-05-01 00:00 to 2023-05-01 09:00" in why_all_overlap(after)
    assert "all photos are of one time" in why_all_overlap(split(table([0] * 5)))


def test_the_dates_of_the_parts_are_said():
    assert times_line(split(table(range(100)))) == (
        "by time, one date for all classes: train 2023-05-01 00:00 to 2023-05-03 21:00, "
        "val 2023-05-03 22:00 to 2023-05-04 12:00, test from 2023-05-04 13:00"
    )

"""What byte copies do to the groups of a split: a frame that the lens cap made black is on every site."""

import pandas as pd
import pytest

from fscl.manifest.groups import groups, joints, why_no_test
from fscl.manifest.splits import assign_splits, check_disjoint

COLUMNS = ["photo_id", "region_id", "label", "site", "sequence", "content_hash", "split", "problem"]


def table(**columns):
    """Make a manifest under its region_ids, a photo per row."""
    rows = pd.DataFrame(columns)
    rows["photo_id"] = [f"{number:03}.jpg" for number in range(len(rows))]
    rows["region_id"] = rows["photo_id"] + "#0"
    return rows.reindex(columns=COLUMNS).astype("str").set_index("region_id", drop=False)


def places(number, each=4):
    """Name `number` sites or sequences of `each` photos."""
    return [f"{place:02}" for place in range(number) for _ in range(each)]


def copies(names, count):
    """Return the hashes of `count` photos: those of `names`, by their rows; the others have none."""
    return [names.get(row) for row in range(count)]


def split(rows, by):
    after = assign_splits(rows.reset_index(drop=True), by=by)
    check_disjoint(after, by)
    return after


@pytest.mark.parametrize(("by", "column"), [("site", "site"), ("sequence", "sequence")])
def test_one_black_frame_everywhere_joins_nothing(by, column):
    hashes = copies(dict.fromkeys(range(0, 40, 4), "black"), 40)
    after = split(table(label="boar", **{column: places(10)}, content_hash=hashes), by)
    assert after["split"].value_counts()[["train", "val", "test"]].tolist() == pytest.approx([22, 4.5, 4.5], abs=4)
    black = after[after["content_hash"] == "black"]
    assert black["split"].notna().tolist() == [True] + [False] * 9
    assert black["problem"].dropna().str.startswith("byte copy of a photo").tolist() == [True] * 9
    assert after.loc[after["content_hash"].isna(), "problem"].isna().all()


def test_two_sites_with_one_shared_frame_stay_two():
    rows = table(label="boar", site=places(3), content_hash=copies({0: "x", 4: "x"}, 12))
    after = split(rows, "site")
    assert after["split"].nunique() == 3
    assert after.loc[after["problem"].notna(), "photo_id"].tolist() == ["004.jpg"]


def test_sites_in_a_chain_of_shared_frames_stay_apart():
    rows = table(
        label="boar", site=places(4), content_hash=copies({3: "x", 4: "x", 7: "y", 8: "y", 11: "z", 12: "z"}, 16)
    )
    found = groups(rows, "site")
    assert found.number.nunique() == 4
    assert found.surplus.tolist() == ["004.jpg#0", "008.jpg#0", "012.jpg#0"]


def test_sequences_in_a_chain_of_shared_frames_join_in_pairs():
    hashes = copies({end: f"{(end + 1) // 4:02}" for start in range(4, 40, 4) for end in (start - 1, start)}, 40)
    found = groups(table(label="boar", sequence=places(10), content_hash=hashes), "sequence")
    assert found.number.value_counts().max() == 8
    assert len(found.surplus) == 4


def test_a_copy_in_two_sequences_makes_them_one():
    rows = table(label="boar", site="lake", sequence=places(6), content_hash=copies({0: "x", 5: "x"}, 24))
    after = split(rows, "sequence")
    assert after["problem"].isna().all()
    assert after["split"][:8].nunique() == 1


def test_a_site_given_twice_is_kept_once():
    once = [f"photo {number}" for number in range(4)]
    after = split(table(label="boar", site=places(5), content_hash=[*once, *once, *[None] * 12]), "site")
    assert after.loc[after["problem"].notna(), "site"].tolist() == ["01"] * 4
    assert after["split"].nunique() == 3


def test_bursts_and_photos_without_anything_else_join_their_copies():
    sequence = ["a", "a", "b", "b", "c", "c", None, None]
    rows = table(label="boar", sequence=sequence, content_hash=["x", None, "x", "x", "x", "x", "x", None])
    found = groups(rows, "sequence")
    assert found.surplus.empty
    assert found.number.tolist() == [0] * 7 + [found.number.iloc[-1]]
    assert found.number.iloc[-1] != 0


def test_photos_without_site_join_their_copies_at_one_site():
    rows = table(label="boar", site=["a", "a", None, "b", "b"], content_hash=["x", None, "x", None, None])
    found = groups(rows, "site")
    assert (found.number.nunique(), len(found.surplus)) == (2, 0)


def test_by_photo_all_copies_are_one_group():
    rows = table(label="boar", sequence=list("abcd"), content_hash=["x", "x", "x", None])
    found = groups(rows, "photo")
    assert (found.number.tolist(), len(found.surplus)) == ([0, 0, 0, 1], 0)


def test_copies_within_a_split_of_the_source_stay():
    rows = table(
        label="boar",
        site=places(4),
        content_hash=copies({0: "x", 4: "x"}, 16),
        split=["train"] * 8 + ["val"] * 4 + ["test"] * 4,
    )
    after = split(rows, "site")
    assert after["split"].tolist() == rows["split"].tolist()


def test_rows_without_split_do_not_follow_a_copy_to_another_site():
    parts = [*["train"] * 4, *["test"] * 4, *[None] * 8]
    rows = table(label="boar", site=places(4), content_hash=copies({4: "x", 8: "x"}, 16), split=parts)
    after = assign_splits(rows.reset_index(drop=True), by="site", val_fraction=0)
    assert after["split"][8:].fillna("").tolist() == ["", *["train"] * 7]
    assert after["problem"][8] == "byte copy of a test photo"


def test_what_joins_sites_is_named_where_nothing_can_be_tested():
    rows = table(
        label="boar", site=places(6), sequence=copies({0: "7", 4: "7", 8: "7", 12: "7", 16: "7", 20: "7"}, 24)
    )
    assert joints(rows, "site") == ["sequence '7' joins 6 sites (00, 01, 02 and 3 more)"]
    assert set(split(rows, "site")["split"]) == {"train"}
    assert why_no_test(rows, "site", 3) == (
        "no test photos: a class is tested where it has 3 groups or more, by site none has more than 1; "
        "sequence '7' joins 6 sites (00, 01, 02 and 3 more); add photos of other sites, or split by sequence"
    )


def test_too_few_groups_are_the_reason_where_nothing_joins():
    rows = table(label=["boar", "boar", "deer"], sequence=list("aab"))
    assert why_no_test(rows, "sequence", 3) == (
        "no test photos: a class is tested where it has 3 groups or more, by sequence none has more than 1; "
        "add photos of other sequences, or split by photo"
    )


def test_a_video_that_joins_sites_is_named_and_that_it_has_frames_is_not():
    rows = table(label="boar", site=list("xxyz")).assign(video_id=["a.avi", "a.avi", "a.avi", None])
    assert joints(rows, "site") == ["video_id 'a.avi' joins 2 sites (x, y)"]
    assert joints(rows, "photo") == []
    assert groups(rows, "photo").number.tolist() == [0, 0, 0, 1]

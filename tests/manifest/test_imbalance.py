import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fscl.errors import ConfigurationError, PhotosError
from fscl.manifest.imbalance import (
    MIN_MINORITY_PHOTOS,
    STUDY_BASE,
    default_base,
    measures,
    profile,
    profile_base,
    profile_sizes,
    thin,
)

RATIOS = [1.0, 0.1, 0.01, 0.005, 0.001]
quick = settings(max_examples=30, deadline=None)


def table(**counts):
    """Make a manifest of `class=(train, val, test)` photos."""
    rows = [
        (label, split)
        for label, per_split in counts.items()
        for split, count in zip(("train", "val", "test"), per_split, strict=True)
        for _ in range(count)
    ]
    rows = pd.DataFrame(rows, columns=["label", "split"])
    rows["region_id"] = [f"{number:05}.jpg#0" for number in range(len(rows))]
    return rows


def counted(rows, split):
    return rows.loc[rows["split"] == split, "label"].value_counts().to_dict()


def kept(rows, **options):
    return set(thin(rows, **{"minority": ["deer"], "base": None, "seed": 0} | options)["region_id"])


DEER_AND_HORSE = table(deer=(4500, 500, 1000), horse=(4500, 500, 1000))


@pytest.mark.parametrize(("ratio", "train", "val"), [(1, 4500, 500), (0.1, 450, 50), (0.01, 45, 5), (0.005, 22, 2)])
def test_the_study_on_cifar(ratio, train, val):
    rows = thin(DEER_AND_HORSE, minority=["deer"], ratio=ratio, base=4500, seed=0)
    assert counted(rows, "train") == {"horse": 4500, "deer": train}
    assert counted(rows, "val") == {"horse": 500, "deer": val}
    assert counted(rows, "test") == {"horse": 1000, "deer": 1000}


def test_the_smallest_ratio_leaves_no_validation_but_is_no_error():
    rows = thin(DEER_AND_HORSE, minority=["deer"], ratio=0.0005, base=4500, seed=0)
    assert counted(rows, "train")["deer"] == 2 < MIN_MINORITY_PHOTOS
    assert counted(rows, "val") == {"horse": 500}


def test_ratios_and_bases_are_nested():
    by_ratio = [kept(DEER_AND_HORSE, ratio=ratio, base=4500) for ratio in RATIOS]
    assert all(smaller < larger for larger, smaller in itertools.pairwise(by_ratio))
    assert kept(DEER_AND_HORSE, ratio=0.01, base=1000) < kept(DEER_AND_HORSE, ratio=0.01, base=2000)


def test_seeds_keep_different_rows_of_the_same_number():
    first, second = (kept(DEER_AND_HORSE, ratio=0.01, seed=seed) for seed in (0, 1))
    assert first == kept(DEER_AND_HORSE, ratio=0.01, seed=0)
    assert first != second
    assert len(first) == len(second)


def test_classes_and_splits_of_one_size_are_drawn_each_for_itself():
    rows = table(deer=(200, 200, 0), horse=(200, 200, 0), boar=(200, 200, 0))
    rows["place"] = rows.groupby(["label", "split"]).cumcount()
    thinned = thin(rows, minority=["deer"], ratio=1.0, base=50, seed=3)
    places = {frozenset(part["place"]) for _, part in thinned.groupby(["label", "split"])}
    assert len(places) == 6


def test_the_draw_is_not_the_first_rows_of_the_list():
    rows = thin(DEER_AND_HORSE, minority=["deer"], ratio=0.01, base=4500, seed=0)
    deer = rows[(rows["label"] == "deer") & (rows["split"] == "train")].index
    assert deer.to_numpy().mean() == pytest.approx(2250, abs=600)


@quick
@given(st.integers(3, 40), st.integers(1, 40), st.sampled_from(RATIOS[:2]), st.integers(0, 3), st.integers(0, 99))
def test_row_order_plays_no_part_and_is_kept(boars, deer, ratio, seed, shuffle):
    if default_base({"boar": boars, "deer": deer}, ["deer"], [ratio]) * ratio < 1:
        return
    rows = table(boar=(boars, boars, 3), deer=(deer, 3, deer))
    shuffled = rows.sample(frac=1, random_state=shuffle)
    thinned = thin(shuffled, minority=["deer"], ratio=ratio, base=None, seed=seed)
    assert thinned.index.tolist() == [i for i in shuffled.index if i in set(thinned.index)]
    expected = thin(rows, minority=["deer"], ratio=ratio, base=None, seed=seed)
    pd.testing.assert_frame_equal(thinned.sort_index(), expected)


def test_the_draw_of_a_class_does_not_hang_on_the_other_classes():
    deer_alone = kept(DEER_AND_HORSE, ratio=0.01)
    more = pd.concat([DEER_AND_HORSE, table(frog=(4500, 0, 0)).assign(region_id=lambda t: "frog" + t["region_id"])])
    assert {i for i in kept(more, ratio=0.01) if not i.startswith("frog")} == deer_alone


def test_validation_shrinks_with_the_base():
    rows = table(boar=(1000, 200, 50), bear=(1000, 100, 50))
    thinned = thin(rows, minority=["bear"], ratio=0.5, base=100, seed=0)
    assert counted(thinned, "val") == {"boar": 20, "bear": 10}


def test_a_majority_class_keeps_a_validation_row_however_few_it_has():
    rows = thin(table(boar=(100, 4, 9), deer=(10, 4, 9)), minority=["deer"], ratio=1, base=10, seed=0)
    assert counted(rows, "val") == {"boar": 1, "deer": 1}


def test_validation_of_the_minority_goes_by_the_average_majority_class():
    rows = table(boar=(100, 40, 0), hare=(200, 40, 0), bear=(100, 40, 0))
    thinned = thin(rows, minority=["bear"], ratio=0.1, base=100, seed=0)
    assert counted(thinned, "val") == {"boar": 40, "hare": 20, "bear": 3}


def test_ratios_that_floats_cannot_hold_lose_no_photo():
    rows = table(boar=(100, 100, 0), bear=(100, 100, 0))
    assert 100 * 0.29 < 29
    thinned = thin(rows, minority=["bear"], ratio=0.29, base=100, seed=0)
    assert counted(thinned, "train")["bear"] == counted(thinned, "val")["bear"] == 29


def test_validation_may_stay_whole():
    rows = thin(DEER_AND_HORSE, minority=["deer"], ratio=0.01, base=450, seed=0, thin_validation=False)
    assert counted(rows, "val") == {"deer": 500, "horse": 500}


def test_rows_without_split_and_the_table_given_are_left_alone():
    rows = table(boar=(10, 0, 0), bear=(10, 0, 0))
    rows.loc[[0, 10], "split"] = None
    before = rows.copy()
    assert {0, 10} < set(thin(rows, minority=["bear"], ratio=0.5, base=4, seed=0).index)
    pd.testing.assert_frame_equal(rows, before)


def test_several_minority_classes_are_thinned_alike():
    rows = table(boar=(100, 0, 0), hare=(80, 0, 0), bear=(50, 0, 0), wolf=(40, 0, 0))
    thinned = thin(rows, minority=["bear", "wolf"], ratio=0.1, base=None, seed=0)
    assert counted(thinned, "train") == {"boar": 80, "hare": 80, "bear": 8, "wolf": 8}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ratio": 0}, ConfigurationError, r"in \(0, 1\], got 0; 0.01 means 1:0.01"),
        ({"ratio": 1.5}, ConfigurationError, r"in \(0, 1\], got 1.5"),
        ({"ratio": math.nan}, ConfigurationError, r"in \(0, 1\], got nan"),
        ({"minority": ["dear"]}, ConfigurationError, "minority 'dear' is no class .* did you mean 'deer'"),
        ({"minority": []}, ConfigurationError, "some but not all of the 2 classes as minority, got 0"),
        (
            {"minority": ["deer", "horse"]},
            ConfigurationError,
            "some but not all of the 2 classes as minority, got 2",
        ),
        (
            {"base": 5000},
            PhotosError,
            "at least 5000 training photos of 'horse' .* got 4500; the largest base here is 4500",
        ),
        ({"ratio": 0.001, "base": 999}, PhotosError, "0.001 of base 999 leaves none"),
    ],
)
def test_what_cannot_be_thinned_is_refused(options, error, message):
    settings = {"minority": ["deer"], "ratio": 0.1, "base": 4500, "seed": 0} | options
    with pytest.raises(error, match=message):
        thin(DEER_AND_HORSE, **settings)


def test_too_few_of_the_minority_says_how_many_there_are():
    rows = table(boar=(1000, 0, 0), bear=(50, 0, 0))
    with pytest.raises(PhotosError, match=r"at least 100 training photos of 'bear' .* got 50; .* base here is 500"):
        thin(rows, minority=["bear"], ratio=0.1, base=1000, seed=0)
    assert counted(thin(rows, minority=["bear"], ratio=0.1, base=500, seed=0), "train") == {
        "boar": 500,
        "bear": 50,
    }


@given(
    st.integers(1, 20_000),
    st.integers(1, 20_000),
    st.lists(st.sampled_from(RATIOS), min_size=1, unique=True),
)
def test_default_base_is_the_largest_that_reaches_every_ratio_in_full(boars, bears, ratios):
    base = default_base({"boar": boars, "bear": bears}, ["bear"], ratios)

    def reached(base):
        return base <= min(boars, STUDY_BASE) and all(base * ratio <= bears + 1e-6 for ratio in ratios)

    assert reached(base)
    assert not reached(base + 1)


def test_default_base_looks_at_the_scarcest_class_of_each_kind():
    counts = {"boar": 900, "hare": 700, "bear": 40, "wolf": 60}
    assert default_base(counts, ["bear", "wolf"], [0.1, 0.01]) == 400
    assert default_base(counts, ["bear", "wolf"], [0.01]) == 700


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=8))
def test_measures_agree_with_their_definitions(sizes):
    got = measures({str(number): size for number, size in enumerate(sizes)})
    n = np.array(sizes, dtype=float)
    shares = n / n.sum()
    nats = sum(-share * math.log(share) for share in shares)
    assert got["imbalance_ratio"] == max(sizes) / min(sizes)
    assert got["gini"] == pytest.approx(np.abs(n[:, None] - n).mean() / (2 * n.mean()))
    assert got["entropy"] == pytest.approx(nats / math.log(len(sizes)))
    assert got["effective_classes"] == pytest.approx(math.exp(nats))


def test_measures_at_the_ends():
    even = {"imbalance_ratio": 1, "gini": 0, "entropy": 1, "effective_classes": 2}
    assert measures({"a": 5, "b": 5}) == pytest.approx(even)
    one_empty = {"imbalance_ratio": None, "gini": 0.5, "entropy": 0, "effective_classes": 1}
    assert measures({"a": 5, "b": 0}) == pytest.approx(one_empty)
    assert measures({"a": 5})["entropy"] is None
    with pytest.raises(PhotosError, match="classes with photos"):
        measures({"a": 0})


def tailed(rows, **options):
    return profile(rows, **{"classes": ["boar", "deer", "hare"], "base": None, "seed": 0} | options)


@pytest.mark.parametrize(
    ("base", "classes", "imbalance", "photos"),
    [(5000, 10, 100, 12_406), (5000, 10, 50, 13_996), (500, 100, 100, 10_847), (500, 100, 10, 19_573)],
)
def test_the_profile_has_the_published_sizes_of_cifar_lt(base, classes, imbalance, photos):
    names = [f"class {place}" for place in range(classes)]
    assert sum(profile_sizes(names, imbalance, base).values()) == photos


@given(st.integers(1, 10_000), st.integers(2, 30), st.floats(1, 1000))
def test_profile_sizes_follow_the_formula(base, num_classes, imbalance):
    sizes = list(profile_sizes([str(place) for place in range(num_classes)], imbalance, base).values())
    assert sizes[0] == base
    for place, size in enumerate(sizes):
        wanted = base * (1 / imbalance) ** (place / (num_classes - 1))  # as the authors' code writes it
        assert size <= wanted + 1e-6
        assert size > wanted - 1 - 1e-6


three_sizes = st.lists(st.integers(20, 60), min_size=3, max_size=3)


@quick
@given(three_sizes, st.lists(st.floats(1, 20), min_size=2, max_size=2), st.integers(0, 3), st.permutations(range(3)))
def test_a_tail_has_its_sizes_is_nested_and_leaves_the_test_photos(sizes, imbalances, seed, order):
    rows = table(**{name: (size, 10, 5) for name, size in zip(("boar", "deer", "hare"), sizes, strict=True)})
    classes = [("boar", "deer", "hare")[place] for place in order]
    base = profile_base(counted(rows, "train"), classes, imbalances)
    less, more = (
        tailed(rows, classes=classes, imbalance=imbalance, base=base, seed=seed) for imbalance in sorted(imbalances)
    )
    assert counted(more, "train") == profile_sizes(classes, max(imbalances), base)
    assert set(more["region_id"]) <= set(less["region_id"])
    assert counted(more, "test") == {"boar": 5, "deer": 5, "hare": 5}


def test_validation_of_a_tail_shrinks_like_training_but_loses_no_class():
    rows = table(boar=(400, 80, 0), deer=(200, 80, 0), hare=(400, 80, 0))
    thinned = tailed(rows, imbalance=400, base=400)
    assert counted(thinned, "train") == {"boar": 400, "deer": 20, "hare": 1}
    assert counted(thinned, "val") == {"boar": 80, "deer": 8, "hare": 1}
    assert counted(tailed(rows, imbalance=400, thin_validation=False), "val") == {"boar": 80, "deer": 80, "hare": 80}


@given(st.lists(st.integers(1, 5000), min_size=3, max_size=3), st.lists(st.floats(1, 500), min_size=1, max_size=3))
def test_profile_base_is_the_largest_that_every_class_can_give(sizes, imbalances):
    counts = dict(zip("abc", sizes, strict=True))
    base = profile_base(counts, "abc", imbalances)

    def given_in_full(base):
        return all(
            base * imbalance ** (-place / 2) <= counts[name] + 1e-6
            for imbalance in imbalances
            for place, name in enumerate("abc")
        )

    assert given_in_full(base)
    assert not given_in_full(base + 1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"imbalance": 0.5}, ConfigurationError, r"of at least 1, got 0.5; 100 means 100:1"),
        ({"imbalance": math.nan}, ConfigurationError, "of at least 1, got nan"),
        ({"imbalance": math.inf}, ConfigurationError, "of at least 1, got inf"),
        ({"classes": ["boar", "deer"]}, ConfigurationError, "training photos, boar, deer, hare; got boar, deer"),
        ({"classes": ["boar", "deer", "hare", "deer"]}, ConfigurationError, "two or more different classes"),
        ({"base": 41}, PhotosError, "at least 41 training photos of 'boar' .* got 40; the largest base here is 40"),
        ({"imbalance": 50}, PhotosError, "but 50 at base 40 leaves none of 'hare'"),
    ],
)
def test_a_tail_that_cannot_be_is_refused(options, error, message):
    rows = table(boar=(40, 0, 0), deer=(40, 0, 0), hare=(40, 0, 0))
    with pytest.raises(error, match=message):
        tailed(rows, **{"imbalance": 10, "base": 40} | options)


def test_ratios_beyond_numbers_reach_the_base_that_there_is():
    assert default_base({"boar": 90, "bear": 9}, ["bear"], [1e-320]) == 90
    assert profile_base({"boar": 90, "deer": 40, "bear": 9}, ["boar", "deer", "bear"], [1e308]) == 90

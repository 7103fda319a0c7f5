import pytest
from pydantic import TypeAdapter

from fscl.errors import ConfigurationError
from fscl.experiments.grid import STUDY_RATIOS, ClassSet, cells, is_undefined, long_tail_cells, minority_photos
from fscl.records import CellKey


def test_the_studys_grid():
    pairs = [ClassSet.parse("fine", "water_deer:roe_deer"), ClassSet.parse("coarse", "water_deer:wild_boar")]
    ratios = {pair.name: STUDY_RATIOS for pair in pairs}
    grid = cells(pairs, ["baseline", "fscl"], ratios, [0, 1])
    assert len(grid) == len({cell.name for cell in grid}) == 2 * 5 * 2 * 2
    assert [cell.seed for cell in grid] == [0] * 20 + [1] * 20  # whole tables of fewer seeds come first


@pytest.mark.parametrize("text", ["deer", "deer:", "a:b:c", "deer:deer"])
def test_pairs_that_are_none(text):
    with pytest.raises(ConfigurationError, match="MAJORITY:MINORITY"):
        ClassSet.parse("fine", text)


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        (r"mammal\:deer:fox", ("mammal:deer", "fox")),
        (r"fox: mammal\:deer ", ("fox", "mammal:deer")),
        (r"a\:b\:c:d\:", ("a:b:c", "d:")),
        (r"a\b:c", (r"a\b", "c")),
    ],
)
def test_a_colon_that_belongs_to_a_name(text, classes):
    assert ClassSet.parse("fine", text).classes == classes


def test_the_way_to_write_a_colon_is_said():
    with pytest.raises(
        ConfigurationError, match=r"got 'mammal:deer:fox'; write a colon that belongs to a name as \\:"
    ):
        ClassSet.parse("fine", "mammal:deer:fox")


@pytest.mark.parametrize(("ratio", "photos"), [(1.0, 4500), (0.1, 450), (0.01, 45), (0.005, 22), (0.001, 4)])
def test_minority_photos_are_those_of_the_protocol(ratio, photos):
    horses = ClassSet("fine", ("horse", "deer"), ("deer",), 4500)
    assert minority_photos(horses.cell("fscl", ratio, 0)) == photos


@pytest.mark.parametrize(("ratio", "undefined"), [(0.03, False), (0.02, True)])
def test_three_rare_photos_are_enough_to_train_on(ratio, undefined):
    assert is_undefined(ClassSet("fine", ("horse", "deer"), ("deer",), 100).cell("fscl", ratio, 0)) == undefined


def test_a_long_tail_has_a_cell_per_imbalance_with_the_rare_classes_there():
    pair = ClassSet("all", ("bear", "boar", "deer"), ("deer",), 200)
    tails = {"all": {100.0: ("boar", "deer"), 2.5: ("deer",)}}
    grid = long_tail_cells([pair], ["baseline", "fscl"], "exp", tails, [0, 1])
    assert [cell.name for cell in grid[:4]] == [
        *("all-baseline-exp100-s0", "all-fscl-exp100-s0"),
        *("all-baseline-exp2.5-s0", "all-fscl-exp2.5-s0"),
    ]
    assert [cell.seed for cell in grid] == [0] * 4 + [1] * 4
    assert [cell.minority for cell in grid[1:3]] == [("boar", "deer"), ("deer",)]
    assert (grid[0].ratio, grid[0].profile, grid[0].imbalance) == (0.01, "exp", 100.0)
    assert (minority_photos(grid[0]), is_undefined(grid[0])) == (2, False)


def test_the_record_of_a_ratio_knows_no_profile():
    pair = ClassSet("fine", ("horse", "deer"), ("deer",))
    assert "profile" not in TypeAdapter(CellKey).dump_python(pair.cell("fscl", 0.1, 0))
    long_tail = pair.cell("fscl", 0.1, 0, profile="exp", imbalance=10)
    assert TypeAdapter(CellKey).dump_python(long_tail)["imbalance"] == 10


@pytest.mark.parametrize(("ratio", "seed", "what"), [(0, 0, "ratio: .* got 0"), (0.1, -1, "seed: .* got -1")])
def test_what_no_cell_can_be(ratio, seed, what):
    with pytest.raises(ConfigurationError, match=f"no such cell: {what}"):
        ClassSet.parse("fine", "a:b").cell("fscl", ratio, seed)

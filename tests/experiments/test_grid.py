import pytest

from fscl.errors import ConfigurationError
from fscl.experiments.grid import STUDY_RATIOS, Cell, Pair, cells, long_tail_cells


def test_the_studys_grid():
    pairs = [Pair.parse("fine", "water_deer:roe_deer"), Pair.parse("coarse", "water_deer:wild_boar")]
    ratios = {pair.name: STUDY_RATIOS for pair in pairs}
    grid = cells(pairs, ["baseline", "fscl"], ratios, [0, 1])
    assert len(grid) == len({cell.id for cell in grid}) == 2 * 5 * 2 * 2
    assert [cell.seed for cell in grid] == [0] * 20 + [1] * 20  # whole tables of fewer seeds come first


@pytest.mark.parametrize("text", ["deer", "deer:", "a:b:c", "deer:deer"])
def test_pairs_that_are_none(text):
    with pytest.raises(ConfigurationError, match="MAJORITY:MINORITY"):
        Pair.parse("fine", text)


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
    assert Pair.parse("fine", text).classes == classes


def test_the_way_to_write_a_colon_is_said():
    with pytest.raises(
        ConfigurationError, match=r"got 'mammal:deer:fox'; write a colon that belongs to a name as \\:"
    ):
        Pair.parse("fine", "mammal:deer:fox")


@pytest.mark.parametrize(("ratio", "photos"), [(1.0, 4500), (0.1, 450), (0.01, 45), (0.005, 22), (0.001, 4)])
def test_minority_photos_are_those_of_the_protocol(ratio, photos):
    assert Cell(Pair("fine", ("horse", "deer"), ("deer",), 4500), "fscl", ratio, 0).minority_photos == photos


def test_a_long_tail_has_a_cell_per_imbalance_with_the_rare_classes_there():
    pair = Pair("all", ("bear", "boar", "deer"), ("deer",), 200)
    tails = {"all": {100.0: ("boar", "deer"), 2.5: ("deer",)}}
    grid = long_tail_cells([pair], ["baseline", "fscl"], "exp", tails, [0, 1])
    assert [cell.id for cell in grid[:4]] == [
        *("all-baseline-exp100-s0", "all-fscl-exp100-s0"),
        *("all-baseline-exp2.5-s0", "all-fscl-exp2.5-s0"),
    ]
    assert [cell.seed for cell in grid] == [0] * 4 + [1] * 4
    assert [cell.pair.minority for cell in grid[1:3]] == [("boar", "deer"), ("deer",)]
    assert grid[0].record() | {"ratio": 0.01, "profile": "exp", "imbalance": 100.0} == grid[0].record()
    assert (grid[0].minority_photos, grid[0].is_undefined) == (2, False)


def test_the_record_of_a_ratio_knows_no_profile():
    assert "profile" not in Cell(Pair("fine", ("horse", "deer"), ("deer",)), "fscl", 0.1, 0).record()

import pytest

from fscl.errors import ConfigurationError
from fscl.experiments.grid import STUDY_RATIOS, Cell, Pair, cells


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


@pytest.mark.parametrize(("ratio", "photos"), [(1.0, 4500), (0.1, 450), (0.01, 45), (0.005, 22), (0.001, 4)])
def test_minority_photos_are_those_of_the_protocol(ratio, photos):
    assert Cell(Pair("fine", ("horse", "deer"), ("deer",), 4500), "fscl", ratio, 0).minority_photos == photos

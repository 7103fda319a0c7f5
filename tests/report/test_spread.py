import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscl.report.spread import Spread, above_guessing, leaders, spread
from fscl.report.study import read_study

SHARES = st.lists(st.none() | st.floats(0, 1), max_size=8)


@given(SHARES)
def test_spread_is_that_of_the_defined_values(values):
    defined = [value for value in values if value is not None]
    found = spread(values)
    if not defined:
        assert found is None
        return
    assert found.count == len(defined)
    assert found.mean == pytest.approx(np.mean(defined))
    assert found.sd is None if len(defined) == 1 else found.sd == pytest.approx(np.std(defined, ddof=1), abs=1e-12)


def test_one_seed_has_no_deviation_and_only_ties_share_the_lead():
    assert str(Spread(0.5, None, 1)) == "0.50"
    spreads = {"a": Spread(0.9, None, 1), "b": Spread(0.89, None, 1), "c": Spread(0.9, None, 1), "d": None}
    assert leaders(spreads) == {"a", "c"}


def test_an_erratic_method_does_not_lead_by_its_own_deviation():
    assert leaders({"steady": Spread(0.9, 0.01, 3), "erratic": Spread(0.6, 0.5, 3)}) == {"steady"}


def test_for_calibration_lower_is_better():
    spreads = {"a": Spread(0.02, 0.005, 3), "b": Spread(0.024, 0.001, 3), "c": Spread(0.1, 0.2, 3)}
    assert leaders(spreads, lower_is_better=True) == {"a", "b"}
    assert leaders({}) == set()


def test_guessing_among_the_classes_that_were_tested(write_study):
    def change(cell):
        evaluation = cell["evaluations"]["last"]
        evaluation["figures"] |= {"recall_by_class": {"a": 0.0, "b": 1.0, "c": None}, "balanced_accuracy": 0.5}
        evaluation["counts"]["c"] = 0
        return cell

    cells = read_study(write_study(pairs={"all": ["a", "b", "c"]}, methods=("fscl",), change=change)).cells
    assert not above_guessing(cells, "balanced_accuracy")

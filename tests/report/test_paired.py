import re

import numpy as np
import pytest
from scipy import stats

from fscl.report.paired import paired_frame, paired_table, paired_tests, seeds_note
from fscl.report.study import read_study

PAIR = {"pairs": {"fine": ["water_deer", "roe_deer"]}}


@pytest.fixture
def study_of(write_study):
    """Return a function: minority recall by method, ratio and seed → a study with it; None leaves the cell out."""

    def study(recalls, **options):
        def change(cell):
            key = cell["cell"]
            recall = recalls[key["method"]][key["ratio"]][key["seed"]]
            cell["evaluations"]["last"]["figures"]["minority_recall"] = recall
            return cell if recall is not None else None

        ratios = tuple(next(iter(recalls.values())))
        seeds = tuple(range(len(next(iter(recalls.values()))[ratios[0]])))
        axes = {"methods": tuple(recalls), "ratios": ratios, "seeds": seeds}
        return read_study(write_study(**PAIR, **axes, **options, change=change))

    return study


def test_the_test_is_scipys_and_holm_counts_the_ratios(study_of):
    rng = np.random.default_rng(0)
    recalls = {
        method: {ratio: list(rng.uniform(low, low + 0.2, 5)) for ratio in (1.0, 0.1, 0.01)}
        for method, low in (("fscl", 0.35), ("baseline", 0.3))
    }
    study = study_of(recalls)
    tests = {test.ratio: test for test in paired_tests(study, "fine") if test.figure == "minority_recall"}
    expected = {r: stats.ttest_rel(recalls["fscl"][r], recalls["baseline"][r]) for r in recalls["fscl"]}
    for ratio, test in tests.items():
        interval = expected[ratio].confidence_interval(0.95)
        assert (test.method, test.reference, test.seeds) == ("fscl", "baseline", 5)
        assert test.p == pytest.approx(expected[ratio].pvalue)
        assert (test.low, test.high) == pytest.approx((interval.low, interval.high))
    ordered = sorted(tests.values(), key=lambda test: test.p)
    running = np.maximum.accumulate([test.p * left for test, left in zip(ordered, (3, 2, 1), strict=True)])
    assert [test.p_holm for test in ordered] == pytest.approx(np.minimum(running, 1).tolist())


def test_only_seeds_that_both_finished_are_paired(study_of):
    base = {1.0: [0.5, 0.5, 0.5, 0.5, None], 0.1: [0.5, 0.5, None, 0.5, 0.5]}
    own = {1.0: [None, 0.6, 0.7, 0.8, 0.9], 0.1: [0.5, None, 0.6, None, 0.7]}
    study = study_of({"baseline": base, "fscl": own})
    (test,) = [test for test in paired_tests(study, "fine") if test.figure == "minority_recall"]
    assert (test.ratio, test.seeds, test.difference) == (1.0, 3, pytest.approx(0.2))
    assert test.p_holm == test.p  # the other ratio has too few seeds to be a test
    first, second = (section.rows[0] for section in paired_table(study, "fine").sections)
    assert (first.detail, second.detail) == ("3 common seeds", "2 common seeds")
    assert [entry.text for entry in second.entries] == ["–"] * 3
    assert seeds_note(study, "fine").startswith(
        "Some comparisons have fewer seeds than wanted: the protocol asks for 5"
    )


def test_clear_gains_and_clear_losses_are_marked_apart(study_of):
    noise = np.array([0.0, 0.01, -0.01, 0.02, 0.0])
    recalls = {"baseline": 0.5 + 0 * noise, "gain": 0.7 + noise, "loss": 0.3 + noise, "same": 0.5 + noise}
    study = study_of({method: {0.1: list(values)} for method, values in recalls.items()})
    entries = {row.title: row.entries[0] for row in paired_table(study, "fine").sections[0].rows}
    assert {name: (entry.best, entry.worse) for name, entry in entries.items()} == {
        "gain": (True, False),
        "loss": (False, True),
        "same": (False, False),
    }
    assert entries["loss"].text == "−0.196"
    assert re.fullmatch(r"\[−0\.210, −0\.182\] · p < 0\.001", entries["loss"].detail)
    assert seeds_note(study, "fine") == ""


def test_without_a_baseline_the_first_method_is_the_reference(study_of):
    recalls = {method: {0.1: [0.5, 0.6, 0.7]} for method in ("focal", "fscl")}
    assert {test.reference for test in paired_tests(study_of(recalls), "fine")} == {"focal"}
    reversed_order = {method: {0.1: [0.5, 0.6, 0.7]} for method in ("fscl", "baseline")}
    assert {test.method for test in paired_tests(study_of(reversed_order), "fine")} == {"fscl"}


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_give_a_sentence_and_no_table(study_of, seeds):
    study = study_of({method: {0.1: [0.5, 0.6][:seeds]} for method in ("baseline", "fscl")})
    assert paired_table(study, "fine") is None
    assert paired_frame(study).empty
    assert seeds_note(study, "fine") == (
        "No paired tests: they need 3 seeds that two methods finished, and the protocol asks for 5 (10 at 1:0.005 "
        f"and rarer); here: {seeds}."
    )


def test_rare_ratios_ask_for_more_seeds(study_of):
    five = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert seeds_note(study_of({m: {0.01: five} for m in ("baseline", "fscl")}), "fine") == ""
    assert seeds_note(study_of({m: {0.005: five} for m in ("baseline", "fscl")}), "fine")
    assert seeds_note(study_of({m: {0.005: five * 2} for m in ("baseline", "fscl")}), "fine") == ""


def test_one_method_has_nothing_to_be_compared_with(study_of):
    study = study_of({"fscl": {0.1: [0.5, 0.6, 0.7]}})
    assert (paired_table(study, "fine"), seeds_note(study, "fine")) == (None, "")

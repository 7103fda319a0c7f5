import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fscl.errors import ConfigurationError
from fscl.report import write_report
from fscl.report.paired import paired_frame, paired_table, paired_tests, seeds_note
from fscl.report.study import read_study

GUIDE = Path(__file__).resolve().parents[2] / "docs/reproduce.md"
PAIR = {"pairs": {"fine": ["water_deer", "roe_deer"]}}


@pytest.fixture
def study_of(write_study):
    """Return a function: a figure by method, ratio and seed → a study with it; None leaves the cell out."""

    def study(values, figure="auroc", **options):
        def change(cell):
            key = cell["cell"]
            value = values[key["method"]][key["ratio"]][key["seed"]]
            cell["evaluations"]["last"]["figures"][figure] = value
            return cell if value is not None else None

        ratios = tuple(next(iter(values.values())))
        seeds = tuple(range(len(next(iter(values.values()))[ratios[0]])))
        axes = {"methods": tuple(values), "ratios": ratios, "seeds": seeds}
        return read_study(write_study(**{**PAIR, **axes, **options}, change=change))

    return study


def at_random(methods, ratios, seeds=5, seed=0):
    rng = np.random.default_rng(seed)
    return {method: {ratio: list(rng.uniform(0.5, 0.7, seeds)) for ratio in ratios} for method in methods}


def test_without_scores_the_test_is_scipys_and_says_that_it_covers_seeds_only(study_of):
    aurocs = at_random(("fscl", "baseline"), (1.0, 0.1, 0.01))
    study = study_of(aurocs)
    for test in (test for test in paired_tests(study, "fine") if test.figure == "auroc"):
        expected = stats.ttest_rel(aurocs["fscl"][test.ratio], aurocs["baseline"][test.ratio])
        interval = expected.confidence_interval(0.95)
        assert (test.method, test.reference, test.seeds, test.covers) == ("fscl", "baseline", 5, "seeds")
        assert test.p == pytest.approx(expected.pvalue)
        assert (test.low, test.high) == pytest.approx((interval.low, interval.high))
    assert "Interval and p hold for other seeds only" in paired_table(study, "fine").caption


def holm_by_hand(p):
    left = np.arange(len(p), 0, -1)
    return np.minimum(np.maximum.accumulate(np.sort(p) * left), 1).tolist()


def test_auroc_is_adjusted_for_all_its_tests_in_the_study_and_other_figures_for_all(study_of):
    pairs = {"fine": ["water_deer", "roe_deer"], "coarse": ["water_deer", "wild_boar"]}
    study = study_of(at_random(("baseline", "focal", "fscl", "oversampling"), (1.0, 0.1)), pairs=pairs)
    frame = paired_frame(study)
    primary = frame[frame["figure"] == "auroc"].sort_values("p")
    assert len(primary) == 2 * 2 * (
        3 + 1
    )  # pairs, ratios, methods against the baseline and FSCL against oversampling
    assert primary["p_holm"].tolist() == pytest.approx(holm_by_hand(primary["p"]))
    adjusted = dict(zip(np.sort(frame["p"]), holm_by_hand(frame["p"]), strict=True))
    others = frame[frame["figure"] != "auroc"]
    assert others["p_holm"].tolist() == pytest.approx([adjusted[p] for p in others["p"]])
    assert "(Holm): 16 for AUROC, 48 for each other figure" in paired_table(study, "fine").caption


@pytest.mark.slow
def test_of_twenty_equal_methods_seldom_one_is_marked(study_of):
    methods = ("baseline", *(f"peer-{number}" for number in range(20)))
    marked = 0
    for seed in range(5):
        study = study_of(at_random(methods, (0.1, 0.01), seed=seed), best=False)
        rows = [row for section in paired_table(study, "fine").sections for row in section.rows]
        marked += any(entry.best or entry.worse for row in rows for entry in row.entries[2:])
    assert marked == 0  # each test for itself would mark one in 19 of 20 studies


def test_fscl_is_tested_against_oversampling_too(study_of):
    study = study_of(at_random(("oversampling", "fscl", "contrastive", "baseline", "fscl_mixup"), (0.1,)))
    tested = {(test.method, test.reference) for test in paired_tests(study, "fine")}
    against_baseline = {(m, "baseline") for m in ("oversampling", "fscl", "contrastive", "fscl_mixup")}
    assert tested == against_baseline | {("fscl", "oversampling"), ("fscl_mixup", "oversampling")}
    rows = {row.title: row for row in paired_table(study, "fine").sections[0].rows}
    assert list(rows)[-2:] == ["FSCL, to oversampling", "fscl_mixup, to oversampling"]
    frame = paired_frame(study).set_index(["method", "reference", "figure"])
    assert rows["FSCL, to oversampling"].entries[2].text == (
        f"{frame.loc[('fscl', 'oversampling', 'auroc'), 'difference']:+.3f}".replace("-", "−")
    )


def test_other_methods_can_be_compared_and_unknown_ones_are_named(study_of):
    study = study_of(at_random(("baseline", "fscl", "focal"), (0.1,)))
    frame = paired_frame(study, [("fscl", "focal")])
    assert frame[["method", "reference"]].drop_duplicates().to_numpy().tolist() == [["fscl", "focal"]]
    [auroc] = frame[frame["figure"] == "auroc"].to_dict("records")
    assert auroc["p_holm"] == auroc["p"]
    with pytest.raises(ConfigurationError, match="the study has no method 'focl'; did you mean 'focal'"):
        paired_frame(study, [("fscl", "focl")])


def test_only_seeds_that_both_finished_are_paired(study_of):
    base = {1.0: [0.5, 0.5, 0.5, 0.5, None], 0.1: [0.5, 0.5, None, 0.5, 0.5]}
    own = {1.0: [None, 0.6, 0.7, 0.8, 0.9], 0.1: [0.5, None, 0.6, None, 0.7]}
    study = study_of({"baseline": base, "fscl": own})
    (test,) = [test for test in paired_tests(study, "fine") if test.figure == "auroc"]
    assert (test.ratio, test.seeds, test.difference) == (1.0, 3, pytest.approx(0.2))
    assert test.p_holm == test.p  # the other ratio has too few seeds to be a test
    first, second = (section.rows[0] for section in paired_table(study, "fine").sections)
    assert (first.detail, second.detail) == ("3 common seeds", "2 common seeds")
    assert [entry.text for entry in second.entries] == ["–"] * 3
    assert seeds_note(study, "fine").endswith("For a firm result: at least 5 seeds (10 at 1:0.005 and rarer).")


def test_equal_differences_are_no_finding(study_of):
    study = study_of({"baseline": {0.1: [0.5, 0.6, 0.7]}, "fscl": {0.1: [0.6, 0.7, 0.8]}})
    (test,) = [test for test in paired_tests(study, "fine") if test.figure == "auroc"]
    assert (test.p, test.p_holm) == (None, None)
    entry = paired_table(study, "fine").sections[0].rows[0].entries[2]
    assert "p undefined: all differences are equal" in entry.detail
    assert not entry.best
    assert paired_frame(study).query("figure == 'auroc'")["p"].isna().all()


def test_clear_gains_and_clear_losses_are_marked_apart(study_of):
    noise = np.array([0.0, 0.01, -0.01, 0.02, 0.0])
    recalls = {"baseline": 0.5 + 0 * noise, "gain": 0.7 + noise, "loss": 0.3 + noise, "same": 0.5 + noise}
    study = study_of({method: {0.1: list(values)} for method, values in recalls.items()}, "minority_recall")
    entries = {row.title: row.entries[0] for row in paired_table(study, "fine").sections[0].rows}
    assert {name: (entry.best, entry.worse) for name, entry in entries.items()} == {
        "gain": (True, False),
        "loss": (False, True),
        "same": (False, False),
    }
    assert entries["loss"].text == "−0.196"
    assert re.fullmatch(r"\[−0\.210, −0\.182\] · p < 0\.001", entries["loss"].detail)
    assert seeds_note(study, "fine") == ""


def test_the_p_that_marks_and_is_shown_is_the_adjusted_one(study_of):
    aurocs = {"baseline": {0.1: [0.5] * 5}, "close": {0.1: [0.52, 0.53, 0.51, 0.54, 0.5]}}
    aurocs |= {name: {0.1: [0.51, 0.49, 0.5, 0.52, 0.48]} for name in ("same", "alike")}
    study = study_of(aurocs)
    (test,) = [test for test in paired_tests(study, "fine") if (test.method, test.figure) == ("close", "auroc")]
    assert test.p < 0.05 < test.p_holm
    entry = paired_table(study, "fine").sections[0].rows[0].entries[2]
    assert not entry.best
    assert entry.detail.endswith(f" · p = {test.p_holm:.3f}")


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
        f"No test of the differences: it needs 3 seeds that both methods finished; here: {seeds}. For a firm result: "
        "at least 5 seeds (10 at 1:0.005 and rarer)."
    )


def test_rare_ratios_ask_for_more_seeds(study_of):
    five = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert seeds_note(study_of({m: {0.01: five} for m in ("baseline", "fscl")}), "fine") == ""
    assert seeds_note(study_of({m: {0.005: five} for m in ("baseline", "fscl")}), "fine")
    assert seeds_note(study_of({m: {0.005: five * 2} for m in ("baseline", "fscl")}), "fine") == ""


def test_one_method_has_nothing_to_be_compared_with(study_of):
    study = study_of({"fscl": {0.1: [0.5, 0.6, 0.7]}})
    assert (paired_table(study, "fine"), seeds_note(study, "fine")) == (None, "")


@pytest.mark.slow
def test_the_lines_of_the_guide_test_as_the_report_does(write_study, tmp_path, monkeypatch, capsys):
    folder = write_study(folder=tmp_path / "runs/study", seeds=(0, 1, 2))
    write_report(folder)
    study = read_study(folder)
    of_report = pd.read_csv(folder / "report_paired.csv")
    pd.testing.assert_frame_equal(of_report, paired_frame(study), check_dtype=False)
    [lines] = re.findall(r"```python\n([^`]*paired_frame[^`]*)```", GUIDE.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    exec(lines, {})
    heading, *rows = capsys.readouterr().out.splitlines()
    assert "p_holm" in heading
    expected = paired_frame(study, [("fscl", "contrastive"), ("oversampling", "contrastive")]).query(
        "figure == 'auroc'"
    )
    assert len(rows) == len(expected) == 2 * 2 * 2
    for row, test in zip(rows, expected.to_dict("records"), strict=True):
        assert {test["method"], test["reference"], test["pair"]} <= set(row.split())
        shown = [float(word) for word in row.split() if re.fullmatch(r"-?[\d.]+", word)]
        values = [test[name] for name in ("ratio", "seeds", "difference", "low", "high", "p", "p_holm")]
        assert shown == pytest.approx(values, abs=6e-5)

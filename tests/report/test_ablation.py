import pytest

from fscl.report.ablation import ablation_table, arrow
from fscl.report.published import RECALLS
from fscl.report.study import read_study

METHODS = ("baseline", "oversampling", "contrastive", "fscl")
RATIOS = (1.0, 0.1, 0.01)
PAIR = ["water_deer", "roe_deer"]
EMPTY = {"status": "failed", "reason": "stopped", "evaluations": {}, "curve": None, "validation_curve": None}


def with_balanced(value):
    """Return a change of cells: `value(key)` as balanced accuracy, all of it minority recall's doing."""

    def change(cell):
        figures = cell["evaluations"]["last"]["figures"]
        figures["balanced_accuracy"] = value(cell["cell"])
        figures["minority_recall"] = 2 * figures["balanced_accuracy"] - 1
        return cell

    return change


def rows_of(table):
    return {row.title: row.entries for row in table.sections[0].rows}


def test_arrows_are_fifths_of_the_way_from_guessing_to_no_error():
    values = (0.4, 0.5, 0.59, 0.6, 0.69, 0.7, 0.79, 0.8, 0.89, 0.9, 1.0)
    assert [arrow(value) for value in values] == [
        *("↓↓↓",) * 3,
        *("↓",) * 2,
        *("↔",) * 2,
        *("↑",) * 2,
        *("↑↑↑",) * 2,
    ]


def test_the_published_recalls_by_this_rule_order_the_methods_as_their_figures_do():
    """The rule is fair to the study: with no common photo lost, its own recalls part re-sampling from none."""
    means = {m: sum(by_ratio[r] for r in by_ratio if r < 1) / 4 for m, by_ratio in RECALLS.items()}
    shown = {method: arrow((1 + recall) / 2) for method, recall in means.items()}
    assert shown == {"baseline": "↓", "oversampling": "↑", "contrastive": "↓", "fscl": "↑"}


def test_our_arrows_stand_beside_the_studys_with_their_figures(write_study):
    best = {"coarse": 0.95, "fine": 0.75}

    def balanced(key):
        lost = 0.2 * (key["method"] == "baseline") + (key["ratio"] == 1.0) * 0.5  # 1:1 must not count
        return best[key["pair"]] - lost + (0.02 if key["ratio"] == 0.1 else -0.02) + 0.01 * (key["seed"] - 1)

    table = ablation_table(read_study(write_study(ratios=RATIOS, change=with_balanced(balanced))))
    assert table.columns == ("coarse, published", "coarse, here", "fine, published", "fine, here")
    rows = rows_of(table)
    assert [entry.text for entry in rows["baseline"]] == ["↓", "↔", "↓↓↓", "↓↓↓"]
    assert [entry.text for entry in rows["FSCL"]] == ["↑↑↑", "↑↑↑", "↑↑↑", "↔"]
    assert rows["FSCL"][1].detail == "0.95 ± 0.01 · minority 0.90"
    assert "(coarse: 1:0.1, 1:0.01; fine: 1:0.1, 1:0.01)" in table.caption


def test_only_ratios_that_all_methods_finished_count(write_study):
    change = with_balanced(lambda key: 0.95 if key["ratio"] == 0.1 else 0.5)
    study = read_study(
        write_study(
            ratios=RATIOS,
            change=lambda c: (
                {**c, **EMPTY} if (c["cell"]["method"], c["cell"]["ratio"]) == ("fscl", 0.01) else change(c)
            ),
        )
    )
    table = ablation_table(study)
    assert "(coarse: 1:0.1; fine: 1:0.1)" in table.caption
    assert {entries[1].text for entries in rows_of(table).values()} == {"↑↑↑"}


def test_a_seed_that_lacks_a_ratio_is_left_out_and_a_method_without_figures_has_none(write_study):
    def change(cell):
        key = cell["cell"]
        if key["method"] == "contrastive" or (key["seed"], key["ratio"]) == (2, 0.01):
            return {**cell, **EMPTY}
        return with_balanced(lambda key: 0.7 + 0.1 * key["seed"])(cell)

    rows = rows_of(ablation_table(read_study(write_study(ratios=RATIOS, change=change))))
    assert [entry.text for entry in rows["contrastive"]] == ["↔", "–", "↓", "–"]
    assert rows["FSCL"][1].detail.startswith("0.75 ± 0.07")


@pytest.mark.parametrize(
    "options",
    [
        {"pairs": {"all": ["a", "b", "c"]}},
        {"pairs": {"fine": ["a", "b"]}, "ratios": (1.0,)},
        {"pairs": {"fine": ["a", "b"]}, "methods": ("fscl", "focal")},
    ],
)
def test_there_is_none_without_a_pair_a_rare_ratio_and_two_of_the_studys_methods(write_study, options):
    assert ablation_table(read_study(write_study(seeds=(0,), **options))) is None


def test_one_pair_is_enough(write_study):
    methods = ("baseline", "focal", "fscl")
    table = ablation_table(read_study(write_study(pairs={"fine": PAIR}, methods=methods, seeds=(0,))))
    assert table.columns == ("fine, published", "fine, here")
    assert list(rows_of(table)) == ["baseline", "FSCL"]


def test_the_studys_arrows_do_not_stand_beside_those_of_other_animals(write_study):
    table = ablation_table(read_study(write_study(pairs={"fine": ["a", "b"], "coarse": ["a", "c"]}, seeds=(0,))))
    assert table.columns == ("coarse, here", "fine, here")
    assert "ublished" not in table.caption
    assert [entry.text for entry in rows_of(table)["contrastive"]] != ["↔", "↓"]
    study = read_study(write_study(pairs={"fine": PAIR, "coarse": ["a", "c"]}, seeds=(0,)))
    assert ablation_table(study).columns == ("coarse, here", "fine, published", "fine, here")

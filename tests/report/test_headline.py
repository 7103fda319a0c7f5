import pytest

from fscl.report.headline import headline
from fscl.report.study import read_study

PAIR = {"pairs": {"fine": ["water_deer", "roe_deer"]}}


@pytest.fixture
def tell(write_study):
    """Return a function: minority and majority recall of each method → the paragraphs on that study."""

    def paragraphs(recalls, seeds=(0,), ratios=(0.02,), **options):
        def change(cell):
            minority, majority = recalls[cell["cell"]["method"]]
            figures = cell["evaluations"]["last"]["figures"]
            figures["minority_recall"] = minority + 0.01 * cell["cell"]["seed"] * (minority > 0)
            figures["majority_recall"] = majority
            figures["balanced_accuracy"] = (figures["minority_recall"] + majority) / 2
            return cell

        study = write_study(**{**PAIR, **options}, methods=tuple(recalls), seeds=seeds, ratios=ratios, change=change)
        return headline(read_study(study))

    return paragraphs


def test_what_was_found_stands_beside_what_it_cost(tell):
    first, caution = tell({"baseline": (0.03, 0.99), "fscl": (0.78, 0.91)})
    assert first == (
        "Fine pair, at 1:0.02 (20 roe_deer against 1,000 water_deer in training): the baseline found 3 % of "
        "the roe_deer; FSCL found the most, 78 %, and named 91 % of the water_deer rightly (the baseline: 99 %). "
        "It also has the highest balanced accuracy, which counts each class the same: 0.84."
    )
    assert caution == (
        "Each method was trained once (one seed). With 500 rare test photos, differences below 7 percentage points "
        "may be chance; another seed can change more."
    )


def test_chance_is_judged_by_the_cell_with_the_fewest_rare_test_photos(write_study):
    def change(cell):
        if cell["cell"]["method"] == "fscl":  # which could not read the others
            cell["evaluations"]["last"]["counts"]["roe_deer"] = 100
        return cell

    study = write_study(**PAIR, methods=("baseline", "fscl"), seeds=(0,), ratios=(0.02,), change=change)
    assert "With 100 rare test photos, differences below 14 percentage points" in headline(read_study(study))[-1]


def test_a_lost_proposal_is_said_to_lose(tell):
    first, _ = tell({"baseline": (0.2, 0.98), "oversampling": (0.8, 0.95), "fscl": (0.6, 0.9)})
    assert "oversampling found the most, 80 %" in first
    assert first.endswith(
        "FSCL, the proposed method, is the best here neither in minority recall nor in balanced accuracy."
    )


def test_recall_that_was_bought_is_shown_as_such(tell):
    first, _ = tell({"baseline": (0.6, 0.98), "fscl": (0.99, 0.02)})
    assert "FSCL found the most, 99 %, and named 2 % of the water_deer rightly" in first
    assert (
        "In balanced accuracy, which counts each class the same, the baseline leads with 0.79 (FSCL: 0.51)" in first
    )
    assert "is not the best here in balanced accuracy." in first


def test_a_winning_baseline_is_named_once(tell):
    first, _ = tell({"baseline": (0.9, 0.98), "fscl": (0.6, 0.9)})
    assert "the baseline found the most of the roe_deer, 90 %, and named 98 % of the water_deer rightly." in first


def test_finding_nothing_is_said(tell):
    assert "no method found any of the roe_deer." in tell({"baseline": (0.0, 1.0), "fscl": (0.0, 1.0)})[0]


def test_a_lead_within_one_deviation_is_not_clear(tell):
    first, caution = tell({"oversampling": (0.775, 0.9), "fscl": (0.78, 0.9)}, seeds=(0, 1, 2))
    assert "FSCL found the most of the roe_deer, 79 % (not clearly more than oversampling)" in first
    assert caution.startswith(
        "Each figure is the mean over 3 seeds. Their standard deviation in minority recall is up to 0.01. "
    )


def test_as_good_in_balanced_accuracy_is_no_lead_of_another(tell):
    first, _ = tell({"oversampling": (0.7, 0.951), "fscl": (0.75, 0.9)}, seeds=(0, 1, 2))
    assert "it is as good as oversampling: 0.83 ± 0.01 and 0.83 ± 0.01." in first


def test_several_ratios_are_counted(tell):
    first, _ = tell({"baseline": (0.2, 0.98), "fscl": (0.6, 0.4)}, ratios=(1.0, 0.1, 0.01))
    assert "at 1:0.01 (10 roe_deer" in first
    assert (
        "FSCL, the proposed method, is the best or as good as the best in minority recall at 3 of 3 ratios, in "
        "balanced accuracy at 0 of 3 (as good: at most one standard deviation below)."
    ) in first


def test_several_common_classes_and_generated_photos_are_named(tell):
    first, caution = tell(
        {"fscl": (0.5, 0.9)}, pairs={"all": ["boar", "deer", "elk"]}, minority=["elk"], photos="generated"
    )
    assert first == (
        "All classes, at 1:0.02 (20 elk against 1,000 boar and 1,000 deer in training): FSCL found the most "
        "of the elk, 50 %, and named 90 % of the boar and deer rightly."
    )
    assert caution.endswith("the figures show that it works, not how well it knows animals.")


def guessing(methods, write_study, *, auroc=0.51, balanced=0.5, **options):
    """Return the summary's first paragraph where some methods only guess."""

    def change(cell):
        figures = cell["evaluations"]["last"]["figures"]
        if cell["cell"]["method"] in methods:
            figures |= {"auroc": auroc, "balanced_accuracy": balanced}
        return cell

    study = write_study(**{**PAIR, "ratios": (0.02,), "seeds": (0, 1, 2)} | options, change=change)
    return headline(read_study(study))[0]


def test_where_nothing_was_learnt_no_method_is_said_to_lead(write_study):
    text = guessing(("baseline", "oversampling", "contrastive", "fscl"), write_study)
    assert text.startswith(
        "Fine pair, at 1:0.02 (20 roe_deer against 1,000 water_deer in training): nothing was learnt. No method is "
        "clearly better than guessing, neither in AUROC nor in balanced accuracy. The highest AUROC is 0.51 ± 0.00; "
        "0.5 is guessing."
    )
    assert "found the most" not in text
    assert text.endswith("is the best here neither in minority recall nor in balanced accuracy.")


def test_a_method_that_only_guesses_is_named(write_study):
    text = guessing(("baseline", "contrastive"), write_study)
    assert "Not clearly better than guessing in AUROC: the baseline and contrastive." in text
    assert "nothing was learnt" not in text


def test_scores_that_tell_the_classes_are_not_nothing(write_study):
    everyone = ("baseline", "oversampling", "contrastive", "fscl")
    text = guessing(everyone, write_study, auroc=0.8)
    assert (
        "The scores tell the classes apart, the answers do not: in balanced accuracy no method is clearly better "
        "than guessing." in text
    )
    assert "nothing was learnt" not in text


def test_means_over_fewer_seeds_are_said_to_be(write_study):
    def change(cell):
        return None if cell["cell"]["seed"] > 2 and cell["cell"]["method"] == "fscl" else cell

    caution = headline(read_study(write_study(**PAIR, seeds=(0, 1, 2, 3, 4), change=change)))[-1]
    assert caution.startswith("Each figure is the mean over 3 to 5 seeds.")
    assert "Fewer than 5 seeds are a first try" in caution


def test_cells_without_figures_are_counted(write_study):
    none = {"status": "failed", "reason": "stopped", "evaluations": {}, "curve": None, "validation_curve": None}
    study = read_study(write_study(**PAIR, seeds=(0,), change=lambda cell: {**cell, **none}))
    first, caution = headline(study)
    assert first == "Fine pair: no method has a result; the reasons are below."
    assert caution == "Of 8 cells: 8 failed; the reasons are below."

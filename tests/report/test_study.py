import pytest

from fscl.errors import OutputError
from fscl.report.study import read_study

SMALL = {"pairs": {"fine": ["a", "b"]}, "methods": ("fscl", "baseline"), "ratios": (0.01, 1.0), "seeds": (1, 0)}


def test_cells_are_in_the_order_of_the_axes(write_study):
    study = read_study(write_study(**SMALL))
    keys = [(cell.cell.ratio, cell.cell.method, cell.cell.seed) for cell in study.cells]
    assert keys == [(r, m, s) for r in (1.0, 0.01) for m in ("fscl", "baseline") for s in (0, 1)]


def test_a_folder_without_study_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"expected a study folder with study\.json, got .*nothing"):
        read_study(tmp_path / "nothing")


def test_a_study_without_finished_cell_says_so(write_study):
    with pytest.raises(OutputError, match=r"expected a finished cell in .*cells, got none"):
        read_study(write_study(**SMALL, change=lambda cell: None))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"version": 1', "Invalid JSON"),
        ('{"version": 1}', "cell: Field required"),
        ("[]", "Input should be an object"),
    ],
)
def test_a_damaged_cell_is_named_with_the_fix(write_study, text, why):
    folder = write_study(**SMALL)
    (folder / "cells" / "fine-fscl-r1-s0.json").write_text(text, encoding="utf-8")
    with pytest.raises(OutputError, match=rf"fine-fscl-r1-s0\.json is damaged: .*{why}.*; delete it and run"):
        read_study(folder)


def test_a_version_that_is_not_known_is_refused(write_study):
    folder = write_study(**SMALL)
    (folder / "study.json").write_text('{"version": 2}', encoding="utf-8")
    with pytest.raises(OutputError, match=r"study\.json: expected version 1, got 2; read it with the fscl that"):
        read_study(folder)


def test_a_done_cell_without_evaluation_is_damaged(write_study):
    with pytest.raises(OutputError, match=r"is damaged: .*evaluation of its last epoch"):
        read_study(write_study(**SMALL, change=lambda cell: {**cell, "evaluations": {}}))


def test_undefined_cells_need_no_more_than_their_reason(write_study):
    few = ("version", "cell", "method", "status", "reason")
    study = read_study(
        write_study(
            **SMALL,
            change=lambda cell: {k: {**cell, "status": "undefined", "reason": "too few"}[k] for k in few},
        )
    )
    assert all(cell.result is None for cell in study.cells)
    assert list(study.missing()) == []


def test_cells_asked_for_and_not_run_are_missing(write_study):
    drop = {"method": "fscl", "ratio": 1.0, "seed": 1}
    study = read_study(
        write_study(**SMALL, change=lambda cell: None if drop.items() <= cell["cell"].items() else cell)
    )
    assert list(study.missing()) == ["fine-fscl-r1-s1"]


def test_where_photos_stay_as_they_are_each_pair_has_its_own_ratio(write_study):
    own = {"fine": 0.2, "coarse": 0.05}

    def as_they_are(cell):
        key = {**cell["cell"], "base": None}
        return {**cell, "cell": key} if own[key["pair"]] == key["ratio"] else None

    pairs = {"fine": ["a", "b"], "coarse": ["a", "c"]}
    study = read_study(write_study(**{**SMALL, "pairs": pairs, "ratios": (0.2, 0.05)}, change=as_they_are))
    assert (study.ratios("fine"), study.ratios("coarse")) == ([0.2], [0.05])
    assert list(study.missing()) == []


def test_the_epoch_that_the_recipe_keeps_counts(write_study):
    study = read_study(write_study(**SMALL, change=lambda cell: {**cell, "kept": "best"}))
    assert all(cell.result is cell.evaluations["best"] for cell in study.cells)
    study = read_study(write_study(**SMALL, best=False, change=lambda cell: {**cell, "kept": "best"}))
    assert all(cell.result is cell.evaluations["last"] for cell in study.cells)

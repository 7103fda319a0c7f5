import json

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


def rewritten(folder, name, change):
    path = folder / name
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record), encoding="utf-8")
    return folder


def put(*path, value):
    def change(record):
        *above, last = path
        for key in above:
            record = record[key]
        record[last] = value

    return change


CELL = "cells/fine-fscl-r1-s0.json"
LAST = ("evaluations", "last")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (put("cell", "ratio", value="1"), "cell.ratio: Input should be a valid number, got '1'"),
        (put("cell", "ratio", value=0), "cell.ratio: Input should be greater than 0"),
        (put("cell", "seed", value=True), "cell.seed: Input should be a valid integer, got True"),
        (put("cell", "pair", value="other"), "cell.pair: Input should be 'fine', 'coarse' or 'all'"),
        (put("cell", "classes", value=["a"]), "cell.classes: expected two or more, each once"),
        (put("cell", "minority", value=["fox"]), "cell.classes: .*some of them in cell.minority"),
        (put("cell", "base", value=10**30), "cell.base: Input should be less than or equal to"),
        (put("status", value="finished"), "status: Input should be 'done', 'undefined' or 'failed'"),
        (put("method", value="fscl"), "method: "),
        (put("train_counts", value={"b": 1.5}), "train_counts.b: Input should be a valid integer"),
        (put("evaluations", value=[]), "evaluations: Input should be an object"),
        (put(*LAST, "confusion", value=[[1, 2]]), "confusion: expected 2 rows of 2, one for each class"),
        (put(*LAST, "confusion", value=[[1, 2], [3]]), "confusion: expected 2 rows of 2"),
        (
            put(*LAST, "confusion", value=[[1, 2], [3, -4]]),
            "confusion.1.1: Input should be greater than or equal to 0",
        ),
        (put(*LAST, "counts", value={"fox": 1}), "counts: expected one for each class"),
        (put(*LAST, "classes", value=["a", "c"]), "expected one for each class"),
        (put(*LAST, "failed", value=[{"path": "a.jpg"}]), "failed.0.reason: Field required"),
        (put(*LAST, "failed", value=["a.jpg"]), "failed.0: Input should be an object"),
        (put(*LAST, "figures", "auroc", value="0.5"), "figures.auroc: Input should be a valid number, got '0.5'"),
        (put(*LAST, "figures", "ece", value=float("nan")), "figures.ece: Input should be a finite number"),
        (put(*LAST, "figures", "recall_by_class", value=[1]), "recall_by_class: Input should be an object"),
        (put(*LAST, "threshold", value=0.5), "threshold: Input should be an object"),
        (put("curve", "step", value=[1]), "loss: expected 1 values, one for each step or epoch, got 200"),
        (put("curve", "terms", "cross_entropy", value=[]), "cross_entropy: expected 200 values"),
        (put("validation_curve", "epoch", value=[]), "balanced_accuracy: expected 0 values"),
        (put("provenance", "seconds", value=-1), "provenance.seconds: Input should be greater than or equal to 0"),
        (
            put("provenance", "machine", value="mine"),
            "provenance.machine: Input should be a valid dictionary|an object",
        ),
    ],
)
def test_a_cell_of_another_shape_is_named_with_the_place(write_study, change, why):
    with pytest.raises(OutputError, match=rf"fine-fscl-r1-s0\.json is damaged: .*({why}).*; delete it and run"):
        read_study(rewritten(write_study(**SMALL), CELL, change))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (put("axes", value=[]), "axes: Input should be an object"),
        (put("axes", "pairs", value={"fine": "a:b"}), "axes.pairs.fine: Input should be a valid array"),
        (put("axes", "seeds", value=["0"]), "axes.seeds.0: Input should be a valid integer, got '0'"),
        (put("axes", "ratios", value=[float("inf")]), "axes.ratios.0: Input should be "),
        (put("settings", value="none"), "settings: Input should be an object"),
        (
            put("settings", value={"base.fine": "many"}),
            "settings: expected a number of photos as base.fine, got 'many'",
        ),
        (put("photos", value="drawn"), "photos: Input should be 'real' or 'generated'"),
        (put("title", value=None), "title: Input should be a valid string, got None"),
    ],
)
def test_a_header_of_another_shape_is_named_with_the_place(write_study, change, why):
    with pytest.raises(OutputError, match=rf"study\.json is damaged: {why}.*; write it again with fscl compare"):
        read_study(rewritten(write_study(**SMALL), "study.json", change))


def test_a_cell_that_is_there_twice_or_of_other_classes_is_named(write_study):
    folder = write_study(**SMALL)
    copy = folder / "cells" / "fine-fscl-r1-s9.json"
    copy.write_bytes((folder / CELL).read_bytes())
    with pytest.raises(OutputError, match=r"r1-s9\.json: the cell fine-fscl-r1-s0 is also in fine-fscl-r1-s0\.json"):
        read_study(folder)
    copy.unlink()
    other = json.loads((folder / CELL).read_text().replace('"a"', '"c"'))
    (folder / CELL).write_text(json.dumps(other))
    with pytest.raises(OutputError, match="has other classes than the cells beside it"):
        read_study(folder)


def test_what_a_killed_write_left_is_no_cell(write_study):
    folder = write_study(**SMALL)
    (folder / "cells/.fine-fscl-r1-s0.json.a1b2c3d4.json").write_text("{")
    assert len(read_study(folder).cells) == 8


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"5", b"null", b"[" * 5000, b'{"version": ' + b"1" * 5000 + b"}"]
)
def test_bytes_that_are_no_cell(write_study, content):
    folder = write_study(**SMALL)
    (folder / CELL).write_bytes(content)
    with pytest.raises(OutputError, match=r"fine-fscl-r1-s0\.json is damaged: "):
        read_study(folder)

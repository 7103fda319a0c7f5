import io
import json

import numpy as np
import pandas as pd
import pytest

from fscl.report.frame import figures_frame
from fscl.report.study import read_study


def test_a_row_per_cell_epoch_and_decision_survives_csv(write_study):
    folder = write_study()
    frame = figures_frame(read_study(folder))
    back = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    paths = sorted((folder / "cells").glob("*.json"))
    assert len(back) == 4 * len(paths)
    for path in paths:
        for epoch, evaluation in json.loads(path.read_text(encoding="utf-8"))["evaluations"].items():
            rows = back[(back["cell"] == path.stem) & (back["epoch"] == epoch)].set_index("decision")
            at = {"argmax": evaluation["figures"], "threshold": evaluation["threshold"]["figures"]}
            for decision, figures in at.items():
                row = rows.loc[decision]
                assert row["auroc"] == pytest.approx(figures["auroc"], rel=1e-14)
                assert row["minority_recall"] == pytest.approx(figures["minority_recall"], rel=1e-14)
                assert row["recall:water_deer"] == pytest.approx(figures["recall_by_class"]["water_deer"], rel=1e-14)
                assert row["recall:>=1000"] == pytest.approx(figures["recall_by_bin"][">=1000"], rel=1e-14)
                assert bool(row["kept"]) == (epoch == "last")
            assert rows.loc["threshold", "threshold"] == pytest.approx(0.31)
            assert np.isnan(rows.loc["argmax", "threshold"])


def test_cells_without_figures_are_rows_with_their_reason(write_study):
    none = {"status": "undefined", "reason": "too few, by far", "evaluations": {}}
    folder = write_study(seeds=(0,), change=lambda c: {**c, **none} if c["cell"]["method"] == "fscl" else c)
    frame = figures_frame(read_study(folder))
    without = frame[frame["status"] == "undefined"]
    assert without["reason"].tolist() == ["too few, by far"] * 4
    assert without[["epoch", "decision", "minority_recall"]].isna().all(axis=None)


def test_a_class_may_be_called_as_a_bin(write_study):
    from fscl.report.frame import figures_frame
    from fscl.report.study import read_study

    pairs = {"fine": ["deer", "100-999"]}
    study = read_study(write_study(pairs=pairs, methods=("fscl",), ratios=(1.0,), seeds=(0,), best=False))
    [row, _] = figures_frame(study).to_dict("records")
    figures = study.cells[0].result.figures
    assert figures.recall_by_class["100-999"] != figures.recall_by_bin[">=1000"]
    assert row["recall:class:100-999"] == figures.recall_by_class["100-999"]
    assert row["recall:deer"] == figures.recall_by_class["deer"]
    assert row["recall:>=1000"] == figures.recall_by_bin[">=1000"]
    assert row["recall:100-999"] is None or row["recall:100-999"] != row["recall:100-999"]

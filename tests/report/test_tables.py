import io
import json

import numpy as np
import pandas as pd
from rich.console import Console

from fscl.report.study import read_study
from fscl.report.tables import (
    FIGURES,
    choices_table,
    effort_table,
    figures_table,
    pair_title,
    study_table,
    terminal_table,
    unfinished_table,
)

METHODS = ("baseline", "oversampling", "contrastive", "fscl")


def cells_of(folder, **key):
    cells = [json.loads(path.read_text()) for path in sorted((folder / "cells").glob("*.json"))]
    return [cell for cell in cells if key.items() <= cell["cell"].items()]


def without_figures(status, reason, **key):
    empty = {"status": status, "reason": reason, "evaluations": {}, "curve": None, "validation_curve": None}
    return lambda cell: {**cell, **empty} if key.items() <= cell["cell"].items() else cell


def test_the_study_table_has_mean_and_sd_of_minority_recall(write_study):
    folder = write_study()
    table = study_table(read_study(folder), "fine")
    assert table.columns == ("baseline", "oversampling", "contrastive", "FSCL")
    (section,) = table.sections
    assert [row.title for row in section.rows] == ["1:1", "1:0.01"]
    for ratio, row in zip((1.0, 0.01), section.rows, strict=True):
        means = {}
        for method, entry in zip(METHODS, row.entries, strict=True):
            cells = cells_of(folder, pair="fine", method=method, ratio=ratio)
            recalls = [cell["evaluations"]["last"]["figures"]["minority_recall"] for cell in cells]
            means[method] = np.mean(recalls)
            assert entry.text == f"{np.mean(recalls):.2f} ± {np.std(recalls, ddof=1):.2f}"
            assert entry.detail.startswith("3 seeds · published 0.")
        assert row.entries[METHODS.index(max(means, key=means.get))].best


def test_published_figures_stand_at_their_ratio_and_method_only(write_study):
    study = read_study(write_study(methods=("fscl", "focal"), ratios=(0.01, 0.02)))
    rarest = study_table(study, "fine").sections[0].rows[1].entries
    other = study_table(study, "fine").sections[0].rows[0].entries
    assert [entry.detail for entry in rarest] == ["3 seeds · published 0.89", "3 seeds"]
    assert [entry.detail for entry in other] == ["3 seeds", "3 seeds"]


def test_every_figure_of_the_second_table_is_the_cells_mean(write_study):
    folder = write_study(methods=("baseline", "fscl"))
    table = figures_table(read_study(folder), "coarse")
    names = list(FIGURES)
    section = table.sections[1]
    assert section.title == "1:0.01 · 1,000 water_deer · 10 wild_boar"
    for method, row in zip(("baseline", "fscl"), section.rows, strict=True):
        cells = cells_of(folder, pair="coarse", method=method, ratio=0.01)
        figures = pd.DataFrame([cell["evaluations"]["last"]["figures"] for cell in cells])
        expected = [(f"{figures[n].mean():.3f}", f"± {figures[n].std():.3f}") for n in names]
        assert [(entry.text, entry.detail) for entry in row.entries[: len(names)]] == expected
        bins = pd.DataFrame(figures["recall_by_bin"].tolist()).astype(float)
        shown = dict(zip(table.columns[len(names) :], row.entries[len(names) :], strict=True))
        assert shown["recall at 10–99"].text == f"{bins['10-99'].mean():.3f}"
        assert shown["recall at ≥1000"].text == f"{bins['>=1000'].mean():.3f}"
        assert "recall at <10" not in shown


def test_the_epoch_that_each_method_kept_is_said(write_study):
    def caption(kept):
        def change(cell):
            key = cell["cell"]
            return {**cell, "kept": kept.get((key["method"], key["seed"]), kept.get(key["method"], "last"))}

        study = read_study(write_study(methods=("baseline", "focal", "fscl"), change=change))
        return figures_table(study, "fine").caption

    assert "at the epoch kept, the last one; mean over seeds" in caption({})
    assert "the last one: baseline, FSCL; the best one on validation: focal;" in caption({"focal": "best"})
    mixed = caption({"fscl": "best", ("fscl", 1): "last"})  # too few validation photos with one seed
    assert "the last one: baseline, focal; the last one or the best one on validation: FSCL;" in mixed


def test_ece_leads_where_it_is_lowest(write_study):
    table = figures_table(read_study(write_study(seeds=(0,))), "fine")
    rows, place = table.sections[1].rows, list(FIGURES).index("ece")
    lowest = min(rows, key=lambda row: float(row.entries[place].text))
    assert [row.title for row in rows if row.entries[place].best] == [lowest.title]


def test_a_method_that_only_guesses_is_never_marked(write_study):
    def change(cell):
        figures = cell["evaluations"]["last"]["figures"]
        if cell["cell"]["method"] == "fscl":  # all photos are called rare
            everything = {"water_deer": 0.0, "roe_deer": 1.0}
            figures |= {"minority_recall": 1.0, "majority_recall": 0.0, "recall_by_class": everything}
            figures |= {"balanced_accuracy": 0.5, "auroc": 1.0}
        elif cell["cell"]["method"] == "contrastive":
            figures |= {"auroc": 0.515, "average_precision": 1.0, "ece": 0.0}
        return cell

    study = read_study(write_study(change=change))
    columns = ["ratio", *(study.title(method) for method in METHODS)]
    for row in study_table(study, "fine").sections[0].rows:
        marked = {title for title, entry in zip(columns[1:], row.entries, strict=True) if entry.best}
        assert "FSCL" not in marked
        assert marked
    names = list(FIGURES)
    for section in figures_table(study, "fine").sections:
        rows = {row.title: dict(zip(names, row.entries[: len(names)], strict=True)) for row in section.rows}
        assert rows["FSCL"]["auroc"].best
        assert not any(rows["FSCL"][name].best for name in ("minority_recall", "balanced_accuracy", "accuracy"))
        assert not any(rows["contrastive"][name].best for name in ("auroc", "average_precision", "ece"))
        assert any(row["ece"].best for row in rows.values())


def test_cells_without_figures_are_rows_with_their_reason(write_study):
    change = without_figures("undefined", "leaves 2 minority training photos, needs 3", method="fscl", ratio=0.01)
    study = read_study(write_study(change=change))
    assert study_table(study, "fine").sections[0].rows[1].entries[3].text == "undefined"
    row = figures_table(study, "fine").sections[1].rows[3]
    assert [(e.text, e.detail) for e in row.entries] == [("undefined", "leaves 2 minority training photos, needs 3")]
    rows = unfinished_table(study).sections[0].rows
    assert [row.title for row in rows] == [f"{pair}-fscl-r0.01-s{s}" for pair in ("fine", "coarse") for s in range(3)]


def test_a_failed_seed_leaves_the_mean_of_the_others(write_study):
    change = without_figures("failed", "out of memory", pair="fine", method="fscl", ratio=1.0, seed=1)
    folder = write_study(change=change)
    entry = study_table(read_study(folder), "fine").sections[0].rows[0].entries[3]
    done = [c for c in cells_of(folder, pair="fine", method="fscl", ratio=1.0) if c["status"] == "done"]
    mean = np.mean([cell["evaluations"]["last"]["figures"]["minority_recall"] for cell in done])
    assert entry.text.startswith(f"{mean:.2f} ±")
    assert entry.detail.startswith("2 of 3 seeds")


def test_not_run_cells_are_rows_too(write_study):
    study = read_study(write_study(change=lambda cell: None if cell["cell"]["seed"] == 2 else cell))
    rows = unfinished_table(study).sections[0].rows
    assert len(rows) == 2 * 2 * 4
    assert {row.entries[0].text for row in rows} == {"not run"}
    assert unfinished_table(read_study(write_study())) is None


def test_choices_compare_epochs_and_thresholds(write_study):
    folder = write_study(methods=("fscl",), ratios=(0.01,))
    table = choices_table(read_study(folder), "fine")
    assert table.columns == (
        "last epoch, argmax",
        "last epoch, threshold",
        "best epoch, argmax",
        "best epoch, threshold",
    )
    chosen = [c["evaluations"]["best"]["threshold"]["figures"] for c in cells_of(folder, pair="fine")]
    minority, majority, balanced = (
        [figures[name] for figures in chosen] for name in ("minority_recall", "majority_recall", "balanced_accuracy")
    )
    entry = table.sections[0].rows[0].entries[3]
    assert entry.text == f"{np.mean(balanced):.2f} ± {np.std(balanced, ddof=1):.2f}"
    assert entry.detail == f"{np.mean(minority):.2f} | {np.mean(majority):.2f}"


def test_choices_are_compared_by_balanced_accuracy_and_not_by_accuracy(write_study):
    def change(cell):
        cell["evaluations"]["last"]["figures"] |= {"accuracy": 0.99, "balanced_accuracy": 0.61}
        return cell

    entry = choices_table(read_study(write_study(seeds=(0,), change=change)), "fine").sections[0].rows[0].entries[0]
    assert entry.text == "0.61"


def test_without_a_choice_there_is_no_table_of_choices(write_study):
    folder = write_study(pairs={"all": ["a", "b", "c"]}, best=False)
    assert choices_table(read_study(folder), "all") is None


def test_effort_is_per_finished_cell(write_study):
    study = read_study(write_study(change=without_figures("failed", "stopped", method="baseline", pair="fine")))
    row = effort_table(study).sections[0].rows[0]
    assert [entry.text for entry in row.entries] == ["6", "2,000", "410 ± 0", "15.2 ± 0.0"]


def test_the_terminal_table_never_shows_minority_recall_alone(write_study):
    change = without_figures("failed", "stopped", method="contrastive")
    study = read_study(write_study(pairs={"fine": ["[red]a[/red]", "b"]}, change=change))
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(terminal_table(study))
    text = console.export_text()
    for heading in ("minority", "majority", "balanced", "AUROC"):
        assert heading in text
    assert pair_title(study, "fine") in text
    assert "failed" in text
    recall = study_table(study, "fine").sections[0].rows[1].entries[0].text.replace(" ", "")
    assert recall in text
    assert "…" not in text

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fscl.report.paired import paired_frame, paired_table, paired_tests
from fscl.report.study import read_study
from fscl.scoring.crossed import crossed_t, photo_parts
from fscl.scoring.metrics import figures

GUIDE = Path(__file__).resolve().parents[2] / "docs/reproduce.md"
CLASSES = ["water_deer", "roe_deer"]
LABELS = np.repeat([0, 1], [60, 30])
REGIONS = np.array([f"{number:03}.jpg#0" for number in range(90)])
BURSTS = np.arange(90) // 3


@pytest.fixture
def scored(write_study):
    """Return a function that writes a study of two methods with scores; `lead` is what FSCL is better by."""

    def write(lead=0.0, seeds=(0, 1, 2, 3, 4), **options):
        photo = np.random.default_rng(9).normal(size=90)
        models = {}

        def change(cell):
            key = cell["cell"]
            generator = np.random.default_rng([key["seed"], *key["method"].encode()])
            shift = lead if key["method"] == "fscl" else 0.0
            score = photo + (1 + shift) * LABELS + 0.5 * generator.normal(size=90) - 0.5
            logits = np.stack([np.zeros(90), score], axis=1).astype(np.float32)
            models[key["method"], key["seed"]] = logits
            found = figures(logits, LABELS, classes=CLASSES, minority=["roe_deer"], train_counts=cell["train_counts"])
            cell["evaluations"]["last"]["figures"] = found
            cell["evaluations"]["last"]["counts"] = {"water_deer": 60, "roe_deer": 30}
            return cell

        axes = {"methods": ("baseline", "fscl"), "ratios": (0.1,), "pairs": {"fine": CLASSES}, "best": False}
        folder = write_study(**axes, seeds=seeds, change=change, **options)
        (folder / "scores").mkdir()
        for (method, seed), logits in models.items():
            table = pd.DataFrame({"region_id": REGIONS, "label": np.array(CLASSES)[LABELS]})
            table[["logit:water_deer", "logit:roe_deer"]] = logits
            shuffled = table.sample(frac=1, random_state=seed)  # rows of a cell may come in any order
            shuffled.to_parquet(folder / "scores" / f"fine-{method}-r0.1-s{seed}.parquet", index=False)
        return folder, models

    return write


def expected(models, figure, bursts):
    parts = [
        np.array([photo_parts(models[method, seed], LABELS, np.array([False, True]))[figure] for seed in range(5)])
        for method in ("fscl", "baseline")
    ]
    totals = [
        sum(own[:, c == LABELS].mean(axis=1) for c in (0, 1)) / (2 if figure == "auroc" else 1) for own in parts
    ]
    return crossed_t(list(totals[0] - totals[1]), parts[0] - parts[1], LABELS, bursts)


def test_stored_scores_resample_the_test_photos_too(scored):
    folder, models = scored(lead=0.3)
    study = read_study(folder)
    tests = {test.figure: test for test in paired_tests(study, "fine")}
    for figure, test in tests.items():
        assert test.covers == "seeds and test photos"
        assert (test.difference, test.low, test.high, test.p) == pytest.approx(
            expected(models, figure, np.arange(90)), rel=1e-6
        )
    without = {test.figure: test for test in paired_tests(replace(study, folder=None), "fine")}
    assert {test.covers for test in without.values()} == {"seeds"}
    assert tests["auroc"].difference == pytest.approx(without["auroc"].difference)
    assert tests["auroc"].p > without["auroc"].p
    assert "hold for other seeds and other test photos" in paired_table(study, "fine").caption


def test_photos_of_a_sequence_are_resampled_together(scored):
    folder, models = scored()
    photos = pd.DataFrame({"region_id": REGIONS, "sequence": [f"clip {burst}" for burst in BURSTS]})
    photos.to_parquet(folder / "photos.parquet")
    (auroc,) = [test for test in paired_tests(read_study(folder), "fine") if test.figure == "auroc"]
    assert auroc.p == pytest.approx(expected(models, "auroc", BURSTS).p, rel=1e-6)


def test_photos_without_a_sequence_are_resampled_one_by_one(scored):
    folder, models = scored()
    sequences = [f"clip {burst}" if burst % 2 else None for burst in BURSTS]
    pd.DataFrame({"region_id": REGIONS, "sequence": sequences}).to_parquet(folder / "photos.parquet")
    (auroc,) = [test for test in paired_tests(read_study(folder), "fine") if test.figure == "auroc"]
    bursts = np.where(BURSTS % 2, BURSTS, 100 + np.arange(90))
    assert auroc.p == pytest.approx(expected(models, "auroc", bursts).p, rel=1e-6)


def test_regions_of_one_photo_are_resampled_together(scored):
    folder, models = scored()
    for path in (folder / "scores").glob("*.parquet"):
        table = pd.read_parquet(path)
        place = table["region_id"].str[:3].astype(int)
        table["region_id"] = [f"{p // 3:03}.jpg#{p % 3}" for p in place]
        table.to_parquet(path, index=False)
    (auroc,) = [test for test in paired_tests(read_study(folder), "fine") if test.figure == "auroc"]
    assert auroc.p == pytest.approx(expected(models, "auroc", BURSTS).p, rel=1e-6)


def test_a_photo_that_one_cell_could_not_read_is_left_out_of_all(scored):
    folder, _ = scored()
    before = paired_frame(read_study(folder))
    path = folder / "scores" / "fine-fscl-r0.1-s2.parquet"
    pd.read_parquet(path).query("region_id != '004.jpg#0'").to_parquet(path, index=False)
    after = paired_frame(read_study(folder))
    assert set(after["covers"]) == {"seeds and test photos"}
    assert after["p"].tolist() == pytest.approx(before["p"].tolist(), rel=0.2)
    assert after["p"].tolist() != before["p"].tolist()


def broken(path, how):
    if how == "missing":
        path.unlink()
    elif how == "cut short":
        path.write_bytes(path.read_bytes()[:200])
    else:
        table = pd.read_parquet(path)
        if how == "other classes":
            table = table.rename(columns={"logit:roe_deer": "logit:boar"})
        elif how == "unknown label":
            table.loc[3, "label"] = "boar"
        elif how == "not finite":
            table.loc[3, "logit:roe_deer"] = np.nan
        elif how == "logits in words":
            table["logit:roe_deer"] = "high"
        elif how == "regions in lists":
            table["region_id"] = [[name] for name in table["region_id"]]
        elif how == "a region without name":
            table.loc[3, "region_id"] = None
        elif how == "a region twice":
            table.loc[3, "region_id"] = table.loc[4, "region_id"]
        table.to_parquet(path, index=False)


DAMAGE = ["missing", "cut short", "other classes", "unknown label", "not finite", "logits in words"]
DAMAGE += ["regions in lists", "a region without name", "a region twice"]


@pytest.mark.parametrize("how", DAMAGE)
def test_where_a_cells_scores_are_not_to_be_had_its_tests_cover_seeds_only(scored, how):
    folder, _ = scored()
    broken(folder / "scores" / "fine-fscl-r0.1-s2.parquet", how)
    study = read_study(folder)
    assert {test.covers for test in paired_tests(study, "fine")} == {"seeds"}


def test_where_some_scores_are_missing_the_table_says_which_tests_cover_seeds_only(scored):
    folder, _ = scored()
    for method in ("fscl", "baseline"):  # a ratio without scores
        for seed in range(5):
            cell = json.loads((folder / "cells" / f"fine-{method}-r0.1-s{seed}.json").read_text())
            cell["cell"]["ratio"] = 1.0
            (folder / "cells" / f"fine-{method}-r1-s{seed}.json").write_text(json.dumps(cell))
    table = paired_table(read_study(folder), "fine")
    assert "for other seeds only where it says so" in table.caption
    without, with_scores = (section.rows[0].entries[2].detail for section in table.sections)
    assert without.endswith(", seeds only")
    assert "seeds only" not in with_scores


def test_the_scores_of_single_photos_as_the_guide_reads_them(scored, tmp_path, monkeypatch):
    folder, models = scored(folder=tmp_path / "runs" / "study")
    failed = json.loads((folder / "cells/fine-fscl-r0.1-s0.json").read_text())
    failed["cell"]["seed"] = 9
    (folder / "cells/fine-fscl-r0.1-s9.json").write_text(json.dumps(failed | {"status": "failed", "evaluations": {}}))
    photos = {"region_id": REGIONS, "path": [name[:-2] for name in REGIONS], "site": "S1", "sequence": "s"}
    pd.DataFrame(photos).to_parquet(folder / "photos.parquet")
    [lines] = re.findall(r"```python\n([^`]*pd\.read_parquet[^`]*)```", GUIDE.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(lines, scope)
    study = read_study(folder)
    for method in ("baseline", "fscl"):
        cells = [cell for cell in study.select(method=method) if cell.status == "done"]
        found = np.mean([cell.result.figures.minority_recall for cell in cells])
        assert scope["recall"]["fine", 0.1, method, "roe_deer"] == pytest.approx(found)
    right = np.mean([logits.argmax(axis=1) == LABELS for logits in models.values()], axis=0)
    assert len(scope["wrong"]) == 90
    for place in (0, 40, 89):
        assert scope["wrong"][CLASSES[LABELS[place]], f"{place:03}.jpg"] == pytest.approx(1 - right[place])

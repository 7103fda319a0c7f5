import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pandas as pd
import pytest

from fscl.config import with_weight
from fscl.errors import ConfigurationError, FsclError, OutputError, PhotosError
from fscl.evaluation import evaluate_run
from fscl.experiments import cell as cell_module
from fscl.experiments import ledger as ledger_module
from fscl.experiments.grid import ClassSet
from fscl.experiments.ledger import LOCKS, Ledger
from fscl.experiments.run import compare, failures, pairs_of
from fscl.lock import held, taken
from fscl.manifest.imbalance import profile_sizes
from fscl.manifest.table import Manifest
from fscl.progress import Silent
from fscl.report import paired_frame, read_study
from fscl.report.tables import figures_table, study_table
from fscl.scoring.curves import curve
from tests.experiments.records import done

pytestmark = pytest.mark.slow

FINE = ClassSet("fine", ("boar", "deer"), ("deer",))
AXES = {"pairs": [FINE], "ratios": [1.0, 0.25], "seeds": [0], "jobs": 1, "quiet": True}


def configs(quick, *methods, **flags):
    return {name: quick(name, steps=3, **flags) for name in methods}


@pytest.fixture(scope="module")
def study(tmp_path_factory, photos):
    from fscl import methods
    from fscl.config import resolve, settings

    small = settings({"backbone": "test_resnet", "image_size": 32, "steps": 3, "batch_size": 16, "workers": 0})
    four = {name: resolve([(name, methods.read(name)), ("test", small)]) for name in methods.STUDY}
    return compare(photos, four, tmp_path_factory.mktemp("studies") / "study", **AXES)


def records(out):
    return {path.stem: json.loads(path.read_text()) for path in sorted((out / "cells").glob("*.json"))}


def test_every_cell_is_one_file_with_what_the_schema_says(study):
    found = records(study)
    assert len(found) == 8
    for name, record in found.items():
        assert record["status"] == "done", record["reason"]
        assert set(record) == {
            *("version", "cell", "status", "reason", "train_counts", "kept", "evaluations", "curve"),
            *("validation_curve", "similarity", "unreadable", "method", "provenance"),
        }
        assert record["provenance"]["steps"] == 3
        scores = pd.read_parquet(study / "scores" / f"{name}.parquet")
        assert list(scores) == ["region_id", "label", "logit:boar", "logit:deer"]
        recall = (scores["logit:deer"] > scores["logit:boar"])[scores["label"] == "deer"].mean()
        assert record["evaluations"]["last"]["figures"]["minority_recall"] == pytest.approx(recall)


def test_a_cell_is_evaluated_by_as_many_reading_processes_as_its_settings_say(tmp_path, photos, quick, monkeypatch):
    asked, evaluate = [], cell_module.evaluate

    def watched(*bundle_and_photos, **how):
        asked.append(how["workers"])
        return evaluate(*bundle_and_photos, **how)

    monkeypatch.setattr(cell_module, "evaluate", watched)
    compare(photos, configs(quick, "baseline", workers=1), tmp_path / "study", **AXES)
    assert asked == [1, 1]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_the_user_should_know_of_several_cells_is_said_once(tmp_path, photos, quick, capsys, jobs):
    augmented = {
        name: config.model_copy(
            update={"augmentation": config.augmentation.model_copy(update={"classes": "minority"})}
        )
        for name, config in configs(quick, "baseline", "oversampling").items()
    }
    compare(photos, augmented, tmp_path / "s", **AXES | {"ratios": [1.0], "jobs": jobs, "quiet": False})
    assert capsys.readouterr().err.count("only the rare class is augmented") == 1


def test_the_report_tests_methods_on_the_scores_of_a_real_study(tmp_path, photos, quick):
    out = compare(photos, configs(quick, "baseline", "fscl"), tmp_path / "s", **AXES | {"seeds": [0, 1, 2]})
    tests = paired_frame(read_study(out))
    assert len(tests) == 2 * 3
    assert set(tests["covers"]) == {"seeds and test photos"}


def test_methods_share_photos_and_the_test_set_is_never_thinned(study):
    found = records(study)
    for ratio in ("1", "0.25"):
        runs = [
            set(pd.read_parquet(study / "runs" / f"fine-{method}-r{ratio}-s0" / "photos.parquet")["region_id"])
            for method in ("baseline", "fscl")
        ]
        assert runs[0] == runs[1]
    assert len({json.dumps(record["evaluations"]["last"]["counts"]) for record in found.values()}) == 1
    counts = found["fine-fscl-r0.25-s0"]["train_counts"]
    assert counts["deer"] == counts["boar"] // 4


def test_a_cell_is_evaluated_as_its_run_is(tmp_path, photos, quick):
    enough = {"val_fraction": 0.7, "test_fraction": 0.1}  # of validation photos, for a threshold
    out = compare(photos, configs(quick, "baseline", **enough), tmp_path / "s", **AXES | {"ratios": [1.0]})
    [(name, record)] = records(out).items()
    own, alone = record["evaluations"]["last"], evaluate_run(out / "runs" / name)
    assert own["threshold"]["value"] == pytest.approx(alone.threshold.value)
    assert own["counts"] == alone.counts
    assert own["train_photos"] == record["train_counts"] == alone.train_photos


def test_a_run_that_keeps_no_decisions_is_decided_on_validation(tmp_path, photos, quick, monkeypatch):
    real, asked = cell_module.evaluate, []
    monkeypatch.setattr(cell_module, "evaluate", lambda *given, **more: asked.append(given) or real(*given, **more))
    compare(photos, configs(quick, "baseline"), tmp_path / "s", **AXES | {"ratios": [1.0]})
    assert asked
    for _, test, validation in asked:
        assert set(test.rows["split"]) == {"test"}
        assert set(validation.rows["split"]) == {"val"}


def test_the_scores_of_a_cell_are_those_of_the_epoch_that_it_keeps(tmp_path, photos, quick, monkeypatch):
    written = []
    monkeypatch.setattr(Ledger, "write_scores", lambda ledger, cell, scores: written.append(scores))
    enough = {"val_fraction": 0.7, "test_fraction": 0.1}  # of validation photos, for a best epoch
    out = compare(photos, configs(quick, "baseline", **enough), tmp_path / "s", **AXES | {"ratios": [1.0]})
    [record] = records(out).values()
    assert list(record["evaluations"]) == ["last", "best"]
    assert len(written) == 1


def test_validation_is_thinned_in_all_cells_or_in_none(tmp_path, photos, quick):
    axes = AXES | {"ratios": [1.0]}
    out = compare(photos, configs(quick, "baseline"), tmp_path / "s", **axes)
    with pytest.raises(OutputError, match=r"other settings \(imbalance.thin_validation was True, is False"):
        compare(photos, configs(quick, "fscl", thin_validation=False), out, **axes)


def test_cells_of_other_seeds_train_otherwise(tmp_path, photos, quick):
    out = compare(photos, configs(quick, "baseline"), tmp_path / "s", **AXES | {"ratios": [1.0], "seeds": [0, 1]})
    first, second = records(out).values()
    assert first["curve"]["loss"] != second["curve"]["loss"]


def test_every_cell_compares_the_same_test_photos_from_the_same_start(study):
    found = [record["similarity"] for record in records(study).values()]
    for same in ("region_id", "label", "before"):
        assert all(own[same] == found[0][same] for own in found)
    assert found[0]["label"] == sorted(found[0]["label"])
    test = pd.read_parquet(study / "photos.parquet").set_index("region_id").loc[found[0]["region_id"]]
    assert set(test["split"]) == {"test"}
    assert test["label"].tolist() == found[0]["label"]
    assert len({json.dumps(own["after"]) for own in found}) == len(found)


def test_checkpoints_of_finished_cells_are_gone_and_bundles_open(study):
    assert not list(study.rglob("checkpoint.pt"))
    assert len(list(study.glob("runs/*/bundle.json"))) == 8


def test_the_report_reads_it(study):
    assert len(read_study(study).cells) == 8
    assert not list(read_study(study).missing())


def test_a_second_call_does_only_what_is_missing(study, photos, quick, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in (study / "cells").glob("*.json")}
    gone = study / "cells" / "fine-fscl-r1-s0.json"
    gone.unlink()
    trained = []
    real = cell_module.fit
    monkeypatch.setattr(cell_module, "fit", lambda *a, **k: (trained.append(a[2].name), real(*a, **k)))
    compare(photos, configs(quick, "baseline", "oversampling", "contrastive", "fscl"), study, **AXES)
    assert trained == [gone.stem]
    after = {path: path.stat().st_mtime_ns for path in (study / "cells").glob("*.json")}
    assert {path for path in before if before[path] != after[path]} == {gone}


def test_other_settings_are_refused_and_nothing_is_lost(study, photos, quick):
    before = records(study)
    with pytest.raises(OutputError, match=r"other settings \(training.steps was 3, is 4"):
        compare(photos, {"fscl": quick("fscl", steps=4)}, study, **AXES)
    assert records(study) == before


def test_undefined_and_failed_cells_are_rows_with_their_reason(tmp_path, photos, quick, monkeypatch):
    real = cell_module.fit

    def fail_on_fscl(config, *args, **options):
        if config.method.name == "fscl":
            raise RuntimeError("out of memory")
        return real(config, *args, **options)

    monkeypatch.setattr(cell_module, "fit", fail_on_fscl)
    axes = AXES | {"ratios": [1.0, 0.1]}
    out = compare(photos, configs(quick, "baseline", "fscl"), tmp_path / "study", **axes)
    found = records(out)
    assert found["fine-fscl-r1-s0"]["status"] == "failed"
    assert found["fine-fscl-r1-s0"]["reason"] == "RuntimeError: out of memory"
    assert "fail_on_fscl" in (out / "runs/fine-fscl-r1-s0/error.txt").read_text()
    assert failures(out) == {"fine-fscl-r1-s0": "RuntimeError: out of memory"}
    assert found["fine-baseline-r1-s0"]["status"] == "done"
    assert found["fine-baseline-r0.1-s0"]["status"] == "undefined"
    assert "leaves 2 minority training photos, needs 3" in found["fine-baseline-r0.1-s0"]["reason"]
    monkeypatch.setattr(cell_module, "fit", real)
    compare(photos, configs(quick, "baseline", "fscl"), out, **axes)
    assert records(out)["fine-fscl-r1-s0"]["status"] == "done"


def test_an_interrupted_comparison_goes_on(tmp_path, photos, quick, monkeypatch):
    class Presser(Silent):
        def advance(self, step, steps, photos_per_second, terms):
            if step == 2:
                os.kill(os.getpid(), signal.SIGINT)

    from fscl.experiments import run

    monkeypatch.setattr(run, "Silent", Presser)
    with pytest.raises(KeyboardInterrupt):
        compare(photos, configs(quick, "fscl"), tmp_path / "study", **AXES)
    assert len(list((tmp_path / "study").rglob("checkpoint.pt"))) == 1
    monkeypatch.undo()
    compare(photos, configs(quick, "fscl"), tmp_path / "study", **AXES)
    assert {record["status"] for record in records(tmp_path / "study").values()} == {"done"}


def test_other_classes_photos_or_weights_are_refused(tmp_path, photos, quick):
    axes = AXES | {"ratios": [1.0]}
    out = compare(photos, configs(quick, "fscl"), tmp_path / "s", **axes)
    before = records(out)
    with pytest.raises(OutputError, match=r"was run with other classes or settings|pair fine was"):
        compare(
            photos, configs(quick, "fscl"), out, **axes | {"pairs": [ClassSet("fine", ("boar", "hare"), ("hare",))]}
        )
    weighed = {"fscl": with_weight(quick("fscl", steps=3), 0.1)}
    with pytest.raises(OutputError, match="was run with other classes or settings"):
        compare(photos, weighed, out, **axes)
    fewer = Manifest(photos.rows.drop(index=[0, 1]).reset_index(drop=True), photos.root)
    with pytest.raises(OutputError, match="holds a study of other photos"):
        compare(fewer, configs(quick, "baseline"), out, **axes)
    elsewhere = Manifest(photos.rows.assign(bytes=None), copytree(photos.root, tmp_path / "copy"))
    boxed = Manifest(photos.rows.assign(x=1.0, y=1.0, w=20.0, h=20.0), photos.root)
    for other, said in ((elsewhere, "the root was"), (boxed, r"boxes of \d+ regions")):
        with pytest.raises(OutputError, match=f"holds a study of other photos: {said}"):
            compare(other, configs(quick, "baseline"), out, **axes)
    (out / "photos.parquet").unlink()
    with pytest.raises(OutputError, match=r"photos.parquet: is gone"):
        compare(photos, configs(quick, "baseline"), out, **axes)
    assert records(out) == before


def test_photos_replaced_since_the_scan_are_an_error_before_anything_is_written(tmp_path, photos, quick):
    own = Manifest(photos.rows, copytree(photos.root, tmp_path / "photos"))
    for name in ("hare/000.jpg", "deer/000.jpg"):
        own.photo(name).write_bytes(b"another photo")
    with pytest.raises(PhotosError, match=r"1 file changed: deer/000.jpg"):
        compare(own, configs(quick, "baseline"), tmp_path / "s", **AXES)
    assert not (tmp_path / "s").exists()


def test_a_study_says_what_it_was_given_and_what_the_split_did(tmp_path, photos, quick, capsys):
    parts = (photos.rows.index % 4 == 0).astype(int)
    rows = photos.rows.assign(split=[("train", "val")[part] for part in parts])
    rows.loc[1, "problem"] = "unreadable: empty file"
    rows.loc[[2, 4], "content_hash"] = "same"
    source = Manifest(rows, photos.root)
    out = compare(source, configs(quick, "baseline"), tmp_path / "s", **AXES | {"ratios": [1.0], "quiet": False})
    said = "the photos have a validation but no test split: their 30 validation photos are the test"
    err = capsys.readouterr().err
    assert err.count(said) == err.count("1 photo left out, byte copy of a test photo: boar/002.jpg") == 1
    study = json.loads((out / "study.json").read_text())
    assert study["given"] == {"rows": 120, "photos": 120}
    assert study["unusable"]["reasons"] == [
        {"reason": "byte copy of a test photo", "rows": 1, "paths": ["boar/002.jpg"]},
        {"reason": "unreadable: empty file", "rows": 1, "paths": ["boar/001.jpg"]},
    ]
    assert study["notes"][0].startswith(said)
    assert not list(read_study(out).missing())


def test_a_comparison_without_test_photos_is_an_error_before_anything_is_trained(tmp_path, photos, quick, capsys):
    sites = photos.rows["path"].str[-5:-4].map(lambda digit: "a" if digit < "5" else "b")
    two = Manifest(photos.rows.assign(site=sites), photos.root)
    with pytest.raises(PhotosError, match="fine has none of boar, deer: fscl split says why"):
        compare(two, configs(quick, "baseline", by="site"), tmp_path / "s", **AXES | {"quiet": False})
    assert "by site none has more than 2; add photos of other sites, or split by sequence" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_photos_that_were_never_used_may_change(tmp_path, photos, quick):
    axes = AXES | {"ratios": [1.0]}
    unlabelled = Manifest(photos.rows.assign(label=photos.rows["label"].mask(photos.rows.index == 0)), photos.root)
    out = compare(unlabelled, configs(quick, "baseline"), tmp_path / "s", **axes)
    without = Manifest(unlabelled.rows[1:].reset_index(drop=True), photos.root)
    compare(without, configs(quick, "baseline", "fscl"), out, **axes)
    assert len(records(out)) == 2


def test_ratios_may_be_added_later(tmp_path, photos, quick):
    for ratio in (1.0, 0.5):
        compare(photos, configs(quick, "baseline"), tmp_path / "s", **AXES | {"ratios": [ratio]})
    assert [cell.cell.ratio for cell in read_study(tmp_path / "s").cells] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"seeds": [-1]}, "seed"),
        ({"pairs": [replace(FINE, base=10_000)]}, "at least 10000 training photos"),
        ({"ratios": [7.0], "pairs": [replace(FINE, base=3)]}, "ratio"),
    ],
)
def test_what_no_cell_can_run_with_is_an_error_before_anything_is_written(tmp_path, photos, quick, axes, message):
    with pytest.raises(FsclError, match=message):
        compare(photos, configs(quick, "baseline"), tmp_path / "s", **AXES | axes)
    assert not (tmp_path / "s").exists()


def test_what_is_given_twice_runs_once(tmp_path, photos, quick):
    out = compare(photos, configs(quick, "baseline"), tmp_path / "s", **AXES | {"ratios": [1, 1.0], "seeds": [0, 0]})
    assert len(records(out)) == 1


def test_seeds_may_be_added_later(tmp_path, photos, quick):
    for seed in (0, 1):
        compare(photos, configs(quick, "baseline"), tmp_path / "s", **AXES | {"seeds": [seed], "ratios": [1.0]})
    study = read_study(tmp_path / "s")
    assert [cell.cell.seed for cell in study.cells] == [0, 1]
    assert study.header.axes.seeds == [0, 1]


def test_photos_as_they_are(tmp_path, photos, quick):
    pairs = pairs_of(photos, fine=None, coarse=None, minority=("deer",), base=None)
    assert pairs == [ClassSet("all", ("boar", "deer", "hare"), ("deer",))]
    out = compare(photos, configs(quick, "fscl"), tmp_path / "s", **AXES | {"pairs": pairs, "ratios": None})
    (record,) = records(out).values()
    counts = record["train_counts"]
    common = (counts["boar"] + counts["hare"]) / 2
    assert record["cell"]["ratio"] == pytest.approx(counts["deer"] / common, rel=0.01)
    assert sum(counts.values()) > 70


def test_the_rare_class_is_the_one_with_the_fewest_photos_and_asked_for_where_several_have_the_fewest(photos):
    with pytest.raises(
        ConfigurationError, match=r"2 classes have the fewest photos \(30 each: deer, hare\).*--minority"
    ):
        pairs_of(photos, fine=None, coarse=None, minority=(), base=None)
    fewer = Manifest(photos.rows.drop(photos.rows.index[photos.rows["label"] == "hare"][0]), photos.root)
    assert pairs_of(fewer, fine=None, coarse=None, minority=(), base=None)[0].minority == ("hare",)
    two = Manifest(photos.rows[photos.rows["label"] != "boar"], photos.root)
    with pytest.raises(ConfigurationError, match="2 classes have the fewest photos"):
        pairs_of(two, fine=None, coarse=None, minority=(), base=None)


def test_a_pair_of_labels_with_colons(photos):
    renamed = Manifest(photos.rows.assign(label="mammal:" + photos.rows["label"]), photos.root)
    [pair] = pairs_of(renamed, fine=r"mammal\:boar:mammal\:deer", coarse=None, minority=(), base=None)
    assert (pair.classes, pair.minority) == (("mammal:boar", "mammal:deer"), ("mammal:deer",))


def test_a_long_tail_over_all_classes(tmp_path, photos, quick):
    pairs = pairs_of(photos, fine=None, coarse=None, minority=(), base=None, imbalances=[10, 2])
    axes = AXES | {"pairs": pairs, "ratios": None, "imbalances": [10, 2]}
    out = compare(photos, configs(quick, "oversampling"), tmp_path / "s", **axes)
    found = records(out)
    assert list(found) == ["all-oversampling-exp10-s0", "all-oversampling-exp2-s0"]
    more, less = found.values()
    base = more["cell"]["base"]
    assert more["train_counts"] == profile_sizes(["boar", "deer", "hare"], 10, base)
    assert less["train_counts"] == profile_sizes(["boar", "deer", "hare"], 2, base)
    assert more["cell"]["minority"] == more["evaluations"]["last"]["minority"] == ["deer", "hare"]
    assert less["cell"]["minority"] == ["hare"]
    photos_of = [set(pd.read_parquet(out / "runs" / name / "photos.parquet")["region_id"]) for name in found]
    assert photos_of[0] < photos_of[1]
    report = read_study(out)
    assert not list(report.missing())
    shown = study_table(report, "all"), figures_table(report, "all")
    assert [row.title for row in shown[0].sections[0].rows] == ["exp 2", "exp 10"]
    assert [section.title.split(" · ")[0] for section in shown[1].sections] == ["exp 2", "exp 10"]
    assert shown[1].columns[-3:] == ("recall at 10–99", "medium-shot (20–100)", "few-shot (<20)")
    with pytest.raises(OutputError, match=r"imbalance.profile was exp, is None"):
        compare(photos, configs(quick, "oversampling"), out, **AXES | {"pairs": pairs})


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"imbalances": [10], "ratios": [0.1]}, "--ratios and --imbalance both"),
        ({"imbalances": [0.1]}, "at least 1, got 0.1"),
        ({"imbalances": [1000], "pairs": [replace(FINE, base=20)]}, "leaves none of 'deer'"),
    ],
)
def test_a_long_tail_that_cannot_be_is_an_error_before_anything_is_written(tmp_path, photos, quick, axes, message):
    with pytest.raises(FsclError, match=message):
        compare(photos, configs(quick, "baseline"), tmp_path / "s", **AXES | {"ratios": None} | axes)
    assert not (tmp_path / "s").exists()


def test_several_at_once_gives_the_cells_of_one_after_the_other(tmp_path, photos, quick, study):
    out = compare(photos, configs(quick, "baseline", "fscl"), tmp_path / "s", **AXES | {"jobs": 2})
    for name, record in records(out).items():
        alone = records(study)[name]
        assert record["evaluations"] == alone["evaluations"]
        assert record["curve"] == alone["curve"]
        weights = [folder / "runs" / name / "weights.safetensors" for folder in (out, study)]
        assert weights[0].read_bytes() == weights[1].read_bytes()


def test_the_cell_of_a_killed_process_is_run_again(tmp_path, photos):
    photos.write(tmp_path / "photos.parquet")
    words = "compare photos.parquet --fine boar:deer --ratios 1 --methods baseline fscl --jobs 2 --out study "
    words += "--workers 0 --batch-size 16 --backbone test_resnet --image-size 32 --steps 150"
    command = [sys.executable, "-m", "fscl", *words.split()]
    comparison = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    lines = tmp_path / "study/runs/fine-fscl-r1-s0/metrics.jsonl"
    deadline = time.monotonic() + 120
    while not lines.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    working = [int(process.name) for process in Path("/proc").glob("[0-9]*") if is_worker_of(process, comparison.pid)]
    os.kill(working[-1], signal.SIGKILL)
    _, message = comparison.communicate(timeout=120)
    assert comparison.returncode == 0, message
    assert {record["status"] for record in records(tmp_path / "study").values()} == {"done"}


def is_worker_of(process: Path, parent: int) -> bool:
    """Whether a folder of /proc is that of a pool's process, and not of the one that tracks its resources."""
    try:
        status = (process / "status").read_text()
        return f"PPid:\t{parent}\n" in status and "spawn_main" in (process / "cmdline").read_text()
    except OSError:
        return False


def test_bad_pairs(photos):
    with pytest.raises(ConfigurationError, match="no usable photo of class 'dear'; did you mean 'deer'"):
        pairs_of(photos, fine="boar:dear", coarse=None, minority=(), base=None)
    with pytest.raises(ConfigurationError, match="needs rare and common classes, got boar, deer, hare, all rare"):
        pairs_of(photos, fine=None, coarse=None, minority=("boar", "deer", "hare"), base=None)
    with pytest.raises(ConfigurationError, match="--minority is for all classes at once"):
        pairs_of(photos, fine="boar:deer", coarse=None, minority=("deer",), base=None)
    with pytest.raises(ConfigurationError, match="--imbalance is for all classes at once and says which are rare"):
        pairs_of(photos, fine="boar:deer", coarse=None, minority=(), base=None, imbalances=[10])


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_study_is_left_alone(tmp_path, photos, quick, overwrite):
    (tmp_path / "runs" / "first").mkdir(parents=True)
    with pytest.raises(OutputError, match="holds no study but other files, such as runs"):
        compare(photos, configs(quick, "baseline"), tmp_path, overwrite=overwrite, **AXES)
    assert (tmp_path / "runs" / "first").is_dir()


def test_overwrite_drops_what_the_study_found(tmp_path, photos, quick):
    axes = AXES | {"ratios": [1.0]}
    out = compare(photos, configs(quick, "baseline"), tmp_path / "s", **axes)
    compare(photos, configs(quick, "fscl"), out, overwrite=True, **axes)
    assert list(records(out)) == ["fine-fscl-r1-s0"]
    assert read_study(out).header.axes.methods == ["fscl"]


def test_overwrite_leaves_a_comparison_at_work_alone(tmp_path, photos, quick):
    axes = AXES | {"ratios": [1.0]}
    out = compare(photos, configs(quick, "baseline"), tmp_path / "s", **axes)
    with at_work(out):
        before = {path: path.read_bytes() for path in sorted(out.rglob("*.*")) if path.is_file()}
        with pytest.raises(OutputError, match="another comparison is at work in this folder; wait"):
            compare(photos, configs(quick, "fscl"), out, overwrite=True, **axes)
        assert before == {path: path.read_bytes() for path in before}
    before = {path: content for path, content in before.items() if path.parent.name != LOCKS}
    assert before == {path: path.read_bytes() for path in before}


def test_what_cannot_be_run_overwrites_nothing(tmp_path, photos, quick):
    axes = AXES | {"ratios": [1.0]}
    out = compare(photos, configs(quick, "baseline"), tmp_path / "s", **axes)
    with pytest.raises(FsclError, match="at least 10000 training photos"):
        compare(photos, configs(quick, "fscl"), out, overwrite=True, **axes | {"pairs": [replace(FINE, base=10_000)]})
    assert list(records(out)) == ["fine-baseline-r1-s0"]


def test_methods_that_split_photos_differently_are_refused(tmp_path, photos, quick):
    differing = configs(quick, "baseline") | configs(quick, "fscl", test_fraction=0.3)
    with pytest.raises(ConfigurationError, match=r"expected one `split`, got .* of baseline and .*0\.3.* of fscl"):
        compare(photos, differing, tmp_path / "s", **AXES)
    assert not (tmp_path / "s").exists()


def test_terms_of_a_stage_are_none_in_the_others():
    steps = [{"kind": "step", "step": 1, "loss": 1.0, "terms": {"supcon": 1.0}}]
    steps += [{"kind": "step", "step": 2, "loss": 2.0, "terms": {"cross_entropy": 2.0}}]
    assert curve(steps).terms == {"supcon": [1.0, None], "cross_entropy": [None, 2.0]}


def test_no_cell_is_written_that_is_no_json(tmp_path, quick):
    with pytest.raises(ValueError, match="finite number"):
        Ledger(tmp_path).write(done(FINE.cell("fscl", 1.0, 0), quick("fscl"), seconds=float("nan")))
    assert not list(tmp_path.rglob("*.json"))


def test_the_curve_is_short_and_keeps_the_mean():
    steps = [
        {"kind": "step", "step": i + 1, "loss": float(i), "terms": {"cross_entropy": 2.0 * i}} for i in range(1000)
    ]
    short = curve(steps)
    assert len(short.step) == len(short.loss) == 200
    assert short.step[-1] == 1000
    assert sum(short.loss) / 200 == pytest.approx(499.5)
    assert short.terms["cross_entropy"][0] == pytest.approx(4.0)


def test_a_damaged_cell_is_run_again(tmp_path, photos, quick):
    out = compare(photos, configs(quick, "baseline"), tmp_path / "s", **AXES | {"ratios": [1.0]})
    path = out / "cells" / "fine-baseline-r1-s0.json"
    path.write_text(path.read_text()[:100])
    compare(photos, configs(quick, "baseline"), out, **AXES | {"ratios": [1.0]})
    assert json.loads(path.read_text())["status"] == "done"


@pytest.mark.parametrize("group", [False, True], ids=["SIGTERM-to-the-parent", "Ctrl-C-to-all"])
def test_a_comparison_of_several_at_once_can_be_ended(tmp_path, photos, group):
    photos.write(tmp_path / "photos.parquet")
    words = "compare photos.parquet --fine boar:deer --ratios 1 --methods baseline fscl --jobs 2 --out study "
    words += "--workers 0 --batch-size 16 --backbone test_resnet --image-size 32 --steps 3000"
    command = [sys.executable, "-m", "fscl", *words.split()]
    ended = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    cells = [tmp_path / "study/runs" / f"fine-{method}-r1-s0" for method in ("baseline", "fscl")]
    deadline = time.monotonic() + 120
    while not all((cell / "metrics.jsonl").exists() for cell in cells) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(ended.pid, signal.SIGINT) if group else ended.terminate()
    _, message = ended.communicate(timeout=60)
    assert ended.returncode == 130
    assert "go on with: fscl compare " in message
    assert "Traceback" not in message
    assert all((cell / "checkpoint.pt").exists() for cell in cells)
    assert not list((tmp_path / "study").glob("cells/*"))


def test_a_comparison_of_an_earlier_release_at_work_is_left_alone(tmp_path, photos, quick, monkeypatch):
    monkeypatch.setattr(ledger_module, "OPENING_SECONDS", 0.1)
    out = tmp_path / "s"
    with held(out, by="it"), pytest.raises(OutputError, match="another comparison is at work in this folder; wait"):
        compare(photos, configs(quick, "baseline"), out, **AXES)
    assert not list(out.glob("cells/*"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_comparison_beside_another_leaves_the_cell_that_the_other_computes(tmp_path, photos, quick, jobs):
    """It computes the others, waits, and takes the cell over where the other ends without it."""
    axes, out = AXES | {"jobs": jobs}, tmp_path / "s"
    compare(photos, configs(quick, "baseline"), out, **axes)
    with at_work(out), ThreadPoolExecutor() as beside:
        with taken(Ledger(out).lock(FINE.cell("fscl", 1.0, 0))):
            helping = beside.submit(compare, photos, configs(quick, "fscl"), out, **axes)
            deadline = time.monotonic() + 60
            while "fine-fscl-r0.25-s0" not in records(out) and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(1.0)
            assert not helping.done()
            assert "fine-fscl-r1-s0" not in records(out)
            assert not (out / "runs/fine-fscl-r1-s0").exists()
        helping.result(timeout=60)
    assert {record["status"] for record in records(out).values()} == {"done"}
    assert len(records(out)) == 4


def at_work(out):
    """Be another comparison that is at work in the study."""
    ledger = Ledger(out)
    return ledger.at_work(ledger.before(), Manifest.read(out / "photos.parquet"))

import io
import re
from dataclasses import asdict, replace
from importlib import import_module
from shutil import copyfile, copytree
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter
from rich.console import Console

import fscl
from fscl.bundle import Bundle
from fscl.errors import ConfigurationError, OutputError, PhotosError
from fscl.evaluation import evaluate, evaluate_run, table
from fscl.manifest.table import Manifest
from fscl.records import Amounts, Evaluation, Failed
from fscl.runtime import Runtime
from fscl.scanning.scan import scan
from fscl.training.loop import fit


@pytest.fixture(scope="module")
def pair(tmp_path_factory, photos):
    from fscl import methods
    from fscl.config import resolve, settings

    small = settings(
        {
            **{"backbone": "test_resnet", "image_size": 32, "steps": 20, "batch_size": 16, "workers": 0},
            **{
                "minority": ("deer",),
                "classes": ("boar", "deer"),
                "ratio": 0.4,
                "val_fraction": 0.67,
                "test_fraction": 0.17,
                "thin_validation": False,
            },
        }
    )
    config = resolve([("baseline", methods.read("baseline")), ("test", small)])
    return fit(config, photos, tmp_path_factory.mktemp("runs") / "run")


def test_the_record_agrees_with_the_scores(pair):
    photos = Manifest.read(pair / "photos.parquet")
    test = Manifest(photos.rows[photos.rows["split"] == "test"], photos.root)
    record, logits = evaluate(undecided(pair), test)
    predicted = logits[["logit:boar", "logit:deer"]].to_numpy().argmax(axis=1)
    labels = (logits["label"] == "deer").to_numpy().astype(int)
    confusion = np.zeros((2, 2), dtype=int)
    for truth, found in zip(labels, predicted, strict=True):
        confusion[truth, found] += 1
    assert record.confusion == confusion.tolist()
    assert record.counts == {"boar": int((labels == 0).sum()), "deer": int((labels == 1).sum())}
    assert record.figures.minority_recall == pytest.approx(confusion[1, 1] / confusion[1].sum())
    assert record.figures.majority_recall == pytest.approx(confusion[0, 0] / confusion[0].sum())
    assert record.threshold is None


def test_the_threshold_is_chosen_on_validation_and_keeps_the_ranking(pair):
    record = evaluate_run(pair)
    assert TypeAdapter(Evaluation).validate_json((pair / "evaluation.json").read_bytes(), strict=True) == record
    assert 0 < record.threshold.value < 1
    assert record.threshold.figures.auroc == pytest.approx(record.figures.auroc)
    photos = Manifest.read(pair / "photos.parquet")
    test = Manifest(photos.rows[photos.rows["split"] == "test"], photos.root)
    _, logits = evaluate(Bundle.open(pair), test)
    probability = 1 / (1 + np.exp(logits["logit:boar"] - logits["logit:deer"]))
    called = probability[logits["label"] == "deer"] > record.threshold.value
    assert record.threshold.figures.minority_recall == pytest.approx(called.mean(), abs=1e-9)


def undecided(run):
    """Return the bundle of a run as if nothing had been chosen on validation."""
    return replace(Bundle.open(run), decisions=None)


def split_of(run, split):
    own = Manifest.read(run / "photos.parquet")
    return Manifest(own.rows[own.rows["split"] == split], own.root)


@pytest.mark.parametrize("unreadable", [False, True])
def test_a_few_validation_photos_choose_no_threshold_and_that_is_said(pair, unreadable):
    validation = split_of(pair, "val")
    deer = validation.rows.index[validation.rows["label"] == "deer"]
    assert len(deer) == 20
    if unreadable:
        rows = validation.rows.assign(
            path=validation.rows["path"].where(validation.rows.index != deer[0], "gone.jpg")
        )
    else:
        rows = validation.rows.drop(deer[0])
    record, _ = evaluate(undecided(pair), split_of(pair, "test"), Manifest(rows, validation.root))
    boars = (validation.rows["label"] == "boar").sum()
    why = f"it takes 20 validation photos of each class, and there are {boars} of boar and 19 of deer"
    assert (record.threshold, record.no_threshold) == (None, why)
    assert f"no threshold was chosen: {why}" in shown(record)
    enough, _ = evaluate(undecided(pair), split_of(pair, "test"), validation)
    assert enough.threshold is not None
    assert enough.no_threshold is None


def test_a_threshold_makes_up_for_a_class_that_all_logits_favour(pair):
    records = []
    for offset in (0.0, 3.0):
        bundle = undecided(pair)
        bundle.classifier.head.bias.data[bundle.classes.index("deer")] += offset
        records.append(evaluate(bundle, split_of(pair, "test"), split_of(pair, "val"))[0])
    plain, favoured = (record.threshold.figures for record in records)
    for name in ("minority_recall", "majority_recall", "log_loss", "ece"):
        assert getattr(favoured, name) == pytest.approx(getattr(plain, name), abs=1e-5), name
    assert records[1].figures.majority_recall < plain.majority_recall


@pytest.mark.parametrize("split", ["test", "val"])
def test_photos_that_cannot_be_read_are_as_if_they_were_not_there(pair, split):
    parts = {name: split_of(pair, name) for name in ("test", "val")}
    rows = parts[split].rows.sample(frac=1, random_state=0)
    first = rows.index.isin(rows.index[rows["label"] == "boar"][:4])
    records = []
    for changed in (rows[~first], rows.assign(path=rows["path"].mask(first, "gone.jpg"))):
        both = parts | {split: Manifest(changed, parts[split].root)}
        records.append(evaluate(undecided(pair), both["test"], both["val"])[0])
    for name in ("figures", "threshold", "counts", "confusion"):
        assert getattr(records[0], name) == getattr(records[1], name), name
    assert records[0].threshold is not None


def test_boxes_of_a_photo_are_one_validation_photo(pair):
    validation = split_of(pair, "val")
    rows = pd.concat([validation.rows.query("label == 'boar'"), *[validation.rows.query("label == 'deer'")[:10]] * 2])
    boxed = Manifest.build(
        rows.drop(columns="region_id").assign(x=[n % 20 for n in range(len(rows))], y=0.0, w=20.0, h=20.0),
        validation.root,
    )
    record, _ = evaluate(undecided(pair), split_of(pair, "test"), boxed)
    assert record.threshold is None
    assert record.no_threshold.endswith("and 10 of deer")


def test_the_table_shows_what_the_threshold_costs(pair):
    record = evaluate_run(pair)
    at, lines = record.threshold, shown(record).splitlines()
    for name in ("minority_recall", "majority_recall", "balanced_accuracy"):
        [line] = [line for line in lines if f"{name.replace('_', ' ')} at threshold {at.value:.3f}" in line]
        assert f" {at.figures.value(name):.3f} " in line


@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_a_threshold_at_the_end_of_the_scale_is_a_number(pair, offset):
    bundle = undecided(pair)
    bundle.classifier.head.bias.data[bundle.classes.index("deer")] += offset
    record, _ = evaluate(bundle, split_of(pair, "test"), split_of(pair, "val"))
    assert record.threshold.value == (0 if offset < 0 else 1)
    assert record.threshold.figures.balanced_accuracy > 0


def test_photos_of_training_and_validation_are_left_out_of_others(pair, photos):
    two = Manifest(photos.rows[photos.rows["label"] != "hare"].assign(split=None), photos.root)
    own = Manifest.read(pair / "photos.parquet").rows
    used = own["split"].isin(["train", "val"]).sum()
    record = evaluate_run(pair, two)
    assert record.left_out == {"training photos": used}
    assert sum(record.counts.values()) == 90 - used
    assert (record.split, record.note) == ("all", None)
    assert record.threshold is not None
    assert evaluate_run(pair).left_out == {}


def test_training_photos_are_known_elsewhere_by_content_or_by_name_and_size(pair, photos, class_folders, tmp_path):
    own = Manifest.read(pair / "photos.parquet")
    deer = own.rows[(own.rows["label"] == "deer") & (own.rows["split"] == "train")].head(2).drop(columns="split")
    new = photos.rows[photos.rows["label"] == "hare"].head(3).assign(label="deer").drop(columns="split")
    for path in [*deer["path"], *new["path"]]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        copyfile(class_folders / path, tmp_path / path)
    moved = Manifest.build(pd.concat([deer, new]), tmp_path)
    assert evaluate_run(pair, moved).left_out == {"training photos": 2}
    others = Manifest.build(
        pd.concat([deer.assign(bytes=1, content_hash=None), new]), tmp_path
    )  # of the same name only
    assert evaluate_run(pair, others).left_out == {}


def test_byte_copies_of_training_photos_are_left_out(pair, photos, tmp_path):
    run = copytree(pair, tmp_path / "run")
    own = Manifest.read(run / "photos.parquet")
    used = own.rows["split"] == "train"
    Manifest(own.rows.assign(content_hash=own.rows["path"].where(used)), own.root).write(run / "photos.parquet")
    hare = photos.rows[photos.rows["label"] == "hare"].head(2).assign(label="boar")
    hare["content_hash"] = [own.rows.loc[used, "path"].iloc[0], None]
    assert evaluate_run(run, Manifest(hare, photos.root)).left_out == {"training photos": 1}


def test_copies_under_other_names_and_in_zips_are_left_out(pair, class_folders, tmp_path):
    own = Manifest.read(pair / "photos.parquet").rows
    with ZipFile(tmp_path / "new.zip", "w") as packed:
        for number, (path, label) in enumerate(zip(own["path"], own["label"], strict=True)):
            packed.write(class_folders / path, f"{label}/IMG_{number:04}.JPG")
    record = evaluate_run(pair, scan(tmp_path / "new.zip"))
    assert record.left_out == {"training photos": own["split"].isin(["train", "val"]).sum()}
    assert record.scored == Amounts(*[(own["split"] == "test").sum()] * 2)


def hares_as_deer(photos, count=10):
    return photos.rows[photos.rows["label"] == "hare"].head(count).assign(label="deer", split=None)


def test_a_row_per_photo_is_written(pair, tmp_path):
    run = copytree(pair, tmp_path / "run")
    record = evaluate_run(run)
    table = pd.read_csv(run / "predictions.csv")
    assert table.columns.tolist() == [
        *("filepath", "region", "label", "prediction", "probability", "boar", "deer", "problem"),
        *("decision", "decision_probability", "accepted", "set", "unknown"),
    ]
    own = split_of(pair, "test")
    assert table["filepath"].tolist() == [str(own.root / path) for path in own.rows["path"]]
    counted = pd.crosstab(table["label"], table["prediction"]).reindex(columns=record.classes, fill_value=0)
    assert counted.to_numpy().tolist() == record.confusion
    assert table[["boar", "deer"]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert table["probability"].to_numpy() == pytest.approx(table[["boar", "deer"]].max(axis=1).to_numpy())
    decided = table["decision"].to_numpy() == table["label"].to_numpy()
    of_threshold = [decided[table["label"] == name].mean() for name in record.classes]
    assert list(record.threshold.figures.recall_by_class.values()) == pytest.approx(of_threshold)
    accepted = [int((table["accepted"] & (table["decision"] == name)).sum()) for name in record.classes]
    assert accepted == [one.accepted for one in record.accept.species.values()]
    predicted = fscl.load(run).predict(table["filepath"])
    assert predicted["deer"].to_numpy() == pytest.approx(table["deer"].to_numpy(), abs=1e-5)


def test_boxes_and_what_could_not_be_scored_have_rows(pair, photos, tmp_path):
    rows = hares_as_deer(photos, 4).assign(x=[0.0, 9, 0, 0], y=0.0, w=20.0, h=20.0)
    rows.loc[rows.index[1], "path"] = "hare/gone.jpg"
    rows.loc[rows.index[2], "problem"] = "unreadable: empty file"
    rows.loc[rows.index[3], "label"] = None
    evaluate_run(pair, Manifest(rows, photos.root), out=tmp_path / "out")
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    assert table["x"].tolist() == [0, 9, 0, 0]
    assert table["region"].tolist() == rows["region_id"].tolist()
    assert table["problem"].fillna("").tolist() == ["", "missing file", "unreadable: empty file", "no label"]
    assert table["prediction"].isna().tolist() == [False, True, True, True]


def test_a_class_may_be_called_as_a_column(pair, photos, tmp_path):
    names = {"boar": "label", "deer": "region"}
    bundle = replace(
        Bundle.open(pair),
        classes=("label", "region"),
        minority=("region",),
        train_counts={"label": 9, "region": 3},
        decisions=None,
    )
    bundle.save(tmp_path / "bundle")
    two = photos.rows[photos.rows["label"] != "hare"]
    evaluate_run(tmp_path / "bundle", Manifest(two.assign(label=two["label"].map(names)), photos.root))
    table = pd.read_csv(tmp_path / "bundle/evaluations" / photos.root.name / "predictions.csv")
    assert table.columns.tolist() == [
        *("filepath", "region", "label", "prediction", "probability", "p:label", "p:region", "problem"),
        *("decision", "decision_probability"),
    ]


def test_other_photos_never_overwrite_the_result_on_the_own_ones(pair, photos, tmp_path):
    run = copytree(pair, tmp_path / "run")
    evaluate_run(run)
    own = {name: (run / name).read_bytes() for name in ("evaluation.json", "predictions.csv")}
    others = Manifest(hares_as_deer(photos), photos.root)
    record = evaluate_run(run, others)
    place = run / "evaluations" / photos.root.name
    assert TypeAdapter(Evaluation).validate_json((place / "evaluation.json").read_bytes(), strict=True) == record
    evaluate_run(run, others, out=tmp_path / "elsewhere")
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == sorted([*own, "thumbnails.parquet"])
    with pytest.raises(OutputError, match="holds a run, whose own result would be lost; choose another --out"):
        evaluate_run(run, others, out=run)
    assert {name: (run / name).read_bytes() for name in own} == own


def test_what_is_no_place_for_an_evaluation(pair, photos, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/predictions.csv").write_text("mine")
    with pytest.raises(OutputError, match="expected a folder for the evaluation, found a file"):
        evaluate_run(pair, out=tmp_path / "file")
    with pytest.raises(OutputError, match="is of no evaluation, and would be lost"):
        evaluate_run(pair, out=tmp_path / "mine")
    assert (tmp_path / "mine/predictions.csv").read_text() == "mine"


def test_every_row_given_is_accounted_for(pair, photos, tmp_path):
    deer = photos.rows[photos.rows["label"] == "hare"].assign(label="deer", split=["test", "train"] * 15)
    problems = ["missing file"] * 4 + ["several labels for one photo; no label"] + [None] * 25
    own = Manifest.read(pair / "photos.parquet").rows.query("split == 'train'").head(3).assign(split="test")
    deer.loc[deer.index[-1], "path"] = "hare/gone.jpg"
    rows = pd.concat([deer.assign(problem=problems), own], ignore_index=True)
    rows.loc[10, "label"] = None
    record = evaluate_run(pair, Manifest(rows, photos.root))
    assert record.given == Amounts(33, 33)
    assert asdict(record.unusable) == {
        "rows": 6,
        "reasons": [
            {"reason": "missing file", "rows": 4, "paths": [f"hare/00{number}.jpg" for number in range(3)]},
            {"reason": "no label", "rows": 2, "paths": ["hare/004.jpg", "hare/010.jpg"]},
            {"reason": "several labels for one photo", "rows": 1, "paths": ["hare/004.jpg"]},
        ],
    }
    assert record.left_out == {"training photos": 3, "other splits": 13}
    assert record.scored == Amounts(11, 11)
    assert record.failed == []
    text = shown(record)
    assert "6 of 33 rows cannot be used:" in text
    assert "4 missing file: hare/000.jpg, hare/001.jpg, hare/002.jpg, …" in text
    assert "2 no label: hare/004.jpg, hare/010.jpg\n" in text
    assert "3 training photos of the run were left out" in text
    assert "13 photos outside the test split were left out" in text
    record = evaluate_run(pair, Manifest(rows.assign(split=None), photos.root))
    assert record.left_out == {"training photos": 3}
    assert record.scored.rows + len(record.failed) + 3 + 6 == 33


def test_photos_and_regions_are_counted_apart(pair, photos):
    boxes = [{"x": float(x), "y": 0.0, "w": 20.0, "h": 20.0} for x in (0, 9, 20)]
    hares = photos.rows[photos.rows["label"] == "hare"].head(10).assign(label="deer").drop(columns="region_id")
    boxed = Manifest.build(pd.concat([hares.assign(**box) for box in boxes]), photos.root)
    boxed.rows.loc[boxed.rows["path"] == "hare/009.jpg", "path"] = "hare/gone.jpg"
    record = evaluate_run(pair, boxed)
    assert (record.counts["deer"], record.photos["deer"]) == (27, 9)
    assert record.scored == Amounts(rows=27, photos=9)
    assert record.failed == [Failed("hare/gone.jpg", "missing file")]
    assert record.train_photos == record.train_counts
    text = shown(record)
    assert "all: 9 photos, 27 regions" in text
    assert "photos (regions)" in text
    assert "9 (27)" in text
    assert "1 photo could not be read" in text
    assert "regions" not in shown(evaluate_run(pair))


def test_photos_replaced_since_the_scan_are_not_scored(pair, class_folders, tmp_path):
    root = copytree(class_folders, tmp_path / "photos")
    run = copytree(pair, tmp_path / "run")
    Manifest(Manifest.read(pair / "photos.parquet").rows, root).write(run / "photos.parquet")
    undecided(run).save(run)
    whole = evaluate_run(run)
    own = Manifest.read(run / "photos.parquet").rows
    test, val = (own.loc[own["split"] == split, "path"].iloc[0] for split in ("test", "val"))
    for path in (test, val):
        copyfile(root / "hare/000.jpg", root / path)
        (root / path).write_bytes((root / path).read_bytes() + b"0")
    record = evaluate_run(run)
    assert record.scored.rows == whole.scored.rows - 1
    [failed] = record.failed
    assert failed.path == test
    assert failed.reason.startswith("replaced since the scan: ")
    assert f"1 of {(own['split'] == 'val').sum()} validation photos could not be read, so" in record.note
    assert f"{val}: replaced since the scan" in record.note


def test_a_record_of_an_earlier_version_is_shown(pair):
    unknown = dict.fromkeys(("train_photos", "photos", "given", "scored", "unusable"))
    record = replace(evaluate_run(pair), **unknown)
    text = shown(record)
    assert f"test: {sum(record.counts.values())} photos" in text
    assert "training regions" in text


def test_only_the_test_split_of_other_photos_is_used(pair, photos):
    deer = photos.rows[photos.rows["label"] == "hare"].assign(label="deer", split=["test", "train", "val"] * 10)
    record = evaluate_run(pair, Manifest(deer, photos.root))
    assert record.split == "test"
    assert record.counts == {"boar": 0, "deer": 10}


def test_photos_that_cannot_be_evaluated(pair, photos):
    with pytest.raises(PhotosError, match="the model knows boar, deer; the photos are also labelled hare"):
        evaluate_run(pair, photos)
    with pytest.raises(PhotosError, match=r"expected labelled photos to evaluate on, .*, of 120 rows; 120 gone"):
        evaluate_run(pair, Manifest(photos.rows.assign(problem="gone"), photos.root))
    own = Manifest.read(pair / "photos.parquet")
    trained = own.rows[own.rows["split"] == "train"].assign(split=None)
    with pytest.raises(PhotosError, match=f"trained or validated on all {len(trained)}"):
        evaluate_run(pair, Manifest(trained, own.root))


@pytest.mark.parametrize("gone", ["photos.parquet", "root"])
def test_a_run_without_its_photos_needs_others(pair, photos, tmp_path, gone):
    run = copytree(pair, tmp_path / "run")
    own = Manifest.read(run / "photos.parquet")
    kept = Bundle.open(run).decisions.threshold
    (run / "photos.parquet").unlink()
    if gone == "root":
        Manifest(own.rows, tmp_path / "not there").write(run / "photos.parquet")
    with pytest.raises(PhotosError, match=f"fscl evaluate {run} PHOTOS"):
        evaluate_run(run)
    others = Manifest(photos.rows[photos.rows["label"] != "hare"], photos.root)
    decided = evaluate_run(run, others)
    assert decided.threshold.value == kept.value
    assert "no threshold was chosen" not in decided.note
    undecided(run).save(run)
    record = evaluate_run(run, others)
    used = own.rows["split"].isin(["train", "val"]).sum() if gone == "root" else 0
    assert sum(record.counts.values()) == 90 - used
    assert record.left_out == ({"training photos": used} if used else {})
    assert record.threshold is None
    assert "the photos of the run are not known" in record.note
    said = "those that it was trained on are told by known hashes, else by name and size" if used else "none was left"
    assert said in record.note
    assert "no threshold was chosen" in " ".join(shown(record).split())


def test_a_run_without_test_photos_asks_for_others(pair, tmp_path):
    run = copytree(pair, tmp_path / "run")
    own = Manifest.read(run / "photos.parquet")
    Manifest(own.rows[own.rows["split"] != "test"], own.root).write(run / "photos.parquet")
    with pytest.raises(PhotosError, match="no test photos of its own; give photos: fscl evaluate"):
        evaluate_run(run)


def test_the_classifier_moves_to_the_device_that_computes(pair, photos, monkeypatch):
    chosen = []

    def start(workers=None):
        chosen.append(workers)
        return Runtime(torch.device("meta"), 0)

    module = import_module("fscl.evaluation.evaluate")  # the package's `evaluate` is the function
    monkeypatch.setattr(module, "scores", lambda classifier, *args, **options: on(classifier))
    monkeypatch.setattr(Runtime, "start", start)
    with pytest.raises(RuntimeError, match="meta"):
        evaluate(Bundle.open(pair), Manifest(photos.rows[photos.rows["label"] == "deer"], photos.root))
    assert chosen == [None]
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match="--workers must be >= 0, got -1"):
        evaluate_run(pair, workers=-1)


def on(classifier):
    raise RuntimeError(classifier.device.type)


def test_unreadable_photos_and_missing_classes_are_said(pair, photos, tmp_path):
    deer = photos.rows[photos.rows["label"] == "deer"].head(3)
    deer = deer.assign(path=["gone.jpg", "deer/001.jpg", "deer/002.jpg"])
    record, logits = evaluate(Bundle.open(pair), Manifest(deer, photos.root))
    assert record.failed == [Failed("gone.jpg", "missing file")]
    assert record.not_evaluable == ["boar"]
    assert record.counts == {"boar": 0, "deer": 2}
    assert record.figures.recall_by_class["boar"] is None
    assert len(logits) == 2


def shown(record, width=200):
    console = Console(width=width, file=io.StringIO())
    console.print(table(record))
    return console.file.getvalue()


def test_the_table_names_classes_and_the_rare_one(pair):
    text = shown(evaluate_run(pair))
    assert "deer (rare)" in text
    assert "balanced accuracy" in text
    assert "as boar" in text
    assert "note" not in text


def test_recall_and_precision_are_counted_out_in_80_columns(pair):
    record = replace(evaluate_run(pair), confusion=[[9, 1], [4, 1]])
    lines = shown(record, width=80).splitlines()
    [boar] = [line for line in lines if line.startswith(" boar ") and "%" in line]
    [deer] = [line for line in lines if line.startswith(" deer (rare)") and "%" in line]
    assert "9 of 10, 55–100 %" in boar
    assert "9 of 13, 39–91 %" in boar
    assert deer.index("1 of 5, 1–72 %") == boar.index("9 of 10")
    assert deer.index("1 of 2, 1–99 %") == boar.index("9 of 13")
    assert all(len(line) <= 80 for line in lines)
    none_called = shown(replace(record, confusion=[[10, 0], [5, 0]]), width=80)
    assert re.search("0 of 5, 0–52 % +none called so", none_called)


def test_what_is_no_recall_does_not_stand_under_it(pair):
    lines = shown(evaluate_run(pair), width=80).splitlines()
    heading = next(n for n, line in enumerate(lines) if line.startswith("all classes together"))
    assert "recall" in lines[1] + lines[2]
    assert lines[heading + 1].split() == ["metric", "value"]
    for name in ("auroc", "log loss", "ece"):
        assert next(n for n, line in enumerate(lines) if line.startswith(f" {name} ")) > heading


def test_the_table_of_photos_without_the_rare_class(pair, photos):
    boars = photos.rows[photos.rows["label"] == "hare"].assign(label="boar")
    record = evaluate_run(pair, Manifest(boars, photos.root))
    assert record.threshold.figures.minority_recall is None
    text = shown(record)
    assert "minority recall at threshold" in text
    assert "–" in text


def test_the_table_says_what_was_not_scored(pair):
    failed = [Failed(f"[red]{n}.jpg", "truncated file") for n in range(5)]
    record = replace(evaluate_run(pair), failed=failed, left_out={"training photos": 58})
    text = shown(record)
    assert "5 photos could not be read" in text
    assert "[red]2.jpg: truncated file" in text
    assert "[red]3.jpg" not in text
    assert "and 2 more" in text
    assert "58 training photos of the run were left out" in text


@pytest.mark.parametrize(("number", "columns"), [(12, True), (13, False)])
def test_the_table_of_many_classes_has_no_column_for_each(pair, number, columns):
    names = [f"[b]{n}" for n in range(number)]
    record = evaluate_run(pair)
    record = replace(
        record,
        classes=names,
        minority=names[:1],
        train_counts=dict.fromkeys(names, 1),
        counts=dict.fromkeys(names, 1),
        confusion=np.eye(number, dtype=int).tolist(),
        figures=replace(record.figures, recall_by_class=dict.fromkeys(names, 1.0)),
    )
    text = shown(record)
    assert "[b]0 (rare)" in text
    assert ("as [b]1" in text) == columns

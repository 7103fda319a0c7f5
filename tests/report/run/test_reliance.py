"""What the page says of calibration, certified scores, sets and intervals, where an evaluation has them."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from fscl.records import (
    Acceptance,
    AcceptedAnswers,
    Calibration,
    CalibrationErrors,
    FigureIntervals,
    LikeNone,
    SetCoverage,
    read_evaluation,
    write_record,
)
from fscl.report import write_report
from fscl.report.run.result import DecisionFacts, read_run

NAMES = ("boar", "deer", "고라니")
COUNTS = {"photos": 40, "accepted": 31, "wrong": 2, "missed": 11}
PARTS = {
    "calibration": Calibration(
        temperature=1.7,
        origin="on 300 validation photos",
        before=CalibrationErrors(0.21, 0.11, 0.4),
        after=CalibrationErrors(0.043, 0.05, 0.3),
        reliability={},
    ),
    "accept": Acceptance(
        target=0.95,
        confidence=0.9,
        origin="300 validation photos",
        species={
            "boar": AcceptedAnswers(score=0.834, reason=None, **COUNTS),
            "deer": AcceptedAnswers(score=None, reason="59 photos are needed", **COUNTS),
        },
    ),
    "sets": SetCoverage(
        alpha=0.1,
        origin="on the rest",
        coverage={"boar": 0.93, "deer": None},
        without_promise=["고라니"],
        mean_size=1.25,
        single=0.8,
    ),
    "unknown": LikeNone(kind="energy", rate=0.05, flagged=3, photos=72),
    "intervals": FigureIntervals(
        unit="sites",
        groups={"boar": 4},
        balanced_accuracy=(0.413, 0.878),
        auroc=None,
        recall={"boar": (0.123, 0.987)},
        precision={},
        note="there are too few sites to say much",
    ),
}


def test_what_the_evaluation_knows_is_shown_and_nothing_else(write_run):
    run = write_run()
    plain = write_report(run).read_text(encoding="utf-8")
    for word in ("Certified", "Brier score", "Sets that shall hold"):
        assert word not in plain.partition('id="glossary"')[0]
    write_record(run / "evaluation.json", replace(read_evaluation(run / "evaluation.json"), **PARTS))
    text = write_report(run).read_text(encoding="utf-8")
    for shown in (
        *(
            "at least 95 % of the accepted answers are right, with a confidence of 90 %",
            "0.834",
            "59 photos are needed",
        ),
        *("temperature of 1.70 (on 300 validation photos)", "0.210", "0.043", "Brier score"),
        *(
            "true species of 90 % of the photos of each",
            "1.25 species",
            "37 of 40",  # of the boars that were tested, in their set
            "Too few photos for a promise of sets: 고라니.",
            "A species without a promise has too few photos there, and is in every set.",
        ),
        "3 of 72 test photos are said to be like none of the species",
        *("Were other sites drawn, balanced accuracy would lie between 41 % and 88 %", "There are too few sites"),
        "12–99 %",
    ):
        assert shown in text, shown
    assert "Fewer are right here of boar: by chance, or because species are not as common here" in text
    assert f"fscl predict {run} PHOTOS --out predictions.csv --accept" in text
    card = (run / "model_card.md").read_text(encoding="utf-8")
    assert "as common as in 300 validation photos: boar from 0.83." in card
    assert "0.834" in (run / "report.md").read_text(encoding="utf-8")


def test_an_interval_is_not_narrower_than_that_of_independent_photos(write_run):
    run = write_run(skill=60.0)
    drawn = FigureIntervals(
        unit="photos",
        groups=dict(zip(NAMES, (40, 24, 8), strict=True)),
        balanced_accuracy=(1.0, 1.0),
        auroc=None,
        recall=dict.fromkeys(NAMES, (1.0, 1.0)),
        precision=dict.fromkeys(NAMES, (1.0, 1.0)),
    )
    write_record(run / "evaluation.json", replace(read_evaluation(run / "evaluation.json"), intervals=drawn))
    text = write_report(run).read_text(encoding="utf-8")
    assert "8 of 8, 63–100 %" in text
    assert "100–100 %" not in text.replace("between 100 % and 100 %", "")


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"bias": {"bias": {"boar": -0.5, "deer": 0.2, "고라니": 1.5}, "photos": 9, "folds": 3}},
        {"threshold": {"minority": "고라니", "margin": -1.2}},
    ],
)
def test_scores_are_those_that_predict_gives_by_the_decisions_of_the_model(parts):
    logits = np.random.default_rng(1).normal(0, 3, (50, 3))
    shift = np.zeros(3)
    if "bias" in parts:
        shift += [parts["bias"]["bias"][name] for name in NAMES]
    if "threshold" in parts:
        shift[NAMES.index(parts["threshold"]["minority"])] -= parts["threshold"]["margin"]
    expected = softmax(logits + shift, axis=1)
    found = DecisionFacts.model_validate(parts).scores(softmax(logits, axis=1), NAMES)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_bias_moves_answers_of_the_slider_and_not_the_confusion(write_run):
    run = write_run()
    before = read_run(run).answers
    bundle = json.loads((run / "bundle.json").read_text())
    bundle["decisions"] = {"bias": {"bias": {"boar": 0.0, "deer": 0.0, "고라니": 4.0}}, "note": None}
    (run / "bundle.json").write_text(json.dumps(bundle))
    after = read_run(run).answers
    assert (before.named == after.named).all()
    assert (before.decided == before.named).all()
    assert (after.decided == 2).sum() > (before.decided == 2).sum()
    text = write_report(run).read_text(encoding="utf-8")
    assert "those that fscl predict gives, with the bias of the model" in text
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    sides = data["scores"][2]
    assert len(sides["right"]) + len(sides["wrong"]) == (after.decided == 2).sum()
    table = pd.read_csv(run / "predictions.csv", keep_default_na=False)
    assert len(data["photos"]) == len(table)


def test_decisions_that_the_table_has_are_taken_from_it(write_run):
    run = write_run()
    table = pd.read_csv(run / "predictions.csv", keep_default_na=False)
    table["decision"] = "deer"
    table["decision_probability"] = np.linspace(0.2, 1, len(table)).round(4)
    table.to_csv(run / "predictions.csv", index=False, float_format="%.6g")
    answers = read_run(run).answers
    assert (answers.decided == 1).all()
    np.testing.assert_allclose(answers.score, table["decision_probability"])
    assert len(set(answers.named.tolist())) > 1

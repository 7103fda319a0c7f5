import json
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import brier_score_loss

from fscl.decisions import CalibrationPhotos, Decisions, MinorityThreshold, calibrated
from fscl.evaluation.reliance import reliance
from fscl.evaluation.terminal_reliance import reliance_tables
from fscl.records import Acceptance, AcceptedAnswers, Evaluation, Metrics, write_record
from fscl.scoring.auto_accept import precision_bound
from fscl.scoring.unknown import energy

CLASSES = ("boar", "deer", "hare")


def drawn(seed, photos, shares=(0.5, 0.4, 0.1), times=3.0):
    """Return logits that are `times` too sure of themselves."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, photos, p=shares)
    x = 2.5 * np.eye(3)[labels] + generator.normal(0, 1, (photos, 3))
    return times * (2.5 * x + np.log(shares)), labels


def table(photos, **columns):
    given = {"photo_id": [f"{place}.jpg" for place in range(photos)], "content_hash": None} | columns
    return pd.DataFrame({"site": None, "sequence": None} | given)


@pytest.fixture(scope="module")
def decisions():
    logits, labels = drawn(0, 3000)
    photos = CalibrationPhotos(logits, labels, np.arange(3000), "photos", "3,000 validation photos", decided=False)
    return calibrated(Decisions(), photos, CLASSES)


def test_calibration_is_measured_before_and_after(decisions):
    logits, labels = drawn(1, 3000)
    found = reliance(decisions, logits, labels, table(3000), CLASSES)["calibration"]
    assert found.temperature == pytest.approx(3, rel=0.1)
    assert found.after.ece < 0.4 * found.before.ece
    for errors, by in ((found.before, 1), (found.after, found.temperature)):
        p = softmax(logits / by, axis=1)
        assert errors.brier == pytest.approx(brier_score_loss(labels, p, labels=range(3), scale_by_half=False))
    counted = {name: sum(one.photos for one in bins) for name, bins in found.reliability.items()}
    assert counted == dict.fromkeys(CLASSES, 3000)


def test_accepted_answers_are_counted_at_the_bar_and_keep_their_promise(decisions):
    logits, labels = drawn(2, 20000)
    found = reliance(decisions, logits, labels, table(20000), CLASSES)["accept"]
    p = decisions.probabilities(logits, CLASSES)
    for place, (name, one) in enumerate(found.species.items()):
        own = (p.argmax(axis=1) == place) & (p[:, place] >= one.score)
        assert (one.accepted, one.wrong) == (own.sum(), (labels[own] != place).sum())
        assert one.missed == (labels == place).sum() - (one.accepted - one.wrong)
        assert one.wrong / one.accepted < 0.05
        named = p.argmax(axis=1) == place
        lowest = (p[named, place].min(), named.sum(), (labels[named] != place).sum())
        assert one.curve[-1] == lowest  # that bar takes all that is named so
        kept = decisions.accept.species[name]
        assert precision_bound(kept.accepted - kept.wrong, kept.accepted, 0.05) >= 0.95


def test_sets_cover_each_class_and_few_known_photos_are_like_none(decisions):
    logits, labels = drawn(3, 5000)
    found = reliance(decisions, logits, labels, table(5000), CLASSES)
    assert all(abs(share - 0.95) < 0.04 for share in found["sets"].coverage.values())
    assert found["sets"].without_promise == []
    assert 1 <= found["sets"].mean_size < 1.5
    assert found["unknown"].flagged / found["unknown"].photos == pytest.approx(0.05, abs=0.02)


def test_a_class_with_few_photos_is_in_every_set_and_has_no_bar():
    logits, labels = drawn(4, 300, shares=(0.57, 0.4, 0.03))
    photos = CalibrationPhotos(logits, labels, np.arange(300), "photos", "300", decided=False)
    found = calibrated(Decisions(), photos, CLASSES)
    assert found.sets.quantiles["hare"] is None
    assert found.accept.species["hare"].score is None
    assert "it takes 59 without an error" in found.accept.species["hare"].reason
    assert found.in_sets(found.probabilities(logits, CLASSES), CLASSES)[:, 2].all()
    counted = reliance(found, logits, labels, table(300), CLASSES)
    assert counted["accept"].species["hare"].accepted == 0
    assert counted["sets"].without_promise == ["hare"]


@pytest.mark.parametrize("rounding", [-3e-4, 3e-4])
def test_rounding_does_not_decide_of_the_photo_that_gives_the_bar_of_the_unknown(rounding):
    logits, labels = drawn(4, 39)
    photos = CalibrationPhotos(logits, labels, np.arange(39), "photos", "39", decided=False)
    found = calibrated(Decisions(), photos, CLASSES)
    energies = energy(logits, found.temperature.value)
    assert (energies + rounding > found.unknown.threshold).sum() == 1  # of 39 the 38th gives it


def test_too_few_photos_calibrate_nothing():
    logits, labels = drawn(5, 19)
    photos = CalibrationPhotos(logits, labels, np.arange(19), "photos", "19", decided=False)
    assert calibrated(Decisions(), photos, CLASSES) == Decisions()
    found = reliance(Decisions(), logits, labels, table(19), CLASSES)
    assert found["accept"] is found["sets"] is found["unknown"] is None
    assert found["calibration"].before == found["calibration"].after


def test_bursts_count_once():
    logits, labels = drawn(6, 200)
    alone = CalibrationPhotos(logits, labels, np.arange(200), "photos", "200", decided=False)
    tenfold = CalibrationPhotos(
        np.repeat(logits, 10, axis=0),
        np.repeat(labels, 10),
        np.repeat(np.arange(200), 10),
        "sequences",
        "2,000",
        False,
    )
    once, often = calibrated(Decisions(), alone, CLASSES), calibrated(Decisions(), tenfold, CLASSES)
    assert often.accept.photos == once.accept.photos
    assert often.sets.quantiles == pytest.approx(once.sets.quantiles, abs=0.1)


def test_a_temperature_does_not_change_what_is_decided_and_each_fold_chooses_its_own_threshold():
    logits, labels = drawn(7, 400, shares=(0.5, 0.49, 0.01))
    two, labels = logits[labels < 2][:, :2] + [0, 4], labels[labels < 2]
    threshold = Decisions(threshold=MinorityThreshold(minority="deer", margin=4.0))
    photos = CalibrationPhotos(two, labels, np.arange(len(two)), "photos", "photos", decided=True)
    found = calibrated(threshold, photos, CLASSES[:2])
    assert found.threshold == threshold.threshold
    decided = found.probabilities(two, CLASSES[:2]).argmax(axis=1)
    assert np.array_equal(decided, threshold.apply(two, CLASSES[:2]))
    fixed = calibrated(threshold, photos._replace(decided=False), CLASSES[:2])
    assert fixed.sets.quantiles != found.sets.quantiles


def test_intervals_are_over_sites_then_sequences_then_photos(decisions):
    logits, labels = drawn(8, 400)
    sites = np.array([f"s{place}" for place in range(400)])
    units = [
        ({"site": np.char.add("site", (np.arange(400) // 100).astype(str))}, "sites"),
        ({"sequence": sites}, "sequences"),
        ({}, "photos"),
    ]
    found = [reliance(decisions, logits, labels, table(400, **c), CLASSES)["intervals"] for c, _ in units]
    assert [one.unit for one in found] == [unit for _, unit in units]
    assert found[0].groups == dict.fromkeys(CLASSES, 4)
    assert "too few sites to say much (fewer than 10): boar 4" in found[0].note
    assert found[2].note is None
    right = (logits.argmax(axis=1) == labels)[labels == 0].mean()
    assert found[2].recall["boar"][0] <= right <= found[2].recall["boar"][1]


def test_the_record_and_the_decisions_go_through_their_files(decisions, tmp_path):
    logits, labels = drawn(9, 300)
    parts = reliance(decisions, logits, labels, table(300), CLASSES)
    undefined = set(Metrics.__dataclass_fields__) - {"recall_by_class", "recall_by_bin", "recall_by_shot"}
    figures = Metrics(**dict.fromkeys(undefined), recall_by_class={}, recall_by_bin={})
    counts, cells = dict.fromkeys(CLASSES, 1), [[0] * 3] * 3
    what = {"version": 1, "classes": list(CLASSES), "counts": counts, "confusion": cells, "failed": []}
    record = Evaluation(**what, figures=figures, threshold=None, **parts)
    write_record(tmp_path / "evaluation.json", record)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written["accept"]["species"]["boar"] == json.loads(json.dumps(asdict(parts["accept"].species["boar"])))
    assert Decisions.model_validate_json(decisions.model_dump_json(), strict=True) == decisions


def test_without_a_photo_that_can_be_read_nothing_breaks(decisions):
    found = reliance(decisions, np.zeros((0, 3)), np.zeros(0, int), table(0), CLASSES)
    assert found["intervals"].balanced_accuracy is None
    assert found["calibration"].after.ece is None


def test_fewer_right_ones_than_promised_are_named_and_so_is_what_certifies_more():
    kept = {"reason": None, "photos": 83, "missed": 15}
    species = {
        "boar": AcceptedAnswers(score=0.53, accepted=81, wrong=13, **kept),
        "deer": AcceptedAnswers(score=0.8, accepted=100, wrong=5, **kept),
        "hare": AcceptedAnswers(**kept | {"score": None, "accepted": 0, "wrong": 0, "reason": "too few"}),
    }
    accept = Acceptance(target=0.95, confidence=0.95, origin="99 validation photos", species=species)
    assert accept.below_target() == ["boar"]
    said = [str(line) for line in reliance_tables(SimpleNamespace(**RELIED | {"accept": accept}))]
    assert any(line.startswith("boar: fewer than 95 % of the accepted answers are right here") for line in said)
    assert "to certify more species, label more photos of them and train again" in said


RELIED = dict.fromkeys(("calibration", "sets", "unknown", "intervals", "rollup"))

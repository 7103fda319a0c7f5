"""Labels to check: planted wrong labels are found, those of a rare class, too, and of whole bursts."""

import numpy as np
import pandas as pd
import pytest

from fscl.explain import explain_run
from fscl.explain.labels import doubtful, fold_by, own_errors
from fscl.manifest.table import Manifest
from fscl.run_folder import RunFolder

COUNTS = (600, 300, 40)  # the last class is rare


def drawn(seed=0, wrong=0.05, counts=COUNTS, dim=32):
    """Features of classes about their means, and labels of which a share of each class is wrong."""
    generator = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(counts)), counts)
    x = 4 * np.eye(dim)[truth] + generator.normal(size=(len(truth), dim))
    labels = truth.copy()
    for c, count in enumerate(counts):
        planted = generator.choice(np.flatnonzero(truth == c), round(wrong * count), replace=False)
        labels[planted] = (c + generator.integers(1, len(counts), len(planted))) % len(counts)
    return x, truth, labels


@pytest.mark.parametrize("seed", [0, 1])
def test_most_planted_labels_come_first_in_every_class(seed):
    x, truth, labels = drawn(seed)
    found = doubtful(x, labels, np.arange(len(x)))
    planted = np.flatnonzero(truth != labels)
    first = [one.row for one in found[: round(1.3 * len(planted))]]
    for of in (truth, labels):  # rare animals called common, and common ones called rare
        for c in range(3):
            own = planted[of[planted] == c]
            assert np.isin(own, first).mean() >= 0.7
    suggested = [one.rather == truth[one.row] for one in found if one.row in planted]
    assert np.mean(suggested) > 0.95


def test_the_first_are_of_all_classes_in_turn():
    x, _, labels = drawn(wrong=0.1)
    found = doubtful(x, labels, np.arange(len(x)))
    assert {labels[one.row] for one in found[:3]} == {0, 1, 2}
    assert all(one.agree < one.neighbours for one in found)


def test_a_clean_small_class_is_not_doubted_for_being_small():
    x, _, labels = drawn(wrong=0, counts=(500, 500, 5))
    assert [labels[one.row] for one in doubtful(x, labels, np.arange(len(x)))].count(2) <= 1


def test_frames_of_a_burst_do_not_speak_for_each_other():
    x, _, labels = drawn(wrong=0)
    burst = np.flatnonzero(labels == 0)[:8]
    x[burst] = x[burst[0]] + 1e-3 * np.random.default_rng(0).normal(size=(8, x.shape[1]))
    labels = labels.copy()
    labels[burst] = 1
    groups = np.arange(len(x))
    alone = {one.row for one in doubtful(x, labels, groups)}
    groups[burst] = groups[burst[0]]
    assert set(burst) <= {one.row for one in doubtful(x, labels, groups)}
    assert not set(burst) <= alone


@pytest.mark.parametrize("labels", [[0] * 5, [0, 1], [0, 1, 2, 3], [0, 0, 1], [2, 2, 2, 4, 4], [0]])
def test_few_photos_are_no_fault(labels):
    x = np.random.default_rng(0).normal(size=(len(labels), 3))
    for groups in (np.arange(len(labels)), np.zeros(len(labels), dtype=np.int64)):
        assert {one.rather for one in doubtful(x, np.array(labels), groups)} <= set(labels)


def test_folds_are_by_site_where_classes_have_several():
    rows = pd.DataFrame({"site": ["a", "b", "a", "b"], "sequence": None, "label": ["x", "x", "y", "y"]})
    assert fold_by(rows) == "site"
    assert fold_by(rows.assign(site=["a", "b", "a", "a"])) == "photo"
    assert fold_by(rows.assign(site=None, sequence=["1", "1", None, None])) == "sequence"


def test_a_run_lists_its_wrong_labels_with_thumbnails(run):
    photos = Manifest.read(RunFolder(run).photos)
    wrong = photos.rows.groupby("label").head(1).index
    rows = photos.rows.copy()
    rows.loc[wrong, "label"] = rows.loc[wrong, "label"].map({"boar": "deer", "deer": "hare", "hare": "boar"})
    Manifest(rows, photos.root).write(RunFolder(run).photos)
    explained = explain_run(run, [photos.photo(rows["path"][0])], labels=True, workers=0)
    table = pd.read_csv(run / "explain" / "labels_to_check.csv")
    assert explained.labels_checked == len(rows)
    assert set(rows.loc[wrong, "region_id"]) <= set(table["region"])
    row = table[table["region"] == rows["region_id"][wrong[0]]].iloc[0]
    assert (row["label"], row["suggested"]) == ("deer", "boar")
    assert row["agree"] < row["neighbours"]
    assert any("doubted" in note for note in explained.notes) == (len(table) > 0.1 * len(rows))
    listed = explained.labels_to_check
    assert [photo.region for photo in listed] == table["region"].tolist()
    assert all((run / "explain" / photo.picture).is_file() for photo in listed)


def test_pretrained_features_are_advised_to_those_who_have_none():
    assert "without --method" in own_errors(321, 2128, from_scratch=True)
    assert own_errors(321, 2128, from_scratch=False).endswith("most of these are its own errors")

import json
from dataclasses import replace

import numpy as np
import pytest

from fscl.decisions import Decisions
from fscl.evaluation.rolling_up import rolled_up
from fscl.evaluation.terminal_reliance import reliance_tables
from fscl.records import read_evaluation
from fscl.report.run.page import write_run_report
from fscl.scoring.taxonomy import Taxonomy

CLASSES = ("wolf", "fox", "boar", "deer")
TAXONOMY = Taxonomy.of(
    ("family", "order"),
    [("Canidae", "Carnivora"), ("Canidae", "Carnivora"), ("Suidae", "Artiodactyla"), ("Cervidae", "Artiodactyla")],
)
PROBABILITIES = np.array(
    [
        [0.70, 0.10, 0.10, 0.10],  # wolf, right
        [0.50, 0.30, 0.10, 0.10],  # fox as Canidae: right there
        [0.50, 0.45, 0.03, 0.02],  # wolf as Canidae
        [0.45, 0.30, 0.15, 0.10],  # deer as Canidae: wrong
        [0.05, 0.05, 0.50, 0.40],  # boar as Artiodactyla
        [0.40, 0.15, 0.35, 0.10],  # boar, unsure at every rank: wrong
    ]
)
LABELS = np.array([0, 1, 0, 3, 2, 2])


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory, photos):
    """Return the folder of a run that has learnt little, in a second."""
    from fscl import methods
    from fscl.config import resolve, settings
    from fscl.training.loop import fit

    flags = settings({"backbone": "test_resnet", "image_size": 32, "steps": 10, "batch_size": 16, "workers": 0})
    config = resolve([("recipe", methods.read("oversampling")), ("test", flags)])
    return fit(config, photos, tmp_path_factory.mktemp("rolling_up") / "run")


@pytest.fixture
def found():
    return rolled_up(Decisions(), np.log(PROBABILITIES), LABELS, CLASSES, TAXONOMY)


def test_answers_are_counted_at_their_ranks(found):
    counted = [(one.rank, one.answered, one.right) for one in found.ranks]
    assert counted == [("class", 1, 1), ("family", 3, 2), ("order", 1, 1)]
    assert (found.unsure.answered, found.unsure.right) == (1, 0)
    assert found.photos == len(LABELS)


def test_credit_is_the_share_of_what_there_is_to_know(found):
    half = 1 - np.log(2) / np.log(4)
    assert found.credit.by_class == pytest.approx({"wolf": (1 + half) / 2, "fox": half, "boar": half / 2, "deer": 0})
    assert found.credit.balanced == pytest.approx((0.75 + 0.5 + 0.25 + 0) / 4)
    assert found.without.by_class == {"wolf": 1.0, "fox": 0.0, "boar": 0.5, "deer": 0.0}
    assert found.without.balanced == pytest.approx(1.5 / 4)
    assert (found.credit.wrong, found.without.wrong) == (2, 3)


def test_a_class_without_photos_has_no_credit():
    found = rolled_up(Decisions(), np.log(PROBABILITIES[:1]), LABELS[:1], CLASSES, TAXONOMY)
    assert found.credit.by_class == {"wolf": 1.0, "fox": None, "boar": None, "deer": None}
    assert found.credit.balanced == 1
    none = rolled_up(Decisions(), np.zeros((0, 4)), np.zeros(0, dtype=int), CLASSES, TAXONOMY)
    assert none.credit.balanced is None


def test_evaluate_writes_it_and_terminal_and_page_show_it(fscl, tmp_path, trained_run):
    table = tmp_path / "taxonomy.csv"
    table.write_text("class,family,order\nboar,Suidae,Artiodactyla\ndeer,Cervidae,Artiodactyla\nhare,,Lagomorpha\n")
    code, _, err = fscl("evaluate", trained_run, "--taxonomy", "gone.csv")
    assert (code, "gone.csv does not exist" in err) == (2, True)
    assert not (trained_run / "evaluation.json").exists()
    code, out, err = fscl("evaluate", trained_run, "--taxonomy", table)
    assert code == 0, err
    assert "rolled up where less sure than 0.6: " in out
    record = read_evaluation(trained_run / "evaluation.json")
    assert record.rollup.photos == sum(record.counts.values())
    assert [one.rank for one in record.rollup.ranks] == ["class", "family", "order"]
    assert set(json.loads((trained_run / "evaluation.json").read_bytes())["rollup"]) == {
        *("unsure_below", "ranks", "unsure", "credit", "without"),
    }
    page = write_run_report(trained_run).read_text(encoding="utf-8")
    assert "Unsure answers rolled up" in page
    assert "Partial credit: 100 %" in page
    without = "\n".join(str(one) for one in reliance_tables(replace(record, rollup=None)))
    assert "rolled up" not in without

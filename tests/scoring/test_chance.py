import numpy as np
import pytest
from scipy import stats

from fscl.scoring.chance import above_chance, auroc_noise, balanced_accuracy_noise
from fscl.scoring.metrics import auroc


def guessed(generator, counts, rounds=600):
    labels = np.repeat(np.arange(len(counts)), counts)
    return [auroc(generator.normal(size=(len(labels), len(counts))), labels) for _ in range(rounds)]


@pytest.mark.parametrize("counts", [[200, 20], [7, 7], [5, 0, 40]])
def test_the_noise_of_guessed_scores(counts):
    found = np.var(guessed(np.random.default_rng(0), counts))
    assert auroc_noise(counts) == pytest.approx(found, rel=0.2)


def test_of_many_classes_it_is_a_bound():
    counts = [100, 30, 30, 5, 5]
    assert np.var(guessed(np.random.default_rng(0), counts)) < auroc_noise(counts) < auroc_noise([5, 5])


@pytest.mark.parametrize("seeds", [1, 3, 10])
def test_guessing_is_seldom_above_chance(seeds):
    generator = np.random.default_rng(seeds)
    counts, rounds = [60, 15], 300
    labels, above = np.repeat([0, 1], counts), 0
    for _ in range(rounds):
        photo = generator.normal(size=75)  # what all seeds take a photo for
        found = [
            auroc(np.stack([np.zeros(75), photo + 0.5 * generator.normal(size=75)], axis=1), labels)
            for _ in range(seeds)
        ]
        above += above_chance(found, [auroc_noise(counts)] * seeds, 0.5)
    assert above <= 0.05 * rounds  # 2.5 % of either side


def test_a_few_photos_all_found_are_no_proof():
    few, many = ({"boar": 40, "deer": n} for n in (2, 200))
    recall = {"boar": 0.5, "deer": 1.0, "hare": None}
    assert not above_chance([0.75], [balanced_accuracy_noise(recall, few | {"hare": 0})], 0.5)
    assert above_chance([0.75], [balanced_accuracy_noise(recall, many | {"hare": 0})], 0.5)


def test_what_is_exactly_chance_is_not_above_it():
    always_boar = balanced_accuracy_noise({"boar": 1.0, "deer": 0.0}, {"boar": 500, "deer": 500})
    assert not above_chance([0.5] * 5, [always_boar] * 5, 0.5)


def test_the_margin_is_that_of_seeds_and_of_photos():
    values, noise = np.array([0.6, 0.7, 0.85]), [0.001, 0.002, 0.003]
    of_seeds = np.square(values - values.mean()).sum() / 2 / 3
    variance = of_seeds + 0.002
    margin = stats.t.ppf(0.975, 2 * (variance / of_seeds) ** 2) * np.sqrt(variance)
    assert above_chance(values, noise, values.mean() - 1.001 * margin)
    assert not above_chance(values, noise, values.mean() - 0.999 * margin)

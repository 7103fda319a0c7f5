import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fscl.errors import ConfigurationError
from fscl.scoring.crossed import crossed_t, photo_parts
from fscl.scoring.metrics import figures
from fscl.scoring.statistics import paired_t

RARE = np.array([False, True])


@given(seed=st.integers(0, 200), classes=st.integers(2, 5), photos=st.integers(2, 60), ties=st.booleans())
def test_parts_add_up_to_the_figures(seed, classes, photos, ties):
    generator = np.random.default_rng(seed)
    logits, labels = generator.normal(size=(photos, classes)), generator.integers(0, classes, photos)
    logits = logits.round() if ties else logits
    minority = np.arange(classes) == classes - 1
    names = [str(place) for place in range(classes)]
    expected = figures(
        logits,
        labels,
        classes=names,
        minority=[n for n, rare in zip(names, minority, strict=True) if rare],
        train_counts={},
    )
    for name, parts in photo_parts(logits, labels, minority).items():
        total = sum(parts[labels == label].mean() for label in np.unique(labels))
        total = total / 2 if name == "auroc" else total
        if expected[name] is not None:
            assert total == pytest.approx(expected[name]), name


def delong(logits, labels):
    """Return the variance of AUROC after DeLong et al. 1988, pair by pair, of several models at once."""
    placements = []
    for model in logits:
        scores = model[:, 1] - model[:, 0]
        wins = np.array([[(x > y) + (x == y) / 2 for y in scores[labels == 0]] for x in scores[labels == 1]])
        placements.append((wins.mean(axis=1), wins.mean(axis=0)))
    (v_a, w_a), (v_b, w_b) = placements
    return np.var(v_a - v_b, ddof=1) / len(v_a) + np.var(w_a - w_b, ddof=1) / len(w_a)


def test_the_variance_over_photos_is_delongs():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], [30, 12])
    models = [np.stack([np.zeros(42), generator.normal(size=42) + labels], axis=1) for _ in range(2)]
    parts = np.subtract(*(photo_parts(model, labels, RARE)["auroc"] for model in models))
    seeds = 4  # that all give the same: only photos vary
    found = crossed_t([0.1] * seeds, np.tile(parts, (seeds, 1)), labels, np.arange(42))
    # Half of the interval is t's quantile times the standard error; its freedom is between 11 and 40.
    error = np.sqrt(delong(models, labels))
    assert 2.021 * error < found.high - found.difference < 2.201 * error
    assert found.difference == pytest.approx(0.1)


def test_where_photos_say_nothing_it_is_the_paired_t_test():
    labels, own, other = np.repeat([0, 1], 20), [0.7, 0.8, 0.75, 0.9], [0.6, 0.65, 0.7, 0.7]
    every_photo_alike = np.tile(np.subtract(own, other)[:, None], (1, 40))
    found = crossed_t(list(np.subtract(own, other)), every_photo_alike, labels, np.arange(40))
    assert found == pytest.approx(paired_t(own, other))


def test_photos_of_a_burst_count_once():
    generator = np.random.default_rng(1)
    labels, few = np.repeat([0, 1], 25), generator.normal(size=(3, 50))
    alone = crossed_t([0.1, 0.11, 0.09], few, labels, np.arange(50))
    copied = crossed_t(
        [0.1, 0.11, 0.09], np.repeat(few, 8, axis=1), np.repeat(labels, 8), np.repeat(np.arange(50), 8)
    )
    assert copied == pytest.approx(alone)
    as_if_new = crossed_t([0.1, 0.11, 0.09], np.repeat(few, 8, axis=1), np.repeat(labels, 8), np.arange(400))
    assert as_if_new.p < alone.p


def by_hand(differences, parts, labels, bursts):
    """Return the three candidates for the variance and the degrees of freedom, as the docstring has them."""
    seeds, classes = len(differences), np.unique(labels)

    def of_photos(values):
        by_class = []
        for label in classes:
            own, in_bursts = values[labels == label], bursts[labels == label]
            x = (own - own.mean()) / len(own)
            sums = [x[in_bursts == burst].sum() for burst in np.unique(in_bursts)]
            by_class.append(np.square(sums).sum() * len(sums) / (len(sums) - 1))
        return by_class

    by_class = of_photos(parts.mean(axis=0))
    photos, spread = sum(by_class), np.var(differences, ddof=1) / seeds
    noise = (np.mean([sum(of_photos(own)) for own in parts]) - photos) / (seeds - 1)
    candidates = {"sum": photos + spread - noise, "photos": photos, "seeds": spread}
    numbers = [len(np.unique(bursts[labels == label])) for label in classes]
    uncertainty = spread**2 / (seeds - 1) + sum(v**2 / (n - 1) for v, n in zip(by_class, numbers, strict=True))
    return candidates, max(candidates.values()) ** 2 / uncertainty


@pytest.mark.parametrize(
    ("largest", "spread", "photo", "noise"),
    [("sum", 0.3, 1.0, 0.3), ("photos", 0.001, 0.1, 2.0), ("seeds", 0.3, 0.0, 2.0)],
)
def test_the_variance_is_that_of_the_docstring(largest, spread, photo, noise):
    generator = np.random.default_rng(0)
    labels, bursts = np.repeat([0, 1], [12, 9]), np.repeat(np.arange(7), 3)
    own = noise * generator.normal(size=(3, 21))
    parts = photo * generator.normal(size=21) + own - (own.mean(axis=0) if largest == "seeds" else 0)
    differences = list(0.1 + spread * generator.normal(size=3))
    candidates, freedom = by_hand(differences, parts, labels, bursts)
    assert max(candidates, key=candidates.get) == largest
    found = crossed_t(differences, parts, labels, bursts)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(candidates[largest])
    assert (found.high - found.difference, found.difference - found.low) == pytest.approx((half, half))


def test_photos_of_a_single_burst_say_nothing_of_others():
    parts, bursts = np.ones((3, 6)), np.array([0, 1, 2, 3, 3, 3])
    parts[:, 1] = 0
    assert crossed_t([0.1, 0.2, 0.3], parts, np.array([0, 0, 0, 1, 1, 1]), bursts) is None
    parts[:, 3:] = 0  # the other class plays no part
    assert crossed_t([0.1, 0.2, 0.3], parts, np.array([0, 0, 0, 1, 1, 1]), bursts) is not None


@pytest.mark.parametrize(("seeds", "shape"), [(1, (1, 4)), (3, (2, 4)), (2, (2, 5))])
def test_parts_of_another_number_are_refused(seeds, shape):
    with pytest.raises(ConfigurationError, match="expected 2 seeds or more and parts of each"):
        crossed_t([0.1] * seeds, np.ones(shape), np.zeros(4, dtype=int), np.arange(4))


def equal_methods(generator, seeds, counts):
    """Return logits (methods, seeds, photos, 2) of two methods that are equally good, and the labels.

    Each has photos that suit it: on one test set one of them is ahead with every seed.
    """
    labels = np.repeat([0, 1], counts)
    photo = generator.normal(size=len(labels))
    suits = 0.6 * generator.normal(size=(2, 1, len(labels)))
    skill = 1.5 + 0.15 * generator.normal(size=(2, seeds, 1))
    scores = skill * labels + photo + suits + 0.5 * generator.normal(size=(2, seeds, len(labels)))
    return np.stack([np.zeros_like(scores), scores - 0.7], axis=-1), labels


def test_equal_methods_are_called_different_about_as_often_as_promised():
    generator, rejected = np.random.default_rng(0), {"crossed": 0, "seeds alone": 0}
    rounds, seeds = 300, 10
    for _ in range(rounds):
        logits, labels = equal_methods(generator, seeds, (100, 40))
        parts = np.array([[photo_parts(model, labels, RARE)["auroc"] for model in method] for method in logits])
        auroc = parts[:, :, labels == 0].mean(axis=2)
        crossed = crossed_t(list(auroc[0] - auroc[1]), parts[0] - parts[1], labels, np.arange(len(labels)))
        rejected["crossed"] += crossed.p < 0.05
        rejected["seeds alone"] += paired_t(list(auroc[0]), list(auroc[1])).p < 0.05
    assert 0.02 * rounds <= rejected["crossed"] <= 0.08 * rounds
    assert rejected["seeds alone"] > 0.15 * rounds


def test_a_real_difference_is_found():
    generator = np.random.default_rng(0)
    logits, labels = equal_methods(generator, 5, (300, 100))
    logits[0, :, :, 1] += 1.2 * labels
    parts = np.array([[photo_parts(model, labels, RARE)["auroc"] for model in method] for method in logits])
    auroc = parts[:, :, labels == 0].mean(axis=2)
    found = crossed_t(list(auroc[0] - auroc[1]), parts[0] - parts[1], labels, np.arange(len(labels)))
    assert found.p < 0.001
    assert 0 < found.low < found.difference < found.high

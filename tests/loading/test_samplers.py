import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from fscl.errors import ConfigurationError
from fscl.loading.batches import Batches
from fscl.loading.samplers import (
    SAMPLERS,
    EveryClassSampler,
    MPerClassSampler,
    NaturalSampler,
    OversamplingSampler,
    PowerSampler,
    ProgressiveSampler,
    batches_per_epoch,
)
from fscl.registry import build

counts = st.lists(st.integers(2, 40), min_size=2, max_size=4)
names = st.sampled_from(sorted(SAMPLERS))


def labels_of(per_class):
    return np.repeat(np.arange(len(per_class)), per_class)


def made(name, labels, batch_size, seed=0, epochs=(0.0, 10.0), **options):
    """Return a sampler of the table, built as a run builds it."""
    context = {"labels": labels, "batch_size": batch_size, "seed": seed, "epochs": epochs}
    return build(SAMPLERS, "sampler", name, context, options)


def chi_square_p(labels, drawn, probabilities):
    """Return the probability of photos drawn as unevenly, if each class had its share and its photos were alike."""
    per_class = np.bincount(labels, minlength=len(probabilities))
    expected = (probabilities / np.maximum(per_class, 1))[labels] * len(drawn)
    assert expected.min() >= 5
    return stats.chisquare(np.bincount(drawn, minlength=len(labels)), expected).pvalue


@given(name=names, per_class=counts, batch_size=st.integers(12, 30), seed=st.integers(0, 9), epoch=st.integers(0, 12))
def test_an_epoch_has_every_place_and_no_batch_of_one(name, per_class, batch_size, seed, epoch):
    labels = labels_of(per_class)
    smallest = len(labels) // -(-len(labels) // batch_size)
    assume(smallest >= {"every_class": 2 * len(per_class), "m_per_class": 4}.get(name, 0))
    sampler = made(name, labels, batch_size, seed)
    batches = sampler.batches(epoch)
    sizes = [len(batch) for batch in batches]
    assert sum(sizes) == len(labels)
    assert len(sizes) == -(-len(labels) // batch_size)
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 2
    assert 0 <= min(map(min, batches)) <= max(map(max, batches)) < len(labels)
    assert sampler.probabilities.sum() == pytest.approx(1)


@given(name=names, photos=st.integers(2, 300), batch_size=st.integers(1, 70), epoch=st.integers(0, 3))
def test_no_batch_is_of_one_photo_whatever_their_number_and_the_batch_size(name, photos, batch_size, epoch):
    options = {"every_class": {"places": 1}, "m_per_class": {"m": 1}}.get(name, {})
    sampler = made(name, np.arange(photos) % 2, batch_size, **options)
    sizes = [len(batch) for batch in sampler.batches(epoch)]
    assert sum(sizes) == photos
    assert min(sizes) >= 2
    assert max(sizes) <= max(batch_size, 2) + 1
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == sampler.batches_per_epoch == batches_per_epoch(photos, batch_size)
    as_before = -(-photos // batch_size)
    assert len(sizes) == as_before or photos // as_before < 2  # other numbers of photos keep their batches


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_frequencies_match_their_formula(name):
    labels = labels_of([300, 30, 0, 6])
    sampler = made(name, labels, 48, epochs=(0.0, 400.0))
    drawn = np.concatenate([sampler.rows(epoch) for epoch in range(400)])
    assert chi_square_p(labels, drawn, sampler.probabilities) > 0.001


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_class_without_photos_is_no_error(name):
    sampler = made(name, labels_of([0, 12, 0, 20]), 16)
    assert sampler.probabilities[[0, 2]].tolist() == [0, 0]
    assert np.isfinite(sampler.probabilities).all()


@pytest.mark.parametrize(
    ("exponent", "shares"),
    [(1, [100, 25, 1]), (0.5, [10, 5, 1]), (0, [1, 1, 1]), (-1, [1, 4, 100]), (-0.5, [1, 2, 10])],
)
def test_powers_of_class_sizes(exponent, shares):
    sampler = made("power", labels_of([100, 25, 1]), 16, exponent=exponent)
    assert sampler.probabilities == pytest.approx(np.array(shares) / sum(shares))


def test_power_zero_is_oversampling():
    labels = labels_of([40, 3])
    balanced = PowerSampler(labels, 16, 5, exponent=0)
    assert np.array_equal(balanced.rows(2), OversamplingSampler(labels, 16, 5).rows(2))


def test_progressive_sampling_goes_from_natural_to_balanced():
    labels = labels_of([900, 100])
    sampler = ProgressiveSampler(labels, 50, 0, epochs=(2.0, 22.0))
    rare = [(labels[sampler.rows(epoch)] == 1).mean() for epoch in range(2, 22)]
    expected = [0.1 + 0.4 * (epoch + 0.5) / 20 for epoch in range(20)]
    assert rare == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 1000))
    assert sorted(sampler.rows(0)) == list(range(1000))
    assert (labels[sampler.rows(30)] == 1).mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 1000))


def test_progressive_sampling_goes_all_the_way_within_one_epoch():
    labels = labels_of([9000, 1000])
    rare = labels[ProgressiveSampler(labels, 100, 0, epochs=(0.0, 1.0)).rows(0)] == 1
    assert rare[:1000].mean() == pytest.approx(0.12, abs=0.05)
    assert rare[-1000:].mean() == pytest.approx(0.48, abs=0.05)


@given(per_class=st.lists(st.integers(1, 30), min_size=2, max_size=12), m=st.integers(1, 6), seed=st.integers(0, 9))
def test_m_photos_of_each_class_in_a_batch(per_class, m, seed):
    labels, batch_size = labels_of(per_class), 16
    assume(len(labels) // -(-len(labels) // batch_size) >= max(m, 2))
    for batch in MPerClassSampler(labels, batch_size, seed, m=m).batches(seed):
        found, sizes = np.unique(labels[batch], return_counts=True)
        assert len(found) == min(len(batch) // m, len(per_class))
        assert sizes.min() >= m
        assert sizes.max() - sizes.min() <= 1
        for label, size in zip(found, sizes, strict=True):
            distinct = len(set(batch[labels[batch] == label]))
            assert distinct == size or per_class[label] < size


def test_classes_of_many_come_up_equally_often():
    labels = labels_of([100] * 5 + [4] * 5)
    sampler = MPerClassSampler(labels, 16, 0)
    drawn = np.concatenate([sampler.rows(epoch) for epoch in range(100)])
    groups = np.bincount(labels[drawn]) / 4  # a class comes up in groups of about 4 photos
    assert stats.chisquare(groups).pvalue > 0.001


@given(per_class=counts, seed=st.integers(0, 9), epoch=st.integers(0, 5))
def test_natural_order_shows_each_photo_once(per_class, seed, epoch):
    rows = NaturalSampler(labels_of(per_class), 16, seed).rows(epoch)
    assert sorted(rows) == list(range(sum(per_class)))


def test_every_class_is_in_every_batch():
    labels = labels_of([200, 3, 4])
    sampler = EveryClassSampler(labels, 32, seed=1)
    for epoch in range(5):
        for batch in sampler.batches(epoch):
            assert np.bincount(labels[batch], minlength=3).min() >= 2


@settings(max_examples=30)
@given(name=names, start=st.integers(0, 12), seed=st.integers(0, 5))
def test_resuming_changes_nothing(name, start, seed):
    sampler = made(name, labels_of([40, 20]), 16, seed)
    whole = list(Batches(sampler, start=0, stop=13))
    assert list(Batches(sampler, start=start, stop=13)) == whole[start:]
    assert len(Batches(sampler, start=start, stop=13)) == 13 - start


@given(
    photos=st.integers(2, 60), batch_size=st.integers(2, 20), world_size=st.integers(1, 5), views=st.integers(1, 2)
)
def test_no_process_has_a_batch_of_one(photos, batch_size, world_size, views):
    sampler = NaturalSampler(np.arange(photos) % 2, batch_size, 0)
    run = {"start": 0, "stop": 2 * sampler.batches_per_epoch, "views": views, "world_size": world_size}
    smallest = photos // sampler.batches_per_epoch
    if smallest // world_size * views < 2:
        with pytest.raises(ConfigurationError, match=rf"{world_size} processes need 2 photos .*got {smallest}"):
            Batches(sampler, **run)
        return
    assert all(len(samples) >= 2 for rank in range(world_size) for samples in Batches(sampler, rank=rank, **run))


@given(world_size=st.integers(1, 5), seed=st.integers(0, 5))
def test_processes_share_every_batch_without_overlap(world_size, seed):
    sampler = NaturalSampler(labels_of([33, 20]), 16, seed)
    whole = list(Batches(sampler, start=2, stop=9))
    shards = [list(Batches(sampler, start=2, stop=9, rank=r, world_size=world_size)) for r in range(world_size)]
    for batch, *parts in zip(whole, *shards, strict=True):
        assert sorted(sample for part in parts for sample in part) == sorted(batch)
        assert all(parts)


def test_a_photo_drawn_twice_is_augmented_differently():
    batches = Batches(OversamplingSampler(labels_of([30, 2]), 16, 0), start=0, stop=20)
    samples = [sample for batch in batches for sample in batch]
    assert len({sample.seed for sample in samples}) == len(samples)


def test_photos_are_augmented_otherwise_in_other_runs_and_epochs():
    runs = [Batches(NaturalSampler(labels_of([20, 12]), 16, seed), start=0, stop=4) for seed in range(3)]
    seeds = [sample.seed for batches in runs for batch in batches for sample in batch]
    assert len(set(seeds)) == len(seeds) == 3 * 2 * 32


def test_seeds_and_epochs_differ():
    labels = labels_of([30, 10])
    orders = {tuple(NaturalSampler(labels, 16, seed).rows(epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NaturalSampler(np.array([0]), 4, 0), "at least 2 photos, got 1"),
        (lambda: EveryClassSampler(labels_of([10, 10]), 4, 0, places=3), "2 classes · places fit a batch of 4"),
        (lambda: EveryClassSampler(labels_of([10, 10]), 4, 0, places=0), "places must be a whole number >= 1"),
        (lambda: EveryClassSampler(labels_of([10, 10]), 4, 0, places=1.5), "places must be a whole number .*got 1.5"),
        (lambda: Batches(NaturalSampler(labels_of([3, 3]), 2, 0), start=0, stop=1, world_size=3), "got 2"),
        (lambda: PowerSampler(labels_of([3, 3]), 4, 0, exponent=1.5), "exponent must be −1 … 1, got 1.5"),
        (lambda: PowerSampler(labels_of([3, 3]), 4, 0, exponent=float("nan")), "exponent must be −1 … 1, got nan"),
        (
            lambda: MPerClassSampler(labels_of([10, 10]), 8, 0, m=7),
            "m must be a whole number, 1 … 6, the photos of a batch, got 7",
        ),
        (lambda: MPerClassSampler(labels_of([10, 10]), 8, 0, m=0), "got 0"),
        (lambda: MPerClassSampler(labels_of([10, 10]), 8, 0, m=2.5), "m must be a whole number, .*got 2.5"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()

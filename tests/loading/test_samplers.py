import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fscl.errors import ConfigurationError
from fscl.loading.samplers import SAMPLERS, Batches, EveryClassSampler, NaturalSampler, OversamplingSampler

counts = st.lists(st.integers(2, 40), min_size=2, max_size=4)
names = st.sampled_from(sorted(SAMPLERS))


def labels_of(per_class):
    return np.repeat(np.arange(len(per_class)), per_class)


@given(name=names, per_class=counts, batch_size=st.integers(12, 30), seed=st.integers(0, 9))
def test_an_epoch_has_every_place_and_no_batch_of_one(name, per_class, batch_size, seed):
    labels = labels_of(per_class)
    if name == "every_class" and len(labels) // -(-len(labels) // batch_size) < 2 * len(per_class):
        return
    sampler = SAMPLERS[name](labels, batch_size, seed)
    batches = sampler.batches(0)
    sizes = [len(batch) for batch in batches]
    assert sum(sizes) == len(labels)
    assert len(sizes) == -(-len(labels) // batch_size)
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 2
    assert sampler.probabilities.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_frequencies_match_their_formula(name):
    labels = labels_of([300, 30, 6])
    sampler = SAMPLERS[name](labels, 48, seed=0)
    drawn = np.concatenate([sampler.rows(epoch) for epoch in range(200)])
    shares = np.bincount(labels[drawn]) / len(drawn)
    assert shares == pytest.approx(sampler.probabilities, abs=0.005)


def test_frequencies_of_oversampling_do_not_favour_a_photo_of_its_class():
    labels = labels_of([50, 5])
    drawn = np.concatenate([OversamplingSampler(labels, 11, 0).rows(epoch) for epoch in range(400)])
    per_photo = np.bincount(drawn, minlength=55) / len(drawn)
    assert per_photo[:50] == pytest.approx(np.full(50, 0.5 / 50), rel=0.25)
    assert per_photo[50:] == pytest.approx(np.full(5, 0.5 / 5), rel=0.05)


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
    sampler = SAMPLERS[name](labels_of([40, 20]), 16, seed)
    whole = list(Batches(sampler, start=0, stop=13))
    assert list(Batches(sampler, start=start, stop=13)) == whole[start:]
    assert len(Batches(sampler, start=start, stop=13)) == 13 - start


@given(world_size=st.integers(1, 5), seed=st.integers(0, 5))
def test_processes_share_every_batch_without_overlap(world_size, seed):
    sampler = NaturalSampler(labels_of([33, 20]), 16, seed)
    whole = list(Batches(sampler, start=2, stop=9))
    shards = [list(Batches(sampler, start=2, stop=9, rank=r, world_size=world_size)) for r in range(world_size)]
    for batch, *parts in zip(whole, *shards, strict=True):
        assert sorted(draw for part in parts for draw in part) == sorted(batch)
        assert all(parts)


def test_a_photo_drawn_twice_is_augmented_differently():
    batches = Batches(OversamplingSampler(labels_of([30, 2]), 16, 0), start=0, stop=20)
    draws = [draw for batch in batches for draw in batch]
    assert len({draw.seed for draw in draws}) == len(draws)


def test_seeds_and_epochs_differ():
    labels = labels_of([30, 10])
    orders = {tuple(NaturalSampler(labels, 16, seed).rows(epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NaturalSampler(np.array([0]), 4, 0), "at least 2 photos, got 1"),
        (lambda: EveryClassSampler(labels_of([10, 10]), 4, 0, places=3), "2 classes · places fit a batch of 4"),
        (lambda: EveryClassSampler(labels_of([10, 10]), 4, 0, places=0), "places must be >= 1"),
        (lambda: Batches(NaturalSampler(labels_of([3, 3]), 2, 0), start=0, stop=1, world_size=3), "got 2"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()

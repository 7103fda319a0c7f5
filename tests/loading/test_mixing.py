import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fscl.errors import ConfigurationError
from fscl.loading.mixing import MIXINGS, CutMix, Mixup, Remix
from fscl.registry import build

CLASS_COUNTS = (900, 300, 290, 5)
seeds = st.integers(0, 2**32)


def made(name, **options):
    """Return a mixing of the table, built as a run builds it."""
    about_classes = {"num_classes": 4, "class_names": tuple("abcd"), "class_counts": CLASS_COUNTS}
    return build(MIXINGS, "mixing", name, about_classes, options)


def batch_of(seed, size=6, height=16, width=32):
    generator = torch.Generator().manual_seed(seed)
    photos, partners = torch.randn(2, size, 3, height, width, generator=generator)
    labels, partner_labels = torch.randint(4, (2, size), generator=generator)
    return photos, labels, partners, partner_labels


def ones_on_zeros(labels, partner_labels, height=16, width=32):
    """Return a batch of black photos whose partners are white: a pixel tells how much of the partner it shows."""
    black = torch.zeros(len(labels), 3, height, width)
    return black, torch.tensor(labels), torch.ones_like(black), torch.tensor(partner_labels)


def share_by_cases(kept, own, other, kappa=3, tau=0.5):
    """Return λ_y as Chou et al. 2020 write it, a case at a time."""
    if own / other >= kappa and kept < tau:
        return 0.0
    if own / other <= 1 / kappa and 1 - kept < tau:
        return 1.0
    return kept


@given(name=st.sampled_from(sorted(MIXINGS)), seed=seeds)
def test_every_mixing_keeps_shapes_and_inputs_and_shares_sum_to_one(name, seed):
    batch = batch_of(seed % 1000)
    before = [tensor.clone() for tensor in batch]
    photos, shares = made(name)(*batch, np.random.default_rng(seed))
    assert photos.shape == batch[0].shape
    assert photos.dtype == shares.dtype == torch.float32
    assert shares.shape == (6, 4)
    assert shares.min() >= 0
    assert shares.sum(dim=1) == pytest.approx(np.ones(6))
    assert all(torch.equal(tensor, old) for tensor, old in zip(batch, before, strict=True))
    possible = torch.zeros(6, 4).scatter_(1, torch.stack([batch[1], batch[3]], dim=1), 1)
    assert (shares[possible == 0] == 0).all()


@pytest.mark.parametrize("name", sorted(MIXINGS))
def test_the_generator_decides(name):
    batch = batch_of(0)
    once, again, other = (made(name)(*batch, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(once.photos, again.photos)
    assert torch.equal(once.shares, again.shares)
    assert not torch.equal(once.photos, other.photos)


@pytest.mark.parametrize("name", sorted(MIXINGS))
def test_photos_stay_in_channels_last_memory(name):
    photos, labels, partners, partner_labels = batch_of(0)
    photos, partners = (x.contiguous(memory_format=torch.channels_last) for x in (photos, partners))
    mixed = made(name)(photos, labels, partners, partner_labels, np.random.default_rng(0)).photos
    assert mixed.is_contiguous(memory_format=torch.channels_last)


@given(seed=seeds, alpha=st.sampled_from([0.2, 1.0]))
def test_mixup_is_the_sum_pixel_by_pixel(seed, alpha):
    photos, labels, partners, partner_labels = batch_of(seed % 1000)
    mixed = Mixup(4, alpha=alpha)(photos, labels, partners, partner_labels, np.random.default_rng(seed))
    kept = np.random.default_rng(seed).beta(alpha, alpha)
    assert torch.allclose(mixed.photos, kept * photos + (1 - kept) * partners, atol=1e-5)
    for i in range(6):
        expected = np.zeros(4)
        expected[labels[i]] += kept
        expected[partner_labels[i]] += 1 - kept
        assert mixed.shares[i].numpy() == pytest.approx(expected, abs=1e-6)


@given(seed=seeds)
def test_remix_favours_the_rarer_class_case_by_case(seed):
    every_pair = [(i, j) for i in range(4) for j in range(4)]
    labels, partner_labels = (list(side) for side in zip(*every_pair, strict=True))
    mixed = made("remix")(*ones_on_zeros(labels, partner_labels), np.random.default_rng(seed))
    kept = np.random.default_rng(seed).beta(1, 1)
    assert mixed.photos.mean() == pytest.approx(1 - kept, abs=1e-6)
    for (i, j), shares in zip(every_pair, mixed.shares, strict=True):
        expected = np.zeros(4)
        expected[i] += (share := share_by_cases(kept, CLASS_COUNTS[i], CLASS_COUNTS[j]))
        expected[j] += 1 - share
        assert shares.numpy() == pytest.approx(expected, abs=1e-6)


def test_remix_without_tau_is_mixup():
    batch = batch_of(1)
    remix = made("remix", tau=0.0, alpha=0.4)(*batch, np.random.default_rng(2))
    mixup = made("mixup", alpha=0.4)(*batch, np.random.default_rng(2))
    assert torch.equal(remix.photos, mixup.photos)
    assert torch.equal(remix.shares, mixup.shares)


@given(seed=seeds)
def test_cutmix_pastes_one_box_in_place_and_its_label_share_is_its_pixel_share(seed):
    batch = ones_on_zeros([0, 1], [3, 2])
    photos, shares = CutMix(4)(*batch, np.random.default_rng(seed))
    pasted = photos[0, 0] == 1
    rows, columns = pasted.any(dim=1), pasted.any(dim=0)
    assert torch.equal(pasted, rows[:, None] & columns[None, :])
    for side in (rows, columns):
        assert torch.diff(side.int()).abs().sum() + side[0] + side[-1] in (0, 2)  # one stretch, or none
    assert torch.equal(photos, pasted.float().expand_as(photos))
    assert shares[0, 3].item() == shares[1, 2].item() == pasted.sum().item() / (16 * 32)
    assert shares[0, 0].item() == shares[1, 1].item() == 1 - pasted.sum().item() / (16 * 32)


def test_cutmix_boxes_have_the_sides_and_places_of_the_paper():
    """Against a loop over λ and centre on a fine grid: how often each row is in the box."""
    length, side = 32, np.sqrt(1 - (np.arange(400) + 0.5) / 400)
    centre = (np.arange(400) + 0.5) / 400 * length
    covered = np.array([(np.abs(row + 0.5 - centre) < side[:, None] * length / 2).mean() for row in range(length)])
    batch, generator, trials = ones_on_zeros([0], [3], 32, 32), np.random.default_rng(0), 4000
    boxes = [CutMix(4)(*batch, generator).photos[0, 0] for _ in range(trials)]
    found = torch.stack([box.amax(dim=1) for box in boxes]).mean(dim=0).numpy()
    assert found == pytest.approx(covered, abs=4 * np.sqrt(0.25 / trials))


def test_cutmix_leaves_batches_alone_as_often_as_it_should():
    batch, generator = ones_on_zeros([0], [3]), np.random.default_rng(0)
    mixed = [CutMix(4, alpha=50.0, probability=0.25)(*batch, generator).shares[0, 3] > 0 for _ in range(1000)]
    assert stats.binomtest(int(sum(mixed)), 1000, 0.25).pvalue > 0.001


def test_mixing_reaches_the_partners_of_its_photos_only():
    photos, labels, partners, partner_labels = batch_of(5)
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    for name in MIXINGS:
        mixed = made(name)(photos, labels, partners, partner_labels, np.random.default_rng(1))
        permuted = made(name)(
            photos[order], labels[order], partners[order], partner_labels[order], np.random.default_rng(1)
        )
        assert torch.equal(permuted.photos, mixed.photos[order])
        assert torch.equal(permuted.shares, mixed.shares[order])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixup(4, alpha=0.0), "alpha must be > 0, got 0.0"),
        (lambda: CutMix(4, alpha=-1.0), "alpha must be > 0, got -1.0"),
        (lambda: CutMix(4, probability=1.5), "probability must be 0 … 1, got 1.5"),
        (lambda: Remix(4, CLASS_COUNTS, kappa=0.5), "kappa must be >= 1, got 0.5"),
        (lambda: Remix(4, CLASS_COUNTS, tau=-0.1), "tau must be 0 … 1, got -0.1"),
        (lambda: Remix(3, CLASS_COUNTS), "one number per class, 3, got 4"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_bad_option_of_a_recipe_names_the_mixing():
    with pytest.raises(ConfigurationError, match="mixing 'cutmix': probability must be"):
        made("cutmix", probability=2.0)

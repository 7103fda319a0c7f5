"""What is chosen at random, against torchvision's transforms: the same choices, strengths and frequencies."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from fscl.config import Augmentation, PaddedCrop, ResizedCrop
from fscl.loading.augment_parameters import CODES, JITTER, RANDAUGMENT, AugmentParameters, uniforms
from fscl.loading.operations import OPERATIONS

SEEDS = np.random.default_rng(0).integers(2**63, size=20_000)


def test_the_fourteen_are_torchvisions_in_its_order():
    assert list(RANDAUGMENT) == list(v2.RandAugment._AUGMENTATION_SPACE)


@pytest.mark.parametrize("name", RANDAUGMENT)
@pytest.mark.parametrize("magnitude", [0, 3, 9, 17, 30])
@pytest.mark.parametrize("size", [32, 225])
def test_magnitudes_do_to_photos_what_torchvisions_do(name, magnitude, size):
    """The warps differ only where two pixels are equally near; the others by a level at most."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(256, (1, 3, 7, 7), generator=generator, dtype=torch.uint8)
    photo = functional.resize(coarse, [size, size], antialias=True)
    parameters = AugmentParameters(Augmentation(randaugment_magnitude=magnitude), size)
    place = list(RANDAUGMENT).index(name)
    values, signed = v2.RandAugment._AUGMENTATION_SPACE[name]
    table = values(31, size, size)
    operation = list(OPERATIONS.values())[parameters.codes[place]]
    for backward in (0, 1):
        value = 0.0 if table is None else float(table[magnitude])
        value = -value if signed and backward else value
        expected = v2.RandAugment()._apply_image_or_video_transform(
            photo, name, value, interpolation=v2.InterpolationMode.NEAREST, fill={torch.Tensor: None}
        )
        strength = torch.tensor(parameters.strengths[place, backward : backward + 1], dtype=torch.float32)
        apart = (operation(photo, strength).int() - expected.int()).abs()
        assert (apart > 1).float().mean() < (0.005 if parameters.codes[place] == CODES["warp"] else 1e-9)


def test_each_operation_and_direction_is_equally_likely():
    parameters = AugmentParameters(Augmentation(), 64)
    _, first, second, *_ = parameters(SEEDS.tolist())
    for phase in (first, second):
        found = np.bincount(phase.codes, minlength=len(OPERATIONS)) / len(SEEDS)
        expected = np.bincount(parameters.codes, minlength=len(OPERATIONS)) / len(RANDAUGMENT)
        assert np.abs(found - expected).max() < 0.015
        brightness = phase.strengths[phase.codes == CODES["brightness"], 0]
        assert sorted(set(brightness.round(6))) == [0.73, 1.27]
        assert abs((brightness > 1).mean() - 0.5) < 0.05
    assert abs(np.corrcoef(first.codes, second.codes)[0, 1]) < 0.03


def test_jitter_draws_from_torchvisions_ranges_in_any_order():
    settings = Augmentation(jitter=(0.4, 1.5, 0.2, 0.1))
    theirs = v2.ColorJitter(*settings.jitter)
    phases = AugmentParameters(settings, 64)(SEEDS.tolist())[-4:]
    for name in JITTER:
        places = np.stack([phase.codes == CODES[name] for phase in phases])
        assert (places.sum(axis=0) == 1).all()
        assert np.abs(places.mean(axis=1) - 0.25).max() < 0.02
        values = np.concatenate([phase.strengths[phase.codes == CODES[name], 0] for phase in phases])
        low, high = getattr(theirs, name)
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() < high
        assert abs(values.mean() - (low + high) / 2) < 0.02 * (high - low)


def test_flips_are_as_likely_as_asked():
    for share in (0.0, 0.25, 1.0):
        flips = AugmentParameters(Augmentation(flip=share), 64)(SEEDS.tolist())[0]
        assert abs((flips.codes == CODES["flip"]).mean() - share) < 0.01


def test_what_is_turned_off_is_not_done():
    phases = AugmentParameters(Augmentation(flip=0, randaugment_operations=0, jitter=(0, 0, 0, 0)), 64)([1, 2, 3])
    assert all((phase.codes == CODES["still"]).all() for phase in phases)


def test_a_seed_decides_alone():
    parameters = AugmentParameters(Augmentation(), 64)
    for together, alone in zip(parameters([5, 2**63 - 1, 9]), parameters([2**63 - 1]), strict=True):
        assert together.codes[1] == alone.codes[0]
        assert (together.strengths[1] == alone.strengths[0]).all()


def test_uniform_numbers_are_splitmix64s():
    """The first outputs for seed 1234567, as in the reference implementation (Vigna 2015)."""
    expected = np.array([6457827717110365317, 3203168211198807973, 9817491932198370423], dtype=np.uint64)
    assert (uniforms([1234567], 3)[0] == (expected >> np.uint64(11)) * 2.0**-53).all()
    many = uniforms(range(5000), 4)
    assert many.min() >= 0
    assert many.max() < 1
    assert np.abs(np.corrcoef(many.T) - np.eye(4)).max() < 0.05
    assert np.abs(np.histogram(many, bins=10, range=(0, 1))[0] / many.size - 0.1).max() < 0.01


def test_without_a_crop_photos_get_what_they_got_before_there_were_crops():
    plain = AugmentParameters(Augmentation(), 32)(SEEDS[:50].tolist())
    cropped = AugmentParameters(Augmentation(crop=PaddedCrop(name="padded")), 32)(SEEDS[:50].tolist())
    assert len(cropped) == len(plain) + 1
    for one, other in zip(plain, cropped[1:], strict=True):
        assert np.array_equal(one.codes, other.codes)
        assert np.array_equal(one.strengths, other.strengths)


def test_a_padded_crop_shifts_by_every_number_of_pixels_alike():
    """As torchvision's RandomCrop(32, padding=4) does: 9 places in each direction."""
    phase = AugmentParameters(Augmentation(crop=PaddedCrop(name="padded")), 32)(SEEDS.tolist())[0]
    assert (phase.codes == CODES["warp"]).all()
    assert (phase.strengths[:, [0, 1, 3, 4]] == [1, 0, 0, 1]).all()
    for shift in phase.strengths[:, [2, 5]].T:
        shares = np.bincount((shift + 4).astype(int)) / len(SEEDS)
        assert len(shares) == 9
        assert np.abs(shares - 1 / 9).max() < 0.01
    assert abs(np.corrcoef(phase.strengths[:, 2], phase.strengths[:, 5])[0, 1]) < 0.03


def test_a_resized_crop_draws_areas_and_shapes_as_torchvision_does():
    settings = Augmentation(crop=ResizedCrop(name="resized", scale=(0.2, 0.7)))
    phase = AugmentParameters(settings, 64)(SEEDS.tolist())[0]
    assert (phase.codes == CODES["zoom"]).all()
    wide, high = phase.strengths[:, 0], phase.strengths[:, 4]
    torch.manual_seed(0)
    boxes = [v2.RandomResizedCrop(1, scale=(0.2, 0.7)).make_params([torch.zeros(1, 512, 512)]) for _ in range(4000)]
    theirs = np.array([(box["width"], box["height"]) for box in boxes]) / 512
    for ours, expected in (
        (wide * high, theirs.prod(axis=1)),
        (np.log(wide / high), np.log(theirs[:, 0] / theirs[:, 1])),
    ):
        assert np.abs(np.quantile(ours, [0.1, 0.5, 0.9]) - np.quantile(expected, [0.1, 0.5, 0.9])).max() < 0.02
    reach = np.abs(phase.strengths[:, [2, 5]]) + phase.strengths[:, [0, 4]] * 32
    assert reach.max() <= 32 + 1e-9, "no crop leaves the photo"
    assert (reach > 30).mean() > 0.05, "crops reach the edges"

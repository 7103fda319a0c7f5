"""Each operation against torchvision's on the same uint8 tensors and parameters."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from fscl.loading import operations
from fscl.loading.operations import OPERATIONS


@pytest.fixture(scope="module")
def photos():
    """Smooth photos as cameras make them, noise, and the corner cases: one level, two levels, grey, black, white."""
    generator = torch.Generator().manual_seed(0)
    small = torch.randint(256, (6, 3, 5, 5), generator=generator, dtype=torch.uint8)
    smooth = functional.resize(small, [24, 31], antialias=True)
    noise = torch.randint(256, (4, 3, 24, 31), generator=generator, dtype=torch.uint8)
    grey = noise[:1, :1].expand(-1, 3, -1, -1)
    flat = torch.tensor([0, 77, 255], dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 24, 31)
    return torch.cat([smooth, noise, grey, flat, (noise[:1] > 127) * torch.tensor(9, dtype=torch.uint8)])


def each(photos, low, high):
    return torch.linspace(low, high, len(photos))


def most_levels_apart(found, expected):
    return (found.int() - torch.stack(expected).int()).abs().max().item()


@pytest.mark.parametrize(
    ("ours", "theirs", "low", "high", "tolerance"),
    [
        (operations.brightness, functional.adjust_brightness, 0.0, 1.9, 0),
        (operations.saturation, functional.adjust_saturation, 0.0, 1.9, 1),
        (operations.contrast, functional.adjust_contrast, 0.0, 1.9, 1),
        (operations.sharpness, functional.adjust_sharpness, 0.0, 1.9, 1),
        (operations.hue, functional.adjust_hue, -0.5, 0.5, 1),
        (operations.solarize, functional.solarize, 0.0, 255.0, 0),
    ],
)
def test_each_photo_has_its_own_strength(photos, ours, theirs, low, high, tolerance):
    strength = each(photos, low, high)
    expected = [theirs(photo, float(value)) for photo, value in zip(photos, strength, strict=True)]
    assert most_levels_apart(ours(photos, strength), expected) <= tolerance
    assert most_levels_apart(ours(photos, strength.flip(0)), expected) > tolerance


def test_posterize(photos):
    bits = torch.arange(len(photos)) % 9
    expected = [functional.posterize(photo, int(b)) for photo, b in zip(photos, bits, strict=True)]
    assert most_levels_apart(operations.posterize(photos, bits.float()), expected) == 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (operations.flip, functional.horizontal_flip),
        (operations.autocontrast, functional.autocontrast),
        (operations.equalize, functional.equalize),
    ],
)
def test_operations_without_strength_are_exact(photos, ours, theirs):
    assert most_levels_apart(ours(photos), [theirs(photo) for photo in photos]) == 0


def test_a_warp_takes_the_nearest_pixel_and_black_outside():
    photos = torch.arange(1, 13, dtype=torch.uint8).view(1, 1, 3, 4).expand(-1, 3, -1, -1)
    shifted = operations.warp(photos, torch.tensor([[[1.0, 0, -1.4], [0, 1, 1]]]))
    assert shifted[0, 2].tolist() == [[0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0]]
    mirrored = operations.warp(photos, torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]]))
    assert torch.equal(mirrored, photos.flip(-1))


def test_tiny_photos_are_not_sharpened():
    photos = torch.randint(256, (2, 3, 2, 9), dtype=torch.uint8)
    assert torch.equal(operations.sharpness(photos, torch.tensor([0.1, 1.9])), photos)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_photo_does_not_depend_on_its_batch_and_the_input_stays(photos, name):
    strength = torch.tensor([[0.9, 0.1, 2.0, -0.2, 1.1, -1.0]]) * each(photos, 0.1, 0.5)[:, None]
    before = photos.clone()
    together = OPERATIONS[name](photos, strength)
    assert torch.equal(photos, before)
    assert together.dtype == torch.uint8
    alone = [OPERATIONS[name](photos[i : i + 1], strength[i : i + 1]) for i in range(len(photos))]
    assert torch.equal(together, torch.cat(alone))
    strided = photos.contiguous(memory_format=torch.channels_last)
    assert torch.equal(together, OPERATIONS[name](strided, strength))


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_operation_asks_the_device_for_a_value(photos, name):
    """On the meta device there are no values: an operation that looked at one would fail."""
    there = torch.empty(photos.shape, dtype=torch.uint8, device="meta")
    assert OPERATIONS[name](there, torch.empty(len(photos), 6, device="meta")).shape == photos.shape


def test_photos_of_a_camera_differ_from_pillows_by_rounding_alone(shared_data):
    """Training augmented with Pillow before; on real photos the difference is of rounding."""
    from PIL import Image

    paths = sorted((shared_data / "pets3").rglob("*.jpg"))[:4]
    images = [Image.open(path).convert("RGB").resize((64, 64)) for path in paths]
    photos = torch.stack([functional.pil_to_tensor(image) for image in images])
    for ours, theirs, strength, tolerance in [
        (operations.brightness, functional.adjust_brightness, 1.3, 1),
        (operations.saturation, functional.adjust_saturation, 0.6, 1),
        (operations.contrast, functional.adjust_contrast, 1.3, 1),
        (operations.sharpness, functional.adjust_sharpness, 1.3, 2),
        (operations.hue, functional.adjust_hue, 0.08, 14),  # Pillow's hue has 256 steps, its saturation too
    ]:
        expected = np.stack([np.asarray(theirs(image, strength)) for image in images]).transpose(0, 3, 1, 2)
        found = ours(photos, torch.full((len(photos),), strength)).numpy()
        apart = np.abs(found.astype(int) - expected)
        assert apart.max() <= tolerance, ours
        assert apart.mean() < 1.5


@pytest.mark.parametrize("box", [(3, 2, 12, 20), (0, 0, 24, 31), (10, 20, 9, 11)])
def test_a_zoom_is_torchvisions_resized_crop_inside_the_rim(photos, box):
    """At the rim torchvision repeats the crop's last pixels, and a zoom looks at those beside it."""
    top, left, height, width = box
    expected = functional.resized_crop(photos, *box, list(photos.shape[2:]), antialias=False)
    rows, columns = photos.shape[2:]
    down, right = height / rows, width / columns
    matrix = torch.tensor([[right, 0, left + width / 2 - columns / 2], [0, down, top + height / 2 - rows / 2]])
    zoomed = operations.zoom(photos, matrix.expand(len(photos), -1, -1))
    rim_y, rim_x = (int(np.ceil(0.5 / share)) for share in (down, right))
    inner = (..., slice(rim_y, rows - rim_y), slice(rim_x, columns - rim_x))
    assert (zoomed[inner].int() - expected[inner].int()).abs().max() <= 1
    assert box != (0, 0, 24, 31) or torch.equal(zoomed, photos)

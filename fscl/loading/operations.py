"""What augmentation does to photos, in batches: torchvision's operations, each photo with its own strength.

All take and return uint8 photos (batch, 3, height, width) in RGB, on any device. A photo's outcome does not depend
on the others in its batch, not even in rounding: no sum here is rounded, and no product is fused with a sum. It
differs from `torchvision.transforms.v2.functional` on the same uint8 tensor by at most one level (8 bits), save
that a warp may take another of two pixels equally near.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

Photos = UInt8[Tensor, "batch 3 height width"]
Strength = Float[Tensor, "batch"]
Operation = Callable[[Photos, Float[Tensor, "batch 6"]], Photos]
LUMA = (0.2989, 0.587, 0.114)  # of ITU-R BT.601, as torchvision rounds it


def flip(photos: Photos) -> Photos:
    """Mirror left and right."""
    return photos.flip(-1)


def warp(photos: Photos, matrices: Float[Tensor, "batch 2 3"]) -> Photos:
    """Sample each output pixel from the nearest input pixel; black where there is none.

    Args:
        photos: to warp.
        matrices: from output to input coordinates (x, y, 1), in pixels from the centre of the photo.
    """
    height, width = photos.shape[-2:]
    x = torch.arange(width, dtype=torch.float32, device=photos.device) - (width - 1) / 2
    y = torch.arange(height, dtype=torch.float32, device=photos.device)[:, None] - (height - 1) / 2
    rows = matrices[..., None, None]
    column = (rows[:, 0, 0] * x + (rows[:, 0, 1] * y + (rows[:, 0, 2] + (width - 1) / 2))).round_()
    row = (rows[:, 1, 0] * x + (rows[:, 1, 1] * y + (rows[:, 1, 2] + (height - 1) / 2))).round_()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    nearest = row.mul_(width).add_(column).mul_(inside).long().flatten(1)
    sampled = photos.flatten(2).gather(2, nearest[:, None].expand(-1, 3, -1))
    return sampled.view_as(photos).mul_(inside[:, None])


def zoom(photos: Photos, matrices: Float[Tensor, "batch 2 3"]) -> Photos:
    """Sample each output pixel from the four nearest input pixels, by their distance; the rim is repeated outside.

    Args:
        photos: to enlarge.
        matrices: as for `warp`, without rotation or shear: only (0, 0), (0, 2), (1, 1) and (1, 2) are used.
    """
    rows = _between(photos.float(), matrices[:, 1, 1], matrices[:, 1, 2], side=-2)
    return _levels(_between(rows, matrices[:, 0, 0], matrices[:, 0, 2], side=-1).round_())


def _between(values: Float[Tensor, "batch 3 height width"], scale: Strength, shift: Strength, side: int) -> Tensor:
    """Resample one side of the photos linearly, at scale · place + shift from the centre."""
    length = values.shape[side]
    places = torch.arange(length, dtype=torch.float32, device=values.device) - (length - 1) / 2
    sampled = (scale[:, None] * places + shift[:, None] + (length - 1) / 2).clamp_(0, length - 1)
    before = sampled.floor().clamp_(max=max(length - 2, 0))
    shape = [len(values), 1, 1, 1]
    shape[side] = length
    share, index = (sampled - before).view(shape), before.long().view(shape)
    near, far = (
        values.gather(side, place.expand_as(values)) for place in (index, (index + 1).clamp_(max=length - 1))
    )
    return far.sub_(near).mul_(share).add_(near)


def brightness(photos: Photos, factor: Strength) -> Photos:
    """Multiply by a factor ≥ 0."""
    return _levels(photos.float().mul_(_each(factor)))


def saturation(photos: Photos, factor: Strength) -> Photos:
    """Blend with the grey photo: 0 is grey, 1 the photo itself."""
    return _blend(photos.float(), _grey(photos), factor)


def contrast(photos: Photos, factor: Strength) -> Photos:
    """Blend with the photo's mean grey: 0 is even grey, 1 the photo itself."""
    sums = _grey(photos).sum(dim=(-2, -1), keepdim=True, dtype=torch.float64)  # of whole numbers: exact
    return _blend(photos.float(), (sums / photos[0, 0].numel()).float(), factor)


def sharpness(photos: Photos, factor: Strength) -> Photos:
    """Blend with the photo smoothed by the kernel (1 1 1, 1 5 1, 1 1 1) / 13: 1 is the photo; the rim stays."""
    if min(photos.shape[-2:]) <= 2:
        return photos
    wide = photos.to(torch.int16)
    columns = wide[..., :-2] + wide[..., 1:-1] + wide[..., 2:]
    inner = wide[..., 1:-1, 1:-1]
    weighed = columns[..., :-2, :] + columns[..., 1:-1, :] + columns[..., 2:, :] + 4 * inner
    smooth = weighed.float().div_(13).round_()
    sharpened = photos.clone()
    sharpened[..., 1:-1, 1:-1] = _blend(inner.float(), smooth, factor)
    return sharpened


def posterize(photos: Photos, bits: Strength) -> Photos:
    """Keep the highest 0 to 8 bits of each level."""
    return photos & _each(256 - 2 ** (8 - bits)).to(torch.uint8)


def solarize(photos: Photos, threshold: Strength) -> Photos:
    """Invert the levels that reach a threshold of 0 to 255."""
    return torch.where(photos >= _each(threshold.ceil()).to(torch.uint8), ~photos, photos)


def autocontrast(photos: Photos) -> Photos:
    """Stretch each channel to the levels 0 to 255; a channel of one level stays."""
    low, high = photos.amin((-2, -1), keepdim=True), photos.amax((-2, -1), keepdim=True)
    flat = low == high
    spread = torch.where(flat, 255, high - low).float().mul_(1 / 255)
    return _levels(photos.sub(low.masked_fill(flat, 0)).float().div_(spread))


def equalize(photos: Photos) -> Photos:
    """Spread each channel's levels so that all are about equally frequent (Pillow's scheme)."""
    pixels = photos.flatten(2).long()
    counts = torch.zeros(*pixels.shape[:2], 256, dtype=torch.int32, device=photos.device)
    counts.scatter_add_(2, pixels, torch.ones(1, dtype=torch.int32, device=photos.device).expand_as(pixels))
    up_to = counts.cumsum(2, dtype=torch.int32)
    of_brightest = counts.gather(2, up_to.argmax(2, keepdim=True))
    step = (pixels.shape[2] - of_brightest).div_(255, rounding_mode="floor")
    below = torch.nn.functional.pad(up_to[..., :-1], (1, 0))
    table = (below + step // 2).div_(step.clamp(min=1), rounding_mode="floor").clamp_(0, 255).to(torch.uint8)
    levels = torch.arange(256, dtype=torch.uint8, device=photos.device)
    return torch.where(step == 0, levels, table).gather(2, pixels).view_as(photos)


def hue(photos: Photos, turn: Strength) -> Photos:
    """Turn the hue by −0.5 to 0.5 of the colour circle; brightest and darkest channel keep their levels.

    Each channel is a trapezoid over the circle of six sextants (Smith 1978), without a detour by HSV.
    """
    red, green, blue = photos.float().unbind(1)
    brightest, darkest = (
        torch.maximum(torch.maximum(red, green), blue),
        torch.minimum(torch.minimum(red, green), blue),
    )
    chroma = brightest - darkest
    sextant = torch.where(
        brightest == red,
        green - blue,
        torch.where(brightest == green, chroma.mul(2).add_(blue).sub_(red), chroma.mul(4).add_(red).sub_(green)),
    )
    sextant.div_(chroma.clamp(min=1)).add_(turn[:, None, None] * 6).remainder_(6)
    turned = torch.empty(photos.shape, dtype=torch.float32, device=photos.device)
    torch.sub(sextant, 3, out=turned[:, 0]).abs_().sub_(1)
    torch.sub(sextant, 2, out=turned[:, 1]).abs_().neg_().add_(2)
    torch.sub(sextant, 4, out=turned[:, 2]).abs_().neg_().add_(2)
    turned.clamp_(0, 1).mul_(chroma[:, None]).add_(darkest[:, None])
    return turned.mul_(255.999 / 255).to(torch.uint8)  # as torchvision turns [0, 1] into levels


def _scalar(operation: Callable[[Photos, Strength], Photos]) -> Operation:
    return lambda photos, strength: operation(photos, strength[:, 0])


# Of a batch and the strengths of its photos, (batch, 6): warp and zoom take a matrix, others the first or none.
OPERATIONS: dict[str, Operation] = {
    "still": lambda photos, _: photos,
    "flip": lambda photos, _: flip(photos),
    "warp": lambda photos, strength: warp(photos, strength.view(-1, 2, 3)),
    "brightness": _scalar(brightness),
    "saturation": _scalar(saturation),
    "contrast": _scalar(contrast),
    "sharpness": _scalar(sharpness),
    "posterize": _scalar(posterize),
    "solarize": _scalar(solarize),
    "autocontrast": lambda photos, _: autocontrast(photos),
    "equalize": lambda photos, _: equalize(photos),
    "hue": _scalar(hue),
    "zoom": lambda photos, strength: zoom(photos, strength.view(-1, 2, 3)),
}


def _each(strength: Tensor) -> Tensor:
    """(batch,) → (batch, 1, 1, 1)."""
    return strength[:, None, None, None]


def _levels(values: Float[Tensor, "batch 3 height width"]) -> Photos:
    return values.clamp_(0, 255).to(torch.uint8)


def _grey(photos: Photos) -> Float[Tensor, "batch 1 height width"]:
    """Whole levels, as floats."""
    red, green, blue = photos[:, :1], photos[:, 1:2], photos[:, 2:]
    return red.mul(LUMA[0]).add_(green.mul(LUMA[1])).add_(blue.mul(LUMA[2])).floor_()


def _blend(photos: Tensor, other: Tensor, factor: Strength) -> Photos:
    """factor · photos + (1 − factor) · other, in place of `photos`."""
    return _levels(photos.mul_(_each(factor)).add_(other * _each(1 - factor)))

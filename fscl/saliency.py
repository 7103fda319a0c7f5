"""Where in a photo is what speaks for the answer: Grad-CAM on the classifier's last map."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from fscl.models import Classifier
from fscl.models.classifier import Maps

FINE = 4  # places to a side: of fewer a heat map says little of where
HEAT = colormaps["inferno"]  # from dark to light without a turn, so that it reads in grey print, too
STRONGEST = 0.65  # opacity of the hottest place, so that the photo is seen beneath it
CHANNELS_LAST = "NHWC"  # what timm's Swin and its like call the order of their maps


class Looked(NamedTuple):
    """What the classifier says of photos, and where it looked."""

    logits: Float[Tensor, "batch classes"]
    pooled: Float[Tensor, "batch dim"]  # what the head takes
    heat: Float[Tensor, "batch height width"] | None  # ≥ 0, as coarse as the map; None: no map says where


def look(
    classifier: Classifier, photos: Float[Tensor, "batch 3 height width"], *, against_next: bool = True
) -> Looked:
    """Return logits, features and heat maps of photos; the classifier is left as it was.

        heat = ReLU(Σ_c α_c A_c),   α_c = mean over space of ∂y / ∂A_c

    A is the last map; of small photos, whose last map has fewer than `FINE` places to a side, that of the deepest
    stage that has as many. y is the logit of the answer less that of the runner-up: what all logits share changes no
    answer, and would be shown with the logit alone. Source: Selvaraju et al. 2017, Eq. 1 and 2, who take the logit.

    Args:
        classifier: with any head; in evaluation.
        photos: as the model takes them, on its device.
        against_next: y is that difference; else the answer's logit alone, as in the paper.

    >>> looked = look(Classifier("test_resnet", 3).eval(), torch.zeros(2, 3, 64, 64))
    >>> looked.logits.shape, looked.heat.shape
    (torch.Size([2, 3]), torch.Size([2, 4, 4]))
    """
    with torch.no_grad():
        last = classifier.maps(photos).last
        pooled = classifier.backbone.forward_head(last, pre_logits=True)
    if last.ndim == 4 and min(_as_maps(last, classifier).shape[2:]) < FINE:
        with torch.enable_grad():
            traced = photos.detach().requires_grad_()
            last, stages = classifier.backbone.forward_intermediates(traced, indices=list(range(classifier.stages)))
            logits = classifier.pool(Maps(last, [])).logits
            fine = (stage for stage in reversed(stages) if min(stage.shape[2:]) >= FINE)
            chosen = next(fine, last)
            earlier = chosen is not last
    else:
        with torch.enable_grad():
            earlier = False
            chosen = last.detach().requires_grad_()
            logits = classifier.pool(Maps(chosen, [])).logits
    best = logits.topk(2, dim=1).values
    evidence = best[:, 0] - best[:, 1] if against_next else best[:, 0]
    [gradient] = torch.autograd.grad(evidence.sum(), chosen, allow_unused=True)
    heat = None
    if gradient is not None and chosen.ndim == 4:
        maps, slopes = (each if earlier else _as_maps(each, classifier) for each in (chosen, gradient))
        if min(maps.shape[2:]) > 1:
            heat = (slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).relu().detach()
    return Looked(logits.detach(), pooled, heat)


def _as_maps(last: Tensor, classifier: Classifier) -> Float[Tensor, "batch channels height width"]:
    """The last map with its channels first."""
    return last.permute(0, 3, 1, 2) if getattr(classifier.backbone, "output_fmt", "") == CHANNELS_LAST else last


def enlarged(heat: Float[Tensor, "batch height width"], side: int) -> Float[Tensor, "batch side side"]:
    """Return heat maps as large as the photos, the hottest place of each 1; a map without heat stays 0.

    >>> enlarged(torch.tensor([[[0.0, 2.0]], [[0.0, 0.0]]]), 2)[:, 0]
    tensor([[0., 1.],
            [0., 0.]])
    """
    large = functional.interpolate(heat[:, None].float(), size=(side, side), mode="bilinear", align_corners=False)
    hottest = large.amax(dim=(1, 2, 3), keepdim=True)
    return torch.where(hottest > 0, large / hottest.clamp_min(torch.finfo(torch.float32).tiny), 0)[:, 0]


def drawn(photo: Image.Image, heat: NDArray[np.float32]) -> Image.Image:
    """Return a photo in grey with heat over it, as large as the photo.

    Args:
        photo: RGB, what the heat was found in, squeezed or not.
        heat: (height, width) of any size, in [0, 1].

    >>> drawn(Image.new("RGB", (30, 20)), np.eye(4, dtype=np.float32)).size
    (30, 20)
    """
    grey = np.asarray(photo.convert("L"), dtype=np.float64)[..., None] / 255
    large = np.asarray(Image.fromarray(heat).resize(photo.size, Image.Resampling.BILINEAR), dtype=np.float64)
    opacity = STRONGEST * large[..., None]
    mixed = (1 - opacity) * grey + opacity * HEAT(large)[..., :3]
    return Image.fromarray((255 * mixed).round().astype(np.uint8))

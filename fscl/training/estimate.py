"""How long the steps of a run will take on a CPU, told before the first one, and what would be shorter."""

import time
from copy import deepcopy

import torch

from fscl.bundle import Bundle
from fscl.config import Config
from fscl.progress import duration
from fscl.training.plan import Plan

MEASURED_PHOTOS = 8  # in the step that is measured
WORTH_TELLING_SECONDS = 60.0
LONG_SECONDS = 3600.0
LEAST_PX = 64  # photos that are smaller than this are of little use


def estimate(config: Config, bundle: Bundle, plan: Plan) -> str | None:
    """Return a line on the time that a run takes; None where it is short, or nothing can be said.

    Two steps on black photos are taken by a copy of the classifier, and the second one is measured: losses, reading
    and validation are not in it. Where features are trained on, or on an accelerator, steps are too quick to matter.

    Args:
        config: of the run.
        bundle: that training starts from; left as it is.
        plan: of the run.
    """
    steps = plan.steps
    if plan.runtime.device.type != "cpu" or config.frozen:
        return None
    batch_size, size = config.training.batch_size, config.preprocessing.image_size
    views = max(stage.views for stage in config.stage)
    seconds = steps * batch_size * views * _photo_seconds(bundle, size) / plan.runtime.world_size
    if seconds < WORTH_TELLING_SECONDS:
        return None
    told = f"about {duration(seconds)} on this CPU: {steps:,} steps of {batch_size} photos"
    shorter = f"--steps {max(1, steps // 10):,}".replace(",", "") + f" takes about {duration(seconds / 10)}"
    if size >= 2 * LEAST_PX:
        shorter += f", --image-size {size // 2} about {duration(seconds / 4)}"
    if seconds <= LONG_SECONDS:
        return f"{told}. Shorter: {shorter}"
    return (
        f"{told}, more than an hour. Shorter: {shorter}; without --method, a model on pretrained features takes "
        "minutes and is better with few photos"
    )


def _photo_seconds(bundle: Bundle, image_size: int) -> float:
    classifier = deepcopy(bundle.classifier).train()
    photos = torch.zeros(MEASURED_PHOTOS, 3, image_size, image_size).to(memory_format=torch.channels_last)
    seconds = 0.0
    with torch.random.fork_rng(devices=[]):  # dropout draws from the global generator
        for _ in range(2):
            start = time.monotonic()
            logits, features = classifier(photos)
            (logits.sum() + sum(layer.sum() for layer in features)).backward()
            seconds = time.monotonic() - start
    return seconds / MEASURED_PHOTOS

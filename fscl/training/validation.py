"""The metrics on validation photos, and which epoch is the best by them."""

from collections import Counter
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fscl import processes
from fscl.config import Config
from fscl.errors import DivergenceError
from fscl.inference import Scores, scores
from fscl.loading.regions import Failure, Regions
from fscl.scoring.metrics import OVER_ALL_CLASSES, figures, lacking
from fscl.scoring.thresholds import MIN_VALIDATION_PHOTOS
from fscl.training.checkpoint import Checkpoint
from fscl.training.log import MetricsLog
from fscl.training.optimization import Optimization
from fscl.training.plan import Plan


class Validation(NamedTuple):
    """The metrics on the validation photos that could be read, and how many the class with the fewest has of them."""

    metrics: dict[str, Any]
    fewest: int


def validated(step: int, validation: Regions, log: MetricsLog, optimization: Optimization) -> Validation | None:
    """Return the metrics on the validation photos, None where there are none; note those that cannot be read.

    Losses and weights are looked at first: they name the step and the term that logits would not. Several processes
    share the photos, and all of them have the metrics.

    Raises:
        DivergenceError: a loss, weight or logit that is not finite.
    """
    bundle = optimization.bundle
    log.flush()
    optimization.require_finite(step)
    if not len(validation):
        return None
    scored = _scored(validation, optimization)
    for row, reason in scored.failures:
        log.problem(step, "val", validation.name(row), reason)
    if not np.isfinite(scored.logits).all():
        rate = f"{optimization.learning_rate:.3g}"
        raise DivergenceError(f"step {step}: a logit of a validation photo is not finite at learning rate {rate}")
    labels = validation.labels[scored.rows]
    metrics = figures(
        scored.logits,
        labels,
        classes=bundle.classes,
        minority=bundle.minority,
        train_counts=bundle.train_counts,
    )
    # Over the other classes alone these would say more than the photos do.
    metrics |= dict.fromkeys(OVER_ALL_CLASSES) if lacking(metrics) else {}
    rows = zip(labels.tolist(), scored.rows.tolist(), strict=True)
    counts = Counter(label for label, _ in {(label, validation.photos[row]) for label, row in rows})
    return Validation(metrics, min(counts[label] for label in range(len(bundle.classes))))


def is_best(validation: Validation, step: int, config: Config, plan: Plan, checkpoint: Checkpoint) -> bool:
    """Whether the epoch that ends with this step is the best so far, on enough photos to tell."""
    unfinished = step <= plan.stages[-1].start  # an epoch of an earlier stage is not the method
    if validation.fewest < MIN_VALIDATION_PHOTOS or unfinished:
        return False
    if config.posthoc is not None:  # which corrects the last epoch alone
        return False
    log_loss = validation.metrics["balanced_log_loss"]
    return log_loss is not None and log_loss < checkpoint.best_log_loss


def _scored(validation: Regions, optimization: Optimization) -> Scores:
    """Return the logits of all validation photos; each process computes its share of them."""
    bundle, runtime = optimization.bundle, optimization.runtime
    score = partial(
        scores,
        bundle.classifier,
        preprocessing=bundle.preprocessing,
        batch_size=optimization.config.training.batch_size,
        workers=runtime.workers,
    )
    if runtime.world_size == 1:
        return score(validation)
    processes.same_buffers(bundle.classifier)
    own = np.arange(runtime.rank, len(validation), runtime.world_size)
    found = score(validation.at(own))
    failures = [Failure(int(own[row]), reason) for row, reason in found.failures]
    shares = processes.gathered(Scores(own[found.rows], found.logits, failures))
    rows = np.concatenate([share.rows for share in shares])
    order = np.argsort(rows)
    logits = np.concatenate([share.logits for share in shares])
    return Scores(rows[order], logits[order], sorted(failure for share in shares for failure in share.failures))

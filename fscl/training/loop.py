"""Training, from photos to a bundle; `fit` reads top to bottom."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import get_total_norm
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from fscl.bundle import Bundle
from fscl.config import Config, Model
from fscl.errors import ConfigurationError, DivergenceError, FsclError, PhotosError
from fscl.inference import scores
from fscl.loading.loader import Batch, Regions
from fscl.losses import Objective
from fscl.losses.objective import Value
from fscl.manifest.table import Manifest
from fscl.models import Classifier
from fscl.models.classifier import first_line, read_weights
from fscl.scoring.metrics import figures
from fscl.training.checkpoint import Checkpoint, Stateful
from fscl.training.interrupt import Interrupt
from fscl.training.log import MetricsLog, check_tensorboard
from fscl.training.plan import Plan
from fscl.training.progress import Listener, Silent
from fscl.training.run_folder import RunFolder
from fscl.training.runtime import Runtime
from fscl.training.subset import Subset, subset

MIN_VALIDATION_PHOTOS = 20  # of every class; with fewer, the best of many epochs is luck
FLUSH_STEPS = 50  # between looks at the losses, where a look makes the device wait


def fit(
    config: Config,
    manifest: Manifest,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Path:
    """Train a classifier and leave its bundle in `out`.

    Killed at any moment and called again with `resume`, it ends with the same weights, on one CPU the same bits.

    Args:
        config: decides everything besides the photos.
        manifest: the photos.
        out: the run folder, see docs/schema.md.
        resume: go on from the checkpoint in `out`, if there is one.
        overwrite: drop what `out` holds of an earlier run.
        listener: hears of every step.

    Raises:
        FsclError: photos or settings that do not fit, an `out` of another run, a loss or weight that is not finite.
        KeyboardInterrupt: after a checkpoint of the last whole step.
    """
    photos, runtime = subset(manifest, config), Runtime.start(config.training.workers)
    torch.manual_seed(config.seed)  # of the initial weights and of dropout, which draw from the global generator
    bundle = _untrained(config, photos, runtime)
    plan = Plan(config, bundle, photos, runtime)
    descent = _Descent(bundle.classifier, config, plan.steps, runtime)
    check_tensorboard(wanted=config.training.tensorboard)
    folder = RunFolder(out)
    folder.open(config, photos.manifest, resume=resume, overwrite=overwrite)
    if folder.finished:
        return out

    checkpoint = Checkpoint(folder.checkpoint, descent.parts)
    done = checkpoint.load()
    every = FLUSH_STEPS if runtime.waits_on_read else 1
    log = MetricsLog(folder.metrics, flush_every=every, after=done, tensorboard=config.training.tensorboard)
    clock, listener = _Clock(), listener or Silent()
    with _told_what_is_kept(checkpoint), Interrupt() as interrupt:
        for step, objective, batch in plan.batches(start=done):
            if batch.exhausted:
                _save(checkpoint, step - 1, log, descent)
                raise PhotosError(batch.exhausted)
            value = descent.step(objective, batch)
            log.step(step, plan.epoch(step), descent.learning_rate, value)
            for row, reason in batch.failures:
                log.problem(step, str(plan.train.paths[row]), reason)
            clock.count(len(batch.labels))
            listener.advance(step, plan.steps, clock.photos_per_second, log.latest)

            if plan.ends_epoch(step):
                found = _validated(step, bundle, plan, log, descent)
                log.epoch(plan.epoch(step), step, clock.photos_per_second, found)
                if found and _is_best(found, bundle, plan.validation, checkpoint):
                    checkpoint.best_log_loss = found["balanced_log_loss"]
                    bundle.at(plan.epoch(step), step).save(folder.best)
            stop = interrupt.requested
            if stop or checkpoint.age_seconds >= config.training.checkpoint_seconds:
                _save(checkpoint, step, log, descent)
            if stop:
                raise KeyboardInterrupt(f"stopped after step {step} of {plan.steps}")

    folder.finish(bundle.at(plan.epoch(plan.steps), plan.steps))
    return out


class _Descent:
    """The classifier on its way downhill: Adam, its learning rate falling along a cosine."""

    def __init__(self, classifier: Classifier, config: Config, steps: int, runtime: Runtime) -> None:
        self.classifier = classifier.train()
        self.runtime = runtime
        self.learning_rate = config.training.learning_rate  # of the latest step
        decay = config.training.weight_decay
        self.optimizer = Adam(classifier.parameters(), self.learning_rate, weight_decay=decay, fused=True)
        self.schedule = CosineAnnealingLR(self.optimizer, T_max=steps)
        self.parts: dict[str, Stateful] = {
            "classifier": classifier,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }

    def step(self, objective: Objective, batch: Batch) -> Value:
        """Take one step downhill; return the objective before it."""
        photos = batch.photos.to(self.runtime.device, non_blocking=True)
        labels = batch.labels.to(self.runtime.device, non_blocking=True)
        with self.runtime.autocast():
            logits, features = self.classifier(photos)
            value: Value = objective(logits, features, labels)
        self.optimizer.zero_grad(set_to_none=True)
        value.total.backward()  # type: ignore[no-untyped-call]
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        self.schedule.step()
        return value

    def require_finite(self, step: int) -> None:
        """Raise DivergenceError unless every weight after `step`, running statistics included, is finite."""
        weights = [weight for weight in self.classifier.state_dict().values() if weight.is_floating_point()]
        largest = get_total_norm(weights, inf)
        if not largest.isfinite():
            raise DivergenceError(
                f"step {step}: the largest weight is {largest.item()} at learning rate {self.learning_rate:.3g}"
            )


class _Clock:
    """Photos per second since the run was started or resumed."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._photos = 0

    def count(self, photos: int) -> None:
        self._photos += photos

    @property
    def photos_per_second(self) -> float:
        return self._photos / max(time.monotonic() - self._start, 1e-9)


def _untrained(config: Config, photos: Subset, runtime: Runtime) -> Bundle:
    """Return the bundle that training starts from: fresh, published, local or earlier weights."""
    model = config.model
    classifier = _fresh(model, len(photos.classes), config.preprocessing.image_size)
    preprocessing = config.preprocessing
    if model.pretrained or model.weights:
        mean, std = classifier.normalisation
        preprocessing = preprocessing.model_copy(update={"mean": mean, "std": std})
    if model.weights:
        classifier.load_backbone(read_weights(Path(model.weights)), model.weights)
    if model.bundle:
        earlier = Bundle.open(Path(model.bundle))
        classifier.load_backbone(earlier.classifier.backbone.state_dict(), model.bundle)
        preprocessing = preprocessing.model_copy(
            update={"mean": earlier.preprocessing.mean, "std": earlier.preprocessing.std}
        )
    return Bundle(
        classifier=classifier.to(runtime.device).to(memory_format=torch.channels_last),
        classes=photos.classes,
        minority=photos.minority,
        train_counts=photos.train_counts,
        preprocessing=preprocessing,
        config=config,
        epoch=0,
        step=0,
    )


def _fresh(model: Model, num_classes: int, image_size: int) -> Classifier:
    """Return a classifier that was tried on two black photos; in eval mode these leave no trace."""
    try:
        classifier = Classifier(
            model.backbone, num_classes, model.layers, image_size=image_size, pretrained=model.pretrained
        ).eval()
        with torch.no_grad():
            classifier(torch.zeros(2, 3, image_size, image_size))
    except FsclError:
        raise
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        raise ConfigurationError(
            f"backbone '{model.backbone}' cannot take photos of {image_size} px: {first_line(error)}; "
            "try --image-size 224 or another --backbone"
        ) from None
    return classifier


@contextmanager
def _told_what_is_kept(checkpoint: Checkpoint) -> Iterator[None]:
    """Add to the errors that end a run what it leaves behind and how to go on."""
    try:
        yield
    except DivergenceError as error:
        fix = "try a lower --learning-rate or --weight in another folder"
        if checkpoint.saved_step is not None:
            fix += f", from the weights of that checkpoint with --weights {checkpoint.path}"
        raise DivergenceError(f"{error}; {checkpoint.kept()}; {fix}") from None
    except PhotosError as error:
        raise PhotosError(f"{error}; {checkpoint.kept()}; when they are back, --resume") from None


def _save(checkpoint: Checkpoint, step: int, log: MetricsLog, descent: _Descent) -> None:
    """Write a checkpoint, once everything up to it is known to be finite."""
    log.flush()
    descent.require_finite(step)
    checkpoint.save(step)


def _validated(step: int, bundle: Bundle, plan: Plan, log: MetricsLog, descent: _Descent) -> dict[str, Any] | None:
    """Return the figures on the validation photos, None where there are none.

    Losses and weights are looked at first: they name the step and the term that logits would not.
    """
    log.flush()
    descent.require_finite(step)
    validation, training = plan.validation, bundle.config.training
    if not len(validation):
        return None
    found = scores(
        bundle.classifier,
        validation,
        bundle.preprocessing,
        batch_size=training.batch_size,
        workers=plan.runtime.workers,
    )
    if not np.isfinite(found.logits).all():
        raise DivergenceError(
            f"step {step}: a logit of a validation photo is not finite at learning rate {descent.learning_rate:.3g}"
        )
    return figures(
        found.logits,
        validation.labels[found.rows],
        classes=bundle.classes,
        minority=bundle.minority,
        train_counts=bundle.train_counts,
    )


def _is_best(found: dict[str, Any], bundle: Bundle, validation: Regions, checkpoint: Checkpoint) -> bool:
    if np.bincount(validation.labels, minlength=len(bundle.classes)).min() < MIN_VALIDATION_PHOTOS:
        return False
    log_loss = found["balanced_log_loss"]
    return log_loss is not None and log_loss < checkpoint.best_log_loss

"""Training, from photos to a bundle; `fit` reads top to bottom."""

import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from fscl.bundle import Bundle
from fscl.config import Config, Stage
from fscl.errors import DivergenceError
from fscl.inference import scores
from fscl.loading.loader import Batch, Regions, TrainingPhotos, training_loader
from fscl.loading.samplers import SAMPLERS, Batches, Sampler
from fscl.losses import LOSSES, Objective
from fscl.losses.objective import Value
from fscl.manifest.table import Manifest
from fscl.models import Classifier
from fscl.models.classifier import read_weights
from fscl.registry import build
from fscl.scoring.metrics import figures
from fscl.training.checkpoint import Checkpoint
from fscl.training.interrupt import Interrupt
from fscl.training.log import MetricsLog
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
    classes: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Path:
    """Train a classifier and leave its bundle in `out`.

    Killed at any moment and called again with `resume`, it ends with the same weights, bit for bit on the
    same machine's CPU.

    Args:
        config: decides everything besides the photos.
        manifest: the photos.
        out: the run folder, see docs/schema.md.
        classes: those to tell apart; all of the manifest by default.
        resume: go on from the checkpoint in `out`, if there is one.
        overwrite: drop what `out` holds of an earlier run.
        listener: hears of every step.

    Raises:
        FsclError: photos that cannot be trained on, settings that do not fit, an `out` that holds another run.
        DivergenceError: a loss is no longer finite; the last checkpoint is kept.
        KeyboardInterrupt: after a checkpoint of the last whole step.
    """
    listener = listener or Silent()
    photos = subset(manifest, config, classes)
    folder = RunFolder(out)
    folder.open(config, photos.manifest, resume=resume, overwrite=overwrite)
    if folder.finished:
        return out

    runtime = Runtime.start(config.training.workers)
    torch.manual_seed(config.seed)  # of the initial weights and of dropout, which draw from the global generator
    bundle = _untrained(config, photos, runtime)
    train = Regions.of(photos.rows("train"), manifest.root, photos.classes)
    validation = Regions.of(photos.rows("val"), manifest.root, photos.classes)
    plan = _Plan(config, bundle, train, runtime)
    optimizer = Adam(
        bundle.classifier.parameters(),
        config.training.learning_rate,
        weight_decay=config.training.weight_decay,
    )
    schedule = CosineAnnealingLR(optimizer, T_max=plan.steps)
    checkpoint = Checkpoint(
        folder.checkpoint, {"classifier": bundle.classifier, "optimizer": optimizer, "schedule": schedule}
    )
    done = checkpoint.load()
    log = MetricsLog(
        folder.metrics,
        flush_every=FLUSH_STEPS if runtime.waits_on_read else 1,
        after=done,
        tensorboard=config.training.tensorboard,
    )
    clock = _Clock()

    bundle.classifier.train()
    with Interrupt() as interrupt:
        for step, objective, batch in plan.batches(start=done):
            learning_rate = float(optimizer.param_groups[0]["lr"])
            value = _descend(bundle.classifier, objective, optimizer, batch, runtime)
            epoch = (step - 1) // plan.batches_per_epoch
            try:
                log.step(step, epoch, learning_rate, value)
            except DivergenceError as error:
                fix = "try a lower --learning-rate or --weight in another folder"
                raise DivergenceError(f"{error}; {checkpoint.kept()}; {fix}") from None
            schedule.step()
            for row, reason in batch.failures:
                log.problem(step, str(train.paths[row]), reason)
            clock.count(len(batch.labels))
            listener.advance(step, plan.steps, clock.photos_per_second, log.latest)

            if step % plan.batches_per_epoch == 0 or step == plan.steps:
                found = _validated(bundle, validation, config, runtime)
                log.epoch(epoch, step, clock.photos_per_second, found)
                if found and _is_best(found, bundle, validation, checkpoint):
                    checkpoint.best_log_loss = found["balanced_log_loss"]
                    bundle.at(epoch, step).save(folder.best)
            if interrupt.requested or checkpoint.age_seconds >= config.training.checkpoint_seconds:
                log.flush()
                checkpoint.save(step)
            if interrupt.requested:
                raise KeyboardInterrupt(f"stopped after step {step} of {plan.steps}")

    folder.finish(bundle.at((plan.steps - 1) // plan.batches_per_epoch, plan.steps))
    return out


class _Plan:
    """Which batches a run takes, and what is minimised on each: the stages of the recipe, one after another."""

    def __init__(self, config: Config, bundle: Bundle, train: Regions, runtime: Runtime) -> None:
        self.stages = config.stage
        self.num_classes = len(bundle.classes)
        self.runtime = runtime
        minority = [bundle.classes.index(name) for name in bundle.minority]
        self.photos = TrainingPhotos(train, bundle.preprocessing, config.augmentation, minority)
        self.samplers = [_sampler(stage, train, config) for stage in config.stage]
        self.batches_per_epoch = self.samplers[0].batches_per_epoch
        self.steps = config.training.steps or config.training.epochs * self.batches_per_epoch

    def batches(self, start: int) -> Iterator[tuple[int, Objective, Batch]]:
        """Yield (step counted from 1, objective, batch) from after `start` steps to the end."""
        shares = list(accumulate(stage.share for stage in self.stages))
        ends = [round(self.steps * share / shares[-1]) for share in shares]
        for stage, sampler, first, last in zip(self.stages, self.samplers, [0, *ends], ends, strict=False):
            if start >= last:
                continue
            objective = _objective(stage, self.num_classes).to(self.runtime.device)
            batches = Batches(sampler, start=max(first, start), stop=last)
            loader = training_loader(self.photos, batches, workers=self.runtime.workers)
            for step, batch in enumerate(loader, start=batches.start + 1):
                yield step, objective, batch


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
    size = config.preprocessing.image_size
    classifier = Classifier(
        model.backbone, len(photos.classes), model.layers, image_size=size, pretrained=model.pretrained
    )
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


def _sampler(stage: Stage, train: Regions, config: Config) -> Sampler:
    return build(
        SAMPLERS,
        "sampler",
        stage.sampler.name,
        train.labels,
        config.training.batch_size,
        config.seed,
        **stage.sampler.options,
    )


def _objective(stage: Stage, num_classes: int) -> Objective:
    return Objective(
        {
            term.name: (term.weight, build(LOSSES, "loss", term.name, num_classes, **term.options))
            for term in stage.loss
        }
    )


def _descend(classifier: Classifier, objective: Objective, optimizer: Adam, batch: Batch, runtime: Runtime) -> Value:
    """Take one step downhill; return the objective before it."""
    photos = batch.photos.to(runtime.device, non_blocking=True)
    labels = batch.labels.to(runtime.device, non_blocking=True)
    with runtime.autocast():
        logits, features = classifier(photos)
        value: Value = objective(logits, features, labels)
    optimizer.zero_grad(set_to_none=True)
    value.total.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return value


def _validated(bundle: Bundle, validation: Regions, config: Config, runtime: Runtime) -> dict[str, Any] | None:
    """Return the figures on the validation photos, None where there are none."""
    if not len(validation):
        return None
    found = scores(
        bundle.classifier,
        validation,
        bundle.preprocessing,
        batch_size=config.training.batch_size,
        workers=runtime.workers,
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

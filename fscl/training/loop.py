"""Training, from photos to a bundle; `fit` reads top to bottom."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pandas as pd
import torch

from fscl import processes
from fscl.bundle import Bundle
from fscl.config import Config
from fscl.decisions import CrossFitted
from fscl.errors import ConfigurationError, DivergenceError, PhotosError
from fscl.inference import fit_decisions
from fscl.loading.features import FeatureStore
from fscl.loading.store import PhotoStore, photo_store
from fscl.lock import held
from fscl.manifest.identity import check_unchanged
from fscl.manifest.table import Manifest
from fscl.models.fitted_heads import FittedHead
from fscl.progress import Listener, Silent
from fscl.run_folder import RunFolder
from fscl.runtime import Runtime
from fscl.scoring.thresholds import MIN_VALIDATION_PHOTOS
from fscl.training.checkpoint import Checkpoint
from fscl.training.estimate import estimate
from fscl.training.feature_measures import FeatureMeasures
from fscl.training.frozen import cross_fitted, feature_store, fit_head
from fscl.training.interrupt import Interrupt
from fscl.training.log import MetricsLog, check_tensorboard
from fscl.training.optimization import Optimization
from fscl.training.plan import Plan
from fscl.training.run import check_run, finish_run, start_run
from fscl.training.start import check_processes, processes_note, start_note, untrained
from fscl.training.step import StepReport
from fscl.training.subset import Subset, subset
from fscl.training.validation import is_best, validated

Store = PhotoStore | FeatureStore | None
FLUSH_STEPS = 50  # between looks at the losses, where a look makes the device wait


def fit(
    config: Config,
    manifest: Manifest | Subset,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
    store: Store = None,
) -> Path:
    """Train a classifier and leave its bundle in `out`.

    Killed at any moment and called again with `resume`, it ends with the same weights, on one CPU the same bits.
    Called by each of several processes that were started by torchrun, within `fscl.processes.joined()`, it trains one
    run in all of them: the first writes, the others compute their share.

    Args:
        config: decides everything besides the photos.
        manifest: the photos; or those of a run, chosen already.
        out: the run folder, see docs/schema.md.
        resume: go on from the checkpoint in `out`, if there is one.
        overwrite: drop what `out` holds of an earlier run.
        listener: hears of every step.
        store: of decoded photos, or of their features where nothing of the backbone changes; without one the run
            makes its own where the configuration says so.

    Raises:
        FsclError: photos or settings that do not fit, an `out` of another run or at work in one, a loss or weight
            that is not finite.
        KeyboardInterrupt: after a checkpoint of the last whole step.
    """
    listener = (listener if processes.is_first() else None) or Silent()
    photos = manifest if isinstance(manifest, Subset) else subset(manifest, config)
    runtime = Runtime.start(config.training.workers)
    check_processes(config)
    for note in photos.source["notes"]:
        listener.note(note)
    processes.first(partial(check_unchanged, photos.manifest))
    bundle = untrained(config, photos, runtime)
    plan = Plan(config, bundle, photos, runtime)
    optimization = Optimization(bundle, config, plan, runtime)
    check_tensorboard(wanted=config.training.tensorboard)
    folder = RunFolder(out)
    check = partial(check_run, folder, config, photos.manifest, resume=resume, overwrite=overwrite)
    begin = partial(start_run, folder, config, photos.manifest, resume=resume, overwrite=overwrite)
    processes.first(check)
    with held(out, by="another run") if processes.is_first() else nullcontext():
        processes.first(partial(begin, source=photos.record))
        if not processes.first(lambda: folder.finished):
            for note in filter(None, [start_note(bundle), processes_note(bundle, runtime), *plan.cautions()]):
                listener.note(note)
            begun = processes.first(folder.checkpoint.exists)
            if not begun:
                listener.ahead(partial(estimate, config, bundle, plan))
            store = store or _own_store(config, bundle, plan, photos, folder, listener)
            start = replace(bundle, classifier=bundle.classifier.with_own_head()) if config.frozen else bundle
            if not begun:
                processes.first(partial(_fit_head, bundle, plan, photos, store, listener))
            _train(plan, optimization, folder, listener, store)
            if config.training.keep == "best" and not RunFolder(folder.best).record.exists():
                listener.note(
                    f'keep = "best": no epoch could be chosen, which takes {MIN_VALIDATION_PHOTOS} validation photos '
                    "of each class; the last one is kept"
                )
            bundle = optimization.corrected()
            crossed = None
            if isinstance(store, FeatureStore):
                crossed = cache(partial(cross_fitted, config, start, photos, store, runtime))
            decide = partial(_decided, plan=plan, photos=photos, store=store, crossed=crossed)
            last = bundle.at(plan.epoch(plan.steps), plan.steps)
            processes.first(partial(finish_run, folder, last, config.training.keep, decide))
    return out


def _decided(
    bundle: Bundle,
    epoch_chosen: bool,
    *,
    plan: Plan,
    photos: Subset,
    store: Store,
    crossed: Callable[[], CrossFitted | None] | None,
) -> Bundle:
    """Return a bundle with its decisions, chosen by the bits that it gives when it is opened."""
    opened = bundle
    if not isinstance(store, FeatureStore):  # a head computes the same in any layout of the backbone
        opened = replace(bundle, classifier=deepcopy(bundle.classifier).to(memory_format=torch.contiguous_format))
    validation, workers = plan.validation if store is None else store.view(plan.validation), plan.runtime.workers
    decide = partial(fit_decisions, opened, photos.rows("val"), validation, workers=workers)
    return replace(bundle, decisions=decide(cross_fitted=crossed, epoch_chosen=epoch_chosen))


def _fit_head(bundle: Bundle, plan: Plan, photos: Subset, store: Store, listener: Listener) -> None:
    """Fit the head at once, where it is one of that kind."""
    if not isinstance(bundle.classifier.head, FittedHead):
        if not plan.stages:
            raise ConfigurationError(
                "a recipe without a [[stage]] trains nothing: give it one, or a head that is fitted at once, such as "
                'head = { name = "logistic" }'
            )
        return
    if not isinstance(store, FeatureStore):
        root, workers = photos.manifest.root, plan.runtime.workers
        store = feature_store(bundle, photos.rows("train"), root, listener, workers)
    fit_head(bundle, store.view(plan.train), plan.augmentation)


def _train(
    plan: Plan,
    optimization: Optimization,
    folder: RunFolder,
    listener: Listener,
    store: Store,
) -> None:
    """Take the steps that are left."""
    training = optimization.config.training
    checkpoint = Checkpoint(folder.checkpoint, optimization.parts)
    done = checkpoint.load(plan.steps)
    every = FLUSH_STEPS if plan.runtime.waits_on_read else 1
    log = MetricsLog(folder.metrics, flush_every=every, after=done, tensorboard=training.tensorboard)
    if log.dropped:
        listener.note(f"{log.dropped} damaged lines of {folder.metrics} were dropped")
    validation, clock = plan.validation if store is None else store.view(plan.validation), _Clock()
    measures = FeatureMeasures(plan, optimization.bundle, store)
    with _told_what_is_kept(checkpoint), Interrupt() as interrupt:
        for step in plan.batches(done, store):
            number, epoch = step.number, plan.epoch(step.number)
            report = StepReport.of(step, stop=interrupt.requested)
            if report.stop or report.exhausted:
                processes.first(partial(_save, checkpoint, number - 1, log, optimization))
                raise _stopped(number - 1, plan) if report.stop else PhotosError(report.exhausted)
            value = optimization.step(step)
            log.step(number, epoch, optimization.learning_rate, value)
            for row, reason in report.failures:
                log.problem(number, "train", plan.train.name(row), reason)
            clock.count(step.share.size)
            listener.advance(number, plan.steps, clock.photos_per_second, log.latest)

            if plan.ends_epoch(number):
                scored = validated(number, validation, log, optimization)
                last = number == plan.steps
                features = processes.first(partial(measures.at, epoch, optimization.bundle, last=last))
                log.epoch(epoch, number, clock.photos_per_second, scored and scored.metrics, features)
                if scored and is_best(scored, number, optimization.config, plan, checkpoint):
                    checkpoint.best_log_loss = scored.metrics["balanced_log_loss"]
                    processes.first(partial(optimization.bundle.at(epoch, number).save, folder.best))
            if checkpoint.due(training.checkpoint_seconds):
                _save(checkpoint, number, log, optimization)
        if processes.any_of(interrupt.requested):
            processes.first(partial(_save, checkpoint, plan.steps, log, optimization))
            raise _stopped(plan.steps, plan)
        if not plan.steps:
            for path, reason in store.view(plan.train).unread() if isinstance(store, FeatureStore) else ():
                log.problem(0, "train", path, reason)
            scored = validated(0, validation, log, optimization)
            log.epoch(0, 0, 0.0, scored and scored.metrics)


def _own_store(
    config: Config, bundle: Bundle, plan: Plan, photos: Subset, folder: RunFolder, listener: Listener
) -> Store:
    rows, root = pd.concat([photos.rows("train"), photos.rows("val")]), photos.manifest.root
    if config.frozen:
        return feature_store(bundle, rows, root, listener, plan.runtime.workers, config.augmentation)
    wanted = config.training.store
    if wanted is None:
        wanted = plan.steps > plan.batches_per_epoch
    if not wanted:
        return None

    def made() -> Path | None:
        store = photo_store(rows, root, plan.preprocessing, folder.store, listener)
        return None if store is None else store.folder

    place = processes.first(made)
    return PhotoStore(place) if place is not None and place.exists() else None  # a machine without that disk decodes


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
    except (KeyboardInterrupt, MemoryError, OSError, RuntimeError) as error:
        saved = checkpoint.saved_step
        step = "no step is saved yet" if saved is None else f"what was done is kept: a checkpoint of step {saved}"
        if processes.is_first():  # which knows
            error.add_note(step)
        raise


def _stopped(step: int, plan: Plan) -> KeyboardInterrupt:
    return KeyboardInterrupt(f"stopped after step {step} of {plan.steps}")


def _save(checkpoint: Checkpoint, step: int, log: MetricsLog, optimization: Optimization) -> None:
    """Write a checkpoint, once everything up to it is known to be finite."""
    log.flush()
    optimization.require_finite(step)
    checkpoint.save(step)

"""Which batches a run takes, and what is minimised on each: the stages of the recipe, one after another."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise, repeat
from math import cos, pi
from typing import Any

import numpy as np
from torch import nn

from fscl.bundle import Bundle
from fscl.config import Component, Config, LossTerm, Schedule, Stage
from fscl.errors import ConfigurationError
from fscl.loading.batches import Batches, Order
from fscl.loading.device import DevicePhotos
from fscl.loading.features import FeatureRegions, FeatureStore, TrainingFeatures
from fscl.loading.loader import Batch, TrainingPhotos, training_loader
from fscl.loading.mixing import MIXINGS, Mixing
from fscl.loading.regions import Regions
from fscl.loading.samplers import SAMPLERS, Sampler, batches_per_epoch
from fscl.loading.store import PhotoStore
from fscl.losses import LOSSES, Loss, Objective, Term, TorchLoss
from fscl.models import Classifier
from fscl.printable import number_of
from fscl.registry import build
from fscl.runtime import Runtime
from fscl.training.step import RunStage, Step, shuffled
from fscl.training.subset import Subset

PARTNERS = 1  # tells the seed of photos drawn to be mixed in from that of the photos themselves


class Plan:
    """The batches and objectives of a run; making it touches no photo.

    Args:
        config: its stages, batch size, length and seed are used.
        bundle: classes, minority, preprocessing and the classifier's feature lengths.
        photos: of the run.
        runtime: where the objectives compute, and how many processes read photos.

    Raises:
        ConfigurationError: an unknown sampler, loss, mixing or option, or some that do not fit each other.
    """

    def __init__(self, config: Config, bundle: Bundle, photos: Subset, runtime: Runtime) -> None:
        self.runtime, self.seed = runtime, config.seed
        self.classes = photos.classes
        self.train, self.validation = (
            Regions.of(photos.rows(split), photos.manifest.root, photos.classes) for split in ("train", "val")
        )
        self.minority = [bundle.classes.index(name) for name in bundle.minority]
        self.preprocessing, self.augmentation = bundle.preprocessing, config.augmentation
        self.batches_per_epoch = batches_per_epoch(len(self.train), config.training.batch_size)
        self.schedule = config.training.schedule or Schedule()
        self.steps = config.training.length(self.batches_per_epoch) if config.stage else 0
        shares = list(accumulate((settings.share for settings in config.stage), initial=0.0))
        ends = [round(self.steps * share / (shares[-1] or 1)) for share in shares]
        if any(start == stop for start, stop in pairwise(ends)):
            raise ConfigurationError(
                f"method '{config.method.name}' has {len(config.stage)} stages, a run of "
                f"{number_of(self.steps, 'step')} leaves one of them without any; raise --steps or --epochs"
            )
        self.stages = [
            self._stage(number, start, stop, config, bundle) for number, (start, stop) in enumerate(pairwise(ends))
        ]
        for stage in self.stages:
            self._batches(stage, stage.sampler, stage.start)  # which cannot be where a process would have no photos

    def _stage(self, number: int, start: int, stop: int, config: Config, bundle: Bundle) -> RunStage:
        settings = config.stage[number]
        about_classes = {
            "num_classes": len(bundle.classes),
            "class_names": bundle.classes,
            "class_counts": tuple(bundle.train_counts[name] for name in bundle.classes),
        }
        about_model = {
            "dims": bundle.classifier.dims,
            "head_scale": getattr(bundle.classifier.head, "scale", None),  # None: of a linear head
        }
        about_sampling = {
            "labels": self.train.labels,
            "batch_size": config.training.batch_size,
            "seed": config.seed,
            "epochs": (start / self.batches_per_epoch, stop / self.batches_per_epoch),
        }

        def sampler(component: Component, **changed: Any) -> Sampler:
            return build(
                SAMPLERS, "sampler", component.name, about_sampling | changed, component.options, own=Sampler
            )

        mixing = settings.mixing
        partners = sampler(mixing.partners, seed=_other_seed(config.seed)) if mixing and mixing.partners else None
        return RunStage(
            number=number,
            settings=settings,
            start=start,
            stop=stop,
            sampler=sampler(settings.sampler),
            objective=_objective(
                settings,
                about_classes | about_model,
                bundle.classifier,
                frozen=config.frozen,
            ).to(self.runtime.device),
            mixing=build(MIXINGS, "mixing", mixing.name, about_classes, mixing.options, own=Mixing)
            if mixing
            else None,
            partners=partners,
        )

    def cautions(self) -> Iterator[str]:
        """Say what the user should know before the run: what validation cannot tell, and what misleads the model."""
        shown = np.bincount(self.validation.labels, minlength=len(self.classes))
        lacking = [name for name, photos in zip(self.classes, shown, strict=True) if not photos]
        if lacking and len(self.validation):
            yield (
                f"validation lacks {', '.join(lacking)}: it gives no balanced accuracy, and no epoch or threshold is "
                "chosen on it"
            )
        if self.augmentation.classes == "minority" and set(self.train.labels.tolist()) - set(self.minority):
            yield (
                'only the rare class is augmented ([augmentation] classes = "minority"): the model can come to tell '
                "it by the augmentation, which new photos do not have, and then misses it in them; compare with "
                'classes = "all"'
            )

    def epoch(self, step: int) -> int:
        """Return the epoch of a step, counted from 0; steps are counted from 1."""
        return max(step - 1, 0) // self.batches_per_epoch

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch, or the run within one, ends with this step."""
        return step % self.batches_per_epoch == 0 or step == self.steps

    def learning_rate_factor(self, done: int) -> float:
        """Return what multiplies the learning rate after `done` steps, as the schedule says, anew at each restart."""
        if not self.stages:
            return 1.0
        starts = [s.start for s in self.stages if s.start == 0 or s.settings.schedule == "restart"]
        start = max(s for s in starts if s <= done)
        stop = min((s for s in starts if s > done), default=self.steps)
        climbing = self.schedule.warmup * (stop - start) if start == 0 else 0.0
        warmed = min(1.0, (done + 1) / climbing) if climbing else 1.0
        return warmed * scheduled(self.schedule, (done - start) / (stop - start))

    def batches(self, start: int, store: PhotoStore | FeatureStore | None = None) -> Iterator[Step]:
        """Yield the steps from after `start` of them to the end; a store gives the same photos, only sooner."""
        loaded = self._loader(self.train if store is None else store.view(self.train))
        for stage in self.stages:
            if start < stage.stop:
                first = max(stage.start, start)
                batches, mixed_in = self._batches(stage, stage.sampler, first), self._partners(stage, first)
                partners = repeat(None) if mixed_in is None else loaded(mixed_in)
                for number, (batch, others) in enumerate(
                    zip(loaded(batches), partners, strict=False), start=first + 1
                ):
                    yield Step(number, stage, batch, others, batches.share(number - 1))

    def _partners(self, stage: RunStage, first: int) -> Batches | None:
        """Return the photos to be mixed in; None: there are none, or this process has them in its batches."""
        if stage.partners is not None:
            return self._batches(stage, stage.partners, first)
        if stage.mixing is None or self.runtime.world_size == 1:
            return None
        return self._batches(stage, stage.sampler, first, shuffled(self.seed))

    def _loader(self, regions: Regions) -> Callable[[Batches], Iterator[Batch]]:
        """Return what makes batches of training photos: on the device where it can, else in reading processes."""
        photos = TrainingPhotos(regions, self.preprocessing, self.augmentation, self.minority)
        if isinstance(regions, FeatureRegions):
            return TrainingFeatures(photos, self.augmentation, self.minority, self.runtime.device).batches
        if DevicePhotos.possible(photos, self.runtime.device):
            return DevicePhotos(photos, self.runtime.device).batches
        return lambda batches: iter(training_loader(photos, batches, workers=self.runtime.workers))

    def _batches(self, stage: RunStage, sampler: Sampler, first: int, order: Order | None = None) -> Batches:
        return Batches(
            sampler,
            start=first,
            stop=stage.stop,
            views=stage.settings.views,
            order=order,
            rank=self.runtime.rank,
            world_size=self.runtime.world_size,
        )


def scheduled(schedule: Schedule, done: float) -> float:
    """Return what multiplies the learning rate when this share of a stretch, 0 … 1, is done; without warm-up.

    >>> scheduled(Schedule(), 0.5), scheduled(Schedule(name="step"), 0.85)
    (0.5, 0.1)
    """
    if schedule.name == "step":
        return schedule.factor ** sum(done >= place for place in schedule.at)
    return 0.5 * (1 + cos(pi * done)) if schedule.name == "cosine" else 1.0


def _check_unfrozen(settings: Stage, losses: Sequence[str], classifier: Classifier) -> None:
    """Make sure that the backbone has the stages that are to learn, and that losses of features see one of them."""
    unfreeze, stages = settings.unfreeze, classifier.stages
    if unfreeze is None:
        return
    if unfreeze > stages:
        raise ConfigurationError(
            f"unfreeze must be 1 … {stages}, the stages of backbone '{classifier.architecture}', got {unfreeze}"
        )
    if losses and not classifier.adapts and all(stages - layer > unfreeze for layer in classifier.layers):
        raise ConfigurationError(
            f"loss '{losses[0]}' shapes features of stages that are frozen (unfreeze = {unfreeze}): unfreeze more, "
            "or let it see later ones with --layers"
        )


def _check_frozen(settings: Stage, losses: Mapping[str, Loss], *, frozen: bool, adapts: bool) -> None:
    """Make sure that what the losses of a stage ask for can change."""
    of_features = [name for name, loss in losses.items() if loss.sees == "features"]
    if of_features and frozen and not adapts:
        raise ConfigurationError(
            f"loss '{of_features[0]}' shapes features, and nothing here makes them but the frozen backbone: give the "
            'recipe head = { name = "adapter" }, or let the backbone learn'
        )
    if "backbone" not in settings.trainable and not adapts and len(of_features) == len(losses):
        raise ConfigurationError(
            f"a stage that trains the head alone needs a loss of the logits, got {', '.join(losses)}; "
            "add cross_entropy"
        )
    if frozen and settings.mixing is not None and settings.mixing.name != "mixup":
        raise ConfigurationError(
            f"mixing '{settings.mixing.name}' is made for photos, and here features are mixed: mixup can do that; "
            "leave it out, or let the backbone learn"
        )


def _objective(settings: Stage, context: dict[str, Any], classifier: Classifier, *, frozen: bool) -> Objective:
    losses = {term.name: _loss(term, context) for term in settings.loss}
    for name, loss in losses.items():
        if getattr(loss, "sees", None) not in ("logits", "features"):
            raise ConfigurationError(f'loss \'{name}\' does not say what it sees: set sees = "logits" or "features"')
    _check_frozen(settings, losses, frozen=frozen, adapts=classifier.adapts)
    _check_unfrozen(settings, [name for name, loss in losses.items() if loss.sees == "features"], classifier)
    if settings.mixing is not None:
        for name, loss in losses.items():
            if not loss.takes_soft:
                raise ConfigurationError(
                    f"loss '{name}' cannot be used with mixing '{settings.mixing.name}': it wants one class per photo"
                )
    return Objective({term.name: Term(term.weight, losses[term.name], term.ramp) for term in settings.loss})


def _loss(term: LossTerm, context: dict[str, Any]) -> Loss:
    loss = build(LOSSES, "loss", term.name, context, term.options, own=nn.Module)
    return loss if isinstance(loss, Loss) else TorchLoss(loss)


def _other_seed(seed: int) -> int:
    return int(np.random.SeedSequence([seed, PARTNERS]).generate_state(1)[0])

"""Which batches a run takes, and what is minimised on each: the stages of the recipe, one after another."""

from collections.abc import Iterator
from itertools import accumulate

from fscl.bundle import Bundle
from fscl.config import Config, Stage
from fscl.errors import ConfigurationError
from fscl.loading.loader import Batch, Regions, TrainingPhotos, training_loader
from fscl.loading.samplers import SAMPLERS, Batches, Sampler
from fscl.losses import LOSSES, Objective
from fscl.registry import build
from fscl.training.runtime import Runtime
from fscl.training.subset import Subset


class Plan:
    """The batches and objectives of a run; making it touches no photo.

    Args:
        config: its stages, batch size, length and seed are used.
        bundle: classes, minority and preprocessing.
        photos: of the run.
        runtime: where the objectives compute, and how many processes read photos.

    Raises:
        ConfigurationError: an unknown sampler, loss or option, one that does not fit, or a loss twice in a stage.
    """

    def __init__(self, config: Config, bundle: Bundle, photos: Subset, runtime: Runtime) -> None:
        self.stages = config.stage
        self.runtime = runtime
        self.train, self.validation = (
            Regions.of(photos.rows(split), photos.manifest.root, photos.classes) for split in ("train", "val")
        )
        minority = [bundle.classes.index(name) for name in bundle.minority]
        self.photos = TrainingPhotos(self.train, bundle.preprocessing, config.augmentation, minority)
        self.samplers = [_sampler(stage, self.train, config) for stage in config.stage]
        self.objectives = [_objective(stage, len(bundle.classes)).to(runtime.device) for stage in config.stage]
        self.batches_per_epoch = self.samplers[0].batches_per_epoch
        self.steps = config.training.length(self.batches_per_epoch)

    def epoch(self, step: int) -> int:
        """Return the epoch of a step, counted from 0; steps are counted from 1."""
        return (step - 1) // self.batches_per_epoch

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch, or the run within one, ends with this step."""
        return step % self.batches_per_epoch == 0 or step == self.steps

    def batches(self, start: int) -> Iterator[tuple[int, Objective, Batch]]:
        """Yield (step counted from 1, objective, batch) from after `start` steps to the end."""
        shares = list(accumulate(stage.share for stage in self.stages))
        ends = [round(self.steps * share / shares[-1]) for share in shares]
        for objective, sampler, first, last in zip(self.objectives, self.samplers, [0, *ends], ends, strict=False):
            if start >= last:
                continue
            batches = Batches(sampler, start=max(first, start), stop=last)
            loader = training_loader(self.photos, batches, workers=self.runtime.workers)
            for step, batch in enumerate(loader, start=batches.start + 1):
                yield step, objective, batch


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
    names = [term.name for term in stage.loss]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigurationError(
            f"a stage has the loss '{twice}' {names.count(twice)} times; expected it once: sum the weights"
        )
    return Objective(
        {
            term.name: (term.weight, build(LOSSES, "loss", term.name, num_classes, **term.options))
            for term in stage.loss
        }
    )

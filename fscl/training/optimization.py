"""The optimizer: one step on a batch, and what each stage of the recipe trains."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from math import inf
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from fscl import processes
from fscl.bundle import Bundle
from fscl.config import Component, Config, Training
from fscl.config import Optimizer as OptimizerSettings
from fscl.errors import ConfigurationError, DivergenceError
from fscl.losses.objective import LossValue
from fscl.models import Classifier
from fscl.models.heads import HEADS, POSTHOC, HeadCorrection, LinearMap
from fscl.registry import build
from fscl.runtime import Runtime
from fscl.training.checkpoint import Stateful
from fscl.training.model_with_losses import ModelWithLosses
from fscl.training.plan import Plan
from fscl.training.step import RunStage, Step

WARM_UP_STEPS = 10  # of an average: its decay is (1 + n) / (10 + n) until then, as in TensorFlow's and timm's
MOMENTUM = 0.9  # of SGD, in every paper on long-tailed CIFAR


class Optimization:
    """The optimizer over all that a run trains; the learning rate goes as the schedule says.

    `bundle` is what the run keeps: the classifier that is trained or, where the configuration says so, the average of
    its weights.

    Raises:
        ConfigurationError: a post-hoc correction that does not fit the head.
    """

    def __init__(self, bundle: Bundle, config: Config, plan: Plan, runtime: Runtime) -> None:
        self.config, self.runtime = config, runtime
        self.classifier = bundle.classifier.train()
        self.average = _average(self.classifier, config.training.average) if plan.stages else None
        kept = self.classifier if self.average is None else cast(Classifier, self.average.module)
        self.bundle = replace(bundle, classifier=kept)
        self.stage: RunStage | None = None
        self.learning_rate = config.training.learning_rate  # of the latest step
        self.model = ModelWithLosses(self.classifier, [stage.objective for stage in plan.stages])
        self.replica: nn.Module = self.model  # what computes the losses: it, or DistributedDataParallel around it
        self.optimizer = _optimizer(_groups(self.model, config.training), config.training)
        self.schedule = LambdaLR(self.optimizer, plan.learning_rate_factor)
        self.former_head = deepcopy(self.classifier.head)  # as it was before the present stage
        self.parts: dict[str, Stateful] = {
            "classifier": self.classifier,
            "objectives": self.model.objectives,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "former_head": self.former_head,
        }
        if self.average is not None:
            self.parts["average"] = self.average
        self.correction = head_correction(config, bundle)

    def step(self, step: Step) -> LossValue:
        """Update the weights once; return the losses before that."""
        stage = step.stage
        if stage is not self.stage:
            self._enter(stage, begins=step.number == stage.start + 1)
        photos, labels = step.mixed(self.runtime.device, self.config.seed)
        at = {"stage": stage.number, "progress": stage.progress(step.number), "share": step.share}
        with self.runtime.autocast(), processes.own_randomness(self.config.seed, step.number):
            value: LossValue = self.replica(photos, labels, **at)
        self.optimizer.zero_grad(set_to_none=True)
        value.total.backward()  # type: ignore[no-untyped-call]
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.classifier)
        return value

    def _enter(self, stage: RunStage, *, begins: bool) -> None:
        """Go on in a stage, or begin it."""
        self.stage = stage
        head = self.classifier.head
        if begins:
            self.former_head.load_state_dict(self.bundle.classifier.head.state_dict())
            if self.average is not None:
                self.average.n_averaged.zero_()
            if stage.settings.head == "fresh":
                head.reset_parameters()
            if stage.settings.schedule == "restart":
                self.optimizer.state.clear()
        self.classifier.train_only(stage.settings.trainable, stage.settings.unfreeze)
        if self.runtime.world_size > 1:  # anew, as it knows the weights that learn from the beginning
            self.replica = processes.replicated(self.model)

    def corrected(self) -> Bundle:
        """Apply the recipe's post-hoc correction, if it has one, and return the bundle that tells of it."""
        if self.correction is None:
            return self.bundle
        classifier = self.bundle.classifier
        corrected = self.correction(_linear_map(classifier.head), _linear_map(self.former_head))
        if isinstance(corrected, LinearMap):
            classifier.head.load_state_dict(corrected._asdict())
            return self.bundle
        classifier.replace_head(corrected)
        head = Component(name=next(name for name, kind in HEADS.items() if isinstance(corrected, kind)))
        return replace(self.bundle, architecture=self.bundle.architecture.model_copy(update={"head": head}))

    def require_finite(self, step: int) -> None:
        """Raise DivergenceError unless every weight after `step`, running statistics included, is finite."""
        weights = [weight for weight in self.classifier.state_dict().values() if weight.is_floating_point()]
        largest = get_total_norm(weights, inf)
        if not largest.isfinite():
            raise DivergenceError(
                f"step {step}: the largest weight is {largest.item()} at learning rate {self.learning_rate:.3g}"
            )


def _average(classifier: Classifier, decay: float | None) -> AveragedModel | None:
    """Return the moving average of the classifier's weights and running statistics, begun anew with each stage."""
    if decay is None:
        return None

    def averaged(average: Tensor, now: Tensor, updates: Tensor | int) -> Tensor:
        done = int(updates)
        kept = min(decay, (1 + done) / (WARM_UP_STEPS + done))
        return torch.lerp(average, now, 1 - kept) if now.is_floating_point() else now

    return AveragedModel(classifier, avg_fn=averaged, use_buffers=True).eval()


def _groups(model: ModelWithLosses, training: Training) -> Iterator[nn.Parameter] | list[dict[str, Any]]:
    """Return what the optimizer changes; by distance from the head, that first, where rates differ by it."""
    if training.depth_decay is None:
        return model.parameters()
    depths = {f"classifier.{name}": depth for name, depth in model.classifier.parameter_depths().items()}
    groups: dict[int, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault(depths.get(name, 0), []).append(parameter)
    rate, decay = training.learning_rate, training.depth_decay
    return [{"params": groups[depth], "lr": rate * decay**depth} for depth in sorted(groups)]


def _optimizer(parameters: Iterator[nn.Parameter] | list[dict[str, Any]], training: Training) -> Optimizer:
    """Return the optimizer of the configuration; fused, one kernel steps all weights."""
    settings = training.optimizer or OptimizerSettings()
    common: dict[str, Any] = {"lr": training.learning_rate, "weight_decay": training.weight_decay, "fused": True}
    if settings.name == "sgd":
        momentum = MOMENTUM if settings.momentum is None else settings.momentum
        return SGD(parameters, momentum=momentum, nesterov=settings.nesterov, **common)
    return AdamW(parameters, **common) if settings.name == "adamw" else Adam(parameters, **common)


def head_correction(config: Config, bundle: Bundle) -> HeadCorrection | None:
    """Return the recipe's post-hoc correction of the head, None where it has none.

    Raises:
        ConfigurationError: an unknown correction, an option out of range, or a head that it cannot be applied to.
    """
    posthoc, head = config.posthoc, bundle.classifier.head
    if posthoc is None:
        return None
    if not isinstance(head, nn.Linear) or head.bias is None:
        raise ConfigurationError(
            f"posthoc '{posthoc.name}' corrects a linear head with bias, got {type(head).__name__}"
        )
    context = {"class_counts": [bundle.train_counts[name] for name in bundle.classes]}
    return build(POSTHOC, "posthoc", posthoc.name, context, posthoc.options)


def _linear_map(layer: nn.Linear) -> LinearMap:
    return LinearMap(layer.weight.detach(), layer.bias.detach())

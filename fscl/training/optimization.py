"""The optimizer: one step on a batch, and what each stage of the recipe trains."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from math import inf
from typing import Any

from torch import nn
from torch.nn.utils import get_total_norm
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from fscl.bundle import Bundle
from fscl.config import Component, Config, Training
from fscl.config import Optimizer as OptimizerSettings
from fscl.errors import ConfigurationError, DivergenceError
from fscl.losses.objective import LossValue
from fscl.models.heads import HEADS, POSTHOC, HeadCorrection, LinearMap
from fscl.registry import build
from fscl.runtime import Runtime
from fscl.training.checkpoint import Stateful
from fscl.training.model_with_losses import ModelWithLosses
from fscl.training.plan import Plan, RunStage, Step

MOMENTUM = 0.9  # of SGD, in every paper on long-tailed CIFAR


class Optimization:
    """The optimizer over all that a run trains; the learning rate goes as the schedule says.

    Raises:
        ConfigurationError: a post-hoc correction that does not fit the head.
    """

    def __init__(self, bundle: Bundle, config: Config, plan: Plan, runtime: Runtime) -> None:
        self.bundle, self.config, self.runtime = bundle, config, runtime
        self.classifier = bundle.classifier.train()
        self.stage: RunStage | None = None
        self.learning_rate = config.training.learning_rate  # of the latest step
        self.model = ModelWithLosses(self.classifier, [stage.objective for stage in plan.stages])
        self.optimizer = _optimizer(self.model.parameters(), config.training)
        self.schedule = LambdaLR(self.optimizer, plan.learning_rate_factor)
        self.former_head = deepcopy(self.classifier.head)  # as it was before the present stage
        self.parts: dict[str, Stateful] = {
            "classifier": self.classifier,
            "objectives": self.model.objectives,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "former_head": self.former_head,
        }
        self.correction = head_correction(config, bundle)

    def step(self, step: Step) -> LossValue:
        """Update the weights once; return the losses before that."""
        stage = step.stage
        if stage is not self.stage:
            self._enter(stage, begins=step.number == stage.start + 1)
        photos, labels = step.mixed(self.runtime.device, self.config.seed)
        with self.runtime.autocast():
            value: LossValue = self.model(photos, labels, stage=stage.number, progress=stage.progress(step.number))
        self.optimizer.zero_grad(set_to_none=True)
        value.total.backward()  # type: ignore[no-untyped-call]
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        self.schedule.step()
        return value

    def _enter(self, stage: RunStage, *, begins: bool) -> None:
        """Go on in a stage, or begin it."""
        self.stage = stage
        head = self.classifier.head
        if begins:
            self.former_head.load_state_dict(head.state_dict())
            if stage.settings.head == "fresh":
                head.reset_parameters()
            if stage.settings.schedule == "restart":
                self.optimizer.state.clear()
        self.classifier.train_only(stage.settings.trainable)

    def corrected(self) -> Bundle:
        """Apply the recipe's post-hoc correction, if it has one, and return the bundle that tells of it."""
        if self.correction is None:
            return self.bundle
        corrected = self.correction(_linear_map(self.classifier.head), _linear_map(self.former_head))
        if isinstance(corrected, LinearMap):
            self.classifier.head.load_state_dict(corrected._asdict())
            return self.bundle
        self.classifier.replace_head(corrected)
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


def _optimizer(parameters: Iterator[nn.Parameter], training: Training) -> Optimizer:
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

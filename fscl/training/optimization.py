"""One step downhill: the classifier, the optimizer, and what each stage of the recipe lets learn."""

from copy import deepcopy
from math import inf

from torch import nn
from torch.nn.utils import get_total_norm
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from fscl.bundle import Bundle
from fscl.config import Config
from fscl.errors import ConfigurationError, DivergenceError
from fscl.losses.objective import Value
from fscl.models.heads import POSTHOC, HeadCorrection, LinearMap
from fscl.registry import build
from fscl.runtime import Runtime
from fscl.training.checkpoint import Stateful
from fscl.training.model_with_losses import ModelWithLosses
from fscl.training.plan import Plan, Stage, Step


class Optimization:
    """The classifier on its way downhill: Adam, its learning rate falling along a cosine.

    Raises:
        ConfigurationError: a post-hoc correction that does not fit the head.
    """

    def __init__(self, bundle: Bundle, config: Config, plan: Plan, runtime: Runtime) -> None:
        self.bundle, self.config, self.runtime = bundle, config, runtime
        self.classifier = bundle.classifier.train()
        self.stage: Stage | None = None
        self.learning_rate = config.training.learning_rate  # of the latest step
        self.model = ModelWithLosses(self.classifier, [stage.objective for stage in plan.stages])
        self.optimizer = Adam(
            self.model.parameters(),
            self.learning_rate,
            weight_decay=config.training.weight_decay,
            fused=True,
        )
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

    def step(self, drawn: Step) -> Value:
        """Take one step downhill; return the objective before it."""
        if drawn.stage is not self.stage:
            self._enter(drawn.stage, begins=drawn.number == drawn.stage.start + 1)
        photos, labels = drawn.mixed(self.runtime.device, self.config.seed)
        with self.runtime.autocast():
            value: Value = self.model(
                photos, labels, stage=drawn.stage.number, progress=drawn.stage.progress(drawn.number)
            )
        self.optimizer.zero_grad(set_to_none=True)
        value.total.backward()  # type: ignore[no-untyped-call]
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        self.schedule.step()
        return value

    def _enter(self, stage: Stage, *, begins: bool) -> None:
        """Go on in a stage, or begin it."""
        self.stage = stage
        head = self.classifier.head
        if begins:
            self.former_head.load_state_dict(head.state_dict())
            if stage.recipe.head == "fresh":
                head.reset_parameters()
            if stage.recipe.schedule == "restart":
                self.optimizer.state.clear()
        self.classifier.train_only(stage.recipe.trainable)

    def correct_head(self) -> None:
        """Apply the recipe's post-hoc correction, if it has one."""
        if self.correction is not None:
            corrected = self.correction(_linear_map(self.classifier.head), _linear_map(self.former_head))
            self.classifier.head.load_state_dict(corrected._asdict())

    def require_finite(self, step: int) -> None:
        """Raise DivergenceError unless every weight after `step`, running statistics included, is finite."""
        weights = [weight for weight in self.classifier.state_dict().values() if weight.is_floating_point()]
        largest = get_total_norm(weights, inf)
        if not largest.isfinite():
            raise DivergenceError(
                f"step {step}: the largest weight is {largest.item()} at learning rate {self.learning_rate:.3g}"
            )


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

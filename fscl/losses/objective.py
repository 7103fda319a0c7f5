"""The objective: a weighted sum of losses, each of which sees the logits or the features."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from fscl.errors import ConfigurationError


class Loss(nn.Module):
    """What stands in `LOSSES`: built with `num_classes` and options, called with what it sees and labels."""

    sees: ClassVar[Literal["logits", "features"]]
    takes_soft: ClassVar[bool] = False  # whether labels may be shares of classes, (batch, classes)

    def parts(self, seen: Tensor | Sequence[Tensor], labels: Int[Tensor, "batch"]) -> dict[str, Float[Tensor, ""]]:
        """Return the unweighted summands by name, for logging; the loss is their sum. One part by default."""
        return {"": self(seen, labels)}


class LossValue(NamedTuple):
    """The losses of a batch: their weighted sum, to be minimised, and the unweighted parts by name, detached."""

    total: Float[Tensor, ""]
    parts: dict[str, Float[Tensor, ""]]


class Term(NamedTuple):
    """A loss in the objective; its weight climbs from 0 in the first part of the stage, `ramp` of it."""

    weight: float
    loss: Loss
    ramp: float = 0.0

    def weight_at(self, progress: float) -> float:
        """Return the weight when a share `progress` of the stage is done.

        >>> Term(0.5, Loss(), ramp=0.2).weight_at(0.1)
        0.25
        """
        return self.weight * min(progress / self.ramp, 1) if self.ramp else self.weight


class Objective(nn.Module):
    """Weighted sum of losses: cross-entropy + weight · Σ_l similarity_l in the study.

    Args:
        terms: name → term.
    """

    def __init__(self, terms: Mapping[str, Term]) -> None:
        super().__init__()
        self.terms = dict(terms)
        self.losses = nn.ModuleDict({str(i): term.loss for i, term in enumerate(terms.values())})

    def forward(
        self,
        logits: Float[Tensor, "batch classes"],
        features: Sequence[Float[Tensor, "batch _"]],
        labels: Int[Tensor, "batch"] | Float[Tensor, "batch classes"],
        progress: float = 1.0,
    ) -> LossValue:
        """Return the total and its parts; a loss of several parts is logged as `name[part]`.

        Raises:
            ConfigurationError: a loss of the user's own that is no scalar.

        Args:
            logits: of the batch.
            features: of each tapped layer.
            labels: classes, or shares of classes where photos are mixed; these only where `takes_soft`.
            progress: share of the stage that is done, 0 … 1.
        """
        total = logits.new_zeros(())
        logged = {}
        for name, term in self.terms.items():
            parts = term.loss.parts(logits if term.loss.sees == "logits" else features, labels)
            for part, value in parts.items():
                if value.ndim:
                    raise ConfigurationError(f"loss '{name}' must return a scalar, got shape {tuple(value.shape)}")
                total = total + term.weight_at(progress) * value
                logged[f"{name}[{part}]" if part else name] = value.detach()
        return LossValue(total, logged)

"""The objective: a weighted sum of losses, each of which sees the logits or the features."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn


class Loss(nn.Module):
    """What stands in `LOSSES`: built with `num_classes` and options, called with what it sees and labels."""

    sees: ClassVar[Literal["logits", "features"]]

    def parts(self, seen: Tensor | Sequence[Tensor], labels: Int[Tensor, "batch"]) -> dict[str, Float[Tensor, ""]]:
        """Return the unweighted summands by name, for logging; the loss is their sum. One part by default."""
        return {"": self(seen, labels)}


class Value(NamedTuple):
    """The objective at a batch: the total to descend, and its unweighted parts by name, detached."""

    total: Float[Tensor, ""]
    parts: dict[str, Float[Tensor, ""]]


class Objective(nn.Module):
    """Weighted sum of losses: cross-entropy + weight · Σ_l similarity_l in the study.

    Args:
        terms: name → (weight ≥ 0, loss).
    """

    def __init__(self, terms: Mapping[str, tuple[float, Loss]]) -> None:
        super().__init__()
        self.weights = {name: weight for name, (weight, _) in terms.items()}
        self.losses = nn.ModuleDict({name: loss for name, (_, loss) in terms.items()})

    def forward(
        self,
        logits: Float[Tensor, "batch classes"],
        features: Sequence[Float[Tensor, "batch _"]],
        labels: Int[Tensor, "batch"],
    ) -> Value:
        """Return the total and its parts; a loss of several parts is logged as `name[part]`."""
        total = logits.new_zeros(())
        logged = {}
        for name, loss in self.losses.items():
            assert isinstance(loss, Loss)
            parts = loss.parts(logits if loss.sees == "logits" else features, labels)
            for part, value in parts.items():
                total = total + self.weights[name] * value
                logged[f"{name}[{part}]" if part else name] = value.detach()
        return Value(total, logged)

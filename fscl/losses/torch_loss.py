"""Any loss of PyTorch's kind as a term of a recipe: `torch.nn:CrossEntropyLoss`, or a module of one's own."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from fscl.losses.objective import Loss


class TorchLoss(Loss):
    """A module that is called with logits and labels and returns a number.

    With an attribute `sees = "features"` the module is called with the features of the tapped layers in place of the
    logits, a list of (batch, dim).

    Args:
        module: the loss.

    Raises:
        ValueError: when it is called, a module that does not return one number.

    >>> import torch
    >>> loss = TorchLoss(nn.CrossEntropyLoss(label_smoothing=0.1))
    >>> round(loss(torch.zeros(4, 2), torch.tensor([0, 1, 1, 0])).item(), 4)
    0.6931
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.sees = getattr(module, "sees", "logits")  # type: ignore[misc]  # of the module, not of the class

    def forward(
        self, seen: Float[Tensor, "batch classes"] | Sequence[Float[Tensor, "batch _"]], labels: Int[Tensor, "batch"]
    ) -> Float[Tensor, ""]:
        """Return the module's value."""
        value: Tensor = self.module(seen, labels)
        if value.ndim:
            raise ValueError(
                f"{type(self.module).__name__} must return one number, got {tuple(value.shape)}; reduction = 'mean'?"
            )
        return value

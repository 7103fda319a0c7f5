"""Nearest class mean, and a residual map of features before it that losses can shape."""

from math import inf

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from fscl.models.fitted_heads import TINY, FittedHead, class_means, standardised
from fscl.models.leave_one_out import class_means_left_out


class AdapterHead(FittedHead):
    """A residual linear map of the features, then cosines to the class means: losses on features can shape it.

        z = x + s D x,   f_c = scale · cos(z − m, m_c − m),   x = (h − mean) / spread
        s = 1 / sqrt(prior · mean_c 1/n_c)

    D starts as 0, so that the head starts as nearest class mean. Since the map is linear, m_c, the mean of z over the
    training photos of a class, is the map of their mean of x: it follows D without a photo being looked at again.
    m is the mean of all m_c. Pull D to 0 by the weight decay of AdamW. The features that the losses see are z − m.
    The fewer photos n_c the classes have, the less does D count, and the more where they are many: 1/n_c is how far
    the mean of a class is off, squared, and what D learns from a handful of photos does not hold for new ones. The
    steps of Adam have one length, so s says how far D can go.

    Args:
        in_features, out_features: D and K.
        scale: > 0; probabilities cannot become sharper than it allows.
        prior: ≥ 0, photos of each class at which D counts once, and twice with four times as many; 0: always once.
        trained: whether D learns; without it the head is nearest class mean, and needs no stage.

    Raises:
        ValueError: a scale that is not positive, a prior below 0.

    >>> head = AdapterHead(2, 2, scale=10.0)
    >>> head.fit(torch.tensor([[0.0, 1.0], [2.0, 0.0], [8.0, 1.0], [6.0, 0.0]]), torch.tensor([0, 0, 1, 1]))
    >>> head(torch.tensor([[0.0, 0.5], [8.0, 0.5]])).detach().round()
    tensor([[ 10., -10.],
            [-10.,  10.]])
    """

    mean: Tensor
    spread: Tensor
    class_means: Tensor
    share: Tensor

    def __init__(
        self, in_features: int, out_features: int, *, scale: float = 30.0, prior: float = 0.0, trained: bool = True
    ) -> None:
        super().__init__()
        if not 0 < scale < inf:
            raise ValueError(f"scale must be > 0, got {scale}; papers use 16–30")
        if not 0 <= prior < inf:
            raise ValueError(f"prior must be >= 0 photos, got {prior}; 90 suits a few photos and many")
        self.scale, self.prior = scale, prior
        self.residual = nn.Linear(in_features, in_features, bias=False) if trained else None
        self.register_buffer("mean", torch.zeros(in_features))
        self.register_buffer("spread", torch.ones(in_features))
        self.register_buffer("class_means", torch.zeros(out_features, in_features))
        self.register_buffer("share", torch.ones(()), persistent=prior > 0)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Make the map the identity."""
        if self.residual is not None:
            nn.init.zeros_(self.residual.weight)

    def fit(self, features: Float[Tensor, "rows dim"], labels: Int[Tensor, "rows"], *, views: int = 1) -> None:
        """Set what standardises the features, the class means of them, and s; computed in double precision."""
        x, mean, spread = standardised(features)
        means = class_means(x, labels.cpu().numpy(), len(self.class_means))
        photos = torch.bincount(labels, minlength=len(means)) / views
        if self.prior > 0:
            self.share.copy_((self.prior * (1 / photos).mean()).rsqrt())
        for own, found in ((self.mean, mean), (self.spread, spread), (self.class_means, means)):
            own.copy_(torch.from_numpy(found))

    def adapt(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Return z − m, what the losses on features see."""
        return self._mapped((features - self.mean) / self.spread - self.class_means.mean(dim=0))

    def forward(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Return the logits, in [−scale, scale]."""
        return self.classify(self.adapt(features))

    def classify(self, adapted: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Return the logits of what `adapt` gave."""
        means = self._mapped(self.class_means - self.class_means.mean(dim=0))
        return self.scale * functional.linear(functional.normalize(adapted), functional.normalize(means))

    def _mapped(self, x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        return x if self.residual is None else x + self.share * self.residual(x)


class ClassMeansHead(AdapterHead):
    """Nearest class mean: cosines to the class means of standardised features, about the mean of these means.

    Source: Mensink et al. 2013; Snell et al. 2017 call the means prototypes. It works from one photo of a class on.
    A photo is left out in closed form.

    Args:
        in_features, out_features: D and K.
        scale: > 0; probabilities cannot become sharper than it allows.

    Raises:
        ValueError: a scale that is not positive.

    >>> head = ClassMeansHead(2, 2)
    >>> head.fit(torch.tensor([[0.0, 1.0], [8.0, 1.1]]), torch.tensor([0, 1]))
    >>> head(torch.tensor([[1.0, 1.0], [7.0, 1.1]])).argmax(dim=1)
    tensor([0, 1])
    """

    closed_form = True

    def __init__(self, in_features: int, out_features: int, *, scale: float = 30.0) -> None:
        super().__init__(in_features, out_features, scale=scale, trained=False)

    def left_out(
        self, features: Float[Tensor, "photos dim"], labels: Int[Tensor, "photos"]
    ) -> Float[np.ndarray, "photos classes"]:
        """Return the logits of each photo by the head fitted to all others."""
        x, y = features.double().cpu().numpy(), labels.cpu().numpy()
        return class_means_left_out(x, y, len(self.class_means), self.scale, TINY)

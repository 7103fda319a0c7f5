"""Heads for a few photos: set at once from the features of all training photos, on a backbone that stays as it is."""

from math import inf
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from fscl.models.leave_one_out import class_means_left_out, in_few_dimensions, lda_left_out, ridge_left_out

TINY = 1e-6  # added to a spread, so that a feature which is the same in all photos stays finite
MOST_ITERATIONS = 300  # of the solver of logistic regression; it needs 20 to 60
Solved = tuple[NDArray[np.float64], NDArray[np.float64]]


class FittedHead(nn.Module):
    """A head that `fit` sets from features and labels; a head that is only fitted needs no stage of training."""

    closed_form = False  # whether `left_out` says what heads fitted without a photo say of it

    def fit(self, features: Float[Tensor, "rows dim"], labels: Int[Tensor, "rows"], *, views: int = 1) -> None:
        """Set the weights from the features of all training photos, each class with one at least.

        Args:
            features: of all views of all photos.
            labels: the same rows.
            views: rows of each photo.
        """
        raise NotImplementedError

    def left_out(
        self, features: Float[Tensor, "photos dim"], labels: Int[Tensor, "photos"]
    ) -> Float[np.ndarray, "photos classes"]:
        """Return the logits of each photo by the head fitted to all others; each class has two photos at least."""
        raise NotImplementedError


class FittedLinear(nn.Linear, FittedHead):
    """f = W h + b, found at once: subclasses solve for standardised features, and the scaling goes into W and b.

    Args:
        in_features, out_features: D and K.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)

    def fit(self, features: Float[Tensor, "rows dim"], labels: Int[Tensor, "rows"], *, views: int = 1) -> None:
        """Set W and b; computed in double precision."""
        x, mean, spread = _standardised(features)
        weight, bias = self.solve(x, labels.cpu().numpy(), views)
        weight = weight / spread
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(weight))
            self.bias.copy_(torch.from_numpy(bias - weight @ mean))

    def solve(self, x: NDArray[np.float64], y: NDArray[np.int64], views: int = 1) -> Solved:
        """Return W (classes, dim) and b (classes,) for features of mean 0 and spread 1."""
        raise NotImplementedError


class LogisticHead(FittedLinear):
    """Logistic regression in which every class has the same say, however many photos it has.

        min_W,b  Σ_i w_i CE(W x_i + b, y_i) + |W|² / (2 C),   w_i = n / (K n_y)

    Args:
        in_features, out_features: D and K.
        strength: C > 0: the smaller, the simpler the model; 0.001 was best or near it for 4 to 4,500 rare photos.

    Raises:
        ValueError: a strength that is not positive.

    >>> head = LogisticHead(2, 2)
    >>> head.fit(torch.tensor([[0.0, 1.0], [0.1, 1.0], [3.0, 1.0]]), torch.tensor([0, 0, 1]))
    >>> head(torch.tensor([[0.0, 1.0], [3.0, 1.0]])).argmax(dim=1)
    tensor([0, 1])
    """

    def __init__(self, in_features: int, out_features: int, *, strength: float = 0.001) -> None:
        if not 0 < strength < inf:
            raise ValueError(f"strength must be > 0, got {strength}; 0.001 suits most photos")
        super().__init__(in_features, out_features)
        self.strength = strength

    def solve(self, x: NDArray[np.float64], y: NDArray[np.int64], views: int = 1) -> Solved:
        """By scikit-learn's L-BFGS; of two classes it gives the margin, which is shared between both."""
        solver = LogisticRegression(C=self.strength / views, class_weight="balanced", max_iter=MOST_ITERATIONS)
        found: Any = solver.fit(x, y)
        weight, bias = found.coef_, found.intercept_
        if len(weight) == 1:
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        return weight, bias


class LdaHead(FittedLinear):
    """Linear discriminant analysis with a shrunk covariance, all classes taken for equally frequent.

        W = M Σ⁻¹,   b_c = −½ m_c·Σ⁻¹ m_c,   Σ = (1 − λ) S + λ tr(S)/D · 1

    m_c are the class means, S the covariance within the classes. Source: Friedman 1989, with one λ.

    A photo is left out in closed form; the features stay standardised by all photos then.

    Args:
        in_features, out_features: D and K.
        shrinkage: λ in (0, 1]; 1 leaves nothing of how features vary together.

    Raises:
        ValueError: a shrinkage out of range.

    >>> head = LdaHead(2, 2)
    >>> head.fit(torch.tensor([[0.0, 1.0], [0.2, 0.0], [3.0, 1.0], [3.2, 0.0]]), torch.tensor([0, 0, 1, 1]))
    >>> head(torch.tensor([[0.0, 1.0], [3.0, 1.0]])).argmax(dim=1)
    tensor([0, 1])
    """

    closed_form = True

    def __init__(self, in_features: int, out_features: int, *, shrinkage: float = 0.9) -> None:
        if not 0 < shrinkage <= 1:
            raise ValueError(f"shrinkage must be > 0 and at most 1, got {shrinkage}; 0.9 suits a few photos")
        super().__init__(in_features, out_features)
        self.shrinkage = shrinkage

    def solve(self, x: NDArray[np.float64], y: NDArray[np.int64], views: int = 1) -> Solved:
        """By one system of as many equations as there are photos or features, whichever are fewer."""
        dim, (few, axes) = x.shape[1], in_few_dimensions(x)
        means = class_means(few, y, self.out_features)
        within = few - means[y]
        covariance = within.T @ within / views / max(len(x) // views - self.out_features, 1)
        level = np.trace(covariance) / dim or 1.0  # a photo of each class says nothing of how they vary
        shrunk = (1 - self.shrinkage) * covariance
        shrunk[np.diag_indices_from(shrunk)] += self.shrinkage * level
        weight = np.linalg.solve(shrunk, means.T).T.astype(np.float64)
        return weight if axes is None else weight @ axes, -0.5 * (weight * means).sum(axis=1)

    def left_out(
        self, features: Float[Tensor, "photos dim"], labels: Int[Tensor, "photos"]
    ) -> Float[np.ndarray, "photos classes"]:
        """Return the logits of each photo by the head fitted to all others."""
        x, _, _ = _standardised(features)
        return lda_left_out(x, labels.cpu().numpy(), self.out_features, self.shrinkage)


class RidgeHead(FittedLinear):
    """Least squares towards ±1, photos weighted so that every class has the same say.

        min_W,b  Σ_i w_i |W x_i + b − t_i|² / n + α |W|²,   t_ic = 1 for its class, else −1,   w_i = n / (K n_y)

    A photo is left out in closed form; the features stay standardised by all photos then.

    Args:
        in_features, out_features: D and K.
        alpha: > 0: the larger, the simpler the model.

    Raises:
        ValueError: an alpha that is not positive.

    >>> head = RidgeHead(2, 2)
    >>> head.fit(torch.tensor([[0.0, 1.0], [0.1, 1.0], [3.0, 1.0]]), torch.tensor([0, 0, 1]))
    >>> head(torch.tensor([[0.0, 1.0], [3.0, 1.0]])).argmax(dim=1)
    tensor([0, 1])
    """

    closed_form = True

    def __init__(self, in_features: int, out_features: int, *, alpha: float = 100.0) -> None:
        if not 0 < alpha < inf:
            raise ValueError(f"alpha must be > 0, got {alpha}; 100 suits a few photos")
        super().__init__(in_features, out_features)
        self.alpha = alpha

    def solve(self, x: NDArray[np.float64], y: NDArray[np.int64], views: int = 1) -> Solved:
        """By the normal equations, in as many unknowns as there are photos or features, whichever are fewer."""
        share = 1 / (self.out_features * np.bincount(y, minlength=self.out_features)[y])  # w_i / n, which sum to 1
        target = np.where(y[:, None] == np.arange(self.out_features), 1.0, -1.0)
        centre, middle = share @ x, share @ target
        root = np.sqrt(share)[:, None]
        a, t = root * (x - centre), root * (target - middle)
        if len(a) <= a.shape[1]:
            weight = (a.T @ np.linalg.solve(a @ a.T + self.alpha * np.eye(len(a)), t)).T
        else:
            weight = np.linalg.solve(a.T @ a + self.alpha * np.eye(a.shape[1]), a.T @ t).T
        bias: NDArray[np.float64] = middle - weight @ centre
        return weight, bias

    def left_out(
        self, features: Float[Tensor, "photos dim"], labels: Int[Tensor, "photos"]
    ) -> Float[np.ndarray, "photos classes"]:
        """Return the logits of each photo by the head fitted to all others."""
        x, _, _ = _standardised(features)
        return ridge_left_out(x, labels.cpu().numpy(), self.out_features, self.alpha)


class AdapterHead(FittedHead):
    """A residual linear map of the features, then cosines to the class means: losses on features can shape it.

        z = x + s D x,   f_c = scale · cos(z − m, m_c − m),   x = (h − mean) / spread
        s = 1 / (1 + prior · mean_c 1/n_c)

    D starts as 0, so that the head starts as nearest class mean. Since the map is linear, m_c, the mean of z over the
    training photos of a class, is the map of their mean of x: it follows D without a photo being looked at again.
    m is the mean of all m_c. Pull D to 0 by the weight decay of AdamW. The features that the losses see are z − m.
    The fewer photos n_c the classes have, the less is D listened to: the error of the class means grows with the mean
    of 1/n_c, and what D learns from a handful of photos does not hold for new ones.

    Args:
        in_features, out_features: D and K.
        scale: > 0; probabilities cannot become sharper than it allows.
        prior: ≥ 0, photos of each class at which the map is half of what it would be; 0 listens to D in full.
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
            raise ValueError(f"prior must be >= 0 photos, got {prior}; 40 suits a few photos")
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
        x, mean, spread = _standardised(features)
        means = class_means(x, labels.cpu().numpy(), len(self.class_means))
        photos = torch.bincount(labels, minlength=len(means)) / views
        self.share.copy_(1 / (1 + self.prior * (1 / photos).mean()))
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


def _standardised(
    features: Float[Tensor, "photos dim"],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return features of mean 0 and spread 1 in double precision, and what their mean and spread were."""
    x = features.double().cpu().numpy()
    mean, spread = x.mean(axis=0), x.std(axis=0) + TINY
    return (x - mean) / spread, mean, spread


def class_means(x: NDArray[np.float64], y: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return the mean of the rows of each class, (classes, dim); every class has one at least."""
    return np.stack([x[y == label].mean(axis=0) for label in range(classes)])

"""Heads for a few photos: set at once from the features of all training photos, on a backbone that stays as it is."""

from math import inf
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from fscl.models.leave_one_out import in_few_dimensions, lda_left_out, ridge_left_out

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
        x, mean, spread = standardised(features)
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
        x, _, _ = standardised(features)
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
        x, _, _ = standardised(features)
        return ridge_left_out(x, labels.cpu().numpy(), self.out_features, self.alpha)


def standardised(
    features: Float[Tensor, "photos dim"],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return features of mean 0 and spread 1 in double precision, and what their mean and spread were."""
    x = features.double().cpu().numpy()
    mean, spread = x.mean(axis=0), x.std(axis=0) + TINY
    return (x - mean) / spread, mean, spread


def class_means(x: NDArray[np.float64], y: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return the mean of the rows of each class, (classes, dim); every class has one at least."""
    return np.stack([x[y == label].mean(axis=0) for label in range(classes)])

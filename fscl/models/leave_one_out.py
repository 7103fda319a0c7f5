"""The logits of each photo by the head that is fitted to all others, in closed form: no head is fitted twice."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, solve_triangular

ROWS = 1024  # at once, so that what is computed for them stays small
NOTHING = 1e-12  # of a variance, relative to what it was: rounding
Matrix = NDArray[np.float64]
Labels = NDArray[np.int64]


def ridge_left_out(x: Matrix, y: Labels, classes: int, alpha: float) -> Matrix:
    """Return the logits of ridge regression with class weights, (photos, classes).

        f_i = (ŷ_i − h_i t_i) / (1 − h_i),   h_i = v_i / Σ v + v_i (x_i − c)·A⁻¹ (x_i − c)

    ŷ is the fit to all photos with the weights v that the others have without photo i: those of its class weigh
    more then, so that there is one system for each class. A = Σ_j v_j (x_j − c)(x_j − c)ᵀ + α 1, c the weighted mean.

    Args:
        x: standardised features.
        y: classes, each with two photos at least.
        classes: K.
        alpha: as in `RidgeHead`.
    """
    x, _ = in_few_dimensions(x)
    counts = np.bincount(y, minlength=classes)
    target = np.where(y[:, None] == np.arange(classes), 1.0, -1.0)
    share = 1 / (classes * counts[y])
    moment, product = (share[:, None] * x).T @ x, x.T @ (share[:, None] * target)
    logits = np.empty((len(x), classes))
    for label in range(classes):
        own, of_own = y == label, x[y == label]
        weight = 1 / (classes * (counts[label] - 1))
        more, total = weight - 1 / (classes * counts[label]), 1 + weight  # Σ v, photo i among them
        v = np.where(own, weight, share)
        centre, middle = v @ x / total, v @ target / total
        system = moment + more * of_own.T @ of_own - total * np.outer(centre, centre)
        system[np.diag_indices_from(system)] += alpha
        right = product + more * of_own.T @ target[own] - total * np.outer(centre, middle)
        lower, _ = cho_factor(system, lower=True)
        lengths = solve_triangular(lower, (of_own - centre).T, lower=True)
        hat = (weight / total + weight * (lengths**2).sum(axis=0))[:, None]
        solved = solve_triangular(lower, solve_triangular(lower, right, lower=True), lower=True, trans="T")
        fitted = middle + (of_own - centre) @ solved
        logits[own] = (fitted - hat * target[own]) / (1 - hat)
    return logits


def lda_left_out(x: Matrix, y: Labels, classes: int, shrinkage: float) -> Matrix:
    """Return the logits of linear discriminant analysis, (photos, classes).

    Without photo i of class c the scatter within the classes is S − g u uᵀ, u = x_i − m_c, g = n_c / (n_c − 1), and
    m_c becomes m_c − u / (n_c − 1). In the axes of S the rest of Σ is diagonal, also where its level follows the
    trace, and u uᵀ is taken off by Sherman and Morrison's formula.

    Args:
        x: standardised features.
        y: classes, each with two photos at least.
        classes: K.
        shrinkage: as in `LdaHead`.
    """
    dim, (x, _) = x.shape[1], in_few_dimensions(x)
    counts = np.bincount(y, minlength=classes)
    means = np.stack([x[y == label].mean(axis=0) for label in range(classes)])
    within = x - means[y]
    scatter, axes = np.linalg.eigh(within.T @ within)
    m, freedom = means @ axes, max(len(x) - 1 - classes, 1)
    logits = np.empty((len(x), classes))
    for rows in _pieces(len(x)):
        u, label = within[rows] @ axes, y[rows]
        step = 1 / (counts[label] - 1)
        gain = counts[label] * step
        trace = scatter.sum() - gain * (u**2).sum(axis=1)
        level = np.where(trace > NOTHING * scatter.sum(), trace / freedom / dim, 1.0)  # as in `LdaHead`
        inverse = 1 / ((1 - shrinkage) * scatter / freedom + shrinkage * level[:, None])
        uu, um = (inverse * u * u).sum(axis=1), (inverse * u) @ m.T
        factor = (1 - shrinkage) * gain / freedom
        off = factor / (1 - factor * uu)
        own = np.arange(len(label)), label
        to_own = um[own] + uu
        logits[rows] = (inverse * m[label]) @ m.T + um + (off * to_own)[:, None] * um
        logits[rows] -= 0.5 * (inverse @ (m**2).T + off[:, None] * um**2)
        logits[rows][own] -= (step + 0.5 * step**2) * uu * (1 + off * uu)  # m_c is without the photo, too
    return logits


def class_means_left_out(x: Matrix, y: Labels, classes: int, scale: float, tiny: float) -> Matrix:
    """Return the logits of nearest class mean, (photos, classes); features are standardised by the others, too.

    Args:
        x: features as they are.
        y: classes, each with two photos at least.
        classes: K.
        scale: as in `ClassMeansHead`.
        tiny: that is added to each spread.
    """
    x = x - x.mean(axis=0)
    counts, squares, others = np.bincount(y, minlength=classes), (x**2).sum(axis=0), len(x) - 1
    means = np.stack([x[y == label].mean(axis=0) for label in range(classes)])
    middle = means.mean(axis=0)
    about = means - middle
    logits = np.empty((len(x), classes))
    for rows in _pieces(len(x)):
        photo, label = x[rows], y[rows]
        variance = (squares - photo**2) / others - (photo / others) ** 2
        precision = (np.sqrt(variance.clip(min=0)) + tiny) ** -2.0
        moved = (means[label] - photo) / (counts[label] - 1)[:, None]  # how far the mean of its class goes without it
        z = photo - middle - moved / classes
        moves = (label[:, None] == np.arange(classes)) - 1 / classes  # of each mean about the middle, times `moved`
        product = (precision * z) @ about.T + moves * (precision * z * moved).sum(axis=1, keepdims=True)
        lengths = precision @ (about**2).T + 2 * moves * ((precision * moved) @ about.T)
        lengths += moves**2 * (precision * moved**2).sum(axis=1, keepdims=True)
        length = (precision * z * z).sum(axis=1, keepdims=True)
        logits[rows] = scale * product / np.sqrt((length * lengths).clip(min=NOTHING))
    return logits


def in_few_dimensions(x: Matrix) -> tuple[Matrix, Matrix | None]:
    """Return rows of as many numbers as there are rows, at most, and the axes in which they are x.

    >>> few, axes = in_few_dimensions(np.array([[3.0, 4.0, 0.0]]))
    >>> few.shape, (few @ axes).round(9)
    ((1, 1), array([[3., 4., 0.]]))
    """
    if len(x) >= x.shape[1]:
        return x, None
    axes, few = np.linalg.qr(x.T)
    return few.T, axes.T


def _pieces(rows: int) -> Iterator[slice]:
    yield from (slice(start, start + ROWS) for start in range(0, rows, ROWS))

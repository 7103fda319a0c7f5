"""Photos in the plane, neighbours in a layer's features beside each other: t-SNE."""

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

PERPLEXITY = 30.0  # neighbours that each photo is kept beside: van der Maaten and Hinton 2008 say 5 to 50
COMPONENTS = 50  # of PCA before it, as they do
FEWEST = 5  # photos


def embed(features: NDArray[np.floating], seed: int = 0) -> NDArray[np.float64]:
    """Return a place in [−1, 1]² for each photo; only who is beside whom means something.

    Args:
        features: (photos, dim), `FEWEST` photos at least.
        seed: the same one gives the same places.

    >>> embed(np.random.default_rng(0).normal(size=(8, 3))).shape
    (8, 2)
    """
    x = np.asarray(features, dtype=np.float64)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.divide(x, lengths, out=np.zeros_like(x), where=lengths > 0)  # so that near means a high cosine
    parts = min(COMPONENTS, *x.shape)
    few = PCA(parts, random_state=seed, svd_solver="full").fit_transform(x)
    spread = few.std() or 1.0  # t-SNE starts from these, and does not start from photos that are all the same
    start = few[:, :2] / spread * 1e-4 if parts > 1 else "random"
    start = "random" if not np.any(few[:, :2]) else start
    perplexity = min(PERPLEXITY, (len(x) - 1) / 3)
    places = TSNE(
        perplexity=perplexity, init=start, random_state=seed, method="exact" if len(x) < 50 else "barnes_hut"
    )
    found = places.fit_transform(few)
    found = found - found.mean(axis=0)
    largest = np.abs(found).max() or 1.0
    return np.asarray(found / largest, dtype=np.float64).round(4)

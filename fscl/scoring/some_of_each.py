"""A few photos that stand for many, the rare classes among them."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def some_of_each(labels: Sequence[str] | NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most `most` places, as many of each class as there are, the rare classes whole; evenly spaced.

    >>> some_of_each(["deer"] * 90 + ["lynx"] * 2, 6).tolist()
    [0, 30, 59, 89, 90, 91]
    """
    code = np.unique(np.asarray(labels), return_inverse=True)[1]
    places = sorted((np.flatnonzero(code == c) for c in range(code.max(initial=-1) + 1)), key=len)
    chosen: list[int] = []
    for number, own in enumerate(places):
        room = (most - len(chosen)) // (len(places) - number)
        chosen += _spaced(own, room)
    return np.array(sorted(chosen), dtype=np.int64)


def _spaced(places: NDArray[np.int64], most: int) -> Iterable[int]:
    few: list[int] = places[np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)].tolist()
    return few

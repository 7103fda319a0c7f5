"""The training photos that are most similar to an explained one, to the model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fscl.explain.features import Directions
from fscl.records import Near

NEAREST = 5


def nearest(
    direction: NDArray[np.float32], path: str, training: Directions, count: int = NEAREST
) -> list[tuple[int, float]]:
    """Return the places and similarities of the nearest training photos, the most similar first.

    Args:
        direction: (dim,) unit vector of the photo's features.
        path: of the photo's file, which is not its own neighbour.
        training: to look among.
        count: how many at most.
    """
    if not len(training.rows):
        return []
    cosines = training.features @ direction
    itself = np.array([str(photo) == path for photo in training.regions.photos])
    order = np.argsort(-cosines, kind="stable")
    places = [place for place in order.tolist() if not itself[place]][:count]
    return [(place, float(np.clip(cosines[place], -1, 1))) for place in places]


def records(found: Sequence[tuple[int, float]], training: Directions, pictures: Sequence[str | None]) -> list[Near]:
    """Return them as they are written, each with its thumbnail."""
    return [
        Near(
            path=str(training.rows["path"].iloc[place]),
            region=str(training.rows["region_id"].iloc[place]),
            label=str(training.rows["label"].iloc[place]),
            similarity=round(similarity, 4),
            picture=picture,
        )
        for (place, similarity), picture in zip(found, pictures, strict=True)
    ]

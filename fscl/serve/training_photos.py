"""The training photos that a photo is compared with; their features are computed in the background."""

import logging
import threading
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from fscl.bundle import Bundle
from fscl.errors import FsclError, first_line
from fscl.evaluation.known_photos import part_of, photos_of
from fscl.explain.features import Directions, directions_of
from fscl.explain.nearest import nearest
from fscl.explain.pictures import thumbnail
from fscl.printable import number_of
from fscl.progress import DECODED, Silent
from fscl.serve.model_thread import ModelThread

KEPT = 1000  # thumbnails, of a few kB each


class NearPhoto(BaseModel):
    """A training photo: its path, label, cosine to the photo, and the number by which its picture is asked for."""

    path: str
    label: str
    similarity: float
    number: int


class Neighbours(BaseModel):
    """The training photos that are most similar to a photo.

    Attributes:
        ready: False while features are still being computed: ask again.
        note: how far that is, or why there are no neighbours; empty where there are.
        photos: the most similar first.
    """

    ready: bool
    note: str
    photos: list[NearPhoto]


class _ClosedError(Exception):
    """The page ends while features are computed; those that are there stay in the cache."""


class NearestPhotos(Silent):
    """Knows the training photos of a run as soon as it can; hears itself how far the features are.

    Args:
        run: the folder.
        root: folder that its photos are in now; None: where the run had them.
        bundle: the model.
        model: computes for others; their photos come first.
    """

    def __init__(self, run: Path, root: Path | None, bundle: Bundle, model: ModelThread) -> None:
        self._run, self._root, self._bundle, self._model = run, root, bundle, model
        self._known: Directions | None = None
        self._why, self._closed = "coming", False
        self._notes: list[str] = []
        self.picture = lru_cache(maxsize=KEPT)(self._picture)
        self._thread = threading.Thread(target=self._prepare, name="training photos", daemon=True)
        self._thread.start()

    def nearest(self, direction: NDArray[np.float32], path: str) -> Neighbours:
        """Return the training photos nearest to a direction, (dim,), without the one at `path` itself."""
        ended = not self._thread.is_alive()  # asked first: what it found is there then, also if it ends meanwhile
        known = self._known
        if known is None:
            return Neighbours(ready=ended, note="; ".join([self._why, *self._notes]), photos=[])
        rows = known.rows
        photos = [
            NearPhoto(
                path=str(rows["path"].iloc[place]),
                label=str(rows["label"].iloc[place]),
                similarity=round(similarity, 4),
                number=place,
            )
            for place, similarity in nearest(direction, path, known)
        ]
        return Neighbours(ready=True, note="; ".join(self._notes), photos=photos)

    def wait(self) -> None:
        """Wait until the features are there, or cannot be; for tests and measurements: the page asks again."""
        self._thread.join()

    def close(self) -> None:
        """End what is computed in the background; it takes as long as a batch."""
        self._closed = True
        self._thread.join()

    def prepare(self, done: int, photos: int, what: str = DECODED) -> None:
        """Hear how far it is; let those come first who wait for an answer."""
        self._why = f"coming: features of {done:,} of {number_of(photos, 'training photo')} are there"
        self._model.wait_until_idle()
        if self._closed:
            raise _ClosedError

    def note(self, text: str) -> None:
        """Hear that only a part is compared with, what the cache takes, or that it cannot be written."""
        self._notes.append(text)

    def _prepare(self) -> None:
        try:
            own, gone = photos_of(self._run, [self._root])
            if own is None or gone:
                self._why = f"the training photos are not there: {gone}; say where they are with --root FOLDER"
                return
            rows = part_of(own, "train").usable
            known = directions_of(self._bundle, rows, own.root, self, 0)
            if not len(known.rows):
                self._why = "none of the training photos can be read"
                return
            if known.unread:
                self.note(f"{number_of(known.unread, 'training photo')} could not be read")
            self._known = known
        except _ClosedError:
            return
        except (FsclError, OSError) as error:
            self._why = f"no training photos to compare with: {first_line(error)}"
        except Exception as error:  # the page goes on without them; the fault is not hidden
            logging.getLogger(__name__).exception("the training photos")
            self._why = f"no training photos to compare with: {first_line(error)}"

    def _picture(self, number: int) -> bytes:
        """Return a thumbnail as JPEG.

        Raises:
            LookupError: no such photo.
            UnreadableError: it cannot be read any more.
        """
        if self._known is None or not 0 <= number < len(self._known.rows):
            raise LookupError(number)
        return thumbnail(self._known.regions, number, self._bundle.preprocessing)

"""The folder that the page may show, and names of photos: none of them leads out of it."""

import math
import os
import threading
import time
from pathlib import Path, PurePosixPath, PureWindowsPath

from fscl import archives
from fscl.errors import PhotosError
from fscl.formats.walk import PHOTO_SUFFIXES, escaped, walk
from fscl.printable import STEERING
from fscl.serve.corrections import FORMULA

LONGEST = 1000  # characters of a name


class Folder:
    """The photos below a folder, or in a zip, by their names relative to it.

    Args:
        path: the folder or zip.

    Raises:
        PhotosError: it is not there, or is something else.
    """

    def __init__(self, path: Path) -> None:
        if not (path.is_dir() or archives.is_archive(path)):
            got = "a file" if path.exists() else "nothing"
            raise PhotosError(f"--folder: expected a folder of photos or a zip, found {got} at {path}; give another")
        self.path = path.resolve()
        self._photos: dict[str, str] = {}
        self._looked = -math.inf
        self._listing = threading.Lock()

    def names(self, *, anew: bool = False) -> list[str]:
        """Return the names of all photos, sorted; links that lead out of the folder are left out.

        Args:
            anew: look again what is there; who asks while another looks waits for a look that begins after asking.

        Raises:
            PhotosError: a damaged zip.
        """
        asked = time.perf_counter()
        with self._listing:
            if (anew and self._looked < asked) or not self._photos:
                begun = time.perf_counter()
                contents = walk(self.path, PHOTO_SUFFIXES)
                photos = [*contents.files, *contents.unreadable]
                self._photos = {escaped(name): name for name in sorted(photos) if self._is_inside(name)}
                self._looked = begun
            return list(self._photos)

    def photo(self, name: str) -> Path:
        """Return the file of a photo, as it was listed last.

        Raises:
            PhotosError: no such photo in the folder.
        """
        if not self._photos:
            self.names()
        known = self._photos.get(name)
        if known is None or not self._is_inside(known):
            raise PhotosError("no such photo in the folder")
        return self.path / known

    def _is_inside(self, name: str) -> bool:
        real = os.path.realpath(self.path / name)  # of each photo; Path.resolve takes three times as long
        return Path(real).is_relative_to(self.path)


def checked_name(name: str) -> str:
    r"""Return the name of a photo that the browser holds, as it will stand in a table.

    Raises:
        PhotosError: it would lead out of the folder of the table, holds signs that no name should have, or is what
            Excel would run.

    >>> checked_name("camera 1/0001.jpg")
    'camera 1/0001.jpg'
    >>> checked_name("../0001.jpg")
    Traceback (most recent call last):
    fscl.errors.PhotosError: expected the name of a photo below a folder, such as camera1/0001.jpg
    """
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor != ""
    parts = name.replace("\\", "/").split("/")
    if not name or len(name) > LONGEST or absolute or ".." in parts or STEERING.search(name) or "\n" in name:
        raise PhotosError("expected the name of a photo below a folder, such as camera1/0001.jpg")
    if FORMULA.search(name):
        raise PhotosError("expected a name that does not begin with = + - or @, which Excel would run; rename it")
    return name

"""Photos sorted into folders of species, copied or linked; nothing that is there is overwritten."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj

from fscl import archives
from fscl.atomic import unfinished_beside
from fscl.errors import ConfigurationError, OutputError
from fscl.formats.answers import About, PhotoAnswer, by_media, surest
from fscl.prediction.photos import Listing

FAILED, UNSURE = "_without_answer", "_unsure"  # folders besides those of species
NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]|^\.+$|[. ]+$')  # on some system


@dataclass(frozen=True)
class Sorting:
    """Where photos go.

    Attributes:
        folder: gets a folder for each species, one for unsure answers and one for photos without an answer.
        link: make symbolic links instead of copies.
    """

    folder: Path
    link: bool = False

    def check(self, listing: Listing) -> None:
        """Raise before anything is computed where it cannot be done.

        Raises:
            ConfigurationError: photos in a zip, which nothing can link to.
            OutputError: the folder is a file.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"{self.folder}: expected a folder to sort photos into, found a file; choose another")
        packed = self.link and any(archives.is_packed(Path(path)) for path in listing.photos["path"][:1])
        if packed:
            raise ConfigurationError("photos in a zip cannot be linked to: use --copy-to, or unpack them")

    def sort(self, listing: Listing, answers: Iterable[PhotoAnswer], about: About) -> None:
        """Copy or link each photo into the folder of each of its species; one that is there already is left.

        A video goes where its surest frame does.

        Raises:
            OutputError: another file is in the place of a photo.
        """
        with unfinished_beside(self.folder / "copy") as unfinished:
            paths = iter(listing.photos["path"])
            for frames in by_media(answers):
                photo, (first, *_) = surest(frames), [next(paths) for _ in frames]
                path = archives.file_of(Path(first))
                for name in _folders(photo, about):
                    self._place(path, self.folder / name / _relative(photo.file), unfinished / "copy")

    def _place(self, photo: Path, target: Path, copy: Path) -> None:
        try:
            size = archives.size(photo)
        except (OSError, archives.ArchiveError):
            return  # it is without an answer, as it is not there
        if target.is_symlink() or target.exists():
            same = target.resolve() == photo.resolve() if self.link else target.stat().st_size == size
            if not same:
                raise OutputError(f"{target}: another file is there; sort into an empty folder")
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.link:
            target.symlink_to(photo.resolve())
            return
        try:
            file = archives.open_binary(photo)
        except (OSError, archives.ArchiveError):
            return  # as it cannot be opened
        with file, copy.open("wb") as written, suppress(archives.ArchiveError):  # damaged in its zip
            copyfileobj(file, written)
            written.flush()
            os.fsync(written.fileno())
            copy.replace(target)


def _folders(photo: PhotoAnswer, about: About) -> Iterator[str]:
    if photo.failure is not None:
        yield FAILED
    elif not photo.animals:
        yield _named(photo.found or FAILED)
    elif any(said.unsure for said in about.all_said(photo)):
        yield UNSURE
    else:
        yield from sorted({_named(said.name) for said in about.all_said(photo)})


def _named(species: str) -> str:
    """A name that every system takes for a folder.

    >>> _named("deer: roe/water"), _named("..")
    ('deer_ roe_water', '_')
    """
    return NOT_IN_NAMES.sub("_", species) or "_"


def _relative(file: str) -> Path:
    """A path below a folder, whatever the file is called: no drive, no way up.

    >>> _relative("../C1/a.jpg").as_posix(), _relative("/C1/a.jpg").as_posix(), _relative("D:/C1/a.jpg").as_posix()
    ('C1/a.jpg', 'C1/a.jpg', 'C1/a.jpg')
    """
    parts = [part for part in file.replace(os.sep, "/").split("/") if part not in ("", ".", "..")]
    return Path(*(part for part in parts if not re.fullmatch(r"[A-Za-z]:", part)))

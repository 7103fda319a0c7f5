"""The folder of a run: never overwritten unasked, resumed only by the same run, finished in one move."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Any

from fscl.atomic import leftovers, replacing, sweep, write_text
from fscl.bundle import RECORD, WEIGHTS, Bundle
from fscl.config import Config, resolve
from fscl.errors import OutputError
from fscl.lock import LOCK, held
from fscl.manifest.identity import differences
from fscl.manifest.table import Manifest
from fscl.methods import read_toml

CHECKPOINT, METRICS, SETTINGS, PHOTOS = "checkpoint.pt", "metrics.jsonl", "config.toml", "photos.parquet"
SOURCE = "photos.json"  # what the run was given, and what of it was used
STORE = "store"  # decoded photos, until the run is finished
EVALUATION, FAULT = "evaluation.json", "error.txt"
FILES = (RECORD, WEIGHTS, METRICS, EVALUATION, CHECKPOINT, SETTINGS, PHOTOS, SOURCE, FAULT)
FOLDERS = ("best", "last", STORE)
OWN = {*FILES, *FOLDERS}  # what a run drops of an earlier one


class RunFolder:
    """The files of one run, see docs/schema.md.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / CHECKPOINT
        self.store = path / STORE
        self.metrics = path / METRICS
        self.best = path / "best"
        self.last = path / "last"

    @property
    def finished(self) -> bool:
        """Whether the run has ended and left its bundle."""
        return (self.path / RECORD).exists() and not self.checkpoint.exists()

    def held(self) -> AbstractContextManager[None]:
        """Keep other runs, and evaluations, out of the folder until the block ends.

        Raises:
            OutputError: another process is at work in it.
        """
        return held(self.path, by="another run")

    def check(self, config: Config, photos: Manifest, *, resume: bool, overwrite: bool) -> None:
        """Make sure that this run may have the folder, and touch nothing.

        Raises:
            OutputError: it holds something else, or, with `resume`, a run of other settings or photos.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path}: expected a folder for the run, found a file; choose another --out")
        content = self._content()
        if overwrite and content & OWN and SETTINGS not in content:  # the first that a run writes
            raise OutputError(
                f"{self.path}: holds no run, but {', '.join(sorted(content & OWN))}, which would be lost; choose "
                "another --out"
            )
        if overwrite or not content or (content == {PHOTOS} and not self._others(photos)):
            return
        if not (resume and SETTINGS in content):
            fix = "go on with it by --resume, or drop it by --overwrite" if SETTINGS in content else "--overwrite"
            raise OutputError(f"{self.path}: the folder is not empty; {fix}, or choose another --out")
        self._check_settings(config)
        if content != {SETTINGS}:  # else killed between the first two files
            self._check_photos(photos)

    def open(
        self,
        config: Config,
        photos: Manifest,
        *,
        resume: bool,
        overwrite: bool,
        source: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the folder this run's; what a killed process left half-written in it is removed. Call it while held.

        Args:
            config: of the run.
            photos: of the run.
            resume: go on with the run that is there.
            overwrite: drop what is there.
            source: what the photos were taken from, for `photos.json`.

        Raises:
            OutputError: as `check`, which is done again: meanwhile another process may have left its run.
        """
        self.check(config, photos, resume=resume, overwrite=overwrite)
        if overwrite or not (resume and SETTINGS in self._content()):
            self._drop()
            write_text(self.path / SETTINGS, config.toml())
        if not self._knows_root(photos):
            photos.write(self.path / PHOTOS)
        if source is not None and not (self.path / SOURCE).exists():
            write_text(self.path / SOURCE, json.dumps(source, indent=1, ensure_ascii=False) + "\n")
        for folder in (self.path, self.best, self.last):
            sweep(folder)

    def finish(self, last: Bundle) -> None:
        """Leave the bundle that the recipe keeps in the folder, the other one beside it; no checkpoint, no store."""
        rmtree(self.store, ignore_errors=True)
        if last.config.training.keep == "best" and (self.best / RECORD).exists():
            last.save(self.last)
            for name in (WEIGHTS, RECORD):  # the record last: a folder with a record has its weights
                with replacing(self.path / name) as copy:
                    copyfile(self.best / name, copy)
            self.checkpoint.unlink(missing_ok=True)
            rmtree(self.best)
        else:
            last.save(self.path)
            self.checkpoint.unlink(missing_ok=True)

    def _content(self) -> set[str]:
        """Return the names in the folder, without the lock and what a killed or failed process left there."""
        if not self.path.exists():
            return set()
        ignored = {path.name for path in leftovers(self.path)} | {FAULT, LOCK}
        return {path.name for path in self.path.iterdir()} - ignored

    def _check_settings(self, config: Config) -> None:
        settings = self.path / SETTINGS
        if resolve([(str(settings), read_toml(settings))]).sha256() != config.sha256():
            raise OutputError(f"{self.path}: holds a run of other settings; resume it with --config {settings}")

    def _check_photos(self, photos: Manifest) -> None:
        if not (self.path / PHOTOS).exists():
            raise OutputError(
                f"{self.path / PHOTOS}: is gone, so nothing tells whether these are the photos of the run; put it "
                "back, or start again with --overwrite"
            )
        other = self._others(photos)
        if other:
            raise OutputError(
                f"{self.path}: holds a run on other photos: {'; '.join(other)}; resume it with those, drop it by "
                "--overwrite, or choose another --out"
            )

    def _knows_root(self, photos: Manifest) -> bool:
        """Tell whether the photos are written down where they are now: they may have moved since."""
        written = self.path / PHOTOS
        return written.exists() and Manifest.read(written, anywhere=True).root == photos.root

    def _others(self, photos: Manifest) -> list[str]:
        """Say in what the photos differ from those that the folder holds."""
        return differences(Manifest.read(self.path / PHOTOS, anywhere=True), photos)

    def _drop(self) -> None:
        for name in FILES:
            (self.path / name).unlink(missing_ok=True)
        for name in FOLDERS:
            rmtree(self.path / name, ignore_errors=True)

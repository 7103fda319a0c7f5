"""The folder of a run: never overwritten unasked, resumed only by the same run, finished in one move."""

from pathlib import Path
from shutil import copyfile, rmtree

from fscl.atomic import write_text
from fscl.bundle import RECORD, WEIGHTS, Bundle
from fscl.config import Config, resolve
from fscl.errors import OutputError
from fscl.manifest.table import Manifest
from fscl.methods import read_toml

CHECKPOINT, METRICS, SETTINGS, PHOTOS = "checkpoint.pt", "metrics.jsonl", "config.toml", "photos.parquet"
EVALUATION = "evaluation.json"


class RunFolder:
    """The files of one run, see docs/schema.md.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / CHECKPOINT
        self.metrics = path / METRICS
        self.best = path / "best"

    @property
    def finished(self) -> bool:
        """Whether the run has ended and left its bundle."""
        return (self.path / RECORD).exists() and not self.checkpoint.exists()

    def open(self, config: Config, photos: Manifest, *, resume: bool, overwrite: bool) -> None:
        """Make the folder this run's.

        Raises:
            OutputError: it holds something else, or, with `resume`, a run of other settings or photos.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path}: expected a folder for the run, found a file; choose another --out")
        holds_run = (self.path / SETTINGS).exists()
        if holds_run and resume and not overwrite:
            self._check_same(config, photos)
            return
        if self.path.exists() and any(self.path.iterdir()):
            if not overwrite:
                fix = (
                    "go on with it by --resume, or drop it by --overwrite" if holds_run else "to use it, --overwrite"
                )
                raise OutputError(f"{self.path}: the folder is not empty; {fix}, or choose another --out")
            self._drop()
        photos.write(self.path / PHOTOS)
        write_text(self.path / SETTINGS, config.toml())

    def finish(self, last: Bundle) -> None:
        """Leave the bundle that the recipe keeps in the folder, the other one beside it, and no checkpoint."""
        if last.config.training.keep == "best" and self.best.exists():
            last.save(self.path / "last")
            for name in (WEIGHTS, RECORD):
                copyfile(self.best / name, self.path / name)
            self.checkpoint.unlink(missing_ok=True)
            rmtree(self.best)
        else:
            last.save(self.path)
            self.checkpoint.unlink(missing_ok=True)

    def _check_same(self, config: Config, photos: Manifest) -> None:
        settings = self.path / SETTINGS
        if resolve([(str(settings), read_toml(settings))]).sha256() != config.sha256():
            raise OutputError(f"{self.path}: holds a run of other settings; resume it with --config {settings}")
        columns = ["region_id", "label", "split"]
        before = Manifest.read(self.path / PHOTOS).rows[columns].reset_index(drop=True)
        if not before.equals(photos.rows[columns].reset_index(drop=True)):
            raise OutputError(
                f"{self.path}: holds a run on other photos; resume it with those, or choose another --out"
            )

    def _drop(self) -> None:
        for name in (RECORD, WEIGHTS, METRICS, EVALUATION, CHECKPOINT, SETTINGS, PHOTOS):
            (self.path / name).unlink(missing_ok=True)
        for name in ("best", "last"):
            rmtree(self.path / name, ignore_errors=True)

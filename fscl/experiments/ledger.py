"""The results of a comparison: one atomic file per cell, so that comparisons on several machines can share them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import uuid4

import pandas as pd

from fscl.atomic import replacing
from fscl.config import Config
from fscl.errors import OutputError
from fscl.lock import held, is_taken, taken
from fscl.manifest.identity import differences
from fscl.manifest.table import Manifest
from fscl.records import (
    Axes,
    CellKey,
    CellRecord,
    DamagedError,
    StudyHeader,
    read_cell,
    read_header,
    write_record,
)
from fscl.run_folder import STORE

STUDY, PHOTOS, DRAWN_PHOTOS = "study.json", "photos.parquet", "photos"
CELLS = "cells"
RESULTS = (CELLS, "scores", "runs")
LOCKS = ".locks"  # of the comparisons at work, of the cells that are computed, and of the photo store
OTHER_OUT = "wait for it, or choose another --out"
OPENING_SECONDS = 30.0  # that another comparison may take to open the study


class Ledger:
    """The study folder, see docs/schema.md.

    Args:
        folder: of the study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._anew = False

    @contextmanager
    def at_work(self, study: StudyHeader, photos: Manifest) -> Iterator[Path]:
        """Open the study, be known to be at work in it beside others, and yield the file that tells them.

        Raises:
            OutputError: the study is to be overwritten and another comparison is at work in it, or it is of other
                pairs, settings or photos.
        """
        own = self.folder / LOCKS / f"call-{uuid4().hex}.lock"
        with ExitStack() as stack:
            with self._held():
                others = [lock for lock in (self.folder / LOCKS).glob("*.lock") if is_taken(lock)]
                if others and self._anew:
                    raise OutputError(f"{self.folder}: another comparison is at work in this folder; {OTHER_OUT}")
                if not others:
                    rmtree(self.folder / LOCKS, ignore_errors=True)  # of killed ones
                self._open(study, photos)
                stack.callback(own.unlink, missing_ok=True)
                stack.enter_context(taken(own))
            yield own

    def lock(self, cell: CellKey) -> Path:
        """Return the file whose lock is held by the process that computes a cell."""
        return self.folder / LOCKS / f"{cell.name}.lock"

    @property
    def store_lock(self) -> Path:
        """The file whose lock is held by the comparison that has the photo store of the study."""
        return self.folder / LOCKS / f"{STORE}.lock"

    def _held(self) -> AbstractContextManager[None]:
        return held(self.folder, by="another comparison", fix=OTHER_OUT, wait_seconds=OPENING_SECONDS)

    def run_folder(self, cell: CellKey) -> Path:
        """Return the folder in which the cell trains."""
        return self.folder / "runs" / cell.name

    def read(self, cell: CellKey) -> CellRecord | None:
        """Return the cell's record; None where there is none, a damaged one, or one that is to be dropped.

        Raises:
            OutputError: it is of another version.
        """
        path = self._path(cell)
        if self._anew or not path.exists():
            return None
        try:
            return read_cell(path)
        except DamagedError:
            return None

    def finished(self, cell: CellKey, config: Config) -> bool:
        """Whether the cell needs no more work; one that failed, or does not say its settings, is run again.

        Raises:
            OutputError: it was finished with other classes or settings.
        """
        record = self.read(cell)
        if record is None or record.status == "failed":
            return False
        ran_with = record.provenance.config_sha256 if record.status == "done" else config.sha256()
        if ran_with is None:
            return False
        if record.cell != cell or ran_with != config.sha256():
            raise OutputError(
                f"{self._path(cell)}: this cell was run with other classes or settings; "
                "repeat those, choose another --out, or drop the study with --overwrite"
            )
        return True

    def write(self, record: CellRecord) -> None:
        """Write the file of a cell."""
        write_record(self._path(record.cell), record)

    def write_scores(self, cell: CellKey, scores: pd.DataFrame) -> None:
        """Write the logits of the cell's test photos."""
        with replacing(self.folder / "scores" / f"{cell.name}.parquet") as path:
            scores.to_parquet(path, index=False)

    def before(self) -> StudyHeader | None:
        """Return the `study.json` that is there; None where there is none, or where it is overwritten.

        Raises:
            OutputError: it is damaged.
        """
        path = self.folder / STUDY
        if self._anew or not path.exists():
            return None
        try:
            return read_header(path)
        except DamagedError as error:
            raise OutputError(f"{error}, or drop the study with --overwrite") from None

    def claim(self, *, overwrite: bool) -> None:
        """Make sure that the folder is free for a study, or holds one; with `overwrite`, `at_work` drops its results.

        Raises:
            OutputError: the folder holds other files: those are never dropped.
        """
        if (self.folder / STUDY).exists():
            self._anew = overwrite
            return
        foreign = sorted(file.name for file in self.folder.glob("[!.]*") if file.name != DRAWN_PHOTOS)
        if foreign:
            raise OutputError(
                f"{self.folder}: holds no study but other files, such as {foreign[0]}; choose another --out"
            )

    def check(self, study: StudyHeader, photos: Manifest) -> None:
        """Make sure that what is asked for fits the study that is there: its axes may grow, its settings may not.

        Raises:
            OutputError: the folder holds a study of other pairs, settings or photos.
        """
        before = self.before()
        if before is None:
            return
        was, now = _comparable(before), _comparable(study)
        fix = "use the same, another --out, or --overwrite"
        differing = [name for name in was if name in now and was[name] != now[name]]
        if differing:
            shown = "; ".join(f"{name} was {was[name]}, is {now[name]}" for name in differing[:3])
            raise OutputError(f"{self.folder}: holds a study of other settings ({shown}); {fix}")
        if not (self.folder / PHOTOS).exists():
            if any((self.folder / name).exists() for name in RESULTS):
                raise OutputError(
                    f"{self.folder / PHOTOS}: is gone, so nothing tells whether these are the photos of the study; "
                    "put it back, or drop the study with --overwrite"
                )
            return
        other = differences(_used(Manifest.read(self.folder / PHOTOS, anywhere=True)), _used(photos))
        if other:
            raise OutputError(f"{self.folder}: holds a study of other photos: {'; '.join(other)}; {fix}")

    def _open(self, study: StudyHeader, photos: Manifest) -> None:
        """Note what is asked for, beside what was asked for before; drop what is overwritten."""
        self.check(study, photos)
        before = self.before()
        if self._anew:
            for name in RESULTS:
                rmtree(self.folder / name, ignore_errors=True)
        axes = study.axes if before is None else _joined(before.axes, study.axes)
        write_record(self.folder / STUDY, replace(study, axes=axes))
        photos.write(self.folder / PHOTOS)
        self._anew = False

    def _path(self, cell: CellKey) -> Path:
        return self.folder / CELLS / f"{cell.name}.json"


def _used(photos: Manifest) -> Manifest:
    return Manifest(photos.rows[photos.rows["split"].notna()], photos.root)


def _comparable(study: StudyHeader) -> dict[str, Any]:
    return {**study.settings, **{f"pair {name}": classes for name, classes in study.axes.pairs.items()}}


def _joined(before: Axes, now: Axes) -> Axes:
    return Axes(
        pairs={**before.pairs, **now.pairs},
        methods=list(dict.fromkeys([*before.methods, *now.methods])),
        ratios=list(dict.fromkeys([*before.ratios, *now.ratios])),
        seeds=list(dict.fromkeys([*before.seeds, *now.seeds])),
    )

"""The results of a comparison: one atomic file per cell, so that processes need not wait for each other."""

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

import pandas as pd

from fscl.atomic import replacing
from fscl.config import Config
from fscl.errors import OutputError
from fscl.lock import held
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

STUDY, PHOTOS, DRAWN_PHOTOS = "study.json", "photos.parquet", "photos"
RESULTS = ("cells", "scores", "runs")


class Ledger:
    """The study folder, see docs/schema.md.

    Args:
        folder: of the study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._anew = False

    def held(self) -> AbstractContextManager[None]:
        """Keep other processes from running cells of this study.

        Raises:
            OutputError: another one does.
        """
        return held(self.folder, by="another comparison")

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
        """Make sure that the folder is free for a study, or holds one; with `overwrite`, `open` drops what it found.

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

    def open(self, study: StudyHeader, photos: Manifest) -> None:
        """Note what is asked for, beside what was asked for before; drop what is overwritten. Call it while held.

        Raises:
            OutputError: meanwhile another process has left a study of other pairs, settings or photos.
        """
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
        return self.folder / "cells" / f"{cell.name}.json"


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

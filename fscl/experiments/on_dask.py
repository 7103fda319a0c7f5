"""Cells run by workers of Dask: in the study folder where they see it, else each for itself, and then sent home."""

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, suppress
from pathlib import Path
from shutil import rmtree
from typing import NamedTuple

import pandas as pd

from fscl.atomic import write_bytes
from fscl.cluster import Cluster, WorkersDiedError
from fscl.dask_worker import Origin, as_task, cannot_see, check_seen, sizes_of
from fscl.errors import FsclError, OutputError
from fscl.experiments.cell import BUSY, DONE, FAILED, Task, run_cell
from fscl.experiments.ledger import CELLS, Ledger
from fscl.experiments.photos import store_key, store_photos
from fscl.experiments.pool import Heard, Reporter
from fscl.loading.feature_files import cache_folder
from fscl.loading.features import FeatureStore
from fscl.loading.store import PhotoStore
from fscl.lock import is_taken, taken
from fscl.manifest.table import Manifest
from fscl.records import VERSION, CellKey, CellRecord
from fscl.run_folder import STORE, RunFolder
from fscl.training.subset import subset

STOPPED = "stopped"


class Sent(NamedTuple):
    """What a worker returns: how the cell ended, and its files where the worker does not see the study folder."""

    ended: str
    files: dict[str, bytes]


class StudyOfWorker(NamedTuple):
    """What a worker is told of the study.

    Attributes:
        folder: of the study, absolute.
        seen: a file in it, which tells a worker that it sees this folder and no other of its name; None where some
            worker does not.
        away: the name of the folder for a cell on a machine that does not see the study, and of its photos.
        manifest: its photos, those that can be used.
        sizes: the bytes of each photo that the program sees.
        origin: the program.
    """

    folder: Path
    seen: Path | None
    away: str
    manifest: Manifest
    sizes: Mapping[Path, int]
    origin: Origin


class DaskWorkers:
    """Workers of Dask that run the cells of a study.

    Args:
        cluster: of the workers.
        manifest: the photos of the study, those that can be used.
        ledger: of the study.
        own: the file that tells others that this program is at work in the study.
    """

    def __init__(self, cluster: Cluster, manifest: Manifest, ledger: Ledger, own: Path) -> None:
        self.at_once = cluster.at_once
        self.see_study = all(answer is True for answer in cluster.ask(_sees, own.absolute()))
        self._cluster, self._ledger = cluster, ledger
        folder, origin = ledger.folder.absolute(), cluster.origin
        rows = pd.util.hash_pandas_object(manifest.rows, index=False).to_numpy().tobytes()
        digest = hashlib.sha256(f"{origin.host} {folder} {manifest.root}".encode() + rows).hexdigest()[:32]
        sizes = sizes_of(map(manifest.photo, manifest.rows["path"]))
        seen = own.absolute() if self.see_study else None
        self._study = cluster.kept(StudyOfWorker(folder, seen, digest, manifest, sizes, origin))
        self._held: dict[CellKey, ExitStack] = {}

    def submit(self, task: Task) -> "Future[Sent] | None":
        """Let one of them run a cell; None where another comparison is at work on it.

        Where workers do not see the study folder, this program holds the lock of the cell.
        """
        lock = self._ledger.lock(task.cell)
        if self.see_study:
            if is_taken(lock):
                return None
        else:
            held = ExitStack()
            if not held.enter_context(taken(lock)):
                held.close()
                return None
            self._held[task.cell] = held
            if self._ledger.finished(task.cell, task.config):  # meanwhile, by another comparison
                finished: Future[Sent] = Future()
                finished.set_result(Sent(DONE, {}))
                return finished
        return self._cluster.executor.submit(_run, task._replace(store=None), _place(task.store), self._study)

    def outcome(self, task: Task, future: "Future[Sent]") -> str:
        """Return how a cell ended, once its files are in the study folder.

        Raises:
            FsclError: a worker does not see what it needs, or is of another version.
            OutputError: the scheduler is gone.
        """
        with self._held.pop(task.cell, ExitStack()):
            try:
                sent = self._cluster.result(future)
            except WorkersDiedError as error:
                method, reason = task.config.method, str(error)
                self._ledger.write(
                    CellRecord(version=VERSION, cell=task.cell, method=method, status="failed", reason=reason)
                )
                return FAILED
            self._bring_home(task.cell, sent)
            return sent.ended

    def heard(self) -> "Iterator[Heard | str]":
        """Yield what they have told since the last call."""
        while not self._cluster.told.empty():
            said = self._cluster.told.get()
            yield said if isinstance(said, str) else Heard(*said)

    def stop(self) -> None:
        """Wait until the cells that ran have written their checkpoints: they were cancelled. Let go of all locks."""
        try:
            self._cluster.wait_until_idle()
        finally:
            while self._held:
                self._held.popitem()[1].close()

    def _bring_home(self, cell: CellKey, sent: Sent) -> None:
        for name, content in sent.files.items():
            write_bytes(self._ledger.folder / name, content)
        photos = RunFolder(self._ledger.run_folder(cell)).photos
        if photos.relative_to(self._ledger.folder).as_posix() in sent.files:
            Manifest.read(photos, anywhere=True).write(photos)  # it says where the photos are, seen from there


def _place(store: PhotoStore | FeatureStore | None) -> Path | None:
    """Return where a store is; whether a worker sees it, it says itself."""
    if store is None:
        return None
    return (store.index if isinstance(store, FeatureStore) else store.folder).absolute()


def _sees(file: Path) -> bool:
    return file.exists()


def _run(task: Task, store: Path | None, study: StudyOfWorker) -> Sent:
    """Run a cell in a worker."""
    with suppress(KeyboardInterrupt, CancelledError), as_task(study.origin) as teller:
        if study.seen is not None and not _sees(study.seen):
            raise OutputError(cannot_see(f"the study folder {study.folder}", study.origin) + ", or on none")
        check_seen(_sizes_of_cell(task, study), study.origin)
        reporter = Reporter(task.cell, teller.tell, teller.is_over)
        task = task._replace(store=_store(task, store, study.manifest, reporter))
        if study.seen is not None:
            return Sent(run_cell(task, study.manifest, study.folder, reporter), {})
        away = f"{task.cell.name}-{task.config.sha256()[:16]}"
        folder = cache_folder().parent / "cells" / study.away / away
        return _run_away(task, study.manifest, folder, reporter)
    return Sent(STOPPED, {})


def _sizes_of_cell(task: Task, study: StudyOfWorker) -> dict[Path, int]:
    """Return the bytes of the photos that a cell takes; none where it cannot be run, which becomes its row."""
    try:
        rows = subset(study.manifest, task.config).manifest.rows
    except FsclError:
        return {}
    photos = map(study.manifest.photo, rows["path"].unique())
    return {photo: study.sizes[photo] for photo in photos if photo in study.sizes}


def _store(
    task: Task, place: Path | None, manifest: Manifest, reporter: Reporter
) -> PhotoStore | FeatureStore | None:
    """Return the store that is at a place; where this worker does not see it, features of its own."""
    frozen = task.config.frozen
    with suppress(OutputError):
        if place is not None:
            return FeatureStore(place) if frozen else PhotoStore(place)
    key = store_key(task)
    return store_photos([task], manifest, None, reporter)[key] if frozen and key is not None else None


def _run_away(task: Task, manifest: Manifest, folder: Path, reporter: Reporter) -> Sent:
    """Run a cell where the study folder is not seen: a checkpoint stays here until the cell is finished."""
    ended = run_cell(task, manifest, folder, reporter)
    if ended == BUSY:  # the folder is another process's
        return Sent(ended, {})
    files = {}
    for path in sorted(folder.rglob("*"), key=lambda path: (path.parent.name == CELLS, path)):
        parts = path.relative_to(folder).parts
        if path.is_file() and STORE not in parts and not any(part.startswith(".") for part in parts):
            files["/".join(parts)] = path.read_bytes()
    rmtree(folder, ignore_errors=True)
    return Sent(ended, files)  # the record last: a cell that has one is finished

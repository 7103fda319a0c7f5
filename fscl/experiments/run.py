"""Runs the missing cells of a comparison, several at once where cores allow."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Literal

import torch

from fscl.cluster import workers_of
from fscl.config import Config
from fscl.errors import ConfigurationError, did_you_mean
from fscl.experiments.cell import BUSY, Task, run_cell
from fscl.experiments.disk import disk_note
from fscl.experiments.grid import ClassSet, is_undefined, minority_photos
from fscl.experiments.ledger import Ledger
from fscl.experiments.on_dask import DaskWorkers
from fscl.experiments.photos import check_photos, store_key, store_photos
from fscl.experiments.pool import REPORT_SECONDS, run_at_once, run_cells
from fscl.experiments.study_plan import check_thinning, shared_split, study_plan
from fscl.lock import is_taken, taken
from fscl.manifest.imbalance import MIN_MINORITY_PHOTOS
from fscl.manifest.table import Manifest, unit_of
from fscl.printable import number_of
from fscl.progress import Listener, NotesOnce, Silent, TerminalProgress
from fscl.records import VERSION, CellRecord, read_cell
from fscl.run_folder import STORE
from fscl.runtime import default_jobs, threads_per_cell
from fscl.training.start import check_start
from fscl.training.subset import rarest, source_record, split_photos, tie


def compare(
    manifest: Manifest,
    configs: Mapping[str, Config],
    out: Path,
    *,
    pairs: Sequence[ClassSet],
    ratios: Sequence[float] | None,
    seeds: Sequence[int],
    imbalances: Sequence[float] = (),
    title: str | None = None,
    photos: Literal["real", "generated"] = "real",
    command: str = "",
    jobs: int | None = None,
    overwrite: bool = False,
    keep_weights: bool = True,
    quiet: bool = False,
    scheduler: str | None = None,
) -> Path:
    """Train and evaluate every cell that is not finished yet; return the study folder.

    Every method sees the same photos of a seed and ratio, or imbalance. A cell that fails becomes a row with its
    reason and is tried again by the next call; an interrupted one goes on where it was. Several calls share the cells
    of a study between them, on machines that see its folder.

    Args:
        manifest: the photos; split here, once, where they are not.
        configs: method → configuration; the cells set seed, minority and thinning of it.
        out: the study folder.
        pairs: what to tell apart; a missing `base` is chosen so that every ratio or imbalance can be reached.
        ratios: majority : minority = 1 : ratio; None leaves the photos as they are, or to the imbalances.
        seeds: of subset, initial weights and order.
        imbalances: largest class : smallest class of a long tail in the order of each pair's classes, in place of
            ratios; a cell for each. Its rare classes are the few-shot ones, or else the rarer half, whatever the
            minority of a pair says.
        title: of the report; the name of the folder by default.
        photos: "real" or "generated".
        command: how the study was started, for the record.
        jobs: cells at once; by default one per core of a CPU, at most 4, or one on an accelerator.
        overwrite: drop what the folder holds.
        keep_weights: of finished cells, to evaluate or to start from; their figures and scores stay in any case.
        quiet: show no progress.
        scheduler: of Dask, whose workers run the cells: an address, a scheduler file, or `local`.

    Raises:
        FsclError: photos or settings that no cell can be run with; an `out` that holds something else; a scheduler
            that is not there.
        KeyboardInterrupt: finished cells stay, unfinished ones have a checkpoint.
    """
    check_thinning(ratios, imbalances)
    split = shared_split(configs)
    ledger = Ledger(out)
    ledger.claim(overwrite=overwrite)
    divided = split_photos(manifest, split)
    source = source_record(manifest, divided, split)
    _say(source["notes"], quiet=quiet)
    plan = study_plan(divided, configs, pairs, ratios, seeds, imbalances, ledger.before())
    study = plan.header(title=title or out.resolve().name, photos=photos, command=command, source=source)
    ledger.check(study, divided)
    usable = Manifest(divided.usable.reset_index(drop=True), divided.root)
    missing = _missing(plan.tasks, ledger)
    for name in {task.cell.method for task in missing}:
        check_start(configs[name].model)
    check_photos(missing, usable)
    tasks = [task._replace(keep_weights=keep_weights) for task in plan.tasks]
    wanted = scheduler if any(not is_undefined(task.cell) for task in missing) else None
    with (
        workers_of(wanted, jobs=jobs, say=lambda note: _say([note], quiet=quiet)) as cluster,
        ledger.at_work(study, divided) as own,
    ):
        runnable = _runnable(tasks, usable, ledger, quiet=quiet)
        crew = None if cluster is None else DaskWorkers(cluster, usable, ledger, own)
        apart = crew is not None and not crew.see_study
        with nullcontext(runnable) if apart else _with_stores(runnable, tasks, usable, ledger, quiet=quiet) as work:
            if crew is not None:
                run_cells(work, crew, title=f"{number_of(len(work), 'cell')} on Dask", quiet=quiet)
            elif (at_once := min(jobs or default_jobs(), max(len(work), 1))) == 1:
                _run_in_turn(work, usable, ledger, quiet=quiet)
            else:
                run_at_once(work, usable, out, jobs=at_once, quiet=quiet)
    return out


def _runnable(work: Sequence[Task], manifest: Manifest, ledger: Ledger, *, quiet: bool) -> list[Task]:
    """Return the cells that are not finished; write down those that cannot be run."""
    runnable = []
    for task in _missing(work, ledger):
        if is_undefined(task.cell):
            left = f"{minority_photos(task.cell)} minority training {unit_of(manifest.rows)}"
            ledger.write(
                CellRecord(
                    version=VERSION,
                    cell=task.cell,
                    method=task.config.method,
                    status="undefined",
                    reason=f"leaves {left}, needs {MIN_MINORITY_PHOTOS}",
                )
            )
        else:
            runnable.append(task)
    _say(filter(None, [disk_note(runnable, ledger.folder)]), quiet=quiet)
    return runnable


@contextmanager
def _with_stores(
    runnable: list[Task], work: Sequence[Task], manifest: Manifest, ledger: Ledger, *, quiet: bool
) -> Iterator[list[Task]]:
    """Yield the cells with their store of photos or features, made for all cells of the study."""
    out = ledger.folder
    with taken(ledger.store_lock) as ours:
        if len(runnable) > 1 or (runnable and ((out / STORE).exists() or runnable[0].config.frozen)):
            with _listener("photos of all cells", quiet=quiet) as listener:
                stores = store_photos(work, manifest, out / STORE if ours else None, listener)
            keys = [store_key(task) for task in runnable]
            runnable = [
                task._replace(store=None if key is None else stores.get(key))
                for task, key in zip(runnable, keys, strict=True)
            ]
        yield runnable
        if ours:
            rmtree(out / STORE, ignore_errors=True)


def _missing(work: Sequence[Task], ledger: Ledger) -> list[Task]:
    return [task for task in work if not ledger.finished(task.cell, task.config)]


def failures(study: Path) -> dict[str, str]:
    """Return the reasons of the failed cells of a study folder, by cell."""
    cells = {path.stem: read_cell(path) for path in sorted((study / "cells").glob("[!.]*.json"))}
    return {name: cell.reason or "no reason given" for name, cell in cells.items() if cell.status == "failed"}


def pairs_of(
    manifest: Manifest,
    *,
    fine: str | None,
    coarse: str | None,
    minority: Sequence[str],
    base: int | None,
    imbalances: Sequence[float] = (),
) -> list[ClassSet]:
    """Return what to tell apart: the pairs given as MAJORITY:MINORITY, else all classes with their minority.

    Raises:
        ConfigurationError: pairs and a minority or an imbalance at once, a class that is not there, all classes rare,
            or no minority where several classes have the fewest photos.
    """
    known = sorted(manifest.usable["label"].unique())
    pairs = [ClassSet.parse("fine", fine)] if fine is not None else []
    pairs += [ClassSet.parse("coarse", coarse)] if coarse is not None else []
    minority = tuple(dict.fromkeys(minority))
    if pairs and minority:
        raise ConfigurationError("--minority is for all classes at once: leave it out with --fine and --coarse")
    if imbalances and (pairs or minority):
        raise ConfigurationError(
            "--imbalance is for all classes at once and says which are rare: leave out --fine, --coarse, --minority"
        )
    if not pairs:
        counts = Counter(manifest.usable["label"])
        if len(counts) > 1 and not (minority or imbalances or rarest(counts)):
            raise ConfigurationError(f"a comparison needs rare classes, and {tie(counts)}; name some with --minority")
        pairs = [ClassSet("all", tuple(known), minority or rarest(counts))]
    for name in {name for pair in pairs for name in (*pair.classes, *pair.minority)}:
        if name not in known:
            raise ConfigurationError(f"no usable photo of class '{name}'{did_you_mean(name, known)}")
    if any(set(pair.classes) == set(pair.minority) for pair in pairs):
        raise ConfigurationError(f"a comparison needs rare and common classes, got {', '.join(known)}, all rare")
    return [replace(pair, base=base) for pair in pairs]


def _run_in_turn(work: Sequence[Task], manifest: Manifest, ledger: Ledger, *, quiet: bool) -> None:
    threads, noted, waiting = torch.get_num_threads(), set[str](), deque(enumerate(work, start=1))
    torch.set_num_threads(threads_per_cell(jobs=1))
    try:
        while waiting:
            number, task = waiting.popleft()
            ended = BUSY
            if not is_taken(ledger.lock(task.cell)):
                with _listener(f"[{number}/{len(work)}] {task.cell.name}", quiet=quiet) as listener:
                    ended = run_cell(task, manifest, ledger.folder, NotesOnce(listener, noted))
            if ended == BUSY:
                waiting.append((number, task))
                time.sleep(REPORT_SECONDS)
    finally:
        torch.set_num_threads(threads)


def _say(notes: Iterable[str], *, quiet: bool) -> None:
    with _listener("photos", quiet=quiet) as listener:
        for note in notes:
            listener.note(note)


def _listener(title: str, *, quiet: bool) -> AbstractContextManager[Listener]:
    return nullcontext(Silent()) if quiet else TerminalProgress(title)

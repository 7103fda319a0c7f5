"""Runs the missing cells of a comparison, several at once where cores allow."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Literal

import torch

from fscl.config import Config
from fscl.errors import ConfigurationError, did_you_mean
from fscl.experiments.cell import Task, run_cell
from fscl.experiments.disk import disk_note
from fscl.experiments.grid import ClassSet, is_undefined, minority_photos
from fscl.experiments.ledger import Ledger
from fscl.experiments.photos import check_photos, store_key, store_photos
from fscl.experiments.pool import default_jobs, run_at_once, threads_per_cell
from fscl.experiments.study_plan import check_thinning, shared_split, study_plan
from fscl.manifest.imbalance import MIN_MINORITY_PHOTOS
from fscl.manifest.table import Manifest, unit_of
from fscl.progress import Listener, NotesOnce, Silent, TerminalProgress
from fscl.records import VERSION, CellRecord, read_cell
from fscl.run_folder import STORE
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
) -> Path:
    """Train and evaluate every cell that is not finished yet; return the study folder.

    Every method sees the same photos of a seed and ratio, or imbalance. A cell that fails becomes a row with its
    reason and is tried again by the next call; an interrupted one goes on where it was.

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

    Raises:
        FsclError: photos or settings that no cell can be run with; an `out` that holds something else.
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
    with ledger.held():
        ledger.open(study, divided)
        tasks = [task._replace(keep_weights=keep_weights) for task in plan.tasks]
        _run_missing(tasks, usable, ledger, jobs=jobs, quiet=quiet)
    return out


def _run_missing(work: Sequence[Task], manifest: Manifest, ledger: Ledger, *, jobs: int | None, quiet: bool) -> None:
    """Run the cells that are not finished, over one store; write down those that cannot be run."""
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
    out = ledger.folder
    _say(filter(None, [disk_note(runnable, out)]), quiet=quiet)
    if len(runnable) > 1 or (runnable and ((out / STORE).exists() or runnable[0].config.frozen)):
        with _listener("photos of all cells", quiet=quiet) as listener:
            stores = store_photos(work, manifest, out, listener)
        keys = [store_key(task) for task in runnable]
        runnable = [
            task._replace(store=None if key is None else stores.get(key))
            for task, key in zip(runnable, keys, strict=True)
        ]
    jobs = min(jobs or default_jobs(), max(len(runnable), 1))
    if jobs == 1:
        _run_in_turn(runnable, manifest, out, quiet=quiet)
    else:
        run_at_once(runnable, manifest, out, jobs=jobs, quiet=quiet)
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


def _run_in_turn(work: Sequence[Task], manifest: Manifest, out: Path, *, quiet: bool) -> None:
    threads, noted = torch.get_num_threads(), set[str]()
    torch.set_num_threads(threads_per_cell(jobs=1))
    try:
        for number, task in enumerate(work, start=1):
            title = f"[{number}/{len(work)}] {task.cell.name}"
            with _listener(title, quiet=quiet) as listener:
                run_cell(task, manifest, out, NotesOnce(listener, noted))
    finally:
        torch.set_num_threads(threads)


def _say(notes: Iterable[str], *, quiet: bool) -> None:
    with _listener("photos", quiet=quiet) as listener:
        for note in notes:
            listener.note(note)


def _listener(title: str, *, quiet: bool) -> AbstractContextManager[Listener]:
    return nullcontext(Silent()) if quiet else TerminalProgress(title)

"""Runs the missing cells of a comparison, several at once where cores allow."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from statistics import fmean
from typing import Any, Literal

import torch

from fscl.config import BOOKKEEPING, Config, Split, resolve
from fscl.errors import ConfigurationError, PhotosError, did_you_mean
from fscl.experiments.cell import Task, run_cell
from fscl.experiments.grid import (
    LONG_TAIL,
    ClassSet,
    cells,
    is_undefined,
    long_tail_cells,
    minority_photos,
)
from fscl.experiments.ledger import Ledger, commit
from fscl.experiments.photos import check_photos, may_store, store_photos
from fscl.experiments.pool import default_jobs, run_at_once, threads_per_cell
from fscl.manifest.imbalance import MIN_MINORITY_PHOTOS, default_base, profile_base, profile_sizes
from fscl.manifest.table import Manifest, unit_of
from fscl.progress import Listener, NotesOnce, Silent, TerminalProgress
from fscl.records import VERSION, Axes, CellKey, CellRecord, StudyHeader, read_cell
from fscl.run_folder import STORE
from fscl.runtime import machine
from fscl.training.subset import rarest, source_record, split_photos, tail, tie


def compare(
    manifest: Manifest,
    configs: Mapping[str, Config],
    out: Path,
    *,
    pairs: Sequence[ClassSet],
    ratios: Sequence[float] | None,
    seeds: Sequence[int],
    imbalances: Sequence[float] = (),
    title: str = "Comparison",
    photos: Literal["real", "generated"] = "real",
    command: str = "",
    jobs: int | None = None,
    overwrite: bool = False,
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
        title: of the report.
        photos: "real" or "generated".
        command: how the study was started, for the record.
        jobs: cells at once; by default one per core of a CPU, at most 4, or one on an accelerator.
        overwrite: drop what the folder holds.
        quiet: show no progress.

    Raises:
        FsclError: photos or settings that no cell can be run with; an `out` that holds something else.
        KeyboardInterrupt: finished cells stay, unfinished ones have a checkpoint.
    """
    if ratios is not None and imbalances:
        raise ConfigurationError("--ratios and --imbalance both say how photos are thinned: give one of them")
    profile = LONG_TAIL if imbalances else None
    split = _shared_split(configs)
    ledger = Ledger(out)
    ledger.claim(overwrite=overwrite)
    divided = split_photos(manifest, split)
    source = source_record(manifest, divided, split)
    with _listener("photos", quiet=quiet) as listener:
        for note in source["notes"]:
            listener.note(note)
    pairs = [_with_base(pair, divided, ratios, imbalances, ledger.before()) for pair in pairs]
    if profile is None:
        ratios_by_pair = {pair.name: ratios or [_present_ratio(pair, divided)] for pair in pairs}
        grid = cells(pairs, list(configs), ratios_by_pair, seeds)
    else:
        tails = {pair.name: _tails(pair, imbalances) for pair in pairs}
        grid = long_tail_cells(pairs, list(configs), profile, tails, seeds)
    work = [Task(cell, _cell_config(configs[cell.method], cell)) for cell in grid]
    study = StudyHeader(
        version=VERSION,
        title=title,
        photos=photos,
        settings=_shared_settings(configs, pairs, profile),
        axes=Axes(
            pairs={pair.name: list(pair.classes) for pair in pairs},
            methods=list(configs),
            ratios=sorted({cell.ratio for cell in grid}, reverse=True),
            seeds=list(dict.fromkeys(seeds)),
        ),
        commit=commit(),
        machine=machine(),
        command=command,
        **source,
    )
    ledger.check(study, divided)
    usable = Manifest(divided.usable.reset_index(drop=True), divided.root)
    check_photos(_missing(work, ledger), usable)
    with ledger.held():
        ledger.open(study, divided)
        _run_missing(work, usable, ledger, jobs=jobs, quiet=quiet)
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
    if len(runnable) > 1 or (runnable and (out / STORE).exists()):
        with _listener("photos of all cells", quiet=quiet) as listener:
            stores = store_photos(work, manifest, out, listener)
        runnable = [
            task._replace(store=stores.get(task.config.preprocessing)) if may_store(task) else task
            for task in runnable
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


def _shared_split(configs: Mapping[str, Config]) -> Split:
    """Return how all methods split the photos: they are split once, and compared on the same test photos."""
    (first, config), *others = configs.items()
    for name, other in others:
        if other.split != config.split:
            raise ConfigurationError(
                f"methods are compared on the same photos: expected one `split`, got {config.split} of {first} "
                f"and {other.split} of {name}; leave that section out of the recipes"
            )
    return config.split


def _with_base(
    pair: ClassSet,
    manifest: Manifest,
    ratios: Sequence[float] | None,
    imbalances: Sequence[float],
    before: StudyHeader | None,
) -> ClassSet:
    """Return the pair with its base: as given, as in the study that is there, or such that all can be reached."""
    if pair.base is not None or (ratios is None and not imbalances):
        return pair
    counts = _train_counts(pair, manifest)
    known = before.settings.get(f"base.{pair.name}") if before else None
    if ratios is not None:
        return replace(pair, base=known or default_base(counts, pair.minority, ratios))
    return replace(pair, base=known or profile_base(counts, pair.classes, imbalances))


def _tails(pair: ClassSet, imbalances: Sequence[float]) -> dict[float, tuple[str, ...]]:
    """Return the rare classes at each imbalance."""
    assert pair.base is not None, "a long tail has a base"
    return {imbalance: tail(profile_sizes(pair.classes, imbalance, pair.base)) for imbalance in imbalances}


def _present_ratio(pair: ClassSet, manifest: Manifest) -> float:
    """Return the ratio of the photos as they are, classes on each side averaged, to three digits."""
    counts = _train_counts(pair, manifest)
    untrained = [name for name, regions in counts.items() if not regions]
    if untrained:
        raise PhotosError(f"no training photo of {', '.join(untrained)}; check the split column of the source")
    rare = fmean(counts[name] for name in pair.minority)
    common = fmean(counts[name] for name in pair.classes if name not in pair.minority)
    return float(f"{rare / common:.3g}")


def _train_counts(pair: ClassSet, manifest: Manifest) -> dict[str, int]:
    rows = manifest.usable
    counts = rows.loc[rows["split"] == "train", "label"].value_counts()
    return {name: int(counts.get(name, 0)) for name in pair.classes}


def _cell_config(config: Config, cell: CellKey) -> Config:
    as_ratio = cell.base is not None and cell.profile is None
    imbalance = {
        "minority": list(cell.minority),
        "ratio": cell.ratio if as_ratio else None,
        "imbalance": cell.imbalance,
        "base": cell.base,
    }
    return resolve(
        [
            (cell.name, config.record()),
            (cell.name, {"seed": cell.seed, "classes": list(cell.classes), "imbalance": imbalance}),
        ]
    )


def _shared_settings(configs: Mapping[str, Config], pairs: Sequence[ClassSet], profile: str | None) -> dict[str, Any]:
    """Return what all cells share, flat, as `section.key`; what a recipe sets for itself is left out."""
    records = [config.model_dump(mode="json") for config in configs.values()]
    shared: dict[str, Any] = {f"base.{pair.name}": pair.base for pair in pairs}
    shared["imbalance.profile"] = profile
    shared["imbalance.thin_validation"] = records[0]["imbalance"]["thin_validation"]
    for section in ("model", "preprocessing", "augmentation", "split", "training"):
        for key, value in records[0][section].items():
            alike = all(record[section][key] == value for record in records)
            if alike and key not in {*BOOKKEEPING, "keep"}:
                shared[f"{section}.{key}"] = value
    return shared


def _run_in_turn(work: Sequence[Task], manifest: Manifest, out: Path, *, quiet: bool) -> None:
    threads, noted = torch.get_num_threads(), set[str]()
    torch.set_num_threads(threads_per_cell())
    try:
        for number, task in enumerate(work, start=1):
            title = f"[{number}/{len(work)}] {task.cell.name}"
            with _listener(title, quiet=quiet) as listener:
                run_cell(task, manifest, out, NotesOnce(listener, noted))
    finally:
        torch.set_num_threads(threads)


def _listener(title: str, *, quiet: bool) -> AbstractContextManager[Listener]:
    return nullcontext(Silent()) if quiet else TerminalProgress(title)

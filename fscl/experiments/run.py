"""Runs the missing cells of a comparison, several at once where cores allow."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from fscl.config import BOOKKEEPING, Config, resolve
from fscl.errors import ConfigurationError, did_you_mean
from fscl.experiments.cell import run_cell
from fscl.experiments.grid import Cell, Pair, cells
from fscl.experiments.ledger import Ledger, commit
from fscl.experiments.pool import run_at_once
from fscl.manifest.imbalance import MIN_MINORITY_PHOTOS, default_base
from fscl.manifest.table import Manifest
from fscl.training.progress import Silent, TerminalProgress
from fscl.training.runtime import machine
from fscl.training.subset import split_photos, subset

MAX_JOBS = 4  # a run takes about a gigabyte of memory


def compare(
    manifest: Manifest,
    configs: Mapping[str, Config],
    out: Path,
    *,
    pairs: Sequence[Pair],
    ratios: Sequence[float] | None,
    seeds: Sequence[int],
    title: str = "Comparison",
    photos: str = "real",
    command: str = "",
    jobs: int | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Train and evaluate every cell that is not finished yet; return the study folder.

    Every method sees the same photos of a seed and ratio. A cell that fails becomes a row with its reason and
    is tried again by the next call; an interrupted one goes on where it was.

    Args:
        manifest: the photos; split here, once, where they are not.
        configs: method → configuration; the cells set seed, minority, ratio and base of it.
        out: the study folder.
        pairs: what to tell apart; a missing `base` is chosen so that every ratio can be reached.
        ratios: majority : minority = 1 : ratio; None leaves the photos as they are.
        seeds: of subset, initial weights and order.
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
    ledger = Ledger(out)
    ledger.claim(overwrite=overwrite)
    divided = split_photos(manifest, next(iter(configs.values())).split)
    pairs = [_with_base(pair, divided, ratios, ledger.before()) for pair in pairs]
    ratios_by_pair = {pair.name: ratios or [_present_ratio(pair, divided)] for pair in pairs}
    study = {
        "version": 1,
        "title": title,
        "photos": photos,
        "settings": _shared_settings(configs, pairs),
        "axes": {
            "pairs": {pair.name: list(pair.classes) for pair in pairs},
            "methods": list(configs),
            "ratios": sorted({r for own in ratios_by_pair.values() for r in own}, reverse=True),
            "seeds": list(dict.fromkeys(seeds)),
        },
        "commit": commit(),
        "machine": machine(),
        "command": command,
    }
    ledger.check(study, divided)
    grid = cells(pairs, list(configs), ratios_by_pair, seeds)
    work = [(cell, _cell_config(configs[cell.method], cell)) for cell in grid]
    missing = [(cell, config) for cell, config in work if not ledger.finished(cell, config)]
    _check_photos(missing, divided)
    ledger.open(study, divided)
    runnable = []
    for cell, config in missing:
        if cell.is_undefined:
            reason = f"leaves {cell.minority_photos} minority training photos, needs {MIN_MINORITY_PHOTOS}"
            ledger.write(cell, config.method, "undefined", reason)
        else:
            runnable.append((cell, config))
    jobs = min(jobs or _default_jobs(), max(len(runnable), 1))
    if jobs == 1:
        _run_in_turn(runnable, divided, out, quiet=quiet)
    else:
        run_at_once(runnable, divided, out, jobs=jobs, quiet=quiet)
    return out


def failures(study: Path) -> dict[str, str]:
    """Return the reasons of the failed cells of a study folder, by cell."""
    records = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (study / "cells").glob("[!.]*.json")
    }
    return {name: record["reason"] for name, record in records.items() if record["status"] == "failed"}


def pairs_of(
    manifest: Manifest, *, fine: str | None, coarse: str | None, minority: Sequence[str], base: int | None
) -> list[Pair]:
    """Return what to tell apart: the pairs given as MAJORITY:MINORITY, else all classes with their minority.

    Raises:
        ConfigurationError: pairs and a minority at once, a class that is not there, all classes rare.
    """
    known = sorted(manifest.usable["label"].unique())
    pairs = [Pair.parse(name, text) for name, text in (("fine", fine), ("coarse", coarse)) if text is not None]
    minority = tuple(dict.fromkeys(minority))
    if pairs and minority:
        raise ConfigurationError("--minority is for all classes at once: leave it out with --fine and --coarse")
    if not pairs:
        counts = manifest.usable["label"].value_counts().sort_index()
        rare = minority or ((str(counts.idxmin()),) if len(counts) else ())
        pairs = [Pair("all", tuple(known), rare)]
    for name in {name for pair in pairs for name in (*pair.classes, *pair.minority)}:
        if name not in known:
            raise ConfigurationError(f"no usable photo of class '{name}'{did_you_mean(name, known)}")
    if any(set(pair.classes) == set(pair.minority) for pair in pairs):
        raise ConfigurationError(f"a comparison needs rare and common classes, got {', '.join(known)}, all rare")
    return [replace(pair, base=base) for pair in pairs]


def _with_base(
    pair: Pair, manifest: Manifest, ratios: Sequence[float] | None, before: Mapping[str, Any] | None
) -> Pair:
    """Return the pair with its base: as given, as in the study that is there, or such that every ratio is reached."""
    if ratios is None or pair.base is not None:
        return pair
    known = before["settings"].get(f"base.{pair.name}") if before else None
    return replace(pair, base=known or default_base(_train_counts(pair, manifest), pair.minority, ratios))


def _check_photos(work: Sequence[tuple[Cell, Config]], manifest: Manifest) -> None:
    """Make sure, before anything is trained, that the photos are there that each pair and ratio asks for."""
    seen = set()
    for cell, config in work:
        if (cell.pair, cell.ratio) not in seen and not cell.is_undefined:
            subset(manifest, config)
        seen.add((cell.pair, cell.ratio))


def _present_ratio(pair: Pair, manifest: Manifest) -> float:
    """Return the ratio of the photos as they are, classes on each side averaged, to three digits."""
    counts = _train_counts(pair, manifest)
    rare = fmean(counts.get(name, 0) for name in pair.minority)
    common = fmean(counts.get(name, 0) for name in pair.classes if name not in pair.minority)
    return float(f"{rare / common:.3g}")


def _train_counts(pair: Pair, manifest: Manifest) -> dict[str, int]:
    rows = manifest.usable
    counts = rows.loc[rows["split"] == "train", "label"].value_counts()
    return {name: int(counts.get(name, 0)) for name in pair.classes}


def _cell_config(config: Config, cell: Cell) -> Config:
    ratio = None if cell.pair.base is None else cell.ratio
    imbalance = {"minority": list(cell.pair.minority), "ratio": ratio, "base": cell.pair.base}
    return resolve(
        [
            (cell.id, config.record()),
            (cell.id, {"seed": cell.seed, "classes": list(cell.pair.classes), "imbalance": imbalance}),
        ]
    )


def _shared_settings(configs: Mapping[str, Config], pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return what all cells share, flat, as `section.key`; what a recipe sets for itself is left out."""
    records = [config.model_dump(mode="json") for config in configs.values()]
    shared: dict[str, Any] = {f"base.{pair.name}": pair.base for pair in pairs}
    shared["imbalance.thin_validation"] = records[0]["imbalance"]["thin_validation"]
    for section in ("model", "preprocessing", "augmentation", "split", "training"):
        for key, value in records[0][section].items():
            alike = all(record[section][key] == value for record in records)
            if alike and key not in {*BOOKKEEPING, "keep"}:
                shared[f"{section}.{key}"] = value
    return shared


def _default_jobs() -> int:
    return 1 if torch.cuda.is_available() else min(os.cpu_count() or 1, MAX_JOBS)


def _run_in_turn(work: Sequence[tuple[Cell, Config]], manifest: Manifest, out: Path, *, quiet: bool) -> None:
    for number, (cell, config) in enumerate(work, start=1):
        title = f"[{number}/{len(work)}] {cell.id}"
        with nullcontext(Silent()) if quiet else TerminalProgress(title) as listener:
            run_cell(cell, config, manifest, out, listener)

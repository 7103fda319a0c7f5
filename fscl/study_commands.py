"""The commands of a comparison: demo, compare and report."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

from fscl.ending import again, going_on, kept
from fscl.flags import NO_SETTINGS, NOTHING_SAID, Jobs, On, Seed, Settings, Several, Source, Whole
from fscl.printable import printable, show


def demo(*, out: Path = Path("runs/demo"), seed: Seed = 0, jobs: Jobs = None, overwrite: bool = False) -> None:
    """Draw wildlife photos, train the study's methods and a pretrained one on them, write the report. No data needed.

    Args:
        out: folder for the photos, the runs and the report
        seed: of the photos and of training
        jobs: runs at once (one per core)
        overwrite: drop what the folder holds
    """
    from fscl.experiments.demo import run_demo

    with kept(going_on(out / "study.json", again(), goes_on=not overwrite)):
        _show_report(run_demo(out, seed=seed, jobs=jobs, overwrite=overwrite))


def compare(
    source: Path,
    *,
    out: Path,
    fine: str | None = None,
    coarse: str | None = None,
    minority: Annotated[list[str] | None, Several] = None,
    methods: Annotated[list[str] | None, Several] = None,
    ratios: Annotated[list[float] | None, Several] = None,
    imbalance: Annotated[list[float] | None, Several] = None,
    seeds: Annotated[list[int] | None, Whole, Several] = None,
    jobs: Jobs = None,
    scheduler: str | None = None,
    title: str | None = None,
    keep_weights: bool = True,
    overwrite: Annotated[bool, On] = False,
    reading: Source = NOTHING_SAID,
    settings: Settings = NO_SETTINGS,
) -> None:
    """Train methods × ratios × seeds on the same photos and print the study's table. Call it again to go on.

    Args:
        source: a manifest, or photos in any format
        out: folder of the study
        fine: MAJORITY:MINORITY, two classes that look alike; a colon within a name has a backslash before it
        coarse: MAJORITY:MINORITY, two classes that do not
        minority: rare classes among all classes, in place of pairs
        methods: of `fscl methods`, or recipe files (the study's four)
        ratios: majority : minority = 1 : ratio (with pairs the study's five, else the photos as they are)
        imbalance: thin all classes to a long tail instead, with this largest class : smallest class, one or more;
            photos fall exponentially over the classes by name
        seeds: one run per seed (0)
        jobs: runs at once (on a CPU one per core, at most 4)
        scheduler: of Dask, whose workers do the runs: tcp://HOST:8786, a scheduler file, or local for workers here
        title: of the report (the name of the folder)
        keep_weights: of finished cells; without them their folders cannot be evaluated or started from
        overwrite: drop what the folder holds
    """
    from fscl.experiments.run import failures
    from fscl.methods import STUDY
    from fscl.starting import run_study

    configs = settings.resolve_all(methods or STUDY)
    with kept(going_on(out / "study.json", again(), goes_on=not overwrite)):
        run_study(
            source,
            configs,
            out,
            reading=reading.reading(),
            fine=fine,
            coarse=coarse,
            minority=minority or (),
            base=settings.base,
            ratios=ratios,
            imbalances=imbalance or (),
            seeds=seeds or [0],
            title=printable(title) if title else None,
            jobs=jobs,
            scheduler=scheduler,
            overwrite=overwrite,
            keep_weights=keep_weights,
            command=printable(shlex.join(["fscl", *sys.argv[1:]])),
        )
    _show_report(out)
    failed = failures(out)
    for cell, reason in failed.items():
        print(printable(f"fscl: {cell} failed: {reason}"), file=sys.stderr)
    if failed:
        print(printable(f"fscl: when that is mended, go on with: {shlex.join(again())}"), file=sys.stderr)
        sys.exit(1)


def report(folder: Path, *, out: Path | None = None) -> None:
    """Write the report of a run or a study: one page that opens offline, and Markdown, tables and figures beside it.

    Args:
        folder: a run that `fscl evaluate` has scored, or a folder of `fscl compare` or `fscl demo`
        out: the page (report.html in the folder)
    """
    from fscl.report import write_report

    with kept("the folder is unchanged: the same command starts again"):
        show(f"report: {write_report(folder, out)}")


def _show_report(study: Path) -> None:
    from fscl.report import read_study, terminal_table, unreadable_line, write_report

    page, read = write_report(study), read_study(study)
    show(terminal_table(read))
    unreadable = unreadable_line(read.unreadable)
    if unreadable is not None:
        show(f"{unreadable}; {study / 'cells'}/*.json name each")
    show(f"report: {page}")

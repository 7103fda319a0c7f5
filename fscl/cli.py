"""The command line: one function per sub-command; each imports what it needs, so that help is quick."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from fscl import __version__
from fscl.ending import kept, run
from fscl.errors import PhotosError
from fscl.flags import NO_SETTINGS, NOTHING_SAID, By, Gap, Jobs, On, Seed, Settings, Several, Source, default_of
from fscl.printable import PlainConsole, printable

app = App(
    name="fscl",
    help="Species classifiers for camera traps that still see the rare animal. Start with: fscl demo",
    version=__version__,
    help_flags=["--help", "-h"],
    suppress_keyboard_interrupt=False,  # fscl.ending says what is kept
    error_console=PlainConsole(stderr=True),
)


@app.command
def demo(*, out: Path = Path("runs/demo"), seed: Seed = 0, jobs: Jobs = None, overwrite: bool = False) -> None:
    """Draw wildlife photos, train the study's four methods on them and write the report. No data needed.

    Args:
        out: folder for the photos, the runs and the report
        seed: of the photos and of training
        jobs: runs at once (one per core)
        overwrite: drop what the folder holds
    """
    from fscl.experiments.demo import run_demo

    with kept("what was done is kept: the same command goes on"):
        _show_report(run_demo(out, seed=seed, jobs=jobs, overwrite=overwrite))


@app.command
def scan(
    source: Path,
    *,
    out: Path = Path("photos.parquet"),
    verify: Literal["none", "header", "decode"] = "header",
    class_map: Path | None = None,
    gap: Gap = None,
    reading: Source = NOTHING_SAID,
    overwrite: Annotated[bool, On] = False,
) -> None:
    """List the photos of a folder or table: how many per class, site and split, and what is wrong with them.

    Args:
        source: class folders or a zip of them, a table (CSV, Parquet), the AI Hub wildlife set, or a manifest
        out: the manifest to write
        verify: look at no photo, at each one's header, or decode each one
        class_map: a CSV `label,class` that renames or merges classes; an empty class drops the label
        gap: seconds up to which photos of one camera are of one burst; 0 looks for none
        overwrite: replace an existing manifest
    """
    from fscl.manifest.table import check_new
    from fscl.scanning.opening import scan_with_bar
    from fscl.scanning.sequences import GAP_S
    from fscl.scanning.summary import summary

    check_new(out, overwrite=overwrite)
    gap_s = GAP_S if gap is None else gap
    with kept("nothing was written"):
        photos = scan_with_bar(source, verify=verify, class_map=class_map, reading=reading.reading(), gap_s=gap_s)
        photos.write(out)
    with kept(f"{out} is written"):
        _print(summary(photos, verify))
    if photos.usable.empty:
        raise PhotosError(f"expected photos to train on, got none: {out} says of each of {len(photos.rows)} rows why")
    trainable = photos.usable["label"].nunique() > 1
    advice = f"; next: fscl train {out} --method fscl --out runs/first" if trainable else ""
    _print(f"{len(photos.rows)} rows written to {out}{advice}")


@app.command
def split(
    source: Path,
    *,
    by: By | None = None,
    out: Path | None = None,
    root: Path | None = None,
    layout: str | None = None,
    gap: Gap = None,
    strict: Annotated[bool, On] = False,
    val_fraction: Annotated[float | None, default_of("val_fraction")] = None,
    test_fraction: Annotated[float | None, default_of("test_fraction")] = None,
    redraw: Annotated[bool, On] = False,
    overwrite: Annotated[bool, On] = False,
) -> None:
    """Divide photos into train, val and test; no photo, byte copy, sequence or site crosses.

    Args:
        source: a manifest, or photos in any format
        by: what must not cross: photo, sequence or site (by sequence where known, else by photo)
        out: the manifest to write (the source itself if it is one, else photos.parquet)
        root: folder that the photos of a manifest or table are in now, if they have moved
        layout: of the source, where that is no manifest: see `fscl scan`
        gap: seconds up to which photos of one camera are of one burst; 0 looks for none
        strict: a class that cannot be split is an error
        val_fraction: of each class for validation
        test_fraction: of each class for test
        redraw: drop the split that the photos have, instead of keeping it
        overwrite: replace an existing manifest other than the source
    """
    from fscl.config import section
    from fscl.formats.manifest_file import recognises
    from fscl.formats.reading import Reading
    from fscl.manifest.table import check_new
    from fscl.scanning.opening import open_photos, untimed_notes
    from fscl.training.subset import balance_table, split_notes, split_photos

    in_place = recognises(source)
    target = out or (source if in_place else Path("photos.parquet"))
    check_new(target, overwrite=overwrite or (in_place and target == source))
    settings = section("split", by=by, strict=strict, val_fraction=val_fraction, test_fraction=test_fraction)
    with kept(f"{target} is unchanged" if target.exists() else "nothing was written"):
        photos = open_photos(source, Reading(root=root, layout=layout), gap_s=gap)
        divided = split_photos(photos, settings, redraw=redraw)
        divided.write(target)
    _print(balance_table(divided))
    for note in [*split_notes(photos, divided, settings, redraw=redraw), *untimed_notes(divided, by)]:
        _print(note)
    _print(f"written to {target}")


@app.command
def train(
    source: Path,
    *,
    method: str = "fscl",
    out: Path,
    root: Path | None = None,
    classes: Annotated[list[str] | None, Several] = None,
    minority: Annotated[list[str] | None, Several] = None,
    ratio: float | None = None,
    imbalance: float | None = None,
    seed: int | None = None,
    resume: Annotated[bool, On] = False,
    overwrite: Annotated[bool, On] = False,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    settings: Settings = NO_SETTINGS,
) -> None:
    """Train a classifier on photos and leave it in a folder.

    Args:
        source: a manifest, or photos in any format
        method: a method of `fscl methods`, or a recipe file of your own
        out: folder of the run
        root: folder that the photos of a manifest or table are in now, if they have moved
        classes: those to tell apart, by label or by any name of the species (all)
        minority: the rare classes (the one with the fewest training regions; none where several have the fewest)
        ratio: thin to majority : minority = 1 : ratio
        imbalance: thin to a long tail with this largest class : smallest class; photos fall exponentially over
            --classes as given, or by name
        seed: of subset, initial weights and order
        resume: go on with an interrupted run
        overwrite: drop what the folder holds
        from_: an earlier run's folder to start from
    """
    from fscl.formats.reading import Reading
    from fscl.progress import TerminalProgress
    from fscl.scanning.class_names import ClassNames
    from fscl.scanning.opening import open_photos, say_untimed
    from fscl.training.loop import fit
    from fscl.training.run_summary import run_summary

    given = {"classes": classes, "minority": minority, "ratio": ratio, "imbalance": imbalance, "seed": seed}
    config = settings.resolve(method, **given, bundle=from_)
    with kept("the same command with --resume goes on"):
        photos = open_photos(source, Reading(root=root))
        say_untimed(photos, source, config.split.by)
        config = ClassNames(photos.usable["label"]).configured(config)
        with TerminalProgress(f"{config.method.title} → {out}") as listener:
            fit(config, photos, out, resume=resume, overwrite=overwrite, listener=listener)
    _print(run_summary(out))


@app.command
def evaluate(run: Path, source: Path | None = None, *, root: Path | None = None, workers: int | None = None) -> None:
    """Score a trained model on its own test photos or on others, class by class.

    Args:
        run: folder of the run
        source: labelled photos; the run's own test photos by default
        root: folder that these photos are in now, if they have moved
        workers: processes that read photos
    """
    from fscl import evaluation
    from fscl.formats.reading import Reading
    from fscl.run_folder import RunFolder
    from fscl.scanning.opening import open_photos

    with kept("the run is unchanged: the same command starts again"):
        photos = None if source is None else open_photos(source, Reading(root=root))
        record = evaluation.evaluate_run(run, photos, root=root, workers=workers)
    _print(evaluation.table(record))
    _print(f"written to {RunFolder(run).evaluation}")


@app.command
def compare(
    source: Path,
    *,
    out: Path,
    root: Path | None = None,
    fine: str | None = None,
    coarse: str | None = None,
    minority: Annotated[list[str] | None, Several] = None,
    methods: Annotated[list[str] | None, Several] = None,
    ratios: Annotated[list[float] | None, Several] = None,
    imbalance: Annotated[list[float] | None, Several] = None,
    seeds: Annotated[list[int] | None, Several] = None,
    jobs: Jobs = None,
    title: str | None = None,
    overwrite: Annotated[bool, On] = False,
    settings: Settings = NO_SETTINGS,
) -> None:
    """Train methods × ratios × seeds on the same photos and print the study's table. Call it again to go on.

    Args:
        source: a manifest, or photos in any format
        out: folder of the study
        root: folder that the photos of a manifest or table are in now, if they have moved
        fine: MAJORITY:MINORITY, two classes that look alike; a colon within a name has a backslash before it
        coarse: MAJORITY:MINORITY, two classes that do not
        minority: rare classes among all classes, in place of pairs
        methods: of `fscl methods`, or recipe files (the study's four)
        ratios: majority : minority = 1 : ratio (with pairs the study's five, else the photos as they are)
        imbalance: thin all classes to a long tail instead, with this largest class : smallest class, one or more;
            photos fall exponentially over the classes by name
        seeds: one run per seed (0)
        jobs: runs at once (on a CPU one per core, at most 4)
        title: of the report
        overwrite: drop what the folder holds
    """
    from fscl.experiments.grid import STUDY_RATIOS
    from fscl.experiments.run import compare as run_cells
    from fscl.experiments.run import failures, pairs_of
    from fscl.formats.reading import Reading
    from fscl.methods import STUDY
    from fscl.scanning.class_names import ClassNames
    from fscl.scanning.opening import open_photos, say_untimed

    configs = settings.resolve_all(methods or STUDY)
    with kept("what was done is kept: the same command goes on"):
        photos = open_photos(source, Reading(root=root))
        say_untimed(photos, source, next(iter(configs.values())).split.by)
        names = ClassNames(photos.usable["label"])
        run_cells(
            photos,
            configs,
            out,
            pairs=pairs_of(
                photos,
                fine=names.pair(fine),
                coarse=names.pair(coarse),
                minority=names.labels(minority or ()),
                base=settings.base,
                imbalances=imbalance or (),
            ),
            ratios=ratios or (STUDY_RATIOS if fine or coarse else None),
            seeds=seeds or [0],
            imbalances=imbalance or (),
            title=printable(title or source.stem),
            jobs=jobs,
            overwrite=overwrite,
            command=printable(shlex.join(["fscl", *sys.argv[1:]])),
        )
    _show_report(out)
    failed = failures(out)
    for cell, reason in failed.items():
        print(printable(f"fscl: {cell} failed: {reason}"), file=sys.stderr)
    if failed:
        sys.exit(1)


@app.command
def report(study: Path, *, out: Path | None = None) -> None:
    """Write the report of a study: one page that opens offline, Markdown, CSV and SVG.

    Args:
        study: folder of `fscl compare` or `fscl demo`
        out: the page (report.html in the folder)
    """
    from fscl.report import write_report

    with kept("the study is unchanged: the same command starts again"):
        _print(f"report: {write_report(study, out)}")


@app.command
def methods() -> None:
    """List the methods, a line each."""
    from fscl.methods import table

    _print(table())


@app.command
def parts() -> None:
    """List what a recipe can be made of: losses, samplers, mixings, heads and corrections, with their options."""
    from fscl.parts import table

    _print(table())


def _show_report(study: Path) -> None:
    from fscl.report import read_study, terminal_table, write_report

    page = write_report(study)
    _print(terminal_table(read_study(study)))
    _print(f"report: {page}")


def _print(shown: Any) -> None:
    PlainConsole(soft_wrap=isinstance(shown, str)).print(shown)


def main() -> None:
    """Run the command line: exit code 0 done, 2 the user's input, 130 interrupted, 1 our fault."""
    run(app, sys.argv[1:])

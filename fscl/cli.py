"""The command line: one function per sub-command; each imports what it needs, so that help is quick."""

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from fscl import __version__, torchrun
from fscl.ending import again, going_on, kept, run
from fscl.errors import PhotosError
from fscl.flags import (
    NO_SETTINGS,
    NOTHING_SAID,
    By,
    Gap,
    On,
    Settings,
    Several,
    Source,
    Whole,
    default_of,
)
from fscl.methods import DEFAULT
from fscl.model_commands import explain, export, predict, serve
from fscl.printable import PlainConsole, number_of, show
from fscl.study_commands import compare, demo, report

app = App(
    name="fscl",
    help="Species classifiers for camera traps that still see the rare animal. Start with: fscl demo",
    version=__version__,
    help_flags=["--help", "-h"],
    suppress_keyboard_interrupt=False,  # fscl.ending says what is kept
    error_console=PlainConsole(stderr=True),
)


@app.command
def scan(
    source: Path,
    *,
    out: Path | None = None,
    verify: Literal["none", "header", "decode"] = "header",
    class_map: Path | None = None,
    gap: Gap = None,
    reading: Source = NOTHING_SAID,
    overwrite: Annotated[bool, On] = False,
) -> None:
    """List the photos of a folder or table: how many per class, site and split, and what is wrong with them.

    Args:
        source: class folders or a zip of them, a table (CSV, Parquet), the AI Hub wildlife set, or a manifest
        out: the manifest to write, e.g. photos.parquet (none)
        verify: look at no photo, at each one's header, or decode each one
        class_map: a CSV `label,class` that renames or merges classes; an empty class drops the label
        gap: seconds up to which photos of one camera are of one burst; 0 looks for none
        overwrite: replace an existing manifest
    """
    from fscl.formats import check_there
    from fscl.manifest.table import check_new
    from fscl.scanning.opening import scan_with_bar
    from fscl.scanning.sequences import GAP_S
    from fscl.scanning.summary import summary

    check_there(source)
    if out is not None:
        check_new(out, overwrite=overwrite)
    gap_s = GAP_S if gap is None else gap
    with kept("nothing was written"):
        photos = scan_with_bar(source, verify=verify, class_map=class_map, reading=reading.reading(), gap_s=gap_s)
        if out is not None:
            photos.write(out)
    with kept("nothing was written" if out is None else f"{out} is written"):
        show(summary(photos, verify))
    rows = number_of(len(photos.rows), "row")
    if photos.usable.empty:
        why = f"{out} says of each of {rows} why" if out else f"--out photos.parquet writes of each of {rows} why"
        raise PhotosError(f"expected photos to train on, got none: {why}")
    if out is None:
        show(f"{rows}, nothing was written; next: {shlex.join([*again(), '--out', 'photos.parquet'])}")
        return
    trainable = photos.usable["label"].nunique() > 1
    advice = f"; next: {shlex.join(['fscl', 'train', str(out), '--out', 'runs/first'])}" if trainable else ""
    show(f"{rows} written to {out}{advice}")


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
    near_duplicates: Annotated[bool, On] = False,
    overwrite: Annotated[bool, On] = False,
) -> None:
    """Divide photos into train, val and test; no photo, byte copy, sequence or site crosses.

    Args:
        source: a manifest, or photos in any format
        by: what must not cross: photo, sequence or site (by sequence where known, else by photo); or time: train on
            the earlier photos, test on the later ones
        out: the manifest to write (the source itself if it is one, else photos.parquet)
        root: folder that the photos of a manifest or table are in now, if they have moved
        layout: of the source, where that is no manifest: see `fscl scan`
        gap: seconds up to which photos of one camera are of one burst; 0 looks for none
        strict: a class that cannot be split is an error
        val_fraction: of each class for validation
        test_fraction: of each class for test
        redraw: drop the split that the photos have, instead of keeping it
        near_duplicates: look for test photos that are like a training photo of another sequence, and list them in a
            CSV beside the manifest; nothing is moved
        overwrite: replace an existing manifest other than the source
    """
    from fscl.config import section
    from fscl.formats import check_there
    from fscl.formats.manifest_file import recognises
    from fscl.formats.reading import Reading
    from fscl.manifest.table import check_new
    from fscl.scanning.opening import open_photos, untimed_notes, with_near_duplicates
    from fscl.training.subset import balance_table, split_notes, split_photos

    check_there(source)
    in_place = recognises(source)
    target = out or (source if in_place else Path("photos.parquet"))
    check_new(target, overwrite=overwrite or (in_place and target == source))
    settings = section("split", by=by, strict=strict, val_fraction=val_fraction, test_fraction=test_fraction)
    with kept(f"{target} is unchanged" if target.exists() else "nothing was written"):
        photos = open_photos(source, Reading(root=root, layout=layout), gap_s=gap)
        divided = split_photos(photos, settings, redraw=redraw)
        divided.write(target)
    show(balance_table(divided, settings.by))
    for note in [*split_notes(photos, divided, settings, redraw=redraw), *untimed_notes(divided, by)]:
        show(note)
    if near_duplicates:
        with kept(f"{target} is written"):
            for line in with_near_duplicates(divided, target):
                show(line)
    show(f"written to {target}")


@app.command
def train(
    source: Path | None = None,
    *,
    method: Annotated[str | None, Parameter(show_default=lambda _: DEFAULT)] = None,
    out: Path | None = None,
    classes: Annotated[list[str] | None, Several] = None,
    minority: Annotated[list[str] | None, Several] = None,
    ratio: float | None = None,
    imbalance: float | None = None,
    seed: Annotated[int | None, Whole] = None,
    resume: Annotated[bool, On] = False,
    overwrite: Annotated[bool, On] = False,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    reading: Source = NOTHING_SAID,
    settings: Settings = NO_SETTINGS,
) -> None:
    """Train a classifier on photos and leave it in a folder. Interrupted, it goes on: fscl train --resume RUN.

    Args:
        source: a manifest, or photos in any format; with --resume alone the folder of the run
        method: a method of `fscl methods`, or a recipe file of your own (that of --config, if it names one)
        out: folder of the run; needed with photos
        classes: those to tell apart, by label or by any name of the species (all)
        minority: the rare classes (the one with the fewest training regions; none where several have the fewest)
        ratio: thin to majority : minority = 1 : ratio
        imbalance: thin to a long tail with this largest class : smallest class; photos fall exponentially over
            --classes as given, or by name
        seed: of subset, initial weights and order
        resume: go on with an interrupted run; its folder knows photos and settings
        overwrite: drop what the folder holds
        from_: an earlier run's folder to start from, its backbone unless --backbone names another
    """
    from fscl import processes
    from fscl.progress import TerminalProgress
    from fscl.run_folder import RunFolder
    from fscl.starting import IF_LONG, run_to_go_on_with, same_config_and_photos
    from fscl.training.loop import fit
    from fscl.training.run_summary import run_summary

    given = {"classes": classes, "minority": minority, "ratio": ratio, "imbalance": imbalance, "seed": seed}
    begun = run_to_go_on_with(source, out, resume=resume, overwrite=overwrite)
    folder = begun or out
    assert folder is not None, "without one there was an error"
    words = [*torchrun.starter(), "train", "--resume", str(folder)]
    with kept(going_on(RunFolder(folder).settings, words, goes_on=resume)):
        config, photos = same_config_and_photos(
            settings, source, method=method, reading=reading.reading(), begun=begun, bundle=from_, **given
        )
        with TerminalProgress(f"{config.method.title} → {folder}", if_long=IF_LONG) as listener:
            fit(config, photos, folder, resume=resume, overwrite=overwrite, listener=listener)
        show(processes.first(partial(run_summary, folder)))


@app.command
def evaluate(
    run: Path,
    source: Path | None = None,
    *,
    out: Path | None = None,
    taxonomy: Path | None = None,
    workers: Annotated[int | None, Whole] = None,
    reading: Source = NOTHING_SAID,
) -> None:
    """Score a trained model on its own test photos or on others, class by class, with a row per photo.

    Args:
        run: folder of the run
        source: labelled photos; the run's own test photos by default
        out: folder for evaluation.json and predictions.csv (the run; of other photos evaluations/SOURCE in it)
        taxonomy: a table class,species,genus,family,…: what unsure answers give, rolled up to the lowest sure rank
        workers: processes that read photos
    """
    from fscl import evaluation
    from fscl.config import section
    from fscl.formats import check_there
    from fscl.progress import TerminalProgress
    from fscl.run_folder import RunFolder
    from fscl.scanning.opening import open_photos
    from fscl.starting import check_root_alone

    section("training", workers=workers)  # what cannot be is said before photos are looked at
    said = reading.reading()
    if source is None:
        check_root_alone(said, run)
    else:
        check_there(source)
    place = evaluation.results_folder(run, source, out)
    with kept("the run is unchanged: the same command starts again"):
        photos = None if source is None else open_photos(source, said)
        with TerminalProgress(f"evaluation of {run}") as listener:
            record = evaluation.evaluate_run(
                run, photos, root=said.root, out=place, taxonomy=taxonomy, workers=workers, listener=listener
            )
    show(evaluation.table(record))
    show(f"\nwritten to {RunFolder(place).evaluation}, a row per photo to {RunFolder(place).predictions}")
    show(f"next: {shlex.join(['fscl', 'report', str(place)])}")


for command in (predict, explain, export, serve, demo, compare, report):
    app.command(command)


@app.command
def methods() -> None:
    """List the methods, a line each."""
    from fscl.methods import table

    show(table())


@app.command
def parts() -> None:
    """List what a recipe can be made of: losses, samplers, mixings, heads and corrections, with their options."""
    from fscl.parts import table

    show(table())


@app.command
def words() -> None:
    """Explain the words that the program uses, a line each."""
    from fscl.words import table

    show(table())


def main() -> None:
    """Run the command line: exit code 0 done, 2 the user's input, 130 interrupted, 1 our fault."""
    run(app, sys.argv[1:])

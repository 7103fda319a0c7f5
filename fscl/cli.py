"""The command line: one function per sub-command; each imports what it needs, so that help is quick."""

import errno
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from fscl import __version__
from fscl.errors import FsclError, PhotosError
from fscl.printable import PlainConsole, printable

if TYPE_CHECKING:
    from fscl.config import Config
    from fscl.formats.reading import Reading
    from fscl.manifest.table import Manifest
    from fscl.scanning.class_names import ClassNames

app = App(
    name="fscl",
    help="Species classifiers for camera traps that still see the rare animal. Start with: fscl demo",
    version=__version__,
    help_flags=["--help", "-h"],
    suppress_keyboard_interrupt=False,  # main says what is kept
    error_console=PlainConsole(stderr=True),
)
Several = Parameter(consume_multiple=True, negative=())
On = Parameter(negative=())  # a switch without a --no- form
Jobs = Annotated[int | None, Parameter(validator=Number(gte=1))]
Seed = Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))]
By = Literal["photo", "sequence", "site"]
Profile = Literal["exp"]
FIXES = dict.fromkeys(
    (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG), "choose a place that can be written"
) | dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space on that disk first")


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Settings that override the recipe and --config; those not given stay as they are.

    Attributes:
        config: a TOML file of settings; flags override it
        epochs: passes over the training photos (100)
        steps: training steps, in place of epochs
        batch_size: photos per step (64)
        learning_rate: of Adam, falling along a cosine (0.001)
        weight_decay: of Adam (1e-5)
        image_size: px, both sides (224)
        crop_margin: around a box, as a fraction of its longer side (0.1)
        backbone: a timm model name, or cifar_resnet32 (resnet18)
        layers: stages whose features the similarity term sees, indices or names: --layers=-2,-1
        weight: of the similarity term (1.0)
        pretrained: start from timm's published weights; needs the network once
        weights: start from a local file of backbone weights
        base: training regions (boxes, or photos without) of each common class, or of a long tail's first class
        by: what never crosses from training to test: photo, sequence or site
        val_fraction: of each class for validation, where the photos have no split (0.15)
        test_fraction: of each class for test, where the photos have no split (0.15)
        strict: a class that cannot be split is an error
        keep: the epoch to keep, last or best on validation (last)
        workers: processes that read photos
        store: decode photos once, onto the disk (where they are read more than once)
        thin_validation: thin validation photos like training photos (yes)
        tensorboard: write TensorBoard files too
    """

    config: Path | None = None
    epochs: int | None = None
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    image_size: int | None = None
    crop_margin: float | None = None
    backbone: str | None = None
    layers: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    weight: float | None = None
    pretrained: Annotated[bool | None, On] = None
    weights: str | None = None
    base: int | None = None
    by: By | None = None
    val_fraction: float | None = None
    test_fraction: float | None = None
    strict: Annotated[bool | None, On] = None
    keep: Literal["last", "best"] | None = None
    workers: int | None = None
    store: bool | None = None
    thin_validation: bool | None = None
    tensorboard: Annotated[bool | None, On] = None

    def resolve(self, method: str, **more: Any) -> "Config":
        """Return the configuration of a method under these flags, and `more` of them."""
        from fscl import config, methods

        flags = {k: v for k, v in asdict(self).items() if k not in ("config", "weight", "layers")} | more
        if self.layers is not None:
            flags["layers"] = [_stage(name.strip()) for name in self.layers.split(",")]
        layers = [(f"recipe '{method}'", methods.read(method))]
        if self.config is not None:
            layers.append((str(self.config), methods.read_toml(self.config)))
        resolved = config.resolve([*layers, ("command line", config.settings(flags))])
        return resolved if self.weight is None else config.with_weight(resolved, self.weight)

    def resolve_all(self, methods: Sequence[str]) -> dict[str, "Config"]:
        """Return the configurations of several methods, by the names that their recipes give."""
        from fscl import config

        common = replace(self, weight=None, base=None)  # the weight not of every method, the base of the cells
        return config.alongside([common.resolve(name) for name in methods], self.weight)


Settings = Annotated[Flags, Parameter(name="*")]


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

    with _kept("what was done is kept: the same command goes on"):
        _show_report(run_demo(out, seed=seed, jobs=jobs, overwrite=overwrite))


@app.command
def scan(
    source: Path,
    *,
    out: Path = Path("photos.parquet"),
    verify: Literal["none", "header", "decode"] = "header",
    class_map: Path | None = None,
    root: Path | None = None,
    layout: str | None = None,
    gap: float | None = None,
    box_unit: Literal["pixel", "fraction", "percent"] | None = None,
    box_frame: Literal["stored", "upright"] | None = None,
    date_order: Literal["dmy", "mdy", "ymd"] | None = None,
    zip_encoding: str | None = None,
    overwrite: Annotated[bool, On] = False,
) -> None:
    """List the photos of a folder or table: how many per class, site and split, and what is wrong with them.

    Args:
        source: class folders or a zip of them, a table (CSV, Parquet), the AI Hub wildlife set, or a manifest
        out: the manifest to write
        verify: look at no photo, at each one's header, or decode each one
        class_map: a CSV `label,class` that renames or merges classes; an empty class drops the label
        root: folder that the photos of a manifest or table are in now, if they have moved
        layout: what the folders from the source on mean: class, site/class, split/site/class; - is any folder
        gap: seconds up to which photos of one camera are of one burst (30); 0 looks for none
        box_unit: of the boxes of a table (pixels, or fractions where nearly all are)
        box_frame: boxes were drawn on the pixels as stored, or on the photo upright as EXIF turns it (stored)
        date_order: of dates in a table that do not begin with the year, which are left out otherwise
        zip_encoding: of names in zips that do not say theirs, e.g. cp949 (what suits all of them best)
        overwrite: replace an existing manifest
    """
    from fscl.formats.reading import Reading
    from fscl.manifest.table import check_new
    from fscl.scanning.scan import scan_with_bar, summary
    from fscl.scanning.sequences import GAP_S

    check_new(out, overwrite=overwrite)
    reading = Reading(
        root=root,
        layout=layout,
        box_unit=box_unit,
        box_frame=box_frame,
        date_order=date_order,
        zip_encoding=zip_encoding,
    )
    gap_s = GAP_S if gap is None else gap
    with _kept("nothing was written"):
        photos = scan_with_bar(source, verify=verify, class_map=class_map, reading=reading, gap_s=gap_s)
        photos.write(out)
    with _kept(f"{out} is written"):
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
    gap: float | None = None,
    strict: Annotated[bool, On] = False,
    val_fraction: float | None = None,
    test_fraction: float | None = None,
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
        gap: seconds up to which photos of one camera are of one burst (30); 0 looks for none
        strict: a class that cannot be split is an error
        val_fraction: of each class for validation (0.15)
        test_fraction: of each class for test (0.15)
        redraw: drop the split that the photos have, instead of keeping it
        overwrite: replace an existing manifest other than the source
    """
    from fscl.config import section
    from fscl.formats.reading import Reading
    from fscl.manifest.table import check_new
    from fscl.scanning.scan import is_manifest_file
    from fscl.scanning.sequences import untimed
    from fscl.training.subset import balance_table, split_notes, split_photos

    in_place = is_manifest_file(source)
    target = out or (source if in_place else Path("photos.parquet"))
    check_new(target, overwrite=overwrite or (in_place and target == source))
    settings = section("split", by=by, strict=strict, val_fraction=val_fraction, test_fraction=test_fraction)
    with _kept(f"{target} is unchanged" if target.exists() else "nothing was written"):
        photos = _photos(source, Reading(root=root, layout=layout), gap_s=gap)
        divided = split_photos(photos, settings, redraw=redraw)
        divided.write(target)
    _print(balance_table(divided))
    notes = split_notes(photos, divided, settings, redraw=redraw)
    if by != "site" and (note := untimed(divided.rows)) is not None:
        notes.append(note)
    for note in notes:
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
    profile: Profile | None = None,
    imbalance: float | None = None,
    seed: int | None = None,
    resume: Annotated[bool, On] = False,
    overwrite: Annotated[bool, On] = False,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    settings: Settings = Flags(),
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
        profile: thin to a long tail: photos fall exponentially over --classes as given, or by name
        imbalance: of the profile, largest class : smallest class
        seed: of subset, initial weights and order
        resume: go on with an interrupted run
        overwrite: drop what the folder holds
        from_: an earlier run's folder to start from
    """
    from fscl.formats.reading import Reading
    from fscl.training.loop import fit
    from fscl.training.progress import TerminalProgress
    from fscl.training.summary import run_summary

    config = settings.resolve(
        method,
        classes=classes,
        minority=minority,
        ratio=ratio,
        profile=profile,
        imbalance=imbalance,
        seed=seed,
        bundle=from_,
    )
    with _kept("the same command with --resume goes on"):
        photos = _photos(source, Reading(root=root))
        _say_untimed(photos, source, config.split.by)
        config = _class_names(photos).configured(config)
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

    with _kept("the run is unchanged: the same command starts again"):
        photos = None if source is None else _photos(source, Reading(root=root))
        record = evaluation.evaluate_run(run, photos, root=root, workers=workers)
    _print(evaluation.table(record))
    _print(f"written to {run / 'evaluation.json'}")


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
    profile: Profile | None = None,
    imbalance: Annotated[list[float] | None, Several] = None,
    seeds: Annotated[list[int] | None, Several] = None,
    jobs: Jobs = None,
    title: str | None = None,
    overwrite: Annotated[bool, On] = False,
    settings: Settings = Flags(),
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
        profile: thin all classes to a long tail instead: photos fall exponentially over the classes by name
        imbalance: of the profile, largest class : smallest class, one or more
        seeds: one run per seed (0)
        jobs: runs at once (on a CPU one per core, at most 4)
        title: of the report
        overwrite: drop what the folder holds
    """
    from fscl.experiments import run
    from fscl.experiments.grid import STUDY_RATIOS
    from fscl.formats.reading import Reading
    from fscl.methods import STUDY

    configs = settings.resolve_all(methods or STUDY)
    with _kept("what was done is kept: the same command goes on"):
        photos = _photos(source, Reading(root=root))
        _say_untimed(photos, source, next(iter(configs.values())).split.by)
        names = _class_names(photos)
        run.compare(
            photos,
            configs,
            out,
            pairs=run.pairs_of(
                photos,
                fine=names.pair(fine),
                coarse=names.pair(coarse),
                minority=names.labels(minority or ()),
                base=settings.base,
                profile=profile,
            ),
            ratios=ratios or (STUDY_RATIOS if fine or coarse else None),
            seeds=seeds or [0],
            profile=profile,
            imbalances=imbalance or (),
            title=printable(title or source.stem),
            jobs=jobs,
            overwrite=overwrite,
            command=printable(shlex.join(["fscl", *sys.argv[1:]])),
        )
    _show_report(out)
    failed = run.failures(out)
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

    with _kept("the study is unchanged: the same command starts again"):
        _print(f"report: {write_report(study, out)}")


@app.command
def methods() -> None:
    """List the methods, a line each."""
    from fscl.methods import table

    _print(table())


def _stage(name: str) -> int | str:
    try:
        return int(name)
    except ValueError:
        return name


def _photos(source: Path, reading: "Reading", *, gap_s: float | None = None) -> "Manifest":
    """Open photos, and say on stderr in a few lines what is wrong with them."""
    from fscl.scanning.scan import in_short, is_manifest_file, open_photos

    photos = open_photos(source, reading, gap_s=gap_s)
    for line in in_short(photos, source, scanned=not is_manifest_file(source)):
        print(printable(line), file=sys.stderr)
    return photos


def _say_untimed(photos: "Manifest", source: Path, by: By | None) -> None:
    """Say, where a split is about to be drawn, which photos it may part from others of their burst."""
    from fscl.manifest.splits import has_split
    from fscl.scanning.scan import is_manifest_file
    from fscl.scanning.sequences import untimed

    divided = is_manifest_file(source) and has_split(photos.rows)
    if by != "site" and not divided and (note := untimed(photos.rows)) is not None:
        print(printable(note), file=sys.stderr)


def _class_names(photos: "Manifest") -> "ClassNames":
    from fscl.scanning.class_names import ClassNames

    return ClassNames(photos.usable["label"])


def _show_report(study: Path) -> None:
    from fscl.report import read_study, terminal_table, write_report

    page = write_report(study)
    _print(terminal_table(read_study(study)))
    _print(f"report: {page}")


def _print(shown: Any) -> None:
    PlainConsole(soft_wrap=isinstance(shown, str)).print(shown)


@contextmanager
def _kept(what: str) -> Iterator[None]:
    """Note on what ends a command unasked, Ctrl-C or the disk, what there is then; `main` says it."""
    try:
        yield
    except (KeyboardInterrupt, OSError) as error:
        error.add_note(what)
        raise


def main() -> None:
    """Run the command line: exit code 0 done, 2 the user's input, 130 interrupted, 1 our fault."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console of an old code page shows ? instead of failing
    try:
        app(sys.argv[1:], exit_on_error=False, result_action="return_value")
    except CycloptsError:
        sys.exit(2)
    except FsclError as error:
        _fail(str(error))
    except KeyboardInterrupt as interruption:
        _fail("; ".join([str(interruption) or "interrupted", *_notes(interruption)]), code=130)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        fix = [FIXES[error.errno]] if error.errno in FIXES else []
        _fail("; ".join([f"{error.strerror or error}{where}", *_notes(error), *fix]))


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _fail(message: str, code: int = 2) -> None:
    print(f"fscl: {printable(message)}", file=sys.stderr)
    sys.exit(code)

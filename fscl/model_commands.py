"""The commands that use a trained model: predict, explain, export, serve."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from fscl.ending import kept
from fscl.errors import ConfigurationError
from fscl.flags import NOTHING_SAID, On, Several, Source, Whole
from fscl.printable import show

if TYPE_CHECKING:
    from fscl.prediction import Sorting, Wanted

Share = Annotated[float | None, Parameter(validator=Number(gte=0, lte=1))]


def predict(
    run: Path,
    source: Path,
    *,
    out: Path,
    format: Annotated[str | None, Parameter(show_default=lambda _: "by --out: .json is MegaDetector's")] = None,
    by: Literal["photo", "sequence"] = "photo",
    decision: Literal["chosen", "argmax"] = "chosen",
    species: Annotated[list[str] | None, Several] = None,
    species_list: Path | None = None,
    unsure_below: Share = None,
    accept: Annotated[bool, On] = False,
    prevalence: Annotated[list[str] | None, Several] = None,
    taxonomy: Path | None = None,
    features: Path | None = None,
    copy_to: Path | None = None,
    link_to: Path | None = None,
    deployments: Path | None = None,
    timezone: str | None = None,
    package: Path | None = None,
    scientific_names: Path | None = None,
    stamp: Annotated[bool, On] = False,
    engine: Annotated[Literal["torch", "onnx"] | None, Parameter(show_default=lambda _: "by the model")] = None,
    workers: Annotated[int | None, Whole] = None,
    scheduler: str | None = None,
    overwrite: Annotated[bool, On] = False,
    reading: Source = NOTHING_SAID,
) -> None:
    """Say which species are on photos, any number of them. Interrupted, the same command does the rest.

    Args:
        run: folder of a trained model, or a file that fscl export has written
        source: photos: a folder or zip, a .txt with a path per line, a table, a manifest, results of MegaDetector
        out: the file to write: .json, .csv or .parquet; for camtrap-dp a folder or a .zip
        format: megadetector, which Timelapse and AddaxAI read, speciesnet, timelapse, camtrap-dp, csv or parquet
        by: sequence gives all photos of a burst one answer, by the mean of their scores
        decision: chosen takes the threshold or bias that the model has, argmax none
        species: those that can be on the photos; the others are ruled out (all)
        species_list: a text file of them, a name per line
        unsure_below: answers less probable than this are marked as unsure (0.6)
        accept: say in a .csv or .parquet which answers may be accepted unseen, and which species each may be
        prevalence: for --accept: how common species are on these photos, such as deer=0.01, or estimate
        taxonomy: a table class,species,genus,family,…: unsure answers become the lowest of these that is sure
        features: also write the model's features of each animal, to this .parquet
        copy_to: copy the photos into a folder per species below this one
        link_to: make links to them instead
        deployments: for camtrap-dp: a table with deploymentID, latitude, longitude, deploymentStart, deploymentEnd
        timezone: for camtrap-dp: of times that have none, such as +09:00 (that of deploymentStart)
        package: for camtrap-dp: JSON with contributors, project and more of datapackage.json
        scientific_names: for camtrap-dp and speciesnet: a table class,scientificName
        stamp: write the time into the file, which then differs from call to call
        engine: torch, or onnx: the model.onnx that fscl export has put into the folder
        workers: processes that read photos
        scheduler: of Dask, whose workers compute: tcp://HOST:8786, a scheduler file, or local for workers here
        overwrite: replace what is there
    """
    from fscl.prediction import UNSURE_BELOW, Wanted

    wanted = Wanted(
        format=format or _by_suffix(out),
        decision=decision,
        by=by,
        species=(*(species or ()), *_listed(species_list)),
        unsure_below=UNSURE_BELOW if unsure_below is None else unsure_below,
        stamp=stamp,
        deployments=None if deployments is None else str(deployments),
        timezone=timezone,
        package=None if package is None else str(package),
        scientific_names=None if scientific_names is None else str(scientific_names),
        accept=accept,
        prevalence=tuple(prevalence or ()),
        taxonomy=None if taxonomy is None else str(taxonomy),
    )
    _predict(
        run,
        source,
        out,
        wanted,
        reading=reading.reading(),
        features=features,
        sorting=_sorting(copy_to, link_to),
        engine=engine,
        overwrite=overwrite,
        workers=workers,
        scheduler=scheduler,
    )


def _predict(run: Path, source: Path, out: Path, wanted: "Wanted", **how: Any) -> None:
    """Predict with a bar, and say what came of it; `how` is of `predict_photos`."""
    from fscl.prediction import predict_photos
    from fscl.progress import TerminalProgress

    unfinished = kept("what is predicted so far is kept: the same command does the rest")
    with unfinished, TerminalProgress(f"{run} → {out}") as listener:
        summary, about = predict_photos(run, source, out, wanted, listener=listener, **how)
    show(summary.table(about))
    show(f"written to {out}")


def explain(
    run: Path,
    *photos: Path,
    out: Path | None = None,
    root: Path | None = None,
    labels: Annotated[bool, On] = False,
    workers: Annotated[int | None, Whole] = None,
) -> None:
    """Show why a model says what it says: heat maps, nearest training photos, layers; one page that opens offline.

    Args:
        run: folder of a trained model
        photos: files, folders, zips or manifests (the worst mistakes on the run's test photos)
        out: folder for explain.html, explain.json and the pictures (explain in the run)
        root: folder that the photos of the run are in now, if they have moved
        labels: also look for wrong labels among all photos of the run, in labels_to_check.csv
        workers: processes that read photos
    """
    from fscl.explain import explain_run, results_folder
    from fscl.explain.terminal import table
    from fscl.formats import check_there
    from fscl.progress import TerminalProgress
    from fscl.report.explanation import write_explanation

    for source in photos:
        check_there(source)
    place = results_folder(run, out)
    with kept("nothing was written: the same command starts again"):
        with TerminalProgress(f"explanation of {run}") as listener:
            told = explain_run(run, photos, root=root, out=place, labels=labels, workers=workers, listener=listener)
        page = write_explanation(place)
    show(table(told))
    show(f"written to {page}")


def export(
    run: Path,
    *,
    out: Path | None = None,
    int8: Annotated[bool, On] = False,
    photos: str | None = None,
    max_difference: Share = None,
    max_loss: Share = None,
    root: Path | None = None,
    overwrite: Annotated[bool, On] = False,
) -> None:
    """Write a model as one ONNX file that is enough to predict, once it answers as PyTorch does on real photos.

    Args:
        run: folder of a trained model
        out: the .onnx file to write (model.onnx in the run; with --int8 model-int8.onnx)
        int8: in 8 bits, a quarter of the size, calibrated on validation photos of the run
        photos: those to check it on, with or without labels, or how many of the run's test photos (256)
        max_difference: of a probability from PyTorch's, beyond which nothing is written (0.001)
        max_loss: of the recall of a species by int8, beyond which nothing is written (0.05)
        root: folder that the photos of the run are in now, if they have moved
        overwrite: replace the file
    """
    from fscl.export import Limits, export_run
    from fscl.export.terminal import table
    from fscl.progress import TerminalProgress

    usual = Limits()
    limits = Limits(
        usual.difference if max_difference is None else max_difference, usual.loss if max_loss is None else max_loss
    )
    with kept("nothing was written: the same command starts again"), TerminalProgress(f"{run} → ONNX") as listener:
        result = export_run(
            run,
            out,
            int8=int8,
            limits=limits,
            photos=_number_or_source(photos),
            root=root,
            overwrite=overwrite,
            listener=listener,
        )
    show(table(result))


def _number_or_source(photos: str | None) -> int | Path | None:
    if photos is None or not photos.isdecimal():
        return None if photos is None else Path(photos)
    if int(photos) < 1:
        raise ConfigurationError(f"--photos: expected 1 or more, or where photos are, got {photos}")
    return int(photos)


def serve(
    run: Path,
    *,
    folder: Path | None = None,
    port: Annotated[int, Whole, Parameter(validator=Number(gte=0, lte=65535))] = 8000,
    host: str = "127.0.0.1",
    corrections: Path | None = None,
    root: Path | None = None,
    open: Annotated[bool, On] = False,
) -> None:
    """Serve a page for photos: drop some, see their species and why, correct labels. Ctrl-C ends it.

    Args:
        run: folder of a trained model
        folder: photos on this machine that the page shows besides; a folder or a zip (none)
        port: of the page; 0 takes one that is free
        host: address that the page is reached at; 0.0.0.0 lets other machines in, without a password
        corrections: a CSV filepath,label that corrected labels are added to (the browser keeps them)
        root: folder that the photos of the run are in now, if they have moved
        open: open the page in the browser
    """
    from fscl.serve import require_extra

    require_extra()
    from fscl.serve.run import serve as serve_page

    serve_page(run, folder=folder, root=root, corrections=corrections, host=host, port=port, open_page=open)


def _sorting(copy_to: Path | None, link_to: Path | None) -> "Sorting | None":
    from fscl.prediction import Sorting

    if copy_to is not None and link_to is not None:
        raise ConfigurationError("--copy-to and --link-to: give one of them")
    folder = copy_to or link_to
    return None if folder is None else Sorting(folder, link=link_to is not None)


def _by_suffix(out: Path) -> str:
    return {".csv": "csv", ".parquet": "parquet"}.get(out.suffix.lower(), "megadetector")


def _listed(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        names = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: expected a text file in UTF-8, a species per line: {error}") from None
    return [name.strip() for name in names if name.strip()]

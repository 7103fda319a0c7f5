"""A model predicts photos: part by part onto the disk, then all parts into one file. Killed, it does the rest."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from fscl.atomic import mend_folder, replacing, replacing_folder, write_text
from fscl.bundle import Bundle, file_sha256
from fscl.cluster import workers_of
from fscl.config import section
from fscl.decisions import UNSURE_BELOW, Decisions
from fscl.errors import ConfigurationError, OutputError, PhotosError, did_you_mean
from fscl.formats import ANSWER_FORMATS
from fscl.formats.answers import About
from fscl.formats.reading import NOTHING_SAID, Reading
from fscl.formats.taxonomy_file import read_taxonomy
from fscl.lock import held
from fscl.onnx_model import AnyModel, Engine, open_model
from fscl.prediction.accepting import accepting_of, check_accepting
from fscl.prediction.computing import BATCH_SIZE, compute
from fscl.prediction.deciding import Deciding, RollingUp, answers
from fscl.prediction.facts import latin_of, packaging_of, with_facts
from fscl.prediction.features import write_features
from fscl.prediction.parts import PART_REGIONS, SUFFIX, Parts
from fscl.prediction.photos import Listing, list_photos
from fscl.prediction.sorting import Sorting
from fscl.prediction.summary import Summary
from fscl.printable import number_of
from fscl.progress import Listener, Silent
from fscl.runtime import Runtime, cores
from fscl.scanning.class_names import ClassNames
from fscl.scoring.taxonomy import Taxonomy

VERSION = 1
WORTH_READERS = 128  # regions


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be made of the scores.

    Attributes:
        format: a name of `ANSWER_FORMATS`.
        decision: `chosen` takes the model's threshold or bias, where it has one; `argmax` none.
        by: `sequence` gives all animals of a burst the answer of the mean of their scores.
        species: those that can be there, by any name; empty: all.
        unsure_below: the probability below which an answer is marked.
        stamp: write when it was done into the file.
        deployments: a table of them, for Camtrap DP.
        timezone: of times without one, such as `+09:00`.
        package: JSON of what datapackage.json of Camtrap DP says of the project.
        scientific_names: a table of classes and their scientific names.
        accept: say which answers may be accepted unseen.
        prevalence: class=share where the photos are from, or `estimate`, of these photos; empty: as in calibration.
        taxonomy: a table of the genus, family and so on of each class: unsure answers become the lowest of these
            that is sure.
    """

    format: str = "megadetector"
    decision: Literal["chosen", "argmax"] = "chosen"
    by: Literal["photo", "sequence"] = "photo"
    species: Sequence[str] = ()
    unsure_below: float = UNSURE_BELOW
    stamp: bool = False
    deployments: str | None = None
    timezone: str | None = None
    package: str | None = None
    scientific_names: str | None = None
    accept: bool = False
    prevalence: Sequence[str] = ()
    taxonomy: str | None = None


def predict_photos(
    run: Path,
    source: Path,
    out: Path,
    wanted: Wanted,
    *,
    reading: Reading = NOTHING_SAID,
    features: Path | None = None,
    sorting: Sorting | None = None,
    engine: Engine | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    listener: Listener | None = None,
) -> tuple[Summary, About]:
    """Predict photos and write one file; each photo of the source is in it.

    Parts of 512 regions are kept in a folder beside `out` until that is written. Called again after it was killed at
    any moment, it computes only the others, and `out` has the same bytes, on one machine.

    Args:
        run: folder of a run or bundle, or an exported model.
        source: photos, see `list_photos`.
        out: the file to write; its settings are written beside it.
        wanted: what to make of the scores.
        reading: what the user says of the source; `detections` are boxes of MegaDetector for these photos.
        features: a Parquet file for what the model's last layer makes of each region.
        sorting: copies or links photos into folders of species.
        engine: as of `open_model`.
        overwrite: replace `out` and what an interrupted prediction has left.
        workers: processes that read photos; by default chosen by the machine, on workers of Dask none.
        scheduler: of Dask, whose workers compute: an address, a scheduler file, or `local`.
        listener: hears how far it is.

    Raises:
        FsclError: no such model, photos or settings; a file that would be lost; no photo that can be read.
    """
    listener = listener or Silent()
    section("training", workers=workers)
    if not 0 <= wanted.unsure_below <= 1:
        raise ConfigurationError(f"--unsure-below must be between 0 and 1, got {wanted.unsure_below:g}")
    _check_names(wanted.format, out, features)
    bundle = open_model(run, engine)
    listing = list_photos(source, reading)
    if sorting is not None:
        sorting.check(listing)
    runtime = Runtime.start(_readers(len(listing.regions), scheduler) if workers is None else workers)
    taxonomy = None if wanted.taxonomy is None else read_taxonomy(Path(wanted.taxonomy), bundle.classes)
    deciding, about = _deciding(bundle, wanted, taxonomy), _about(bundle, wanted, listing, taxonomy)
    plan = _plan(bundle, listing, features=features is not None)
    settings = _settings(plan, run, bundle, wanted, features, sorting)
    parts = Parts(out.with_name(f"{out.name}{SUFFIX}"), len(listing.regions), plan)
    summary = _finished(out, settings)
    if summary is None:
        _check_out(out, features, parts, wanted.format, overwrite=overwrite)
        listing, about = with_facts(listing, about, wanted.format, listener)
        with held(parts.folder, by="another prediction"):
            parts.claim(overwrite=overwrite)
            for remark in (*listing.remarks, *_not_in_format(wanted), *_not_certified(bundle, wanted)):
                listener.note(remark)
            with workers_of(scheduler if scheduler and parts.missing() else None, say=listener.note) as cluster:
                compute(bundle, listing, parts, runtime, listener, cluster)
            _set_bars(deciding, wanted, parts, listener)
            told = partial(answers, listing, parts, deciding, by_sequence=wanted.by == "sequence")
            summary = Summary()
            with _replacing(out, wanted.format) as target:
                ANSWER_FORMATS[wanted.format].write(target, summary.counted(told(), about), about)
            if features is not None:
                write_features(features, listing, parts)
            if sorting is not None:
                sorting.sort(listing, told(), about)
            record = {**settings, "summary": summary.record()}
            write_text(settings_file(out), json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    parts.drop()
    if summary.photos == len(summary.failed) and not summary.animals:
        reason = next(iter(summary.failed.items()), ("", "no photo"))
        raise PhotosError(
            f"{source}: every photo is without an answer, such as {': '.join(reason)}; {out} has the reason of each"
        )
    return summary, about


def settings_file(out: Path) -> Path:
    """Return the file beside a result that says how it was made.

    >>> settings_file(Path("predictions.csv")).name
    'predictions.csv.settings.json'
    """
    return out.with_name(f"{out.name}.settings.json")


def _readers(regions: int, scheduler: str | None) -> int | None:
    """Processes that read photos: on a CPU the model leaves gaps that they fill; starting them takes a second."""
    if scheduler is not None:  # workers fill each other's gaps
        return 0
    return cores() if regions >= WORTH_READERS and Runtime.start(0).device.type == "cpu" else None


def _check_names(format: str, out: Path, features: Path | None) -> None:
    if format not in ANSWER_FORMATS:
        raise ConfigurationError(f"--format {format}: no such format{did_you_mean(format, ANSWER_FORMATS)}")
    suffix = ANSWER_FORMATS[format].suffix
    in_folder = ANSWER_FORMATS[format].folder is not None
    kind = f"folder or a {suffix}" if in_folder else suffix
    if out.suffix.lower() != suffix and not (in_folder and not out.suffix):
        raise OutputError(f"{out}: {ANSWER_FORMATS[format].title} is a {kind} file; choose such a name for --out")
    if features is not None and features.suffix.lower() != ".parquet":
        raise OutputError(f"{features}: features are a .parquet file; choose such a name for --features")


def _finished(out: Path, settings: Mapping[str, Any]) -> Summary | None:
    """What the same call has left, put where it belongs; None where it has not ended, or none was made."""
    mend_folder(out)
    try:
        record = json.loads(settings_file(out).read_bytes())
        summary = Summary.of(record.pop("summary"))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return summary if out.exists() and record == json.loads(json.dumps(settings)) else None


def _replacing(out: Path, format: str) -> AbstractContextManager[Path]:
    in_folder = ANSWER_FORMATS[format].folder is not None and not out.suffix
    return replacing_folder(out) if in_folder else replacing(out)


def _check_out(out: Path, features: Path | None, parts: Parts, format: str, *, overwrite: bool) -> None:
    """What is there is kept, unless this very prediction was about to end; other files of a folder always are."""
    ours = ANSWER_FORMATS[format].folder
    if out.is_dir() and (ours is None or not ours(out)):
        raise OutputError(f"{out}: is a folder that holds other files; choose another --out")
    if out.exists() and not overwrite and not parts.begun:
        raise OutputError(f"{out}: exists; replace it with --overwrite, or choose another --out")
    if features is not None and features.exists() and not overwrite and not parts.begun:
        raise OutputError(f"{features}: exists; replace it with --overwrite, or choose another --features")


def _plan(bundle: AnyModel, listing: Listing, *, features: bool) -> dict[str, Any]:
    """What decides the scores."""
    return {
        "version": VERSION,
        "photos": hashlib.sha256(listing.fingerprint()).hexdigest(),
        "engine": "torch" if isinstance(bundle, Bundle) else "onnx",
        "weights": bundle.weights_sha256 if isinstance(bundle, Bundle) else bundle.sha256,
        "preprocessing": bundle.preprocessing.model_dump(mode="json"),
        "batch_size": BATCH_SIZE,
        "part": PART_REGIONS,
        "features": features,
    }


def _settings(
    plan: Mapping[str, Any],
    run: Path,
    bundle: AnyModel,
    wanted: Wanted,
    features: Path | None,
    sorting: Sorting | None,
) -> dict[str, Any]:
    """How a result is made: with the same of all, it is the same result."""
    also = {"features": features and str(features), "sorted": sorting and str(sorting.folder)}
    for name in ("deployments", "scientific_names", "package", "taxonomy"):
        file = getattr(wanted, name)
        also[f"{name}_sha256"] = file and file_sha256(Path(file))
    return {"scores": dict(plan), "model": str(run), **asdict(wanted), **also, "classes": list(bundle.classes)}


def _set_bars(deciding: Deciding, wanted: Wanted, parts: Parts, listener: Listener) -> None:
    """Say from which probability on answers are accepted, where that is wanted: it may follow from all scores."""
    if wanted.accept:
        deciding.accepting = accepting_of(deciding.decisions, deciding.classes, wanted.prevalence, parts)
        listener.note(deciding.accepting.note)


def _not_in_format(wanted: Wanted) -> list[str]:
    """Say what is wanted and the format has no field for."""
    if wanted.taxonomy is None or ANSWER_FORMATS[wanted.format].groups:
        return []
    title = ANSWER_FORMATS[wanted.format].title
    return [f"{title} has the classes alone: what unsure answers are rolled up to is in the summary, not in the file"]


def _not_certified(bundle: AnyModel, wanted: Wanted) -> list[str]:
    """Say that the bars above which answers are accepted were certified of the model in float32, not of int8."""
    loss = None if isinstance(bundle, Bundle) else bundle.record.loss
    if not wanted.accept or loss is None:
        return []
    return [
        "--accept: its bars were certified with the model in float32; int8 changed "
        f"{number_of(loss.changed, 'answer')} of {loss.photos:,} when it was exported, so the promise is not exact"
    ]


def _deciding(bundle: AnyModel, wanted: Wanted, taxonomy: Taxonomy | None) -> Deciding:
    check_accepting(bundle.decisions, wanted)
    decisions = bundle.decisions or Decisions()
    if wanted.decision == "argmax":
        decisions = decisions.at_argmax()
    species = _species(bundle, wanted.species) if wanted.species else None
    deciding = Deciding(bundle.classes, decisions, species)
    deciding.rolling_up = None if taxonomy is None else RollingUp(taxonomy, wanted.unsure_below)
    return deciding


def _species(bundle: AnyModel, species: Sequence[str]) -> list[str]:
    """Return the classes that can be there."""
    named = set(ClassNames(bundle.classes).labels(species))
    if not named & set(bundle.classes):
        raise ConfigurationError(
            f"the species list has none of the model's classes, {', '.join(bundle.classes)}: give others"
        )
    return sorted(named & set(bundle.classes))


def _about(bundle: AnyModel, wanted: Wanted, listing: Listing, taxonomy: Taxonomy | None) -> About:
    exact = isinstance(bundle, Bundle) or bundle.record.precision == "float32"
    return About(
        classes=bundle.classes,
        model=f"fscl {bundle.method or 'model'} {bundle.weights_sha256[:8]}{'' if exact else ' int8'}",
        unsure_below=wanted.unsure_below,
        document=listing.document,
        stamp=datetime.now(UTC) if wanted.stamp else None,
        accepting=wanted.accept,
        taxonomy=taxonomy,
        packaging=packaging_of(wanted.format, wanted.deployments, wanted.timezone, wanted.package),
        latin=latin_of(bundle.classes, wanted.format, wanted.scientific_names),
    )

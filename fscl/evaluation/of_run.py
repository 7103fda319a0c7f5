"""The bundle of a run folder, evaluated on photos that it was neither trained nor validated on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fscl.bundle import Bundle, versions
from fscl.decisions import Decisions
from fscl.errors import BundleError, OutputError, PhotosError
from fscl.evaluation.beside import Judged, Loading, beside, features_of
from fscl.evaluation.evaluate import amounts, evaluate, photos_in
from fscl.evaluation.known_photos import learnt, part_of, photos_of
from fscl.evaluation.predictions import predictions, write_predictions
from fscl.evaluation.rolling_up import rolled_up
from fscl.evaluation.thumbnails import thumbnails
from fscl.formats.taxonomy_file import read_taxonomy
from fscl.lock import held
from fscl.manifest.table import Manifest, counts_by_class
from fscl.progress import Listener, Silent
from fscl.records import Evaluation, Provenance, RollUp, write_record
from fscl.records.thumbnails import write_thumbnails
from fscl.run_folder import RunFolder
from fscl.runtime import commit, machine
from fscl.scoring.taxonomy import Taxonomy


def evaluate_run(
    run: Path,
    photos: Manifest | None = None,
    *,
    root: Path | None = None,
    out: Path | None = None,
    taxonomy: Path | None = None,
    batch_size: int = 64,
    workers: int | None = None,
    listener: Listener | None = None,
) -> Evaluation:
    """Evaluate the bundle of a run folder; write `evaluation.json`, `predictions.csv` and `thumbnails.parquet`.

    Beside the bundle, its start and the earlier model that it was trained from are evaluated, where they can be. The
    features of a backbone that stayed as it was are taken from the feature cache, and kept there.

    Args:
        run: the folder.
        photos: labelled photos, of which the test split is used where they have one, else all; those that
            the run was trained or validated on are left out. By default the run's own test photos.
        root: the folder that the run's own photos are in now; where photos are given, if they are nowhere else.
        out: the folder to write into; by default the run, and of other photos the one that `results_folder` names
            for the folder of these.
        taxonomy: a table of the genus, family and so on of each class, to roll unsure answers up along.
        batch_size: photos per forward pass.
        workers: processes that read photos; by default chosen by the machine.
        listener: hears how many photos are read.

    Raises:
        PhotosError: nothing to evaluate on, or classes that the bundle does not know; a taxonomy that is no table.
        BundleError: no bundle in the folder, or a damaged one.
        OutputError: the run is being trained, or evaluated by another process; `out` holds other files.
        ConfigurationError: a negative number of workers; a taxonomy that does not fit the classes.
    """
    folder = RunFolder(run)
    if not (folder.lock.exists() or folder.record.exists()):  # no run, whose folder is left alone
        Bundle.open(run)
    out = results_folder(run, None if photos is None else photos.root, out)
    with held(run, by="a training, or another evaluation,", fix="evaluate the run when that has ended"):
        loading = Loading(batch_size, workers, listener or Silent())
        return _evaluated(run, photos, root, out, taxonomy, loading)


def results_folder(run: Path, source: Path | None, out: Path | None = None) -> Path:
    """Return the folder that an evaluation is written into, and touch nothing.

    Args:
        run: the folder of the run.
        source: of the photos; None: the run's own test photos, whose result is in the folder of the run.
        out: the folder that the user wants.

    Raises:
        BundleError: the run is a file.
        OutputError: the folder is a file, holds another run or the result on this one's own photos, or a
            `predictions.csv` that is of no evaluation.

    >>> results_folder(Path("runs/first"), Path("new/camera_7.zip")).as_posix()
    'runs/first/evaluations/camera_7'
    """
    folder = RunFolder(run)
    place = out or (run if source is None else folder.evaluations / _name(source))
    target = RunFolder(place)
    own = source is None and place.resolve() == run.resolve()
    if run.is_file():
        raise BundleError(f"{run}: expected the folder of a run, found a file; fscl train makes one")
    if place.exists() and not place.is_dir():
        raise OutputError(f"{place}: expected a folder for the evaluation, found a file; choose another --out")
    if not own and (target.record.exists() or target.settings.exists()):
        raise OutputError(f"{place}: holds a run, whose own result would be lost; choose another --out")
    if target.predictions.exists() and not target.evaluation.exists():
        raise OutputError(
            f"{target.predictions}: is of no evaluation, and would be lost; move it, or choose another --out"
        )
    return place


def _name(source: Path) -> str:
    name = source.resolve().name if source.is_dir() else source.stem
    return name or "photos"


def _evaluated(
    run: Path,
    photos: Manifest | None,
    root: Path | None,
    out: Path,
    taxonomy: Path | None,
    loading: Loading,
) -> Evaluation:
    bundle = Bundle.open(run)
    named = None if taxonomy is None else read_taxonomy(taxonomy, bundle.classes)
    own, gone = photos_of(run, [root] if photos is None else list(dict.fromkeys([None, root])))
    test = _own_test(run, own, gone) if photos is None else _others_test(photos, own)
    validation = None if own is None or gone else part_of(own, "val")
    store = features_of(bundle, test.photos, loading)
    evaluation, logits = evaluate(bundle, test.photos, validation, split=test.split, store=store, **loading._asdict())
    others = beside(Judged(bundle, test.photos, logits), None if gone else own, gone, root, loading)
    evaluation = replace(
        evaluation,
        left_out={kind: count for kind, count in test.left_out.items() if count},
        given=amounts((photos or test.photos).rows),
        train_photos=None if own is None else counts_by_class(part_of(own, "train").rows, bundle.classes)["photos"],
        beside=others,
        rollup=None if named is None else _rolled_up(bundle, logits, named),
        note=_unknown_photos(gone, own, bundle) if gone else evaluation.note,
        provenance=Provenance(versions=versions(), machine=dict(machine()), commit=commit()),
    )
    written, answers = RunFolder(out), predictions(test.photos, bundle, evaluation, logits)
    written.thumbnails.unlink(missing_ok=True)  # of an earlier evaluation, whose photos may have the same names
    write_record(written.evaluation, evaluation)  # first: `results_folder` leaves predictions without one alone
    write_predictions(written.predictions, answers)
    write_thumbnails(written.thumbnails, thumbnails(test.photos, answers, bundle, loading.listener))
    return evaluation


def _rolled_up(bundle: Bundle, logits: pd.DataFrame, taxonomy: Taxonomy) -> RollUp:
    scored = logits[[f"logit:{name}" for name in bundle.classes]].to_numpy()
    labels = pd.Index(bundle.classes).get_indexer(pd.Index(logits["label"]))
    return rolled_up(bundle.decisions or Decisions(), scored, labels, bundle.classes, taxonomy)


def _unknown_photos(gone: str, own: Manifest | None, bundle: Bundle) -> str:
    told = "none was left out for being trained on"
    if own is not None:
        told = (
            "those that it was trained on are told by known hashes, else by name and size; copies under other "
            "names may be among these"
        )
    choice = ", and no threshold was chosen" if bundle.decisions is None else ""
    return f"the photos of the run are not known ({gone}): {told}{choice}"


class _Test(NamedTuple):
    """What is evaluated, what it is called, and how many photos were dropped from it."""

    photos: Manifest
    split: str
    left_out: Mapping[str, int]


def _own_test(run: Path, own: Manifest | None, gone: str) -> _Test:
    fix = f"give photos: fscl evaluate {run} PHOTOS"
    if own is None or gone:
        moved = "" if own is None else f"say where they are now: fscl evaluate {run} --root FOLDER, or "
        raise PhotosError(f"expected the photos of the run, but {gone}; {moved}{fix}")
    test = part_of(own, "test")
    if test.rows.empty:
        raise PhotosError(f"{run}: has no test photos of its own; {fix}")
    return _Test(test, "test", {})


def _others_test(photos: Manifest, own: Manifest | None) -> _Test:
    """Take the new ones of the photos, their test split if they have one; the unusable rows stay, to be counted."""
    usable = photos.usable
    split = "test" if (photos.rows["split"] == "test").any() else "all"
    chosen = usable if split == "all" else usable[usable["split"] == "test"]
    new = chosen if own is None else chosen[~learnt(Manifest(chosen, photos.root), own)]
    if len(chosen) and new.empty:
        raise PhotosError(
            f"expected photos that are new to the model, but it was trained or validated on all {photos_in(chosen)}; "
            "give others, or none for the run's own test photos"
        )
    left_out = {
        "training photos": photos_in(chosen) - photos_in(new),
        "other splits": photos_in(usable.drop(chosen.index)),
    }
    rows = photos.rows.drop(index=usable.index.difference(new.index))
    return _Test(Manifest(rows, photos.root), split, left_out)

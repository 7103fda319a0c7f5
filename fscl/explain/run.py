"""Why does a model say what it says? A run and photos in, `explain.json` and pictures out."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fscl.atomic import replacing_folder
from fscl.bundle import Bundle, versions
from fscl.decisions import Decisions
from fscl.errors import OutputError, PhotosError
from fscl.evaluation.known_photos import part_of, photos_of
from fscl.explain.features import Directions, directions, directions_of
from fscl.explain.labels import labels_to_check, write_labels
from fscl.explain.layers import Layers, curve_of, layers_of
from fscl.explain.nearest import nearest, records
from fscl.explain.photos import Chosen, given_photos, worst_mistakes
from fscl.explain.pictures import Pictures, as_seen, heated, thumbnail
from fscl.inference import scores
from fscl.loading.loader import inference_loader
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.progress import Listener, Silent
from fscl.records import VERSION, ExplainedPhoto, Explanation, Failed, write_record
from fscl.run_folder import RunFolder
from fscl.runtime import Runtime
from fscl.saliency import Looked, enlarged, look

BATCH = 16  # photos whose maps are kept at once
EXPLANATION, LABELS, PAGE = "explain.json", "labels_to_check.csv", "explain.html"
NO_MAPS = "the backbone '{}' has no maps that say where, for photos of {} px, so there are no heat maps"

AT_ARGMAX = "answers here are those of the highest probability, without the {} that fscl predict uses"


class _Noting:
    """Passes all on to a listener, and keeps what it was told."""

    def __init__(self, listener: Listener) -> None:
        self.advance, self.prepare, self.ahead = listener.advance, listener.prepare, listener.ahead
        self._listener = listener
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Pass it on, and keep it."""
        self.notes.append(text)
        self._listener.note(text)


def explain_run(
    run: Path,
    photos: Sequence[Path] = (),
    *,
    root: Path | None = None,
    out: Path | None = None,
    labels: bool = False,
    workers: int | None = None,
    listener: Listener | None = None,
) -> Explanation:
    """Explain what the model of a run says of photos; write `explain.json` and the pictures, whole or not at all.

    Args:
        run: the folder.
        photos: files, folders or manifests; by default the worst mistakes on the run's own test photos.
        root: the folder that the run's own photos are in now.
        out: the folder to write; `explain` in the run by default.
        labels: also look for wrong labels among all photos of the run.
        workers: processes that read photos; by default chosen by the machine.
        listener: hears how far it is.

    Raises:
        BundleError: no bundle in the folder, or a damaged one.
        PhotosError: no photos, or the run's own are gone and others were not given.
        OutputError: `out` holds something else.
        ConfigurationError: a number of workers that cannot be.
    """
    out = results_folder(run, out)
    bundle, runtime, told = Bundle.open(run), Runtime.start(workers), _Noting(listener or Silent())
    bundle.classifier.to(runtime.device)
    if bundle.decisions is not None and (bundle.decisions.threshold or bundle.decisions.bias):
        told.note(AT_ARGMAX.format("threshold" if bundle.decisions.threshold else "bias"))
    own, gone = photos_of(run, [root])
    if own is None or gone:
        moved = "" if own is None else f"say where they are now: fscl explain {run} --root FOLDER, or "
        if labels or not photos:
            raise PhotosError(
                f"expected the photos of the run, but {gone}; {moved}give photos: fscl explain {run} PHOTOS"
            )
        told.note(f"the photos of the run are not there ({gone}): no nearest training photos, no layers")
        own = None
    chosen = given_photos(photos) if photos else _mistakes(run, bundle, own, told, runtime.workers)
    with replacing_folder(out) as folder:
        pictures = Pictures(folder)
        training = _directions(bundle, own, told, runtime.workers)
        explained, failed = _explained(bundle, chosen, training, pictures, told)
        layers = Layers(None, None, {}, 0)
        if own is not None:
            layers = layers_of(bundle, part_of(own, "test"), told, runtime.workers)
        found = labels_to_check(bundle, own, pictures, told, runtime.workers) if labels and own is not None else None
        explanation = Explanation(
            version=VERSION,
            run=str(run),
            backbone=bundle.architecture.backbone,
            classes=list(bundle.classes),
            minority=list(bundle.minority),
            train_counts=dict(bundle.train_counts),
            chosen=chosen.how,
            photos=explained,
            failed=[*chosen.failed, *failed],
            matrices=layers.matrices,
            embedding=layers.embedding,
            measures=layers.measures,
            measured_on=layers.photos,
            curve=curve_of(RunFolder(run).metrics),
            labels_to_check=None if found is None else found.photos,
            labels_checked=0 if found is None else found.checked,
            notes=told.notes,
            versions=versions(),
        )
        if found is not None:
            write_labels(folder / LABELS, found.photos)
        write_record(folder / EXPLANATION, explanation)
    return explanation


def results_folder(run: Path, out: Path | None = None) -> Path:
    """Return the folder that an explanation is written into, and touch nothing.

    Args:
        run: the folder of the run.
        out: the folder that the user wants.

    Raises:
        OutputError: it holds something else than an earlier explanation.

    >>> results_folder(Path("runs/first")).as_posix()
    'runs/first/explain'
    """
    out = out or RunFolder(run).explanation
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: expected a folder for the explanation, found a file; choose another --out")
    content = {path.name for path in out.iterdir()} if out.is_dir() else set()
    others = {name for name in content - {EXPLANATION, LABELS, PAGE} if not _is_picture(name)}
    if content and (others or EXPLANATION not in content):
        shown = ", ".join(sorted(others or content)[:3])
        raise OutputError(f"{out}: holds other files, which would be lost: {shown}; choose another --out")
    return out


def _is_picture(name: str) -> bool:
    kind, _, number = name.removesuffix(".jpg").partition("-")
    return name.endswith(".jpg") and kind in ("photo", "heat", "near", "check") and number.isdigit()


def _mistakes(run: Path, bundle: Bundle, own: Manifest | None, told: Listener, workers: int) -> Chosen:
    assert own is not None, "without photos there was an error"
    test = part_of(own, "test")
    if test.usable.empty:
        raise PhotosError(f"{run}: has no test photos of its own; give photos: fscl explain {run} PHOTOS")
    path = RunFolder(run).predictions
    if path.is_file():
        kinds = {"region": "str", "label": "str", "prediction": "str"}
        try:
            table = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values={"probability": [""]})
            said = table[["region", "label", "prediction", "probability"]].replace("", None)
            return worst_mistakes(test, said, bundle.train_counts)
        except (ValueError, KeyError, UnicodeDecodeError) as error:
            told.note(f"{path} is damaged ({type(error).__name__}): the test photos are scored again")
    rows = test.usable.reset_index(drop=True)
    regions = Regions.of(rows, test.root, bundle.classes)
    read = scores(
        bundle.classifier,
        regions,
        bundle.preprocessing,
        workers=workers,
        progress=lambda done, photos: told.prepare(done, photos, "test photos scored"),
    )
    said = rows.iloc[read.rows][["region_id", "label"]].rename(columns={"region_id": "region"})
    shares = _probabilities(bundle, read.logits)
    answers = [bundle.classes[place] for place in read.logits.argmax(axis=1)]
    said = said.assign(prediction=answers, probability=shares.max(axis=1))
    return worst_mistakes(test, said, bundle.train_counts)


def _directions(bundle: Bundle, own: Manifest | None, told: Listener, workers: int) -> Directions:
    if own is None:
        return directions_of(bundle, pd.DataFrame(columns=["path", "label", *"xywh"]), Path(), told, workers)
    found = directions_of(bundle, part_of(own, "train").usable, own.root, told, workers)
    if found.unread:
        told.note(f"{found.unread:,} training photos could not be read, so they are no neighbours")
    return found


def _explained(
    bundle: Bundle, chosen: Chosen, training: Directions, pictures: Pictures, told: Listener
) -> tuple[list[ExplainedPhoto], list[Failed]]:
    """Explain the chosen photos; those that cannot be read come with the reason."""
    regions = chosen.regions()
    explained: list[ExplainedPhoto] = []
    failed: list[Failed] = []
    for batch in inference_loader(regions, bundle.preprocessing, batch_size=BATCH, workers=0):
        failed += [Failed(str(chosen.rows["path"].iloc[row]), reason) for row, reason in batch.failures]
        if not batch.rows:
            continue
        looked = look(bundle.classifier, batch.photos.to(bundle.classifier.device))
        near = directions(bundle.classifier, looked.pooled).cpu().numpy()
        heat = None if looked.heat is None else enlarged(looked.heat, bundle.preprocessing.image_size).cpu().numpy()
        if heat is None and not explained:
            told.note(NO_MAPS.format(bundle.architecture.backbone, bundle.preprocessing.image_size))
        for place, row in enumerate(batch.rows):
            pixels = regions.resized(row, bundle.preprocessing)
            path = str(chosen.rows["path"].iloc[row])
            found = nearest(near[place], path, training)
            drawn = None
            if heat is not None and heat[place].max() > 0:
                drawn = pictures.write(f"heat-{row + 1:03}", partial(heated, pixels, heat[place]))
            explained.append(
                ExplainedPhoto(
                    path=path,
                    region=_text(chosen.rows["region"].iloc[row]),
                    label=_text(chosen.rows["label"].iloc[row]),
                    picture=str(pictures.write(f"photo-{row + 1:03}", partial(as_seen, pixels))),
                    heat_map=drawn,
                    nearest=records(
                        found, training, [_near_picture(pictures, training, n, bundle) for n, _ in found]
                    ),
                    **_said(bundle, looked, place),
                )
            )
        told.prepare(len(explained) + len(failed), len(regions), "photos explained")
    return explained, failed


def _said(bundle: Bundle, looked: Looked, place: int) -> dict[str, Any]:
    logits = looked.logits[place].float().cpu().numpy()
    shares, answer = _probabilities(bundle, logits[None])[0], int(logits.argmax())
    other = max((place for place in range(len(logits)) if place != answer), key=logits.__getitem__)
    return {
        "answer": bundle.classes[answer],
        "probability": round(float(shares[answer]), 4),
        "runner_up": bundle.classes[other],
        "runner_up_probability": round(float(shares[other]), 4),
    }


def _near_picture(pictures: Pictures, training: Directions, place: int, bundle: Bundle) -> str | None:
    return pictures.write(f"near-{place:05}", partial(thumbnail, training.regions, place, bundle.preprocessing))


def _probabilities(bundle: Bundle, logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what predictions.csv has: calibrated, without threshold and bias, as the heat maps are."""
    return (bundle.decisions or Decisions()).at_argmax().probabilities(logits, bundle.classes)


def _text(value: object) -> str | None:
    return None if value is None or pd.isna(value) else str(value)  # type: ignore[call-overload]

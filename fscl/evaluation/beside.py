"""Did training beat its start? The frozen start, and the earlier model, on the photos of an evaluation."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from fscl.bundle import Bundle, file_sha256
from fscl.config import Augmentation, Component, Config, resolve
from fscl.decisions import Decisions
from fscl.errors import BundleError, FsclError, OutputError, PhotosError, first_line, of_system
from fscl.evaluation.evaluate import evaluate, labelled, metrics_of, photos_in, unchanged
from fscl.evaluation.known_photos import learnt, part_of, photos_of
from fscl.loading.features import FeatureStore
from fscl.loading.regions import Regions
from fscl.manifest.groups import groups
from fscl.manifest.table import Manifest
from fscl.models import Classifier
from fscl.models.classifier import NOT_BUILT
from fscl.progress import Listener
from fscl.published import PACKAGES
from fscl.records import Beside, Difference
from fscl.run_folder import RunFolder
from fscl.runtime import Runtime
from fscl.scoring.statistics import paired_balanced_accuracy
from fscl.training.frozen import feature_store, fit_head
from fscl.training.start import untrained
from fscl.training.subset import Subset

CLASS_MEAN_PHOTOS = 100  # of each class: their mean is known to a tenth of the spread of one photo, which is enough
NOT_NOTED = "an earlier release made this model, and did not note which weights it started from"


class Loading(NamedTuple):
    """How photos become batches."""

    batch_size: int
    workers: int | None
    listener: Listener


class Judged(NamedTuple):
    """The evaluated model, the photos, and what it said of those that it could read, as `evaluate` returns it."""

    bundle: Bundle
    test: Manifest
    logits: pd.DataFrame


def features_of(bundle: Bundle, photos: Manifest, loading: Loading) -> FeatureStore | None:
    """Return the features of photos by a bundle whose backbone stayed as it was; None where they are not kept.

    Raises:
        PhotosError: no labelled photo, or classes that the bundle does not know.
    """
    rows, _ = unchanged(labelled(photos, bundle), photos.root)
    try:
        frozen = _settings(bundle).frozen
    except FsclError:
        return None
    if not frozen or bundle.decisions is None or rows.empty:  # to be decided on other photos
        return None
    try:
        return _features(bundle, rows, photos.root, loading)
    except (OSError, OutputError) as error:  # a cache that cannot be written, or is damaged, is no reason to stop
        reason = of_system(error) if isinstance(error, OSError) else error
        loading.listener.note(f"features are not taken from the cache: {reason}")
        return None


def beside(judged: Judged, own: Manifest | None, gone: str, root: Path | None, loading: Loading) -> list[Beside]:
    """Return what the start of a run and its earlier model score on the photos that the run was evaluated on.

    Where one of them cannot be made it is there with the reason: nothing is raised for it.

    Args:
        judged: the model, and what it said.
        own: the photos of the run, None where they are gone.
        gone: why they are gone.
        root: the folder that photos may be in now.
        loading: of the photos.
    """
    try:
        config = _settings(judged.bundle)
    except FsclError as error:
        reason = f"the settings of the run are not known to this release: {first_line(error)}"
        return [Beside(kind="start", what="the weights that the run started from", reason=reason)]
    source = _source(judged.bundle, config)
    start = _or_reason("start", source, lambda: _start(judged, config, source, own, gone, loading))
    if config.model.bundle is None:
        return [start]
    folder = Path(config.model.bundle)
    return [start, _or_reason("earlier", str(folder), lambda: _earlier(judged, config, folder, root, loading))]


def _or_reason(kind: str, what: str, made: Callable[[], Beside]) -> Beside:
    try:
        return made()
    except OSError as error:
        reason = of_system(error)
    except FsclError as error:
        reason = first_line(error).split(";")[0]
    except NOT_BUILT as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
    return Beside(kind="start" if kind == "start" else "earlier", what=what, reason=reason)


def _settings(bundle: Bundle) -> Config:
    return resolve([("the settings in the bundle", bundle.config)])


def _source(bundle: Bundle, config: Config) -> str:
    """Say which weights a run started from."""
    model = config.model
    if model.bundle:
        return f"the backbone of {model.bundle}"
    published = model.backbone if model.pretrained else None
    origin = bundle.start.origin if bundle.start else (model.weights or published)
    if origin is None:
        return "an untrained backbone (random features)"
    return PACKAGES[origin].title if origin in PACKAGES else origin


def _start(judged: Judged, config: Config, source: str, own: Manifest | None, gone: str, loading: Loading) -> Beside:
    """Score the weights that the run started from, with the nearest class mean of training photos as head."""
    if own is None:
        raise PhotosError(f"its class means take the training photos of the run, and {gone}")
    bundle = judged.bundle
    rows, _ = unchanged(_some_of_each(part_of(own, "train").usable, bundle.classes, config.seed), own.root)
    lacking = sorted(set(bundle.classes) - set(rows["label"]))
    if lacking:
        raise PhotosError(f"its class means take training photos, and there is none of {', '.join(lacking)}")
    start = _with_class_means(bundle if config.frozen else _fresh_start(bundle, config, own))
    regions = _features(start, rows, own.root, loading).view(Regions.of(rows, own.root, start.classes))
    fit_head(start, regions, Augmentation())  # plain photos, also where the run saw views of them
    store = _features(start, unchanged(judged.test.usable, judged.test.root)[0], judged.test.root, loading)
    _, logits = evaluate(start, judged.test, store=store, **loading._asdict())
    read = photos_in(rows.iloc[[row for row in range(len(rows)) if regions.problem(row) is None]])
    what = f"{source}, frozen, and the class means of {read:,} training photos"
    return _compared("start", what, judged, logits, config.seed)


def _fresh_start(bundle: Bundle, config: Config, own: Manifest) -> Bundle:
    """Return the bundle that the run started from; the chance of the caller stays as it is.

    Raises:
        FsclError: weights that are not there, or other ones by now.
    """
    with torch.random.fork_rng(devices=()):
        start = untrained(config, Subset(own, bundle.classes, bundle.minority), Runtime.start(0))
    if start.start is not None and bundle.start is None:
        raise BundleError(NOT_NOTED)
    if start.start is not None and bundle.start is not None and start.start.sha256 != bundle.start.sha256:
        raise BundleError(f"{bundle.start.origin} holds other weights by now than those that the run started from")
    return start


def _with_class_means(start: Bundle) -> Bundle:
    """Return a bundle of the same backbone and a head that is to be fitted."""
    built, head = start.architecture, Component(name="class_means")
    size = start.preprocessing.image_size
    classifier = Classifier(built.backbone, len(start.classes), built.taps, image_size=size, head=head)
    classifier.load_backbone(start.classifier.backbone_weights(), "the start of the run")
    return replace(start, classifier=classifier.eval(), decisions=Decisions())


def _some_of_each(rows: pd.DataFrame, classes: Sequence[str], seed: int) -> pd.DataFrame:
    """Return the rows of at most `CLASS_MEAN_PHOTOS` photos of each class, chosen by the seed."""
    generator = np.random.default_rng(seed)
    parts = []
    for name in classes:
        own = rows[rows["label"] == name]
        photos = own["photo_id"].unique()
        few = generator.choice(len(photos), min(len(photos), CLASS_MEAN_PHOTOS), replace=False)
        parts.append(own[own["photo_id"].isin(photos[np.sort(few)])])
    return pd.concat(parts).reset_index(drop=True)


def _features(bundle: Bundle, rows: pd.DataFrame, root: Path, loading: Loading) -> FeatureStore:
    runtime = Runtime.start(loading.workers)
    bundle.classifier.to(runtime.device)
    return feature_store(bundle, rows, root, loading.listener, runtime.workers)


def _earlier(judged: Judged, config: Config, folder: Path, root: Path | None, loading: Loading) -> Beside:
    """Score the earlier model on the photos that it was neither trained nor validated on."""
    bundle, usable = judged.bundle, judged.test.usable
    if bundle.start is None:
        raise BundleError(NOT_NOTED)
    earlier = replace(Bundle.open(folder), decisions=Decisions())
    if file_sha256(RunFolder(folder).weights) != bundle.start.sha256:
        raise BundleError(f"{folder} holds another model by now: not the weights that the run started from")
    unknown = sorted(set(bundle.classes) - set(earlier.classes))
    if unknown:
        raise BundleError(f"it does not know {', '.join(unknown)}")
    own, gone = photos_of(folder, list(dict.fromkeys([None, root])))
    if own is None:
        raise PhotosError(f"nothing tells which photos it was trained on: {gone}")
    new = usable[~learnt(Manifest(usable, judged.test.root), own)]
    if new.empty:
        raise PhotosError(f"it was trained or validated on all {photos_in(usable):,} photos")
    test = Manifest(new, judged.test.root)
    _, logits = evaluate(earlier, test, store=features_of(earlier, test, loading), **loading._asdict())
    more = [name for name in earlier.classes if name not in bundle.classes]
    notes = [f"it also knows {', '.join(more)}, whose scores are left out"] if more else []
    if gone:
        notes.append(
            f"its photos are not known ({gone}): its training photos are told by known hashes, else by name and size"
        )
    left_out = photos_in(usable) - photos_in(new)
    return _compared("earlier", str(folder), judged, logits, config.seed, left_out=left_out, notes=notes)


def _compared(
    kind: str,
    what: str,
    judged: Judged,
    logits: pd.DataFrame,
    seed: int,
    *,
    left_out: int = 0,
    notes: Sequence[str] = (),
) -> Beside:
    """Compare two models on the photos that both could read, over the classes of the evaluated one."""
    bundle, columns = judged.bundle, [f"logit:{name}" for name in judged.bundle.classes]
    tables = [table.set_index("region_id") for table in (judged.logits, logits)]
    both = tables[0].index.intersection(tables[1].index, sort=False)
    if both.empty:
        raise PhotosError("no photo could be read")
    labels = np.array([bundle.classes.index(label) for label in tables[0].loc[both, "label"]])
    own, others = (table.loc[both, columns].to_numpy() for table in tables)
    rows = judged.test.usable.set_index("region_id").loc[both]
    bursts = groups(rows, "sequence" if rows["sequence"].notna().any() else "photo").number.to_numpy()
    right, other_right = (scores.argmax(axis=1) == labels for scores in (own, others))
    paired = paired_balanced_accuracy(right, other_right, labels, bursts, generator=np.random.default_rng(seed))
    return Beside(
        kind="start" if kind == "start" else "earlier",
        what=what,
        photos=photos_in(rows),
        left_out=left_out,
        figures=metrics_of(bundle, others, labels),
        same_photos=metrics_of(bundle, own, labels) if len(both) < len(judged.logits) else None,
        difference=Difference(paired.difference, paired.differ, paired.p),
        note="; ".join(notes) or None,
    )

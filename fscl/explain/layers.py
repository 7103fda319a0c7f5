"""How each tapped layer sees the test photos: cosines, places in the plane, measures of how it holds the classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fscl.bundle import Bundle
from fscl.explain.embedding import FEWEST, embed
from fscl.explain.similarity import shown_photos, upper_cosines
from fscl.inference import infer
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.progress import Listener
from fscl.records import CurvePoint, Embedding, LayerMatrices, LayerMeasures, Tightness
from fscl.records.log_lines import read_metrics
from fscl.scoring.collapse import NAMES, averages, class_features, mean_cosine
from fscl.scoring.some_of_each import some_of_each

MOST = 500  # test photos; t-SNE of more is no clearer


class Layers(NamedTuple):
    """What an explanation says of layers."""

    matrices: LayerMatrices | None
    embedding: Embedding | None
    measures: dict[str, LayerMeasures]
    photos: int


def layers_of(bundle: Bundle, test: Manifest, listener: Listener, workers: int) -> Layers:
    """Return what the tapped layers make of up to `MOST` test photos, those of rare classes whole.

    Args:
        bundle: on the device that computes.
        test: photos to choose from.
        listener: hears how far it is.
        workers: processes that read photos.
    """
    usable = test.usable.reset_index(drop=True)
    usable = usable[usable["label"].isin(bundle.classes)].reset_index(drop=True)
    if usable.empty:
        return Layers(None, None, {}, 0)
    few = shown_photos(usable, bundle.classes, bundle.minority).index
    many = some_of_each(usable["label"].tolist(), MOST)
    rows = usable.loc[sorted({*few, *many})].reset_index().rename(columns={"index": "place"})
    regions = Regions.of(rows, test.root, bundle.classes)
    read, answers, layers = _passed(bundle, regions, listener, workers)
    if not len(read):
        return Layers(None, None, {}, 0)
    rows, labels = rows.iloc[read].reset_index(drop=True), regions.labels[read]
    place_of = {place: number for number, place in enumerate(rows["place"])}
    shown = [place_of[place] for place in few if place in place_of]
    return Layers(
        _matrices(rows, layers, shown) if len(shown) > 1 else None,
        _embedding(rows, layers, [bundle.classes[answer] for answer in answers]) if len(rows) >= FEWEST else None,
        {name: measures_of(layer.numpy(), labels, bundle) for name, layer in layers.items()},
        len(rows),
    )


def _passed(
    bundle: Bundle, regions: Regions, listener: Listener, workers: int
) -> tuple[list[int], list[int], dict[str, Tensor]]:
    """The rows that could be read, the answers, and the features of each layer."""
    rows: list[int] = []
    answers: list[int] = []
    features: list[list[Tensor]] = []
    done = 0
    for part in infer(bundle.classifier, regions, bundle.preprocessing, features=True, workers=workers):
        done += len(part.rows) + len(part.failures)
        listener.prepare(done, len(regions), "test photos, layer by layer")
        if part.rows:
            rows += part.rows
            answers += part.logits.argmax(dim=1).tolist()
            features.append(part.features)
    joined = [torch.cat(layer) for layer in zip(*features, strict=True)]
    return rows, answers, dict(zip(bundle.classifier.layer_names, joined, strict=False))


def _matrices(rows: pd.DataFrame, layers: Mapping[str, Tensor], shown: list[int]) -> LayerMatrices:
    photos = rows.iloc[shown]
    cosines = {name: upper_cosines(layer[shown]) for name, layer in layers.items()}
    return LayerMatrices(photos["region_id"].tolist(), photos["label"].tolist(), cosines)


def _embedding(rows: pd.DataFrame, layers: Mapping[str, Tensor], answers: list[str]) -> Embedding:
    places = {name: [(x, y) for x, y in embed(layer.numpy()).tolist()] for name, layer in layers.items()}
    return Embedding(rows["region_id"].tolist(), rows["label"].tolist(), answers, places)


def measures_of(features: np.ndarray, labels: np.ndarray, bundle: Bundle) -> LayerMeasures:
    """Return how features, (photos, dim), hold the classes apart; `labels` are places in the bundle's classes."""
    found = class_features(features, labels, len(bundle.classes))
    rare = {bundle.classes.index(name) for name in bundle.minority}
    each = [averages(found, [place]) for place in range(len(bundle.classes))]
    upper = found.mean_cosines[np.triu_indices(len(bundle.classes), k=1)]
    return LayerMeasures(
        by_class={name: Tightness(**measures) for name, measures in zip(bundle.classes, each, strict=True)},
        common=Tightness(**averages(found, {*range(len(bundle.classes))} - rare)),
        rare=Tightness(**averages(found, rare)) if rare else Tightness(*[None] * len(NAMES)),
        mean_cosine=mean_cosine(found),
        mean_cosines=upper.round(4).tolist() if np.isfinite(upper).all() else [],
    )


def curve_of(metrics: Path) -> list[CurvePoint]:
    """Return what training noted of its features; nothing where it noted none, or its log is gone."""
    try:
        lines = read_metrics(metrics)
    except OSError:
        return []
    noted = [line for line in lines if line["kind"] == "epoch" and line.get("features")]
    return [CurvePoint(line["epoch"], line["step"], line["features"]) for line in noted]

"""Folders of evaluated runs, as `fscl train` and `fscl evaluate` write them (docs/schema.md), with made-up scores."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fscl.manifest.names import class_columns
from fscl.records import (
    PREDICTION_COLUMNS,
    VERSION,
    Amounts,
    Beside,
    Difference,
    Evaluation,
    Failed,
    Metrics,
    write_record,
)
from fscl.records.thumbnails import Thumbnail, write_thumbnails
from fscl.scoring.metrics import confusion, figures

WriteRun = Callable[..., Path]
CLASSES = ("boar", "deer", "고라니")


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (104, 104)) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, colour).save(written, "JPEG")
    return written.getvalue()


def scores_of(labels: np.ndarray, classes: int, skill: float) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.normal(0, 1.3, (len(labels), classes)) + skill * np.eye(classes)[labels]


@pytest.fixture(scope="session")
def write_run(tmp_path_factory) -> WriteRun:
    """Return a function that writes a run folder and returns it."""

    def write(
        *,
        classes: Sequence[str] = CLASSES,
        counts: Sequence[int] = (40, 24, 8),
        trained: Sequence[int] = (300, 60, 7),
        skill: float = 2.0,
        name: str = "photo {place}.jpg",
        heat: bool = False,
        picture: bytes | None = None,
        beside: Sequence[Beside] = (),
        failed: Sequence[Failed] = (),
        metrics: Sequence[dict] = (),
    ) -> Path:
        run = tmp_path_factory.mktemp("run")
        labels = np.repeat(np.arange(len(classes)), counts)
        logits = scores_of(labels, len(classes), skill)
        probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        named = probability.argmax(axis=1)
        train_counts = dict(zip(classes, map(int, trained), strict=True))
        rare = [min(train_counts, key=train_counts.__getitem__)]
        evaluation = Evaluation(
            version=VERSION,
            classes=list(classes),
            minority=rare,
            train_counts=train_counts,
            counts=dict(zip(classes, map(int, counts), strict=True)),
            figures=Metrics(**figures(logits, labels, classes=classes, minority=rare, train_counts=train_counts)),
            threshold=None,
            confusion=confusion(named, labels, len(classes)).tolist(),
            failed=list(failed),
            scored=Amounts(len(labels), len(labels)),
            beside=list(beside),
        )
        write_record(run / "evaluation.json", evaluation)
        columns = class_columns(classes, PREDICTION_COLUMNS)
        files = [f"/photos/of/mine/{name.format(place=place)}" for place in range(len(labels))]
        table = pd.DataFrame(
            {
                "filepath": files,
                "region": [f"{place}#0" for place in range(len(labels))],
                "label": [classes[place] for place in labels],
                "prediction": [classes[place] for place in named],
                "probability": probability.max(axis=1),
                **{columns[one]: probability[:, place] for place, one in enumerate(classes)},
                "problem": "",
            }
        )
        table.to_csv(run / "predictions.csv", index=False, lineterminator="\n", float_format="%.6g")
        pictures = [
            Thumbnail(
                f"{place}#0",
                picture or jpeg((60 + 40 * int(labels[place]) % 190, 120, 40 * int(named[place]) % 250)),
                jpeg((250, 20, 20)) if heat else None,
            )
            for place in np.argsort(labels == named, kind="stable")
        ]
        write_thumbnails(run / "thumbnails.parquet", pictures)
        bundle = {
            "classes": list(classes),
            "config": {"method": {"name": "frozen", "title": "Frozen"}, "seed": 0},
            "model": {"backbone": "test_resnet"},
            "created": "2026-11-26T10:00:00+00:00",
            "versions": {"fscl": "0.1.0"},
            "train_counts": train_counts,
        }
        (run / "bundle.json").write_text(json.dumps(bundle))
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
        return run

    return write


STARTED = Beside(
    kind="start",
    what="weights of a package",
    photos=72,
    figures=Metrics(
        **dict.fromkeys(
            ("minority_recall", "majority_recall", "macro_f1", "accuracy", "auroc", "average_precision", "ece"), 0.5
        ),
        **{"balanced_accuracy": 0.4, "log_loss": 1.0, "balanced_log_loss": 1.0},
        **{"recall_by_class": {}, "recall_by_bin": {}},
    ),
    difference=Difference(0.3, 20, 0.001),
)

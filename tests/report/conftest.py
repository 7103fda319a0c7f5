"""Study folders with made-up figures, as `fscl compare` writes them (docs/schema.md); and a browser."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

METHODS = ("baseline", "oversampling", "contrastive", "fscl")
PAIRS = {"fine": ["water_deer", "roe_deer"], "coarse": ["water_deer", "wild_boar"]}
TITLES = {"fscl": "FSCL"}
SUMMARIES = {
    "baseline": "cross-entropy on photos as they come",
    "oversampling": "cross-entropy, each class drawn equally often",
    "contrastive": "cross-entropy + feature similarity on photos as they come",
    "fscl": "cross-entropy + feature similarity, each class drawn equally often",
}
SKILL = {"baseline": -0.2, "oversampling": 0.25, "contrastive": -0.1, "fscl": 0.35}
TEST_PHOTOS = 500
WriteStudy = Callable[..., Path]


def figures_of(confusion: np.ndarray, classes: list[str], minority: list[str], train: dict[str, int]) -> dict:
    counts = confusion.sum(axis=1)
    recall = {name: float(confusion[i, i] / counts[i]) for i, name in enumerate(classes)}
    rare = [recall[name] for name in minority]
    common = [recall[name] for name in classes if name not in minority]
    bins: dict[str, list[float]] = {"<10": [], "10-99": [], "100-999": [], ">=1000": []}
    for name in classes:
        n = train[name]
        bins["<10" if n < 10 else "10-99" if n < 100 else "100-999" if n < 1000 else ">=1000"].append(recall[name])
    balanced = float(np.mean(list(recall.values())))
    return {
        "minority_recall": float(np.mean(rare)),
        "majority_recall": float(np.mean(common)),
        "balanced_accuracy": balanced,
        "macro_f1": balanced - 0.013,
        "accuracy": float(np.trace(confusion) / counts.sum()),
        "auroc": min(1.0, balanced + 0.083),
        "average_precision": min(1.0, balanced + 0.051),
        "ece": (1 - balanced) / 3,
        "log_loss": 1.2 - balanced,
        "balanced_log_loss": 1.3 - balanced,
        "recall_by_class": recall,
        "recall_by_bin": {name: float(np.mean(own)) if own else None for name, own in bins.items()},
    }


def evaluation_of(rng: np.random.Generator, cell: dict, train: dict[str, int], skill: float) -> dict[str, Any]:
    classes, minority = cell["classes"], cell["minority"]
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    for place, name in enumerate(classes):
        rare = 2.2 + skill * 6 + 1.1 * np.log10(cell["ratio"])
        strength = rare if name in minority else 3.5 - 2 * skill
        share = 0.99 / (1 + np.exp(-strength - 0.35 * rng.standard_normal()))
        confusion[place] = rng.multinomial(
            TEST_PHOTOS,
            [share if i == place else (1 - share) / (len(classes) - 1) for i in range(len(classes))],
        )
    figures = figures_of(confusion, classes, minority, train)
    shifted = {
        **figures,
        "minority_recall": min(1.0, figures["minority_recall"] + 0.1),
        "auroc": figures["auroc"],
    }
    return {
        "version": 1,
        "split": "test",
        "classes": classes,
        "minority": minority,
        "train_counts": train,
        "counts": dict.fromkeys(classes, TEST_PHOTOS),
        "figures": figures,
        "threshold": {"value": 0.31, "figures": shifted} if len(classes) == 2 else None,
        "confusion": confusion.tolist(),
        "not_evaluable": [],
        "failed": [],
    }


def cell_of(key: dict[str, Any], base: int, best: bool) -> dict[str, Any]:
    place = METHODS.index(key["method"]) if key["method"] in METHODS else len(METHODS)
    rng = np.random.default_rng([key["seed"], place, int(1e6 * key["ratio"]), *key["pair"].encode()])
    train = {name: round(base * key["ratio"]) if name in key["minority"] else base for name in key["classes"]}
    skill = SKILL.get(key["method"], 0.0)
    steps = list(range(10, 2001, 10))
    cross_entropy = (0.65 * np.exp(-np.array(steps) / 500) + 0.05 + 0.01 * rng.random(len(steps))).tolist()
    terms = {"cross_entropy": cross_entropy}
    if key["method"] in ("contrastive", "fscl"):
        terms |= {
            f"feature_similarity[{tap}]": (level * np.exp(-np.array(steps) / 900) + 0.04).tolist()
            for tap, level in ((-2, 0.45), (-1, 0.4))
        }
    epochs = list(range(20))
    accuracy: list[float | None] = [0.5 + (0.2 + skill / 2) * (1 - 2.0 ** (-epoch / 4)) for epoch in epochs]
    evaluations = {"last": evaluation_of(rng, key, train, skill)}
    if best:
        evaluations["best"] = evaluation_of(rng, key, train, skill + 0.02)
    return {
        "version": 1,
        "cell": key,
        "status": "done",
        "reason": None,
        "train_counts": train,
        "kept": "last",
        "evaluations": evaluations,
        "curve": {"step": steps, "loss": np.sum(list(terms.values()), axis=0).tolist(), "terms": terms},
        "validation_curve": {
            "epoch": epochs,
            "balanced_accuracy": [None, *accuracy[1:]],
            "balanced_log_loss": [0.7 for _ in epochs],
        },
        "similarity": similarity_of(key),
        "method": {
            "name": key["method"],
            "title": TITLES.get(key["method"], key["method"]),
            "summary": SUMMARIES.get(key["method"], "another method"),
            "source": f"Feature Similarity Contrastive Learning, column '{key['method']}'",
        },
        "provenance": {
            "created": f"2026-11-02T09:{key['seed']:02d}:00+00:00",
            "seconds": 912.5 + 10 * place,
            "photos_per_second": 410.0 + place,
            "steps": 2000,
            "versions": {"fscl": "0.1.0", "torch": "2.15.0", "timm": "1.0.31", "python": "3.11.2"},
            "machine": {"processor": "a processor", "cores": 16, "accelerator": None},
            "commit": "0123abc",
            "config_sha256": "ab" * 32,
        },
    }


def similarity_of(key: dict[str, Any]) -> dict[str, Any]:
    """Return cosines of three photos per class: alike at first, parted by 0.1 · (1 + place of the method) later."""
    labels = [name for name in key["classes"] for _ in range(3)]
    place = METHODS.index(key["method"]) if key["method"] in METHODS else len(METHODS)
    pairs = [(one, other) for n, one in enumerate(labels) for other in labels[n + 1 :]]
    parted = [0.9 if one == other else round(0.8 - 0.1 * place, 2) for one, other in pairs]
    return {
        "region_id": [f"{name}/{n}.jpg#0" for n, name in enumerate(labels)],
        "label": labels,
        "before": {"layer3": [0.9] * len(pairs), "layer4": [0.9] * len(pairs)},
        "after": {"layer3": parted, "layer4": parted},
    }


@pytest.fixture(scope="session")
def write_study(tmp_path_factory: pytest.TempPathFactory) -> WriteStudy:
    """Return a function that writes a study folder; `change` may alter a cell before that, or drop it (None)."""

    def write(
        *,
        folder: Path | None = None,
        pairs: dict[str, list[str]] = PAIRS,
        minority: list[str] | None = None,
        methods: tuple[str, ...] = METHODS,
        ratios: tuple[float, ...] = (1.0, 0.01),
        seeds: tuple[int, ...] = (0, 1, 2),
        base: int = 1000,
        best: bool = True,
        photos: str = "real",
        title: str = "Water deer against their look-alikes",
        change: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda cell: cell,
    ) -> Path:
        folder = folder or tmp_path_factory.mktemp("study")
        (folder / "cells").mkdir(parents=True, exist_ok=True)
        axes = {"pairs": pairs, "methods": list(methods), "ratios": list(ratios), "seeds": list(seeds)}
        header = {
            "version": 1,
            "title": title,
            "photos": photos,
            "settings": {"base": base, "backbone": "resnet18", "batch_size": 64, "learning_rate": 0.001},
            "axes": axes,
            "commit": "0123abc",
            "machine": {"processor": "a processor", "cores": 16, "accelerator": None},
            "command": "fscl compare photos.parquet --fine water_deer:roe_deer --out runs/study",
        }
        (folder / "study.json").write_text(json.dumps(header), encoding="utf-8")
        for pair, ratio, method, seed in product(pairs, ratios, methods, seeds):
            rare = minority if minority and pair == "all" else [pairs[pair][-1]]
            key = {
                "pair": pair,
                "classes": pairs[pair],
                "minority": rare,
                "method": method,
                "ratio": ratio,
                "seed": seed,
            }
            cell = change(cell_of(key, base, best))
            if cell:
                name = f"{pair}-{method}-r{ratio:g}-s{seed}.json"
                (folder / "cells" / name).write_text(json.dumps(cell), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def opened(open_page):
    """Return a function that opens a page offline; it may have pictures beside it."""

    def open_offline(path: Path, **options):
        address = path.resolve().as_uri()
        return open_page(address, own=("data:", f"{address.rpartition('/')[0]}/"), offline=True, **options)

    return open_offline

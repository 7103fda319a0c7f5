"""Does a model tell species that it was never trained on? One class is left out of training, then looked for.

    FSCL_CACHE=CACHE python benchmarks/unknown_species.py tinyimagenet-mammals [--resplits 5]

Six mammals, 100 photos each, as the features of the weights that are installed, from the feature cache where it has
them. Of five of them 60 photos each are for training, the other 40 for the test; all 100 photos of the sixth are of
the unknown species. The head is that of `fscl train`, calibrated on its training photos, each scored by a head that
had not seen it. Printed are, of each class left out, the AUROC of unknown against known test photos over resplits: of
the energy as the bundle keeps it, of the cosine distance to the class means, of one less the largest probability;
and how many of the known and the unknown photos the threshold of the bundle flags.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from frozen_features import features_of, logits_of
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from fscl.decisions import CalibrationPhotos, Decisions, calibrated
from fscl.manifest.table import Manifest
from fscl.scanning.scan import scan
from fscl.scoring.bias import choose_bias
from fscl.scoring.unknown import class_mean_distance, energy

CLASSES = ("bison", "brown_bear", "chimpanzee", "cougar", "hog", "lion")
PHOTOS, TRAINING = 100, 60  # of each class
FOLDS = 5


class Result(NamedTuple):
    """Of one resplit: AUROC of each score, and the shares of known and unknown photos that are flagged."""

    energy: float
    distance: float
    probability: float
    known: float
    unknown: float


def main() -> None:
    """Print how well species that were left out are told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--resplits", type=int, default=5)
    arguments = parser.parse_args()
    scanned = scan(arguments.photos)
    rows = scanned.rows[scanned.rows["label"].isin(CLASSES)].sort_values("path").groupby("label").head(PHOTOS)
    features, labels = features_of(Manifest(rows.reset_index(drop=True), scanned.root), CLASSES)
    print("left out     energy        distance      1 − p         flagged: known, unknown")
    everything = []
    for place, name in enumerate(CLASSES):
        results = [resplit(features, labels, place, seed) for seed in range(arguments.resplits)]
        everything += results
        print(f"{name:12} {_in_words(results)}", flush=True)
    print(f"{'mean':12} {_in_words(everything)}")


def resplit(features: np.ndarray, labels: np.ndarray, left_out: int, seed: int) -> Result:
    """Train on five classes and judge all six by the seed."""
    order = np.random.default_rng(seed).permutation(len(labels))
    shown = order[labels[order] != left_out]
    rank = np.array([np.flatnonzero(shown[labels[shown] == labels[row]] == row)[0] for row in shown])
    training, known = shown[rank < TRAINING], shown[rank >= TRAINING]
    classes = [name for place, name in enumerate(CLASSES) if place != left_out]
    number = np.unique(labels[training], return_inverse=True)[1]
    decisions = _decisions(features[training], number, classes, seed)
    judged = np.r_[known, np.flatnonzero(labels == left_out)]
    new = np.arange(len(judged)) >= len(known)
    [logits] = logits_of(features[training], number, features[judged])
    by = 1.0 if decisions.temperature is None else decisions.temperature.value
    flagged = decisions.like_none(logits)
    return Result(
        energy=roc_auc_score(new, energy(logits, by)),
        distance=roc_auc_score(new, class_mean_distance(features[judged], features[training], number)),
        probability=roc_auc_score(new, 1 - decisions.probabilities(logits, classes).max(axis=1)),
        known=float(flagged[~new].mean()),
        unknown=float(flagged[new].mean()),
    )


def _decisions(features: np.ndarray, labels: np.ndarray, classes: list[str], seed: int) -> Decisions:
    """Return the decisions that photos give, each scored by a head that had not seen it."""
    logits = np.empty((len(labels), len(classes)), dtype=np.float32)
    for kept, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, labels):
        logits[held_out] = logits_of(features[kept], labels[kept], features[held_out])[0]
    photos = CalibrationPhotos(logits, labels, np.arange(len(labels)), "photos", "training photos", decided=True)
    bias = dict(zip(classes, choose_bias(logits, labels).tolist(), strict=True))
    chosen = Decisions.model_validate({"bias": {"bias": bias, "photos": len(labels), "folds": FOLDS}})
    return calibrated(chosen, photos, classes)


def _in_words(results: list[Result]) -> str:
    """Return means and spreads in the order of the heading."""
    columns = np.array(results)
    figures = zip(columns.mean(axis=0), columns.std(axis=0, ddof=1), strict=True)
    shown = [f"{mean:.3f} ± {spread:.3f}" for mean, spread in figures]
    return "  ".join([*shown[:3], f"{columns[:, 3].mean():.3f}, {columns[:, 4].mean():.3f}"])


if __name__ == "__main__":
    main()

"""Are the promises of a calibrated model kept? Auto-accept bars, conformal sets, calibration, on photos left aside.

    FSCL_CACHE=CACHE python benchmarks/promises.py cifar10.zip [--resplits 100]

Deer and horse of CIFAR-10 as the features of EfficientNet-Lite0 at 128 px, from the feature cache where it has them.
Each resplit draws 1,000 training, 2,000 calibration and 9,000 new photos; a logistic head is fitted to the first,
calibrated on the second and judged on the last. A bar is broken where the precision on the new photos is below .95.
Bounds: broken no oftener than the 99 % binomial band of 5 % of all certified bars allows, at least 80 % of the bars
certified; coverage of the sets outside its 99 % beta-binomial band no oftener than chance in 20 resplits; the
calibration error less than before. Where deer are 1 : 9 among the new photos the precision is printed, without
promise; so is the coverage on photos of a kind that calibration had none of, as those of a new camera would be: each
class is divided into five kinds by what the backbone sees (k-means), and each kind is left out in turn.
Exit code 1 where a bound is missed.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from frozen_features import features_of, logits_of
from scipy import stats
from scipy.special import softmax
from sklearn.cluster import KMeans

from fscl.decisions import CalibrationPhotos, Decisions, calibrated
from fscl.manifest.table import Manifest
from fscl.scanning.scan import scan
from fscl.scoring.calibration import expected_calibration_error
from fscl.scoring.conformal import coverage_band

CLASSES = ("deer", "horse")
TRAINING, CALIBRATION = 1000, 2000
COVERAGE_RESPLITS = 20
BAND = 0.99
CERTIFIED = 0.8  # of the bars, at least
KINDS = 5  # of the photos of a class, told by their features


class Result(NamedTuple):
    """Of one resplit: bars certified and broken, accepted share; sets inside their band; calibration errors."""

    certified: int
    broken: int
    accepted: list[float]
    shifted: list[float]
    covered: list[tuple[float, bool]]
    errors: tuple[float, float]


def main() -> None:
    """Print how the promises are kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--resplits", type=int, default=100)
    arguments = parser.parse_args()
    scanned = scan(arguments.photos)
    rows = scanned.rows[scanned.rows["label"].isin(CLASSES)].reset_index(drop=True)
    features, labels = features_of(Manifest(rows, scanned.root), CLASSES, image_size=128)
    results = [resplit(features, labels, seed) for seed in range(arguments.resplits)]
    certified, broken = sum(one.certified for one in results), sum(one.broken for one in results)
    bars = len(CLASSES) * len(results)
    most = int(stats.binom(certified, 0.05).ppf(BAND)) if certified else 0
    accepted = [share for one in results for share in one.accepted]
    print(f"bars certified: {certified} of {bars} ({certified / bars:.2f}; bound {CERTIFIED})")
    print(f"promises broken: {broken} of {certified} (bound {most}: {BAND:.0%} band of 5 %)")
    print(f"share of a species accepted: {np.mean(accepted):.2f}" if accepted else "nothing was accepted")
    shifted = [value for one in results for value in one.shifted]
    if shifted:
        print(f"precision of the same bars where deer : horse is 1 : 9, without promise: {min(shifted):.3f} at least")
    sets = [pair for one in results[:COVERAGE_RESPLITS] for pair in one.covered]
    outside = sum(not inside for _, inside in sets)
    allowed = int(stats.binom(len(sets), 1 - BAND).ppf(BAND))
    print(
        f"coverage of the sets: {np.mean([share for share, _ in sets]):.3f} (promise .95), outside the band in "
        f"{outside} of {len(sets)} (bound {allowed})"
    )
    for place, name in enumerate(CLASSES):
        shares = [one[place] for one in of_new_kinds(features, labels)]
        print(f"coverage on {name} of a kind left out, without promise: {', '.join(f'{one:.3f}' for one in shares)}")
    before, after = (np.mean([one.errors[place] for one in results]) for place in (0, 1))
    print(f"calibration error (ECE): {before:.4f} before, {after:.4f} after")
    kept = broken <= most and certified >= CERTIFIED * bars and outside <= allowed and after < before
    sys.exit(0 if kept else 1)


def of_new_kinds(features: np.ndarray, labels: np.ndarray) -> list[list[float]]:
    """Return the coverage of each class on each kind of photos that neither head nor calibration had any of."""
    kinds = np.zeros(len(labels), dtype=int)
    for place in range(len(CLASSES)):
        own = labels == place
        kinds[own] = KMeans(KINDS, n_init=1, random_state=0).fit_predict(features[own])
    found = []
    for kind in range(KINDS):
        known = np.random.default_rng(kind).permutation(np.flatnonzero(kinds != kind))
        training, calibration = known[:TRAINING], known[TRAINING : TRAINING + CALIBRATION]
        new = np.flatnonzero(kinds == kind)
        decisions, logits = fitted(features, labels, training, calibration, new)
        inside = decisions.in_sets(decisions.probabilities(logits, CLASSES), CLASSES)
        found.append([float(inside[labels[new] == place, place].mean()) for place in range(len(CLASSES))])
    return found


def fitted(
    features: np.ndarray, labels: np.ndarray, training: np.ndarray, calibration: np.ndarray, new: np.ndarray
) -> tuple[Decisions, np.ndarray]:
    """Fit a head and calibrate it; return its decisions, and the logits of the new photos."""
    logits, new_logits = logits_of(features[training], labels[training], features[calibration], features[new])
    photos = CalibrationPhotos(
        logits, labels[calibration], np.arange(len(calibration)), "photos", "calibration photos", decided=False
    )
    return calibrated(Decisions(), photos, CLASSES), new_logits


def resplit(features: np.ndarray, labels: np.ndarray, seed: int) -> Result:
    """Fit, calibrate and judge on three parts drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(labels))
    training, calibration, new = np.split(order, [TRAINING, TRAINING + CALIBRATION])
    decisions, new_logits = fitted(features, labels, training, calibration, new)
    truth = labels[new]
    probabilities = decisions.probabilities(new_logits, CLASSES)
    bars, answers, scores = decisions.accept.bars(CLASSES), probabilities.argmax(axis=1), probabilities.max(axis=1)
    taken = [(answers == place) & (scores >= bar) for place, bar in enumerate(bars) if np.isfinite(bar)]
    places = np.flatnonzero(np.isfinite(bars))
    precision = [(truth[rows] == place).mean() for place, rows in zip(places, taken, strict=True) if rows.any()]
    rare = np.r_[np.flatnonzero(truth == 0)[::9], np.flatnonzero(truth == 1)]
    shifted = [
        (truth[rare][rows[rare]] == place).mean()
        for place, rows in zip(places, taken, strict=True)
        if rows[rare].any()
    ]
    return Result(
        certified=len(taken),
        broken=int((np.array(precision) < decisions.accept.target).sum()),
        accepted=[
            float((rows & (truth == place)).sum() / (truth == place).sum())
            for place, rows in zip(places, taken, strict=True)
        ],
        shifted=shifted,
        covered=_covered(decisions, probabilities, truth),
        errors=(
            expected_calibration_error(softmax(new_logits.astype(np.float64), axis=1), truth) or 0.0,
            expected_calibration_error(probabilities, truth) or 0.0,
        ),
    )


def _covered(decisions: Decisions, probabilities: np.ndarray, truth: np.ndarray) -> list[tuple[float, bool]]:
    inside = decisions.in_sets(probabilities, CLASSES)
    found = []
    for place, name in enumerate(CLASSES):
        own = truth == place
        share = float(inside[own, place].mean())
        low, high = coverage_band(decisions.sets.photos[name], int(own.sum()), decisions.sets.alpha, BAND)
        found.append((share, low <= share <= high))
    return found


if __name__ == "__main__":
    main()

"""Tables thinned to a wanted ratio or long tail, nested, and measures of the imbalance that is there."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import floor, inf
from statistics import fmean

import numpy as np
import pandas as pd

from fscl.errors import ConfigurationError, PhotosError, did_you_mean
from fscl.manifest.table import unit_of

STUDY_BASE = 10_000  # majority photos in the study
MIN_MINORITY_PHOTOS = 3  # with fewer, a cell of a comparison is undefined
ROUNDING = 1e-9  # 4500 * 0.01 may come out as 44.999…, but means 45


def thin(
    rows: pd.DataFrame,
    *,
    minority: Sequence[str],
    ratio: float,
    base: int | None,
    seed: int,
    thin_validation: bool = True,
) -> pd.DataFrame:
    """Return the manifest without the training and validation rows that are too many for the ratio.

    A row is a region: a box, or a photo without boxes. Each majority class keeps `base` training rows, each
    minority class `base * ratio` (rounded down).
    Validation shrinks alike: a majority class by its own `base / training rows`, a minority class to
    `ratio` times what the majority classes keep on average. Test rows, and rows without split, all stay.

    Which rows stay hangs on the seed and the class's region_ids alone, and fewer are among more: the rows at
    1:0.001 are among those at 1:0.01 of the same base. Row order plays no part, and is kept.

    Args:
        rows: manifest rows with `split`; every class to train on has training rows.
        minority: the rare classes; all others are majority classes.
        ratio: minority rows per majority row, in (0, 1].
        base: training rows of each majority class; None for the most that this ratio allows
            (`default_base`). To compare ratios, give all the same base.
        seed: of the draw.
        thin_validation: False keeps every validation row.

    Raises:
        ConfigurationError: ratio out of range, or a minority that is empty, unknown or all there is.
        PhotosError: fewer training rows than asked for, or none left of the minority.

    >>> rows = pd.DataFrame({"label": ["boar"] * 100 + ["bear"] * 30, "split": "train"})
    >>> rows["region_id"] = [f"{number}#0" for number in range(130)]
    >>> thin(rows, minority=["bear"], ratio=0.1, base=80, seed=0)["label"].value_counts().to_dict()
    {'boar': 80, 'bear': 8}
    """
    counts = _counts(rows, "train")
    _check_request(counts, minority, [ratio])
    if base is None:
        base = default_base(counts, minority, [ratio])
    kept = {"train": _training_sizes(counts, minority, ratio, base, _unit(rows))}
    if thin_validation:
        shares = {label: base / counts[label] for label in counts if label not in minority}
        kept["val"] = _validation_sizes(_counts(rows, "val"), minority, ratio, shares)
    return _without_surplus(rows, kept, seed)


def default_base(counts: Mapping[str, int], minority: Collection[str], ratios: Collection[float]) -> int:
    """Return the most rows per majority class for which every ratio is reached in full, at most STUDY_BASE.

    Args:
        counts: class → training rows, all classes.
        minority: the rare classes among them.
        ratios: minority rows per majority row, each in (0, 1].

    Raises:
        ConfigurationError: a ratio out of range, or a minority that is empty, unknown or all there is.

    >>> default_base({"deer": 4500, "horse": 4500}, ["deer"], [1.0, 0.1])
    4500
    >>> default_base({"deer": 100, "horse": 4500}, ["deer"], [0.1])
    1000
    """
    _check_request(counts, minority, ratios)
    majority = [rows for label, rows in counts.items() if label not in minority]
    scarcest = min(counts[label] for label in minority)
    return min([STUDY_BASE, *majority, *(floor(min(scarcest / ratio, STUDY_BASE) + ROUNDING) for ratio in ratios)])


def profile(
    rows: pd.DataFrame,
    *,
    classes: Sequence[str],
    imbalance: float,
    base: int | None,
    seed: int,
    thin_validation: bool = True,
) -> pd.DataFrame:
    """Return the manifest thinned to a long tail: the training rows of each class fall exponentially.

    How many rows, that is regions as in `thin`, each class keeps is said by `profile_sizes`. Validation shrinks
    alike, each class by its own share of training rows kept, but not below one row. Test rows, and rows without
    split, all stay. Which rows stay is drawn as in `thin`: those at imbalance 100 are among those at 10 of the same
    base.

    Args:
        rows: manifest rows with `split`.
        classes: of the training rows, from the one that keeps most to the one that keeps fewest.
        imbalance: training rows of the first class for each of the last, ≥ 1.
        base: training rows of the first class; None for the most that this imbalance allows (`profile_base`).
            To compare imbalances, give all the same base.
        seed: of the draw.
        thin_validation: False keeps every validation row.

    Raises:
        ConfigurationError: imbalance out of range, or `classes` that are not those of the training rows.
        PhotosError: fewer training rows than asked for, or none left of a class.

    >>> rows = pd.DataFrame({"label": ["bear", "boar", "deer"] * 100, "split": "train"})
    >>> rows["region_id"] = [f"{number}#0" for number in range(300)]
    >>> tail = profile(rows, classes=["bear", "boar", "deer"], imbalance=100, base=None, seed=0)
    >>> tail["label"].value_counts().to_dict()
    {'bear': 100, 'boar': 10, 'deer': 1}
    """
    counts = _counts(rows, "train")
    if base is None:
        base = profile_base(counts, classes, [imbalance])
    sizes = profile_sizes(classes, imbalance, base)
    _check_profile(counts, sizes, imbalance, base, _unit(rows))
    kept = {"train": sizes}
    if thin_validation:
        kept["val"] = {
            label: max(1, floor(photos * sizes[label] / counts[label] + ROUNDING))
            for label, photos in _counts(rows, "val").items()
            if label in sizes
        }
    return _without_surplus(rows, kept, seed)


def profile_sizes(classes: Sequence[str], imbalance: float, base: int) -> dict[str, int]:
    """Return the training rows of each class under the exponential profile of Cao et al. 2019 (LDAM), Sec. 4.

    n_c = base · imbalance^(−c / (K − 1)) for class c = 0 … K − 1, rounded down as in the authors' code.

    Args:
        classes: K ≥ 2 names, from the commonest to the rarest.
        imbalance: largest class : smallest class, ≥ 1.
        base: rows of the first class.

    Raises:
        ConfigurationError: imbalance out of range, fewer than two classes, or one of them twice.

    >>> list(profile_sizes([f"class {c}" for c in range(10)], imbalance=100, base=5000).values())
    [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    """
    shares = _profile_shares(classes, imbalance)
    return {label: floor(base * share + ROUNDING) for label, share in shares.items()}


def profile_base(counts: Mapping[str, int], classes: Sequence[str], imbalances: Collection[float]) -> int:
    """Return the most rows of the first class for which every class reaches its place in the profile in full.

    Args:
        counts: class → training rows.
        classes: K ≥ 2 of them, from the commonest to the rarest.
        imbalances: largest class : smallest class, each ≥ 1.

    Raises:
        ConfigurationError: an imbalance out of range, or `classes` that are not those of the training rows.

    >>> profile_base({"bear": 900, "boar": 60, "deer": 10}, ["bear", "boar", "deer"], [100])
    600
    """
    _check_classes(counts, classes)
    return min(
        floor(min(counts[label] / share, counts[classes[0]]) + ROUNDING)
        for imbalance in imbalances
        for label, share in _profile_shares(classes, imbalance).items()
    )


def measures(counts: Mapping[str, int]) -> dict[str, float | None]:
    """Return how unevenly training regions are spread over classes.

    `imbalance_ratio` (largest class / smallest, ≥ 1; None with an empty class), `gini` (in [0, 1), 0 even),
    `entropy` (of the class shares over its maximum, in [0, 1], 1 even; None for a single class) and
    `effective_classes` (exp of the entropy in nats: as many even classes would be as varied).

    Raises:
        PhotosError: no photo at all.

    >>> measures({"boar": 900, "bear": 100})["imbalance_ratio"]
    9.0
    """
    sizes = np.sort(np.array(list(counts.values()), dtype=np.float64))
    if not sizes.sum():
        raise PhotosError("expected classes with photos to measure, got none")
    shares = sizes / sizes.sum()
    nats = -float(np.sum(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares))))
    ranks = np.arange(1, len(sizes) + 1)
    return {
        "imbalance_ratio": float(sizes[-1] / sizes[0]) if sizes[0] else None,
        "gini": max(0.0, float((2 * ranks - len(sizes) - 1) @ shares / len(sizes))),
        "entropy": nats / float(np.log(len(sizes))) if len(sizes) > 1 else None,
        "effective_classes": float(np.exp(nats)),
    }


def _unit(rows: pd.DataFrame) -> str:
    return unit_of(rows) if "photo_id" in rows else "photos"


def _training_sizes(
    counts: Mapping[str, int], minority: Collection[str], ratio: float, base: int, unit: str
) -> dict[str, int]:
    wanted = floor(base * ratio + ROUNDING)
    if wanted < 1:
        raise PhotosError(
            f"expected a ratio that leaves photos of the minority, but {ratio} of base {base} leaves none;"
            " use a larger ratio or base"
        )
    kept = {label: wanted if label in minority else base for label in counts}
    for label, rows in kept.items():
        if rows > counts[label]:
            raise PhotosError(
                f"expected at least {rows} training {unit} of '{label}' (base {base}, ratio {ratio}), got"
                f" {counts[label]}; the largest base here is {default_base(counts, minority, [ratio])}"
            )
    return kept


def _validation_sizes(
    counts: Mapping[str, int], minority: Collection[str], ratio: float, shares: Mapping[str, float]
) -> dict[str, int]:
    kept = {
        label: max(1, floor(counts[label] * share + ROUNDING)) for label, share in shares.items() if label in counts
    }
    wanted = floor(fmean(kept.values() or [0]) * ratio + ROUNDING)
    return kept | {label: min(wanted, counts[label]) for label in minority if label in counts}


def _profile_shares(classes: Sequence[str], imbalance: float) -> dict[str, float]:
    if not 1 <= imbalance < inf:
        raise ConfigurationError(
            f"expected an imbalance (largest class : smallest class) of at least 1, got {imbalance}; 100 means 100:1"
        )
    last = len(classes) - 1
    if last < 1 or len(set(classes)) <= last:
        raise ConfigurationError(f"expected two or more different classes for a profile, got {', '.join(classes)}")
    return {label: imbalance ** (-place / last) for place, label in enumerate(classes)}


def _check_classes(counts: Mapping[str, int], classes: Sequence[str]) -> None:
    if set(classes) != set(counts):
        raise ConfigurationError(
            f"expected the classes of the training photos, {', '.join(sorted(counts))}; got {', '.join(classes)}"
        )


def _check_profile(
    counts: Mapping[str, int], sizes: Mapping[str, int], imbalance: float, base: int, unit: str
) -> None:
    _check_classes(counts, list(sizes))
    for label, photos in sizes.items():
        if photos > counts[label]:
            raise PhotosError(
                f"expected at least {photos} training {unit} of '{label}' (base {base}, imbalance {imbalance:g}), got"
                f" {counts[label]}; the largest base here is {profile_base(counts, list(sizes), [imbalance])}"
            )
        if photos < 1:
            raise PhotosError(
                f"expected an imbalance that leaves photos of every class, but {imbalance:g} at base {base} leaves"
                f" none of '{label}'; use a smaller imbalance or a larger base"
            )


def _counts(rows: pd.DataFrame, split: str) -> Counter[str]:
    return Counter(rows.loc[rows["split"] == split, "label"])


def _without_surplus(rows: pd.DataFrame, kept: Mapping[str, Mapping[str, int]], seed: int) -> pd.DataFrame:
    """Return the rows without those of a split beyond what is `kept` of each class in it."""
    surplus = []
    for split, label in [(split, label) for split, sizes in kept.items() for label in sizes]:
        own = sorted(rows.loc[(rows["split"] == split) & (rows["label"] == label), "region_id"])
        # An order of its own: with the seed alone, classes of one size would share it.
        order = np.random.default_rng([seed, *f"{split}/{label}".encode()]).permutation(len(own))
        surplus += [own[position] for position in order[kept[split][label] :]]
    return rows[~rows["region_id"].isin(surplus)]


def _check_request(classes: Collection[str], minority: Collection[str], ratios: Collection[float]) -> None:
    for ratio in ratios:
        if not 0 < ratio <= 1:
            raise ConfigurationError(
                f"expected a ratio of minority to majority in (0, 1], got {ratio}; 0.01 means 1:0.01"
            )
    for label in minority:
        if label not in classes:
            raise ConfigurationError(
                f"minority '{label}' is no class of the training photos{did_you_mean(label, classes)}"
            )
    if not 0 < len(set(minority)) < len(classes):
        raise ConfigurationError(
            f"expected some but not all of the {len(classes)} classes as minority, got {len(set(minority))};"
            f" choose from: {', '.join(sorted(classes))}"
        )

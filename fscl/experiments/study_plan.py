"""What a comparison will run: its cells, each with its configuration, and the header of its study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

from fscl.config import BOOKKEEPING, Config, Split, resolve
from fscl.errors import ConfigurationError, PhotosError
from fscl.experiments.cell import Task
from fscl.experiments.grid import LONG_TAIL, ClassSet, cells, long_tail_cells
from fscl.manifest.imbalance import default_base, profile_base, profile_sizes
from fscl.manifest.table import Manifest
from fscl.records import VERSION, Axes, CellKey, StudyHeader
from fscl.runtime import commit, machine
from fscl.training.subset import tail


@dataclass(frozen=True)
class StudyPlan:
    """The cells of a comparison and what they share.

    Attributes:
        tasks: every cell with its configuration, finished ones, too.
        axes: what is compared.
        settings: what all cells share, as `section.key`.
    """

    tasks: list[Task]
    axes: Axes
    settings: dict[str, Any]

    def header(
        self, *, title: str, photos: Literal["real", "generated"], command: str, source: dict[str, Any]
    ) -> StudyHeader:
        """Return the header of the study, as computed here and now."""
        return StudyHeader(
            version=VERSION,
            title=title,
            photos=photos,
            settings=self.settings,
            axes=self.axes,
            commit=commit(),
            machine=machine(),
            command=command,
            **source,
        )


def study_plan(
    divided: Manifest,
    configs: Mapping[str, Config],
    pairs: Sequence[ClassSet],
    ratios: Sequence[float] | None,
    seeds: Sequence[int],
    imbalances: Sequence[float],
    before: StudyHeader | None,
) -> StudyPlan:
    """Return what a comparison will run.

    Args:
        divided: the photos, split.
        configs: method → configuration.
        pairs: what to tell apart.
        ratios: majority : minority = 1 : ratio; None leaves the photos as they are, or to the imbalances.
        seeds: one run per seed.
        imbalances: of a long tail, in place of ratios.
        before: the header of the study that is in the folder already; its bases are kept.
    """
    profile = LONG_TAIL if imbalances else None
    pairs = [_with_base(pair, divided, ratios, imbalances, before) for pair in pairs]
    if profile is None:
        ratios_by_pair = {pair.name: ratios or [_present_ratio(pair, divided)] for pair in pairs}
        grid = cells(pairs, list(configs), ratios_by_pair, seeds)
    else:
        tails = {pair.name: _tails(pair, imbalances) for pair in pairs}
        grid = long_tail_cells(pairs, list(configs), profile, tails, seeds)
    axes = Axes(
        pairs={pair.name: list(pair.classes) for pair in pairs},
        methods=list(configs),
        ratios=sorted({cell.ratio for cell in grid}, reverse=True),
        seeds=list(dict.fromkeys(seeds)),
    )
    tasks = [Task(cell, _cell_config(configs[cell.method], cell)) for cell in grid]
    return StudyPlan(tasks, axes, _shared_settings(configs, pairs, profile))


def check_thinning(ratios: Sequence[float] | None, imbalances: Sequence[float]) -> None:
    """Raise ConfigurationError where photos would be thinned in two ways at once."""
    if ratios is not None and imbalances:
        raise ConfigurationError("--ratios and --imbalance both say how photos are thinned: give one of them")


def shared_split(configs: Mapping[str, Config]) -> Split:
    """Return how all methods split the photos: they are split once, and compared on the same test photos."""
    (first, config), *others = configs.items()
    for name, other in others:
        if other.split != config.split:
            raise ConfigurationError(
                f"methods are compared on the same photos: expected one `split`, got {config.split} of {first} "
                f"and {other.split} of {name}; leave that section out of the recipes"
            )
    return config.split


def _with_base(
    pair: ClassSet,
    manifest: Manifest,
    ratios: Sequence[float] | None,
    imbalances: Sequence[float],
    before: StudyHeader | None,
) -> ClassSet:
    """Return the pair with its base: as given, as in the study that is there, or such that all can be reached."""
    if pair.base is not None or (ratios is None and not imbalances):
        return pair
    counts = _train_counts(pair, manifest)
    known = before.settings.get(f"base.{pair.name}") if before else None
    if ratios is not None:
        return replace(pair, base=known or default_base(counts, pair.minority, ratios))
    return replace(pair, base=known or profile_base(counts, pair.classes, imbalances))


def _tails(pair: ClassSet, imbalances: Sequence[float]) -> dict[float, tuple[str, ...]]:
    """Return the rare classes at each imbalance."""
    assert pair.base is not None, "a long tail has a base"
    return {imbalance: tail(profile_sizes(pair.classes, imbalance, pair.base)) for imbalance in imbalances}


def _present_ratio(pair: ClassSet, manifest: Manifest) -> float:
    """Return the ratio of the photos as they are, classes on each side averaged, to three digits."""
    counts = _train_counts(pair, manifest)
    untrained = [name for name, regions in counts.items() if not regions]
    if untrained:
        raise PhotosError(f"no training photo of {', '.join(untrained)}; check the split column of the source")
    rare = fmean(counts[name] for name in pair.minority)
    common = fmean(counts[name] for name in pair.classes if name not in pair.minority)
    return float(f"{rare / common:.3g}")


def _train_counts(pair: ClassSet, manifest: Manifest) -> dict[str, int]:
    rows = manifest.usable
    counts = rows.loc[rows["split"] == "train", "label"].value_counts()
    return {name: int(counts.get(name, 0)) for name in pair.classes}


def _cell_config(config: Config, cell: CellKey) -> Config:
    as_ratio = cell.base is not None and cell.profile is None
    imbalance = {
        "minority": list(cell.minority),
        "ratio": cell.ratio if as_ratio else None,
        "imbalance": cell.imbalance,
        "base": cell.base,
    }
    return resolve(
        [
            (cell.name, config.record()),
            (cell.name, {"seed": cell.seed, "classes": list(cell.classes), "imbalance": imbalance}),
        ]
    )


def _shared_settings(configs: Mapping[str, Config], pairs: Sequence[ClassSet], profile: str | None) -> dict[str, Any]:
    """Return what all cells share, flat, as `section.key`; what a recipe sets for itself is left out."""
    records = [config.model_dump(mode="json") for config in configs.values()]
    shared: dict[str, Any] = {f"base.{pair.name}": pair.base for pair in pairs}
    shared["imbalance.profile"] = profile
    shared["imbalance.thin_validation"] = records[0]["imbalance"]["thin_validation"]
    for section in ("model", "preprocessing", "augmentation", "split", "training"):
        for key, value in records[0][section].items():
            alike = all(record[section][key] == value for record in records)
            if alike and key not in {*BOOKKEEPING, "keep"}:
                shared[f"{section}.{key}"] = value
    return shared

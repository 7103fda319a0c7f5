"""What a run or study starts with: photos as they are given, or those that the folder of a run holds."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fscl import processes
from fscl.bundle import backbone_of
from fscl.config import Config
from fscl.errors import ConfigurationError
from fscl.experiments.grid import STUDY_RATIOS
from fscl.experiments.run import compare, pairs_of
from fscl.flags import Flags
from fscl.formats import check_there
from fscl.formats.reading import Reading
from fscl.manifest.table import Manifest
from fscl.methods import DEFAULT
from fscl.printable import printable
from fscl.run_folder import RunFolder
from fscl.scanning.class_names import ClassNames
from fscl.scanning.opening import open_photos, say_untimed
from fscl.training.run import begun_run
from fscl.training.start import check_processes, check_start
from fscl.training.subset import Subset

WHY = (
    "pretrained weights as they are, and a map of their features that the study's similarity term shapes. It takes "
    "minutes, and with few photos it is far better than training from scratch. The study's method: --method fscl; "
    "all of them: fscl methods"
)

IF_LONG = "; more than an hour: a smaller --image-size is quicker, and fewer photos of the common classes (--base)"


def run_to_go_on_with(source: Path | None, out: Path | None, *, resume: bool, overwrite: bool) -> Path | None:
    """Return the folder of the run that is to go on by what it holds; None for photos and a folder that are given.

    Raises:
        ConfigurationError: too little is given for either, or it is to be dropped, too.
    """
    if source is not None and out is not None:
        return None
    run = out or source
    if not resume or run is None:
        lacking = "--out, the folder of the run" if source is not None else "photos"
        raise ConfigurationError(
            f"a run needs {lacking}: fscl train PHOTOS --out RUN; one that was interrupted goes on by "
            "fscl train --resume RUN"
        )
    if overwrite:
        raise ConfigurationError("--overwrite drops the run that --resume goes on with: give one of them")
    return run


def config_and_photos(
    flags: Flags,
    source: Path | None,
    *,
    method: str | None,
    reading: Reading,
    begun: Path | None,
    **more: Any,
) -> tuple[Config, Manifest | Subset]:
    """Return the configuration and the photos of a run, of one that was `begun` as its folder has them.

    Raises:
        FsclError: settings or photos that cannot be; no run to go on with.
    """
    if begun is not None:
        if method is not None:
            raise ConfigurationError(f"{begun} goes on with its own method: leave --method out")
        check_root_alone(reading, begun)
        settings, chosen = begun_run(RunFolder(begun), root=reading.root)
        return flags.laid_over(str(RunFolder(begun).settings), settings, **more), chosen
    assert source is not None, "a new run has photos"
    check_there(source)
    if more.get("bundle") and flags.backbone is None:
        flags = replace(flags, backbone=backbone_of(Path(more["bundle"])))
    config = _of_new_run(flags, method, **more)
    check_processes(config)
    check_start(config.model)
    photos = open_photos(source, reading)
    say_untimed(photos, source, config.split.by)
    return ClassNames(photos.usable["label"]).configured(config), photos


def same_config_and_photos(*args: Any, **more: Any) -> tuple[Config, Manifest | Subset]:
    """Return what `config_and_photos` gives the first process, to all processes of the run."""

    def found() -> tuple[tuple[Config, Manifest | Subset], list[str]]:
        return config_and_photos(*args, **more), sys.path

    both, path = processes.first(found)
    sys.path.extend(place for place in path if place not in sys.path)  # where modules of the user's own are
    return both


def check_root_alone(reading: Reading, run: Path) -> None:
    """Refuse what is said of how photos are read where they are those of a run, which may have moved, no more.

    Raises:
        ConfigurationError: more than a root is said.
    """
    given = [field.name for field in fields(reading) if field.name != "root" and getattr(reading, field.name)]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        raise ConfigurationError(f"{option} says how photos are read, and {run} knows its own: leave it out")


def _of_new_run(flags: Flags, method: str | None, **more: Any) -> Config:
    """Return the configuration of a run; where nothing names its method, that is `DEFAULT`, and stderr says why."""
    if method is None and flags.names_method:
        return flags.laid_over("", {}, **more)
    config, given = flags.resolve(method or DEFAULT, **more), flags.of_training()
    if not config.stage and given:
        raise ConfigurationError(
            f"{given[0]} changes nothing: the head of '{config.method.name}' is fitted at once, without steps. "
            "Leave it out, or give a --method that trains step by step: fscl_plus, on pretrained features, or fscl, "
            "the study's, from scratch"
        )
    if method is None:
        print(printable(f"no --method given, so {config.method.name}: {WHY}"), file=sys.stderr)
    return config


def run_study(
    source: Path,
    configs: Mapping[str, Config],
    out: Path,
    *,
    reading: Reading,
    fine: str | None,
    coarse: str | None,
    minority: Sequence[str],
    base: int | None,
    ratios: Sequence[float] | None,
    imbalances: Sequence[float],
    **more: Any,
) -> None:
    """Compare methods on photos; classes may be called by any name of the species. `more` is of `compare`.

    Raises:
        FsclError: settings or photos that cannot be.
    """
    photos = open_photos(source, reading)
    say_untimed(photos, source, next(iter(configs.values())).split.by)
    names = ClassNames(photos.usable["label"])
    pairs = pairs_of(
        photos,
        fine=names.pair(fine),
        coarse=names.pair(coarse),
        minority=names.labels(minority),
        base=base,
        imbalances=imbalances,
    )
    ratios = ratios or (STUDY_RATIOS if fine or coarse else None)
    compare(photos, configs, out, pairs=pairs, ratios=ratios, imbalances=imbalances, **more)

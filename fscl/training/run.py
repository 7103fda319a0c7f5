"""A run takes its folder and leaves its bundle there. Only the same run goes on; others overwrite only if asked."""

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from fscl.atomic import leftovers, replacing, sweep, write_text
from fscl.bundle import Bundle
from fscl.config import Config, resolve
from fscl.errors import OutputError
from fscl.manifest.identity import differences
from fscl.manifest.table import Manifest
from fscl.methods import part_names, read_toml
from fscl.registry import find_again, own_modules
from fscl.run_folder import RunFolder
from fscl.runtime import commit, machine
from fscl.training.subset import Subset


class _Said(BaseModel):
    """What `photos.json` says of a run that goes on; more keys are left alone."""

    model_config = ConfigDict(strict=True)

    classes: Annotated[tuple[str, ...], Field(min_length=2, strict=False)]
    minority: Annotated[tuple[str, ...], Field(strict=False)]
    notes: list[str]
    modules: dict[str, str] = {}

    @property
    def source(self) -> dict[str, Any]:
        """What of it a run says again."""
        return {"notes": self.notes}


def begun_run(folder: RunFolder, *, root: Path | None = None) -> tuple[dict[str, Any], Subset]:
    """Return the settings and the photos of a run, as its folder has them: it goes on by these alone.

    Args:
        folder: of the run.
        root: the folder or zip that its photos are in now, if they have moved.

    Raises:
        OutputError: no run there, or one that does not say all that it takes.
        PhotosError: its photos are nowhere.
        ConfigurationError: a module of the user's own that its parts are of is not where it was.
    """
    if not folder.settings.is_file():
        raise OutputError(
            f"{folder.path}: holds no run to go on with; give the folder of one, or photos and --out for a new one"
        )
    settings = read_toml(folder.settings)
    with_all = "give photos and settings, too, as the run was started: fscl train PHOTOS … --resume --out"
    try:
        said = _Said.model_validate_json(folder.source.read_bytes())
    except (OSError, ValueError):
        raise OutputError(
            f"{folder.source}: does not say the classes of the run, as earlier releases did not; "
            f"{with_all} {folder.path}"
        ) from None
    if not folder.photos.is_file():
        raise OutputError(f"{folder.photos}: is gone; put it back, or start again with --overwrite")
    find_again(said.modules)
    return settings, Subset(Manifest.read(folder.photos, root=root), said.classes, said.minority, said.source)


def check_run(folder: RunFolder, config: Config, photos: Manifest, *, resume: bool, overwrite: bool) -> None:
    """Make sure that this run may have the folder, and touch nothing.

    Raises:
        OutputError: it holds something else, or, with `resume`, a run of other settings or photos.
    """
    if folder.path.exists() and not folder.path.is_dir():
        raise OutputError(f"{folder.path}: expected a folder for the run, found a file; choose another --out")
    content = _content(folder)
    own = content & {path.name for path in (*folder.files, *folder.folders)}
    if overwrite and own and folder.settings.name not in content:  # the first that a run writes
        raise OutputError(
            f"{folder.path}: holds no run, but {', '.join(sorted(own))}, which would be lost; choose another --out"
        )
    if overwrite or not content or (content == {folder.photos.name} and not _differences(folder, photos)):
        return
    if not (resume and folder.settings.name in content):
        begun = folder.settings.name in content
        fix = "go on with it by --resume, or drop it by --overwrite" if begun else "--overwrite"
        raise OutputError(f"{folder.path}: the folder is not empty; {fix}, or choose another --out")
    _check_settings(folder, config)
    if content != {folder.settings.name}:  # else killed between the first two files
        _check_photos(folder, photos)


def start_run(
    folder: RunFolder,
    config: Config,
    photos: Manifest,
    *,
    resume: bool,
    overwrite: bool,
    source: Mapping[str, Any] | None = None,
) -> None:
    """Make the folder this run's; what a killed process left half-written in it is removed. Call it while held.

    Args:
        folder: of the run.
        config: of the run.
        photos: of the run.
        resume: go on with the run that is there.
        overwrite: drop what is there.
        source: what the photos were taken from, for `photos.json`.

    Raises:
        OutputError: as `check_run`, which is done again: meanwhile another process may have left its run.
    """
    check_run(folder, config, photos, resume=resume, overwrite=overwrite)
    if overwrite or not (resume and folder.settings.exists()):
        _drop(folder)
        write_text(folder.settings, config.toml())
    if not _knows_root(folder, photos):
        photos.write(folder.photos)
    if source is not None and not folder.source.exists():
        modules = own_modules(part_names(config.record()["stage"]))
        begun = {"machine": machine(), "commit": commit()}
        source = {**source, "modules": modules, "provenance": begun}
        write_text(folder.source, json.dumps(source, indent=1, ensure_ascii=False) + "\n")
    for path in (folder.path, folder.best, folder.last):
        sweep(path)


def finish_run(folder: RunFolder, last: Bundle, keep: str, decide: Callable[[Bundle, bool], Bundle]) -> None:
    """Leave the bundle that the recipe keeps in the folder, the other one beside it; no checkpoint, no store.

    Args:
        folder: of the run, with the best bundle in it if there is one.
        last: the bundle of the last epoch.
        keep: `last` or `best`.
        decide: gives a bundle its decisions; told whether its epoch was chosen on validation.
    """
    best = RunFolder(folder.best)
    if best.record.exists():
        decide(Bundle.open(best.path), True).save(best.path)
    last = decide(last, False)
    rmtree(folder.store, ignore_errors=True)
    if keep == "best" and best.record.exists():
        last.save(folder.last)
        for path in (best.weights, best.record):  # the record last: a folder with a record has its weights
            with replacing(folder.path / path.name) as copy:
                copyfile(path, copy)
        folder.checkpoint.unlink(missing_ok=True)
        rmtree(folder.best)
    else:
        last.save(folder.path)
        folder.checkpoint.unlink(missing_ok=True)


def _content(folder: RunFolder) -> set[str]:
    """Return the names in the folder, without the lock and what a killed or failed process left there."""
    if not folder.path.exists():
        return set()
    ignored = {path.name for path in (*leftovers(folder.path), folder.fault, folder.lock)}
    return {path.name for path in folder.path.iterdir()} - ignored


def _check_settings(folder: RunFolder, config: Config) -> None:
    settings = folder.settings
    if resolve([(str(settings), read_toml(settings))]).sha256() != config.sha256():
        again = shlex.join(["fscl", "train", "--resume", str(folder.path)])
        raise OutputError(f"{folder.path}: holds a run of other settings; go on with its own: {again}")


def _knows_root(folder: RunFolder, photos: Manifest) -> bool:
    """Tell whether the photos are written down where they are now: they may have moved since."""
    return folder.photos.exists() and Manifest.read(folder.photos, anywhere=True).root == photos.root


def _check_photos(folder: RunFolder, photos: Manifest) -> None:
    if not folder.photos.exists():
        raise OutputError(
            f"{folder.photos}: is gone, so nothing tells whether these are the photos of the run; put it "
            "back, or start again with --overwrite"
        )
    other = _differences(folder, photos)
    if other:
        raise OutputError(
            f"{folder.path}: holds a run on other photos: {'; '.join(other)}; resume it with those, drop it by "
            "--overwrite, or choose another --out"
        )


def _differences(folder: RunFolder, photos: Manifest) -> list[str]:
    """Say in what the photos differ from those that the folder holds."""
    return differences(Manifest.read(folder.photos, anywhere=True), photos)


def _drop(folder: RunFolder) -> None:
    for path in folder.files:
        path.unlink(missing_ok=True)
    for path in folder.folders:
        rmtree(path, ignore_errors=True)

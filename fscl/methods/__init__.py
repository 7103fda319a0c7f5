"""The recipes: a method is a TOML file, not a class. Add a file here and it is a method."""

import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from rich.table import Table

from fscl.errors import ConfigurationError, did_you_mean

STUDY = ("baseline", "oversampling", "contrastive", "fscl")  # in the order of the study's table
DEFAULT = "fscl_plus"  # of fscl train: the best that a laptop makes of photos in minutes


def names() -> list[str]:
    """Return the names of the shipped recipes, the study's first.

    >>> names()[:4]
    ['baseline', 'oversampling', 'contrastive', 'fscl']
    """
    shipped = {Path(f.name).stem for f in resources.files(__package__).iterdir() if f.name.endswith(".toml")}
    return [*STUDY, *sorted(shipped - set(STUDY))]


def read(name: str) -> dict[str, Any]:
    """Return the settings of a shipped recipe, or of a recipe file of the user's own (a path to `.toml`).

    Parts of the user's own that such a file names (`mine:Loss`) are imported from its folder, too.

    Raises:
        ConfigurationError: no such recipe or file, or no TOML in it.
    """
    if name.endswith(".toml"):
        recipe = read_toml(Path(name))
        folder = str(Path(name).resolve().parent)
        if folder not in sys.path and any(":" in part for part in part_names(recipe.get("stage"))):
            sys.path.append(folder)  # the last: nothing there takes the place of an installed package
        return recipe
    if name not in names():
        raise ConfigurationError(f"unknown method '{name}'{did_you_mean(name, names())}")
    return tomllib.loads((resources.files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))


def part_names(settings: Any) -> Iterator[str]:
    """Yield the names of losses, samplers and mixings in the stages of a recipe, whatever else they hold."""
    if isinstance(settings, Mapping):
        if isinstance(settings.get("name"), str):
            yield settings["name"]
        settings = list(settings.values())
    if isinstance(settings, list):
        for inner in settings:
            yield from part_names(inner)


def table() -> Table:
    """Return the methods as a table for the terminal, a line each; their cards in docs/methods tell more."""
    lines = Table(box=None, pad_edge=False)
    lines.add_column("method", no_wrap=True)
    lines.add_column("what it does")
    for name in names():
        method = read(name)["method"]
        source = "" if name in STUDY else f" ({method['source']})"
        lines.add_row(name, method["summary"] + source)
    return lines


def read_toml(path: Path) -> dict[str, Any]:
    """Return the settings of a TOML file.

    Raises:
        ConfigurationError: the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file") from None
    except (
        ValueError,
        RecursionError,
    ) as error:  # TOML that is none, bytes that are no text, numbers of 5,000 digits
        raise ConfigurationError(f"{path}: not a TOML file: {str(error).split(';')[0]}") from None

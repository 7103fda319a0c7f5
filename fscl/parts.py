"""What a recipe can be made of, as a table for the terminal."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.table import Table

from fscl.loading.mixing import MIXINGS
from fscl.loading.samplers import SAMPLERS
from fscl.losses import LOSSES
from fscl.models.heads import HEADS, POSTHOC
from fscl.registry import OF_THE_RUN

PARTS: dict[str, Mapping[str, Callable[..., Any]]] = {
    "loss": LOSSES,
    "sampler": SAMPLERS,
    "mixing": MIXINGS,
    "head": HEADS,
    "posthoc": POSTHOC,
}


def table() -> Table:
    """Return the parts, a line each: kind, name, what it is, options with their defaults."""
    lines = Table(box=None, pad_edge=False)
    for column in ("kind", "name"):
        lines.add_column(column, no_wrap=True)
    lines.add_column("what it does", ratio=3)
    lines.add_column("options", ratio=2)
    for kind, entries in PARTS.items():
        for name, entry in entries.items():
            lines.add_row(kind, name, summary(entry), ", ".join(options(kind, entry)))
    return lines


def summary(entry: Callable[..., Any]) -> str:
    """Return the first sentence of the docstring, without its equation.

    >>> summary(LOSSES["focal"])
    "Cross-entropy times (1 − p)^γ, p the probability of the photo's own class."
    """
    first = (inspect.getdoc(entry) or "").split("\n\n")[0].replace("\n", " ")
    return first.split(":")[0].rstrip(".") + "."


def options(kind: str, entry: Callable[..., Any]) -> Iterator[str]:
    """Yield the options as they are written in a recipe, each with its default.

    >>> list(options("sampler", SAMPLERS["m_per_class"]))
    ['m = 4']
    """
    for parameter in inspect.signature(entry).parameters.values():
        if parameter.name not in OF_THE_RUN[kind]:
            yield f"{parameter.name} = {_toml(parameter.default)}"


def _toml(value: Any) -> str:
    """Return a default as TOML writes it; None is left out there."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)

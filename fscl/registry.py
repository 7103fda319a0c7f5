"""Tables, not magic: a name and its options become an object, and an unknown one is an error."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fscl.errors import ConfigurationError, did_you_mean

Built = TypeVar("Built")


def build(table: Mapping[str, Callable[..., Built]], kind: str, name: str, *context: Any, **options: Any) -> Built:
    """Build `table[name](*context, **options)`.

    Args:
        table: name → class or function.
        kind: what the table holds, for messages: "loss", "sampler".
        name: the entry.
        context: what every entry of the table receives, in order.
        options: what the user set; every one must be a parameter of the entry.

    Raises:
        ConfigurationError: unknown name or option, with the nearest known one.

    >>> build({"double": lambda x, *, times=2: x * times}, "operation", "double", 4, times=3)
    12
    """
    if name not in table:
        raise ConfigurationError(f"unknown {kind} '{name}'{did_you_mean(name, table)}")
    parameters = list(inspect.signature(table[name]).parameters)[len(context) :]
    for option in options:
        if option not in parameters:
            raise ConfigurationError(
                f"unknown option '{option}' for {kind} '{name}'{did_you_mean(option, parameters)}"
            )
    return table[name](*context, **options)

"""Tables, not magic: a name and its options become an object, and an unknown one is an error."""

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeVar

from fscl.errors import ConfigurationError, did_you_mean

Built = TypeVar("Built")


def build(
    table: Mapping[str, Callable[..., Built]],
    kind: str,
    name: str,
    context: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Built:
    """Build `table[name]` from the options and from as much of the context as it has parameters for.

    Args:
        table: name → class or function.
        kind: what the table holds, for messages: "loss", "sampler".
        name: the entry, or `my_lab.losses:Mine`: an importable object outside of the table.
        context: what a run knows, by parameter name; an entry receives what it asks for.
        options: what the user set; every one must be a parameter of the entry, and none of the context.

    Raises:
        ConfigurationError: an unknown name or option, with the nearest known one; a missing or impossible value.

    >>> def repeated(text, *, times=2): return text * times
    >>> build({"repeated": repeated}, "operation", "repeated", {"text": "ab", "seed": 0}, {"times": 3})
    'ababab'
    """
    entry = _imported(kind, name) if ":" in name else table.get(name)
    if entry is None:
        raise ConfigurationError(f"unknown {kind} '{name}'{did_you_mean(name, table)}")
    parameters = inspect.signature(entry).parameters
    settable = [parameter for parameter in parameters if parameter not in context]
    for option in options:
        if option not in settable:
            raise ConfigurationError(f"unknown option '{option}' for {kind} '{name}'{did_you_mean(option, settable)}")
    for parameter in settable:
        if parameters[parameter].default is inspect.Parameter.empty and parameter not in options:
            raise ConfigurationError(f"{kind} '{name}' needs the option '{parameter}'")
    known = {parameter: context[parameter] for parameter in parameters if parameter in context}
    try:
        return entry(**known, **options)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{kind} '{name}': {error}") from error


def _imported(kind: str, name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    try:
        entry: Callable[..., Any] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{kind} '{name}' cannot be imported ({error}); expected MODULE:NAME of an installed package"
        ) from None
    return entry

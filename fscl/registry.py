"""Tables, not magic: a name and its options become an object, and an unknown one is an error."""

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeVar

from fscl.errors import ConfigurationError, did_you_mean

Built = TypeVar("Built")
# What a run tells its parts, by the name of the parameter that asks for it; all other parameters are options.
OF_THE_RUN = {
    "loss": ("num_classes", "class_names", "class_counts", "dims", "head_scale"),
    "sampler": ("labels", "batch_size", "seed", "epochs"),
    "mixing": ("num_classes", "class_names", "class_counts"),
    "head": ("in_features", "out_features"),
    "posthoc": ("class_counts",),
}


def build(
    table: Mapping[str, Callable[..., Built]],
    kind: str,
    name: str,
    context: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    own: type | None = None,
) -> Built:
    """Build `table[name]` from the options and from as much of the context as it has parameters for.

    Args:
        table: name → class or function.
        kind: what the table holds, for messages: "loss", "sampler".
        name: the entry; where `own` is given also `my_lab.losses:Mine`, which is imported.
        context: what a run knows, by parameter name; an entry receives what it asks for.
        options: what the user set; every one must be a parameter of the entry, and none of the context.
        own: what an imported part must be an instance of. Without it nothing is imported, and no code is run that
            a file from elsewhere names.

    Raises:
        ConfigurationError: an unknown name or option, with the nearest known one; a missing or impossible value.

    >>> def repeated(text, *, times=2): return text * times
    >>> build({"repeated": repeated}, "operation", "repeated", {"text": "ab", "seed": 0}, {"times": 3})
    'ababab'
    """
    entry = _imported(kind, name) if own is not None and ":" in name else table.get(name)
    if entry is None:
        raise ConfigurationError(f"unknown {kind} '{name}'{did_you_mean(name, table)}")
    try:
        parameters = inspect.signature(entry).parameters
    except (TypeError, ValueError):
        raise ConfigurationError(f"{kind} '{name}' cannot be built: expected a class, got {entry!r:.80}") from None
    named = {n: p for n, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    settable = [parameter for parameter in named if parameter not in context]
    for option in options:
        if option not in settable:
            raise ConfigurationError(f"unknown option '{option}' for {kind} '{name}'{did_you_mean(option, settable)}")
    for parameter in settable:
        if named[parameter].default is inspect.Parameter.empty and parameter not in options:
            raise ConfigurationError(f"{kind} '{name}' needs the option '{parameter}'")
    known = {parameter: context[parameter] for parameter in named if parameter in context}
    try:
        built = entry(**known, **options)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ConfigurationError(f"{kind} '{name}': {error}") from error
    if own is not None and not isinstance(built, own):
        raise ConfigurationError(
            f"{kind} '{name}' must be a {own.__module__}.{own.__name__}, got {type(built).__name__}"
        )
    return built


def _imported(kind: str, name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    try:
        entry: Callable[..., Any] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{kind} '{name}' cannot be imported ({error}); expected MODULE:NAME of an installed package or of "
            "a file beside the recipe"
        ) from None
    return entry

"""Tables, not magic: a name and its options become an object, and an unknown one is an error."""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module, invalidate_caches
from importlib.util import find_spec
from pathlib import Path
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


def own_modules(parts: Iterable[str]) -> dict[str, str]:
    """Return the folder of each module that parts of the user's own were imported from.

    >>> own_modules(["cross_entropy", "torch.nn:NLLLoss"]).keys()
    dict_keys(['torch'])
    """
    folders = {module: _folder_of(module) for module in sorted({_module_of(part) for part in parts if ":" in part})}
    return {module: str(folder) for module, folder in folders.items() if folder is not None}


def find_again(folders: Mapping[str, str]) -> None:
    """Let modules be imported from where they were, `own_modules` of an earlier process; nothing is imported yet.

    Raises:
        ConfigurationError: a module is not there any more, or another of its name comes before it.
    """
    for module, folder in folders.items():
        if _folder_of(module) is None and Path(folder).is_dir():
            sys.path.append(folder)  # the last: nothing there takes the place of an installed package
            invalidate_caches()
        found, there = _folder_of(module), Path(folder, module).is_dir() or Path(folder, f"{module}.py").is_file()
        if found is None:
            got = f"a folder without {module}.py" if Path(folder).is_dir() else "no such folder"
            raise ConfigurationError(
                f"parts of the run are of the module '{module}': expected it in {folder}, where it was when the run "
                f"began, got {got}; put it back, or say where it is now: PYTHONPATH=FOLDER fscl …"
            )
        if there and found.resolve() != Path(folder).resolve():
            raise ConfigurationError(
                f"parts of the run are of the module '{module}': expected that of {folder}, got another one of "
                f"{found}; start the command elsewhere, or rename the other one"
            )


def _module_of(part: str) -> str:
    return part.partition(":")[0].partition(".")[0]


def _folder_of(module: str) -> Path | None:
    """Return the folder that a module or package lies in; None where there is none, or it is no file."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):  # ValueError: of `__main__`
        return None
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or [])
    place = places[0] if places else spec.origin if spec.has_location else None
    return None if place is None else Path(place).absolute().parent


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

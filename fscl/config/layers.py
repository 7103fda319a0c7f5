"""Settings laid over each other: defaults < recipe < `--config` TOML < flags. Errors name where a setting is from."""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any

from pydantic import ValidationError

from fscl.config.photos import PaddedCrop, ResizedCrop, Section
from fscl.config.sections import (
    ORIGINS,
    SIMILARITY,
    STUDY_EPOCHS,
    Component,
    Config,
    LossTerm,
    Method,
    MixingSettings,
    Optimizer,
    Schedule,
    Stage,
)
from fscl.errors import ConfigurationError, did_you_mean, in_words, shown
from fscl.published import PACKAGES


def resolve(layers: Sequence[tuple[str, Mapping[str, Any]]]) -> Config:
    """Lay settings over each other, later over earlier, and check the outcome.

    What goes with published weights (`PACKAGES`), where they are named, lies below all of them.

    Args:
        layers: (where the settings come from, nested settings), e.g. the recipe, a TOML file, the flags.

    Raises:
        ConfigurationError: an unknown key or a value out of range; names the source and the nearest key.

    >>> recipe = {"method": dict(name="plain", title="Plain", summary="", source=""),
    ...           "stage": [{"loss": [{"name": "cross_entropy"}]}]}
    >>> resolve([("recipe", recipe), ("flags", {"training": {"steps": 10}})]).training.steps
    10
    """
    merged: dict[str, Any] = {}
    for origin, settings in layers:
        for name in (*dict(_sections()), "method"):
            if not isinstance(settings.get(name, {}), Mapping):  # which a later layer would cover
                raise ConfigurationError(f"{origin}: {name}: expected a table, [{name}], got {shown(settings[name])}")
        lengths = settings.get("training", {}).keys() & {"epochs", "steps"}
        if len(lengths) == 2:
            raise ConfigurationError(f"{origin}: a run is as long as its epochs or its steps say: give one of them")
        if lengths:  # another length below gives way
            below = merged.get("training", {})
            merged["training"] = {key: value for key, value in below.items() if key not in ("epochs", "steps")}
        if any(settings.get("model", {}).get(name) for name in ORIGINS):  # so do weights from elsewhere
            below = merged.get("model", {})
            merged["model"] = {key: value for key, value in below.items() if key not in ORIGINS}
        merged = _laid_over(merged, settings)
    weights = merged.get("model", {}).get("weights")
    if isinstance(weights, str) and weights in PACKAGES:
        merged = _laid_over(PACKAGES[weights].settings, merged)
    if "imbalance" in merged:
        merged["imbalance"] = _without_profile(merged["imbalance"])
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_messages(error, layers))) from None
    if not config.model.frozen:
        return config
    head_alone = [stage.model_copy(update={"trainable": ("head",)}) for stage in config.stage]
    return config.model_copy(update={"stage": tuple(head_alone)})


def settings(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings from flat ones: each key goes to the section that has it; None is left out.

    `weight` is the weight of the similarity term and needs the stages: see `with_weight`.

    >>> settings({"steps": 400, "backbone": "convnext_atto", "seed": None})
    {'training': {'steps': 400}, 'model': {'backbone': 'convnext_atto'}}
    """
    nested: dict[str, Any] = {}
    for name, value in flags.items():
        if value is None:
            continue
        section = next((s for s, names in _keys_by_section() if name in names), None)
        if name in Config.model_fields and name not in dict(_sections()):
            nested[name] = value
        elif section is not None:
            nested.setdefault(section, {})[name] = value
        else:
            raise ConfigurationError(f"unknown setting '{name}'")
    return nested


def with_weight(config: Config, weight: float) -> Config:
    """Return the configuration with `weight` on the similarity term.

    Raises:
        ConfigurationError: the method has no such term, or the weight is negative.
    """
    if not 0 <= weight < inf:
        raise ConfigurationError(f"--weight must be >= 0, got {weight}; the study used 0.1 to 1")
    if not _has_weighable_term(config):
        raise ConfigurationError(
            f"--weight has no term to weigh: method '{config.method.name}' is without '{SIMILARITY}'"
        )

    def weighed(term: LossTerm) -> LossTerm:
        return term.model_copy(update={"weight": weight}) if term.name == SIMILARITY else term

    stages = [s.model_copy(update={"loss": tuple(weighed(term) for term in s.loss)}) for s in config.stage]
    return config.model_copy(update={"stage": tuple(stages)})


def alongside(configs: Sequence[Config], weight: float | None = None) -> dict[str, Config]:
    """Return the configurations of a comparison by method, with `weight` on their similarity terms.

    Raises:
        ConfigurationError: two methods of one name, or a weight that none of them has a term for.
    """
    named: dict[str, Config] = {}
    for config in configs:
        if config.method.name in named:
            raise ConfigurationError(
                f"two methods are called '{config.method.name}'; each needs a name of its own, and the --config of "
                "a comparison may not set [method] or [[stage]]"
            )
        named[config.method.name] = config
    if weight is None:
        return named
    weighable = [name for name, config in named.items() if _has_weighable_term(config)]
    if not weighable:
        raise ConfigurationError(f"--weight has nothing to weigh: {', '.join(named)} are without '{SIMILARITY}'")
    return named | {name: with_weight(named[name], weight) for name in weighable}


def default(name: str) -> Any:
    """Return what a setting is where nobody sets it, by its name on the command line.

    >>> default("batch_size"), default("weight"), default("epochs")
    (64, 1.0, 100)
    """
    if name == "epochs":  # None, as steps may be given in their place
        return STUDY_EPOCHS
    kind = next((kind for _, kind in _sections() if name in kind.model_fields), LossTerm)
    return kind.model_fields[name].default


def section(name: str, **settings: Any) -> Any:
    """Return a section of the configuration from flags; None leaves the default.

    Raises:
        ConfigurationError: a value out of range.

    >>> section("split", by="site", strict=None).by
    'site'
    """
    given = {key: value for key, value in settings.items() if value is not None}
    try:
        return dict(_sections())[name].model_validate(given)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_messages(error, [("command line", given)]))) from None


def _has_weighable_term(config: Config) -> bool:
    return any(term.name == SIMILARITY for stage in config.stage for term in stage.loss)


def _sections() -> Iterator[tuple[str, type[Section]]]:
    for name, field in Config.model_fields.items():
        kind = field.annotation
        if name != "method" and isinstance(kind, type) and issubclass(kind, Section):
            yield name, kind


def _keys_by_section() -> Iterator[tuple[str, set[str]]]:
    return ((name, set(kind.model_fields)) for name, kind in _sections())


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables in one, the upper one's values first; a part of another name takes no options from below."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping) and _same_part(key, under, value):
            merged[key] = _laid_over(under, value)
        else:
            merged[key] = value
    return merged


def _same_part(key: str, below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    return key == "method" or "name" not in above or below.get("name", above["name"]) == above["name"]


def _without_profile(imbalance: Mapping[str, Any]) -> Mapping[str, Any]:
    """Earlier releases wrote `profile = "exp"` beside the imbalance of a long tail: there is no other kind."""
    if imbalance.get("profile") == "exp" and imbalance.get("imbalance") is not None:
        return {key: value for key, value in imbalance.items() if key != "profile"}
    return imbalance


def _messages(error: ValidationError, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    problems = error.errors()
    for problem in problems:
        path = problem["loc"]
        if any(other["loc"][: len(path)] == path != other["loc"] for other in problems):
            continue  # pydantic repeats an inner problem at every level above it
        held = path[:-1] if problem["type"] == "missing" else path
        origin = next((name for name, settings in reversed(layers) if _holds(settings, held)), layers[-1][0])
        where = ".".join(str(part) for part in path) if path else "settings"
        if problem["type"] == "extra_forbidden":
            yield f"{origin}: unknown key '{where}'{did_you_mean(str(path[-1]), _known_keys(path[:-1]))}"
        elif problem["type"] == "missing":
            yield f"{origin}: '{where}' is missing"
        else:
            yield f"{origin}: {in_words({**problem, 'loc': path or ('settings',)})}"


def _holds(settings: Any, path: Sequence[int | str]) -> bool:
    for part in path:
        try:
            settings = settings[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _known_keys(path: Sequence[int | str]) -> set[str]:
    """Return the keys of the section that `path` leads to."""
    names = [part for part in path if isinstance(part, str)]
    if not names:
        return set(Config.model_fields)
    inner: dict[str, type[Section]] = {"stage": Stage, "loss": LossTerm, "mixing": MixingSettings, "method": Method}
    inner |= {"optimizer": Optimizer, "schedule": Schedule, "padded": PaddedCrop, "resized": ResizedCrop}
    inner |= dict.fromkeys(("sampler", "partners", "head", "posthoc"), Component)
    return set(inner[names[-1]].model_fields) if names[-1] in inner else dict(_keys_by_section())[names[-1]]

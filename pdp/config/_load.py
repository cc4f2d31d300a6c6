"""Merges file, environment and flags into one configuration, and remembers where each value came from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

import yaml
from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from pdp.config._model import ENVIRONMENT_PREFIX, NESTING, Config, Visibility
from pdp.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic_core import ErrorDetails

# Read by commands and tests, not settings of the decision point.
_OTHER_VARIABLES: Final = frozenset(
    {"PDP_CONFIG", "PDP_OPA", "PDP_CONFORMANCE_DIR", "PDP_PEERS_DIR", "PDP_VALKEY"}
)
# A container platform announces a service named `pdp` this way to everything beside it.
_SERVICE_LINK: Final = re.compile(r"PDP_(SERVICE_(HOST|PORT)(_|$)|PORT(_\d+_(TCP|UDP).*)?$)")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and where its values came from.

    Attributes:
        config: The configuration.
        origins: Source of each value that is not the default, by dotted key.
    """

    config: Config
    origins: Mapping[str, str]


def load(file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any]) -> Loaded:
    """The configuration from its three sources; later ones win.

    Args:
        file: YAML or TOML file, or None.
        environment: Environment variables; those named `PDP_*` count.
        flags: Values by dotted key; None means not given.

    Raises:
        ConfigError: Naming the key at fault, its value, its source and how to fix it.
    """
    from_file = _read(file) if file is not None else {}
    from_environment = _environment(environment)
    from_flags: dict[str, Any] = {}
    for key, value in flags.items():
        if value is not None:
            _set(from_flags, key.split("."), value)
    origins = {key: f"file {file}" for key, _ in _flat(from_file)}
    origins |= {key: f"environment {_variable(key)}" for key, _ in _flat(from_environment)}
    origins |= {key: "flag" for key, _ in _flat(from_flags)}
    merged = _merge(_merge(from_file, from_environment), from_flags)
    try:
        config = Config(**merged)
    except ValidationError as fault:
        # An unknown key first: it is the likely cause of a missing one.
        details = sorted(fault.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
        raise _config_error(details[0], origins) from fault
    return Loaded(config, origins)


def _read(file: Path) -> dict[str, Any]:
    """The document in a configuration file."""
    try:
        text = file.read_text(encoding="utf-8")
        document = tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text)
    except OSError as fault:
        raise ConfigError(
            "config", f"cannot read `{file}`: {fault.strerror}; name a readable file"
        ) from fault
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as fault:
        sentence = " ".join(str(fault).split())
        raise ConfigError("config", f"`{file}` does not parse: {sentence}") from fault
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise ConfigError("config", f"`{file}` must hold a mapping of settings, such as `threads: 2`")
    return document


def _environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Values from variables named `PDP_*`; an unknown one is refused."""
    relevant = {key: value for key, value in environment.items() if key.startswith(ENVIRONMENT_PREFIX)}
    for variable in relevant:
        if variable in _OTHER_VARIABLES or _SERVICE_LINK.match(variable):
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if key.split(NESTING)[0] not in Config.model_fields:
            message = f"`{variable}` is not a setting; see `pdp config reference` and unset or rename it"
            raise ConfigError(variable, message)
    source = EnvSettingsSource(Config)
    source.env_vars = {key.lower(): value for key, value in relevant.items()}
    try:
        return source()
    except SettingsError as fault:
        raise ConfigError("environment", f"{fault}; write it as JSON, or one variable per key") from fault


def _config_error(detail: ErrorDetails, origins: Mapping[str, str]) -> ConfigError:
    """One line for one fault."""
    key = ".".join(str(part) for part in detail["loc"])
    origin = origins.get(key)
    source = f" (from {origin})" if origin else ""
    if detail["type"] == "extra_forbidden":
        return ConfigError(key, f"unknown setting{source}; see `pdp config reference`")
    if detail["type"] == "missing":
        return ConfigError(key, f"required but not set{source}; write it")
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    fix = message if message.startswith("write ") else f"must be {message}"
    shown = "(not shown)" if _sensitive(key.split(".")) else detail["input"]
    return ConfigError(key, f"`{shown}`{source} cannot be used: {fix}")


def _sensitive(path: list[str]) -> bool:
    """Whether a key's value, or one inside of it, must not be printed."""
    model: Any = Config
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return True
        if Visibility.SENSITIVE in field.metadata:
            return True
        annotation = field.annotation
        inner = [one for one in (annotation, *get_args(annotation)) if hasattr(one, "model_fields")]
        model = inner[0] if inner else None
    return model is not None


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of the leaves."""
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """A document with the values of both; `above` wins."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _set(document: dict[str, Any], path: list[str], value: Any) -> None:
    """Sets a leaf, making what leads to it."""
    for part in path[:-1]:
        document = document.setdefault(part, {})
    document[path[-1]] = value


def _variable(key: str) -> str:
    """The environment variable of a dotted key."""
    return ENVIRONMENT_PREFIX + key.replace(".", NESTING).upper()

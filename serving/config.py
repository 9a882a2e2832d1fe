"""Configuration: one file, the environment, and what the command line says, read once and passed down.

What is set later wins: defaults, then the file, then the environment, then options of the command.
`server.limits.in_flight` of the file is `BESPEAK_SERVER__LIMITS__IN_FLIGHT` in the environment.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from serving.config_keys import at, flat, unknown_keys
from serving.config_sections import ClientSection, LogSection, ServerSection, WorkerSection

ENV_PREFIX = "BESPEAK_"
FILE_VARIABLE = "BESPEAK_CONFIG"
OTHERS = (FILE_VARIABLE, "BESPEAK_WORKER", "BESPEAK_MODEL_REGISTRY")
"""Variables that set nothing here: the file, and what `python -m models` takes from the environment."""
DEFAULT_FILE = Path("bespeak.toml")


class ConfigError(ValueError):
    """The configuration cannot work; the message says which key, its value and what to do."""


class Config(BaseSettings):
    """Everything that can be set."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    server: ServerSection = Field(default_factory=ServerSection)
    worker: WorkerSection = Field(default_factory=WorkerSection)
    client: ClientSection = Field(default_factory=ClientSection)
    log: LogSection = Field(default_factory=LogSection)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Takes no dotenv and no secrets directory; `load` merges the rest."""
        del settings_cls, env_settings
        return (init_settings,)


@dataclass(frozen=True)
class Loaded:
    """A configuration and where each key that is no default was set."""

    config: Config
    file: Path | None
    origins: Mapping[str, str]


def load(file: Path | None = None, options: Mapping[str, Any] | None = None) -> Loaded:
    """Reads the configuration.

    Args:
        file: TOML; None takes `BESPEAK_CONFIG`, or `bespeak.toml` where there is one.
        options: keys with dots, as given on the command line; None values are left out.

    Raises:
        ConfigError: the file cannot be read, a key is unknown or a value does not fit.
    """
    path = _file(file)
    given = {
        f"the file {path}": _read(path) if path else {},
        "the environment": _environment(),
        "an option": _nested({key: value for key, value in (options or {}).items() if value is not None}),
    }
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, values in given.items():
        wrong = unknown_keys(Config, values)
        if wrong:
            raise ConfigError("\n".join(f"{what}, in {origin}" for what in wrong))
        _merge(merged, values)
        origins.update(dict.fromkeys(flat(values), origin))
    try:
        config = Config(**merged)
    except ValidationError as error:
        raise ConfigError("\n".join(_told(each, merged, origins) for each in error.errors())) from None
    return Loaded(config, path, origins)


def _file(file: Path | None) -> Path | None:
    if file is not None:
        return file
    if named := os.environ.get(FILE_VARIABLE):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}: name a file that exists with --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def _environment() -> dict[str, Any]:
    """Returns what the environment sets. The library ignores names that it does not know; here they are mistakes."""
    names = [name for name in os.environ if name.startswith(ENV_PREFIX) and name not in OTHERS]
    said: dict[str, Any] = {}
    for name in names:
        said = _merge(said, _nested({name.removeprefix(ENV_PREFIX).lower().replace("__", "."): ""}))
    wrong = unknown_keys(Config, said, spell=lambda key: ENV_PREFIX + key.upper().replace(".", "__"))
    if wrong:
        raise ConfigError("\n".join(f"{what}, in the environment" for what in wrong))
    try:
        source = EnvSettingsSource(Config)
        source.env_vars = {name: value for name, value in source.env_vars.items() if name.upper() not in OTHERS}
        values: dict[str, Any] = source()
    except ValueError as error:
        raise ConfigError(f"the environment cannot be read: {error}: lists and tables are given as JSON") from None
    return values


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `{"a": {"b": 1}}` for `{"a.b": 1}`."""
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *tables, last = key.split(".")
        table = nested
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = value
    return nested


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = _merge({}, value) if isinstance(value, Mapping) else value
    return into


def _told(error: Any, merged: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """One line for one value that does not fit."""
    key = ".".join(str(part) for part in error["loc"]) or "the configuration"
    message = str(error["msg"]).removeprefix("Value error, ")
    table = key.rpartition(".")[0] if error["type"] == "missing" else key
    # A value inside of what was set, or a table of which something was set.
    around = (origin for known, origin in origins.items() if f"{key}.".startswith(f"{known}."))
    inside = (origin for known, origin in origins.items() if known.startswith(f"{table}."))
    origin = next(around, None) or next(inside, None)
    where = f", in {origin}" if origin else ""
    if error["type"] == "missing":
        return f"{key} is missing: set it{where}"
    value = at(merged, key)
    shown = "" if value is None or isinstance(value, Mapping) else f" is {value!r}"
    return f"{key}{shown}: {message[:1].lower()}{message[1:]}{where}"

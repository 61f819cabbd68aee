"""Reads the settings from the command line, the environment and the configuration file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource

from batchwire_server.settings.schema import Settings


def load(config: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Read the settings from all sources.

    Args:
        config: the TOML file. None means the one that `BATCHWIRE_CONFIG` names, if any.
        overrides: settings of the command line.

    Raises:
        pydantic.ValidationError: a setting is unknown or has an invalid value.
        OSError: the file cannot be read.
        tomllib.TOMLDecodeError: the file is not TOML.
    """
    path = config or (Path(found) if (found := os.environ.get("BATCHWIRE_CONFIG")) else None)
    in_file = tomllib.loads(path.read_text()) if path else {}

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, in_file)

    return Settings.model_construct(**dict(Loaded(**(overrides or {}))))


def secret(variable: str) -> str | None:
    """Return the value of an environment variable, or None if the name is empty."""
    return os.environ.get(variable) if variable else None

"""Settings: the only reader of the environment and of the configuration file.

The command line overrides the environment (`BATCHWIRE_…`), which overrides the file (TOML), which
overrides the defaults. Nested settings are `BATCHWIRE_LIMITS__MAX_LINES` in the environment and
`[limits]` in the file.
"""

from __future__ import annotations

from batchwire_server.settings.documentation import documentation, effective, unknown_variables
from batchwire_server.settings.libraries import ignored_with_warning, prepare_environment, proxy_variable
from batchwire_server.settings.schema import ECHO, Settings, UpstreamSettings
from batchwire_server.settings.sources import load, secret

__all__ = [
    "ECHO",
    "Settings",
    "UpstreamSettings",
    "documentation",
    "effective",
    "ignored_with_warning",
    "load",
    "prepare_environment",
    "proxy_variable",
    "secret",
    "unknown_variables",
]

"""Reasons why a role cannot start. The command prints their messages without a traceback."""

from __future__ import annotations


class StartError(Exception):
    """A role cannot start."""


class ListenError(StartError):
    """An address is not HOST:PORT, or cannot be bound."""


class NoKeysError(StartError):
    """Other machines can reach the server, and there is no API key."""


class DataDirError(StartError):
    """The data directory cannot be created."""


class DataDirInUseError(StartError):
    """Another `serve` uses the data directory."""


class UnusableDatabaseError(StartError):
    """The database cannot be used, and trying again later will not help."""

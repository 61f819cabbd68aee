"""Why a role cannot start."""

from __future__ import annotations


class ListenError(Exception):
    """An address cannot be listened at."""


class NoKeysError(Exception):
    """The server would be open to others than this machine."""


class DataDirError(Exception):
    """The data directory cannot be made or written."""


class DataDirInUseError(Exception):
    """Another `serve` works on this data directory."""

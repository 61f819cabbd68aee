"""The table that defines a dialect. Everything that is not in it is the same for all dialects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from batchwire_server.gateway.errors import ApiError
from batchwire_server.gateway.transcoding.encode import ResponseMapping
from batchwire_server.gateway.transcoding.requests import RequestMapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One spelling of the REST API: its URLs, its requests, its objects and its errors."""

    name: str

    path_prefixes: Mapping[str, str | None]
    """The dialect's prefix for each prefix of the protocol's paths; None if it lacks these paths.

    The longest match counts, so a prefix that is one whole path is an exception for that path.
    """

    additional_bindings: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Methods by further HTTP verbs and paths that call them, with the protocol's prefixes."""

    probe_paths: frozenset[str] = frozenset()
    """Paths, with the protocol's prefixes, that the gateway answers with 200 by itself."""

    request_mapping: RequestMapping = field(default_factory=RequestMapping)
    """How requests become messages."""

    response_mapping: ResponseMapping
    """How messages become JSON."""

    file_content_type: str = "application/octet-stream"
    """Content-Type of a downloaded file."""

    render_error: Callable[[ApiError], Any]
    """Returns the JSON body of an error."""

    error_schema: Mapping[str, Any]
    """JSON Schema of an error's body."""

    @property
    def url_prefixes(self) -> list[str]:
        """The prefixes of the dialect's URLs."""
        return [prefix for prefix in self.path_prefixes.values() if prefix is not None]

    def path_for(self, path: str) -> str | None:
        """Return the dialect's path for a path of the protocol, or None if it lacks it."""
        longest = max((each for each in self.path_prefixes if f"{path}/".startswith(f"{each}/")), key=len)
        prefix = self.path_prefixes[longest]
        return None if prefix is None else prefix + path.removeprefix(longest)

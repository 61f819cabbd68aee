"""What a dialect has to say. Everything else about a call is the same for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from batchwire_server.gateway.errors import ApiError
from batchwire_server.gateway.transcoding.encode import Shape
from batchwire_server.gateway.transcoding.requests import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One way to spell the API: where it is mounted, what its requests mean, how its objects look and how its errors are written."""

    name: str

    spellings: Mapping[str, str | None]
    """What stands where the protocol's http options have a path that begins like this; None for what the dialect leaves out. The longest
    beginning counts, so one that names a single path is an exception to one that names all.
    """

    bindings: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Further verbs and paths, spelled as in the protocol, and the method that each calls."""

    probes: frozenset[str] = frozenset()
    """Paths, spelled as in the protocol, that are answered with 200 without asking the api."""

    reading: Reading = field(default_factory=Reading)
    """How requests become messages."""

    shape: Shape
    """How a message is written."""

    content_type: str = "application/octet-stream"
    """What a file's content is said to be."""

    error: Callable[[ApiError], Any]
    """How an error is written."""

    error_schema: Mapping[str, Any]
    """What an error looks like, in JSON Schema."""

    @property
    def prefixes(self) -> list[str]:
        """What its URLs begin with."""
        return [each for each in self.spellings.values() if each is not None]

    def spell(self, path: str) -> str | None:
        """A path of the protocol as this dialect spells it; None when it does not have it."""
        longest = max((each for each in self.spellings if f"{path}/".startswith(f"{each}/")), key=len)
        spelled = self.spellings[longest]
        return None if spelled is None else spelled + path.removeprefix(longest)

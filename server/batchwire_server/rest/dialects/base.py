"""What a dialect has to say. Everything else about a call is the same for all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from batchwire_server.rest.errors import ApiError
from batchwire_server.rest.render import Shape


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to spell the API: where it is mounted, how its objects look and how its errors are written."""

    prefix: str
    """What stands in its URLs where the protocol's http options have `/v1`."""

    shape: Shape
    """How a message is written."""

    error: Callable[[ApiError], Mapping[str, Any]]
    """How an error is written."""

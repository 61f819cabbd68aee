"""Decodes requests of a dialect: its defaults, headers and bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from google.protobuf.message import Message

from batchwire_server.gateway.transcoding.decode import fill, json_object

Values: TypeAlias = Mapping[str, Any]

# Headers that every dialect reads. OpenAI documents none, but its clients can send any header.
HEADERS: Mapping[str, Callable[[str], Values]] = {"idempotency-key": lambda text: {"idempotency_key": text}}


@dataclass(frozen=True, slots=True)
class RequestMapping:
    """The differences between a dialect's requests and the protocol's messages, by message name.

    If several sources set a field, the later wins: defaults, headers, body (or form, or query),
    path. Objects are merged key by key.
    """

    defaults: Mapping[str, Values] = field(default_factory=dict)
    """JSON values of fields that the caller does not set."""

    headers: Mapping[str, Callable[[str], Values]] = field(default_factory=lambda: HEADERS)
    """Headers that set fields, in lower case, and functions that make JSON of their text."""

    transforms: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = field(default_factory=dict)
    """Functions that the JSON object of a header or of a body passes before it is decoded."""

    untyped_maps: frozenset[str] = frozenset()
    """Messages whose maps take JSON values of any type. `transforms` turns these into strings."""

    def apply_defaults(self, message: Message, headers: Mapping[str, str]) -> None:
        """Fill a new message from the defaults and the request's headers."""
        fill(message, self.defaults.get(message.DESCRIPTOR.name, {}))
        for name, read in self.headers.items():
            if name in headers:
                fill(message, self._transform(message, dict(read(headers[name]))))

    def apply_body(self, message: Message, body: bytes) -> None:
        """Fill a message from a JSON body, regardless of its content-type."""
        fill(message, self._transform(message, json_object(body)))

    def _transform(self, message: Message, values: dict[str, Any]) -> dict[str, Any]:
        transform = self.transforms.get(message.DESCRIPTOR.name)
        return values if transform is None else transform(values)

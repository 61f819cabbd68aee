"""What a dialect's requests mean beyond what they say: the mirror of Shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from google.protobuf.message import Message

from batchwire_server.gateway.transcoding.decode import fill, json_object

Values: TypeAlias = Mapping[str, Any]

# Headers that every dialect reads. OpenAI documents none, but its clients can send any.
HEADERS: Mapping[str, Callable[[str], Values]] = {"idempotency-key": lambda text: {"idempotency_key": text}}


@dataclass(frozen=True, slots=True)
class Reading:
    """How requests become messages, which go by their name.

    What several sources say of one field, the last of these says: the defaults, a header, the body (or the form, or the query), the
    path. Objects are united key by key.
    """

    defaults: Mapping[str, Values] = field(default_factory=dict)
    """What is meant when the caller does not say otherwise, in the protocol's JSON."""

    headers: Mapping[str, Callable[[str], Values]] = field(default_factory=lambda: HEADERS)
    """Headers that say something, by lower-case name, and what a value says, as a body would."""

    reshaped: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = field(default_factory=dict)
    """Messages whose JSON object is passed through a function before it is read."""

    loose: frozenset[str] = frozenset()
    """Messages whose maps take values of any type, which `reshaped` makes strings of."""

    def begin(self, message: Message, headers: Mapping[str, str]) -> None:
        """Fill a new message with what is meant before its caller's own words are read."""
        fill(message, self.defaults.get(message.DESCRIPTOR.name, {}))
        for name, read in self.headers.items():
            if name in headers:
                fill(message, self._reshape(message, dict(read(headers[name]))))

    def take(self, message: Message, body: bytes) -> None:
        """Fill a message from a JSON body, whatever its content-type."""
        fill(message, self._reshape(message, json_object(body)))

    def _reshape(self, message: Message, values: dict[str, Any]) -> dict[str, Any]:
        reshape = self.reshaped.get(message.DESCRIPTOR.name)
        return values if reshape is None else reshape(values)

"""One call on its way: what the caller asked, and the RPC that answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from starlette.datastructures import Headers, QueryParams
from starlette.types import Scope

from batchwire_server.gateway.methods.rpc import Rpc, call_metadata
from batchwire_server.gateway.options import GatewayOptions
from batchwire_server.gateway.routes import Route
from batchwire_server.gateway.transcoding.decode import parse_text
from batchwire_server.gateway.web.metrics import Metrics
from batchwire_server.gateway.web.middleware import Visit
from batchwire_server.gateway.web.request_body import Inbound


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a handler works with."""

    scope: Scope
    inbound: Inbound
    route: Route
    variables: Mapping[str, str]
    rpc: Rpc
    visit: Visit
    options: GatewayOptions
    metrics: Metrics

    @property
    def headers(self) -> Headers:
        """The request's headers."""
        return Headers(scope=self.scope)

    @property
    def is_head(self) -> bool:
        """Whether the caller wants the headers alone."""
        return bool(self.scope["method"] == "HEAD")

    def begun(self, kind: type[Message]) -> Message:
        """A new message with what the dialect and the request's headers say of it."""
        message = kind()
        self.route.dialect.reading.begin(message, self.headers)
        return message

    def request(self, *, query: bool = False, body: bytes = b"") -> Message:
        """A new request message with a body's fields, with the query's parameters where they are fields, and with the path's variables."""
        message = self.begun(self.rpc.request)
        self.route.dialect.reading.take(message, body)
        parameters = QueryParams(self.scope["query_string"] if query else b"")
        for name, text in (*parameters.items(), *self.variables.items()):  # the path has the last word
            parse_text(message, name, text)
        return message

    def start(self, *request: Message) -> Any:
        """Start the call, in the caller's name and under the request's id."""
        peer = self.scope["client"][0] if self.scope.get("client") else ""
        metadata = call_metadata(self.headers, self.visit.request_id, peer, self.options)
        return self.rpc.start(*request, metadata=metadata)

    def render(self, message: Message) -> dict[str, Any]:
        """A message in the dialect's JSON."""
        return self.route.dialect.shape.reply(self.route.method.name, message)

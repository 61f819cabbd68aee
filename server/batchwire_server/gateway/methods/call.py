"""One call of a REST client, and the RPC that answers it."""

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
from batchwire_server.gateway.web.middleware import RequestContext
from batchwire_server.gateway.web.request_body import RequestBody


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request with its route, its RPC and all that a handler needs."""

    scope: Scope
    request_body: RequestBody
    route: Route
    variables: Mapping[str, str]
    rpc: Rpc
    context: RequestContext
    options: GatewayOptions
    metrics: Metrics

    @property
    def headers(self) -> Headers:
        """The request's headers."""
        return Headers(scope=self.scope)

    @property
    def is_head(self) -> bool:
        """True if the caller wants the headers alone."""
        return bool(self.scope["method"] == "HEAD")

    def new_message(self, kind: type[Message]) -> Message:
        """Return a new message, filled from the dialect's defaults and the request's headers."""
        message = kind()
        self.route.dialect.request_mapping.apply_defaults(message, self.headers)
        return message

    def request(self, *, query: bool = False, body: bytes = b"") -> Message:
        """Return the RPC's request.

        Args:
            query: whether parameters of the query set fields.
            body: a JSON body that sets fields.

        Raises:
            ApiError: a value cannot be decoded.
        """
        message = self.new_message(self.rpc.request)
        self.route.dialect.request_mapping.apply_body(message, body)
        parameters = QueryParams(self.scope["query_string"] if query else b"")
        for name, text in (*parameters.items(), *self.variables.items()):  # the path wins
            parse_text(message, name, text)
        return message

    def start(self, *request: Message) -> Any:
        """Start the RPC with the caller's credentials and the request's id. Return gRPC's call."""
        peer = self.scope["client"][0] if self.scope.get("client") else ""
        metadata = call_metadata(self.headers, self.context.request_id, peer, self.options)
        return self.rpc.start(*request, metadata=metadata)

    def render(self, message: Message) -> dict[str, Any]:
        """Return a message as the dialect's JSON."""
        return self.route.dialect.response_mapping.reply(self.route.method.name, message)

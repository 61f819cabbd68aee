"""The middleware of all requests: request ids, common headers, metrics."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchwire_server.gateway.web.metrics import Metrics

_REQUEST_ID_HEADER = "x-request-id"
_SCOPE_KEY = "batchwire.request_context"
_VALID_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_CLIENT_CLOSED_REQUEST = 499  # nginx's status for a caller that left before the reply


@dataclass(slots=True)
class RequestContext:
    """What the gateway knows of a request beside its content."""

    request_id: str
    route: str | None = None
    """Template of the route, or None if the request does not count in metrics."""


def context_of(scope: Scope) -> RequestContext:
    """Return the context of a request that passed the middleware."""
    context: RequestContext = scope[_SCOPE_KEY]
    return context


class RequestMiddleware:
    """Middleware that gives requests an id, replies their headers, and records metrics."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), _CLIENT_CLOSED_REQUEST
        context = scope[_SCOPE_KEY] = RequestContext(_request_id(Headers(scope=scope)))

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[_REQUEST_ID_HEADER] = context.request_id
                headers["openai-processing-ms"] = str(round((time.perf_counter() - start) * 1000))
                headers["openai-version"] = "2020-10-01"
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            if context.route is not None:
                self._metrics.record(context.route, scope["method"], status, time.perf_counter() - start)


def _request_id(headers: Headers) -> str:
    sent = headers.get(_REQUEST_ID_HEADER, "")
    return sent if _VALID_ID.fullmatch(sent) else f"req_{secrets.token_hex(16)}"

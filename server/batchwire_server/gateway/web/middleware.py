"""The outermost layer: what every reply carries, and the counting of calls."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchwire_server.gateway.web.metrics import Metrics

_KEY = "batchwire.visit"
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LEFT = 499  # nginx's number for a caller who did not wait


@dataclass(slots=True)
class Visit:
    """What is known of a request beside its content."""

    request_id: str
    route: str | None = None
    """The template of the route; None for what is not counted."""


def visit_of(scope: Scope) -> Visit:
    """The visit of a request that came through the Edge."""
    visit: Visit = scope[_KEY]
    return visit


class Edge:
    """Gives each request an id and each reply its headers, and counts those that had a route."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), _LEFT
        visit = scope[_KEY] = Visit(_request_id(Headers(scope=scope)))

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = visit.request_id
                headers["openai-processing-ms"] = str(round((time.perf_counter() - began) * 1000))
                headers["openai-version"] = "2020-10-01"
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            if visit.route is not None:
                self._metrics.answered(visit.route, scope["method"], status, time.perf_counter() - began)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _SANE_ID.fullmatch(given) else f"req_{secrets.token_hex(16)}"
